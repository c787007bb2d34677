"""Training boosted trees on Spark: more rows than a machine holds → a bundle like any other.

XGBoost's own Spark estimator fits the trees. All else is the pipeline's: the parameters of the
candidate, the calibration on validation rows, the threshold, the figures on test rows, the bundle.
"""

from __future__ import annotations

import io
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fraudloop import artifacts, files
from fraudloop.batch.spark_session import reason_of
from fraudloop.batch.spark_table import LABEL, WEIGHT, Count, Table
from fraudloop.dataset import card as cards
from fraudloop.dataset.card import Card
from fraudloop.dataset.split import Part, require_fraud
from fraudloop.errors import ParamsError, SparkError
from fraudloop.model import bundle as bundles
from fraudloop.model.bundle import Bundle
from fraudloop.params import Params

ESTIMATOR = "boosted_trees"
SAMPLERS = ("none", "undersample")
# Rows that Spark hands to a Python worker at once.
SETTINGS = {"spark.sql.execution.arrow.maxRecordsPerBatch": "65536"}
# What the driver judges with: so many rows of a part are as good as all of them, and fit anywhere.
MOST_JUDGED = 500_000
METRICS = "metrics.json"

Say = Callable[[str], None]


@dataclass(frozen=True)
class Wish:
    """What is wished of a training: `most_rows` is what the workers can hold between them."""

    sampler: str = "none"
    most_rows: int = 50_000_000
    workers: int | None = None
    synthetic: bool = False


@dataclass(frozen=True)
class Kept:
    """Which of the training rows are trained on: all frauds, and of the others a share."""

    share: float
    weight: float

    @classmethod
    def of(cls, count: Count, wish: Wish, settings: Mapping[str, Any]) -> Kept:
        """By the sampler's parameters, and by how many rows can be held.

        The undersampler leaves legitimate rows out, and the calibration makes up for it. Rows that
        are left out for want of room are stood for by the others, which then weigh more.
        """
        share = 1.0
        if wish.sampler == "undersample":
            ratio = float(settings["sampler_parameters"]["sampling_strategy"])
            share = min(1.0, count.frauds / ratio / max(count.legitimate, 1))
        held = max(wish.most_rows - count.frauds, 1) / max(count.legitimate * share, 1.0)
        if held < 1:
            return cls(share * held, 1.0 / held)
        return cls(share, 1.0)


def train(
    session: Any, params: Params, data: str, output: Path, wish: Wish, say: Say
) -> tuple[Bundle, dict[str, Any]]:
    """Fit, calibrate, judge and package the boosted candidate on a folder of Parquet."""
    if wish.sampler not in SAMPLERS:
        raise ParamsError(
            f"the sampler {wish.sampler!r} wants all rows in one place: "
            f"on Spark take one of {', '.join(SAMPLERS)}"
        )
    card = cards.load(params.paths.card)
    table = _told(lambda: Table(session, data, card, params.seed))
    say("looking at every row")
    surveyed = _told(table.survey)
    counts = _told(lambda: table.divide(params.split))
    require_fraud(params.split.use, {part: count.frauds for part, count in counts.items()})
    samples = {part: _told(_sampling(table, part, counts[part])) for part in counts}
    _refuse_leaks(params, card, samples["train"])
    say(f"fitting on {counts['train'].rows:,} rows, {counts['train'].frauds:,} of them frauds")
    pipeline = _told(lambda: _fitted(params, card, table, counts["train"], wish, session))
    return _packaged(params, card, pipeline, samples, counts, surveyed.report(card), wish, output)


def _sampling(table: Table, part: Part, count: Count) -> Callable[[], Any]:
    return lambda: table.sample(part, count, MOST_JUDGED)


def _told(work: Callable[[], Any]) -> Any:
    """Do some work on Spark; what Spark says of a failure becomes a sentence."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        return work()
    except (Py4JError, PySparkException, OSError) as error:
        raise SparkError(
            f"Spark could not do its part of the training ({reason_of(error)}): "
            "give its workers more memory, or lower --most-rows"
        ) from error


def _refuse_leaks(params: Params, card: Card, sample: Any) -> None:
    from fraudloop.dataset import leaks

    names = [name for name in card.columns if name in sample]
    columns = {name: sample[name].to_numpy() for name in names}
    leaks.refuse_leaks(card, columns, sample[card.label.column].to_numpy(), params.data.trusted)


def _fitted(
    params: Params, card: Card, table: Table, count: Count, wish: Wish, session: Any
) -> Any:
    """The candidate's pipeline, with trees that were fitted on Spark."""
    from pyspark import StorageLevel
    from xgboost.spark import SparkXGBClassifier

    from fraudloop.training import candidates

    candidate = artifacts.candidate(params, wish.sampler, ESTIMATOR)
    pipeline = candidates.build(
        wish.sampler, ESTIMATOR, candidate, card, seed=params.seed, threads=1
    )
    settings = candidates.settings(wish.sampler, ESTIMATOR, candidate)
    kept = Kept.of(count, wish, settings)
    rows = table.training(kept.share, kept.weight).persist(StorageLevel.DISK_ONLY)
    estimator = SparkXGBClassifier(
        features_col=table.feature_columns,
        label_col=LABEL,
        weight_col=WEIGHT,
        num_workers=wish.workers or session.sparkContext.defaultParallelism,
        random_state=params.seed,
        verbosity=0,
        verbose=False,
        **settings["estimator_parameters"],
    )
    booster = estimator.fit(rows).get_booster()
    booster.feature_names = None
    booster.feature_types = None
    return _with_trees(pipeline, booster)


def _with_trees(pipeline: Any, booster: Any) -> Any:
    """A pipeline as if it had been fitted here."""
    from sklearn.base import clone

    last = pipeline[-1]
    last.estimator.set_params(n_jobs=1)
    last.estimator_ = clone(last.estimator)
    last.estimator_.load_model(bytearray(booster.save_raw("ubj")))
    last.classes_ = np.array([0, 1])
    return pipeline


def _packaged(
    params: Params,
    card: Card,
    pipeline: Any,
    samples: Mapping[Part, Any],
    counts: Mapping[Part, Count],
    report: Mapping[str, Any],
    wish: Wish,
    output: Path,
) -> tuple[Bundle, dict[str, Any]]:
    """Calibrate, choose the threshold, judge on the held-out part, and write the bundle."""
    from fraudloop.model.package import package
    from fraudloop.training import calibrate, candidates, evaluate
    from fraudloop.training.figures import FIGURES
    from fraudloop.training.fit import calibrated, log_odds, score

    validation, test = samples["validation"], samples["test"]
    found = log_odds(pipeline, validation, card)
    calibrated(pipeline, calibrate.fit(validation[card.label.column].to_numpy(), found))
    settings = params.operating_point
    policy = evaluate.policy(settings, card, report)
    model = evaluate.trained(
        pipeline, {"validation": validation, "test": test}, card, settings.fraud_amount
    )
    account = evaluate.account(model, policy, settings.decide_by, params.evaluation, params.seed)
    told = account.as_json()
    name = candidates.name(wish.sampler, ESTIMATOR)
    made = package(
        _dumped(pipeline),
        card,
        candidate=name,
        threshold=account.threshold,
        metrics={figure: told["test"][figure] for figure in FIGURES},
        synthetic=wish.synthetic,
        training=_features(card, samples["train"]),
        test=_features(card, test),
        test_scores=score(pipeline, test, card),
    )
    metrics = {
        "candidate": name,
        "dataset": {"id": card.id, "split": params.split.use, "synthetic": wish.synthetic},
        "engine": "spark",
        "parts": {
            part: {"rows": count.rows, "frauds": count.frauds, "judged": len(samples[part])}
            for part, count in counts.items()
        },
        **told,
    }
    _write(output, made, metrics)
    return made, metrics


def _dumped(pipeline: Any) -> bytes:
    import joblib

    content = io.BytesIO()
    joblib.dump(pipeline, content)
    return content.getvalue()


def _features(card: Card, sample: Any) -> Any:
    from fraudloop.dataset.features import encode

    return encode(card, {name: sample[name].to_numpy() for name in card.columns})


def _write(output: Path, made: Bundle, metrics: Mapping[str, Any]) -> None:
    """The whole folder aside, then into its place."""
    output.parent.mkdir(parents=True, exist_ok=True)
    aside = output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")
    try:
        bundles.save(aside, made)
        files.write_json(aside / METRICS, metrics)
        old = aside.with_suffix(".old")
        if output.exists():
            output.rename(old)
        aside.rename(output)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
