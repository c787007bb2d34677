"""The stages of `dvc.yaml`, at their edges: read files, call functions on values, write files."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraudloop import files
from fraudloop.dataset import card as cards
from fraudloop.errors import ParamsError, TrainingError
from fraudloop.params import Candidate, Params

if TYPE_CHECKING:
    import pandas as pd

    from fraudloop.dataset.sources import Fetched
    from fraudloop.model.bundle import Bundle
    from fraudloop.progress import Progress
    from fraudloop.settings import Settings

REPORT = "data-report.json"
CHAMPION = "champion.json"
METRICS = "metrics.json"
PLOTS = "plots"
CANDIDATES = "candidates"
MODEL = "model.joblib"
VALIDATION_SCORES = "validation-scores.npy"


def get_data(
    params: Params, settings: Settings, announce: Callable[[str], None], progress: Progress
) -> Fetched:
    """Have the raw file where `paths.raw` says, from where `data.source` says."""
    from fraudloop.dataset import sources, synthetic

    card = cards.load(params.paths.card)

    def generate(path: Path) -> None:
        from pyarrow import csv

        table = synthetic.draw(card, seed=params.seed, rows=params.data.rows)
        csv.write_csv(synthetic.to_arrow(table), path)

    return sources.get_data(
        params.data,
        card,
        params.paths.raw,
        settings,
        generate=generate,
        announce=announce,
        progress=progress,
    )


def preprocess(params: Params) -> dict[str, Any]:
    """Check the raw file against its card, divide it, and write the parts and the data report."""
    from fraudloop.dataset import checks, reading, sources, split

    card = cards.load(params.paths.card)
    raw = params.paths.raw
    table = checks.validate(reading.read_csv(raw, card), card, raw)
    labels = table[card.label.column].to_numpy()
    published = sources.published_at(card, raw) is not None
    sources.verify_counts(card, len(table), int(labels.sum()), published)

    shares = {"validation": params.split.validation, "test": params.split.test}
    ways = split.split(table, card, **shares, seed=params.seed)
    if params.split.use not in ways:
        raise TrainingError(
            f"card {card.id} has no time column, so nothing can be split by time: "
            "set split.use=stratified in params.yaml"
        )
    frauds = {part: int(labels[rows].sum()) for part, rows in ways[params.split.use].items()}
    split.require_fraud(params.split.use, frauds)

    for way, parts in ways.items():
        for part, rows in parts.items():
            _write_table(_part(params, way, part), table.take(rows))
    about = {"synthetic": params.data.source == "synthetic", "published": published}
    report = checks.report(table, card, ways, about)
    files.write_json(params.paths.output / REPORT, report)
    return report


def train(params: Params, sampler: str, estimator: str) -> Path:
    """Fit one candidate on the training part, and score the validation part with it."""
    import joblib

    from fraudloop.training import candidates
    from fraudloop.training.fit import fit, score

    card = cards.load(params.paths.card)
    candidate = _candidate(params, sampler, estimator)
    pipeline = fit(
        _read_table(params, "train"),
        card,
        sampler,
        estimator,
        candidate,
        seed=params.seed,
        threads=params.threads,
    )
    scores = score(pipeline, _read_table(params, "validation"), card)
    folder = params.paths.output / CANDIDATES / candidates.name(sampler, estimator)
    with files.written_aside(folder / VALIDATION_SCORES) as aside, aside.open("wb") as file:
        np.save(file, scores)
    with files.written_aside(folder / MODEL) as aside:
        joblib.dump(pipeline, aside)
    return folder


def evaluate(params: Params) -> dict[str, Any]:
    """Choose champion and threshold on validation, and read the test part once to judge them."""
    from fraudloop.training import evaluate as judging
    from fraudloop.training.fit import score
    from fraudloop.training.operating_point import best_f_beta
    from fraudloop.training.plots import draw_all

    card = cards.load(params.paths.card)
    synthetic = bool(_read_json(params.paths.output / REPORT)["synthetic"])
    settings = params.evaluation

    def judge(labels: Any, scores: Any, threshold: float) -> judging.Judgement:
        return judging.judge(
            labels,
            scores,
            threshold,
            resamples=settings.resamples,
            confidence=settings.confidence,
            rng=np.random.default_rng(params.seed),  # each anew: no figure depends on another
        )

    labels = _read_table(params, "validation")[card.label.column].to_numpy()
    scores = {name: _validation_scores(params, name) for name in _names(params)}
    points = {name: best_f_beta(labels, each, settings.beta) for name, each in scores.items()}
    candidates = {
        name: judge(labels, each, points[name].threshold) for name, each in scores.items()
    }
    champion = judging.champion(candidates)
    threshold = points[champion].threshold

    test = _read_table(params, "test")
    test_labels = test[card.label.column].to_numpy()
    test_scores = score(_loaded(_dumped_candidate(params, champion)), test, card)
    metrics = judging.summary(
        {"id": card.id, "split": params.split.use, "synthetic": synthetic},
        champion,
        judge(test_labels, test_scores, threshold),
        candidates,
        judging.bounds(test_labels, np.random.default_rng(params.seed)),
    )
    data = "synthetic data" if synthetic else card.id
    plots = draw_all(test_labels, test_scores, threshold, candidates, data)
    for name, content in plots.items():
        files.write_bytes(params.paths.output / PLOTS / name, content)
    files.write_json(
        params.paths.output / CHAMPION, {"candidate": champion, "threshold": threshold}
    )
    files.write_json(params.paths.output / METRICS, metrics)
    return metrics


def package(params: Params) -> Bundle:
    """Compile and verify the champion, and write it as a bundle."""
    from fraudloop.dataset.features import encode
    from fraudloop.model import bundle as bundles
    from fraudloop.model.package import package as make_bundle
    from fraudloop.training.evaluate import FIGURES
    from fraudloop.training.fit import score

    card = cards.load(params.paths.card)
    chosen = _read_json(params.paths.output / CHAMPION)
    metrics = _read_json(params.paths.output / METRICS)
    dumped = _dumped_candidate(params, chosen["candidate"])
    test = _read_table(params, "test")
    training = _read_table(params, "train")
    made = make_bundle(
        dumped,
        card,
        candidate=chosen["candidate"],
        threshold=chosen["threshold"],
        metrics={name: metrics["test"][name] for name in FIGURES},
        synthetic=metrics["dataset"]["synthetic"],
        training=encode(card, {name: training[name].to_numpy() for name in card.columns}),
        test=encode(card, {name: test[name].to_numpy() for name in card.columns}),
        test_scores=score(_loaded(dumped), test, card),
    )
    bundles.save(params.paths.output, made)
    return made


def _part(params: Params, way: str, part: str) -> Path:
    return params.paths.prepared / way / f"{part}.parquet"


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with files.written_aside(path) as aside:
        table.to_parquet(aside, engine="pyarrow", compression=None, index=False)


def _read_table(params: Params, part: str) -> pd.DataFrame:
    """A part of the split in use."""
    import pandas as pd

    path = _part(params, params.split.use, part)
    if not path.is_file():
        raise TrainingError(f"no {path}: run `fraudloop preprocess`, or `dvc repro` for all stages")
    return pd.read_parquet(path, engine="pyarrow")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise TrainingError(
            f"no {path} ({error.strerror}): run the stage before, or `dvc repro` for all"
        ) from error
    return dict(content)


def _candidate(params: Params, sampler: str, estimator: str) -> Candidate:
    try:
        return params.candidates[sampler][estimator]
    except KeyError:
        raise ParamsError(
            f"params.yaml has no candidates.{sampler}.{estimator}: add it ({{}} takes the defaults)"
        ) from None


def _names(params: Params) -> list[str]:
    from fraudloop.training import candidates

    return [
        candidates.name(sampler, estimator)
        for sampler in params.samplers
        for estimator in params.estimators
    ]


def _validation_scores(params: Params, name: str) -> NDArray[np.float64]:
    path = params.paths.output / CANDIDATES / name / VALIDATION_SCORES
    if not path.is_file():
        raise TrainingError(f"no {path}: run `dvc repro train`")
    return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)


def _dumped_candidate(params: Params, name: str) -> bytes:
    path = params.paths.output / CANDIDATES / name / MODEL
    if not path.is_file():
        raise TrainingError(f"no {path}: run `dvc repro train`")
    return path.read_bytes()


def _loaded(dumped: bytes) -> Any:
    """What `train` has just dumped here; a bundle from elsewhere is loaded by `bundle.py`."""
    import joblib

    return joblib.load(io.BytesIO(dumped))
