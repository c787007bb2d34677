"""Training on Spark: a bundle as the pipeline makes it, and nearly as good a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from fraudloop import decisions
from fraudloop.batch.spark_table import Count, Table
from fraudloop.batch.spark_training import Kept, Wish, train
from fraudloop.dataset.split import temporal
from fraudloop.errors import DataError, ParamsError
from fraudloop.model import bundle as bundles
from fraudloop.model.scorer import Scorer
from fraudloop.params import Params
from fraudloop.training import candidates
from fraudloop.training.fit import fit, log_odds
from tests.fitted import PARAMS, ROOT, card, features_of, table
from tests.spark import NEWER_PANDAS

pytest_plugins = ("tests.spark",)
pytestmark = pytest.mark.filterwarnings(NEWER_PANDAS)


def params() -> Params:
    """The committed parameters, with fewer resamples, from wherever the tests run."""
    return PARAMS.model_copy(
        update={
            "paths": PARAMS.paths.model_copy(update={"card": ROOT / PARAMS.paths.card}),
            "evaluation": PARAMS.evaluation.model_copy(update={"resamples": 100}),
        }
    )


def say(_: str) -> None:
    """Nothing."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small table as a folder of Parquet."""
    folder = tmp_path_factory.mktemp("data")
    for place, part in enumerate(np.array_split(np.arange(len(table())), 3)):
        table().iloc[part].to_parquet(folder / f"part-{place}.parquet", index=False)
    return folder


@pytest.fixture(scope="module")
def made(spark: Any, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that was trained on it."""
    output = tmp_path_factory.mktemp("made") / "bundle"
    train(spark, params(), str(data), output, Wish(workers=2, synthetic=True), say)
    return output


def last_fifth() -> pd.DataFrame:
    """What the split holds out of the table, exactly; Spark may be off by a row or two."""
    return table().take(temporal(table()[card().time].to_numpy(), validation=0.2, test=0.2)["test"])


def test_the_bundle_loads_and_scores_as_its_pipeline(made: Path) -> None:
    digest = bundles.load(made).sha256
    bundle = bundles.load(made, sha256=digest)
    rows = last_fifth()
    scores = Scorer(bundle).scores({name: rows[name].to_numpy() for name in card().columns})
    pipeline = bundle.pipeline(sha256=digest)
    again = pipeline.predict_proba(rows[list(card().columns)])[:, 1]
    assert np.abs(scores - again).max() < 1e-6
    assert scores.max() > 0.5
    assert bundle.manifest.synthetic
    assert bundle.manifest.candidate == "none-boosted_trees"
    assert not list(made.parent.glob(".*"))


def test_the_bundle_decides_a_payload(made: Path) -> None:
    answer = decisions.made_here(ROOT / "ml/input/api/payload.json", made, None)
    assert len(answer["predictions"]) == len(answer["scores"]) > 0


def test_the_parameters_are_those_of_params_yaml(made: Path) -> None:
    digest = bundles.load(made).sha256
    fitted = bundles.load(made).pipeline(sha256=digest)[-1].estimator_
    wanted = candidates.settings(
        "none", "boosted_trees", PARAMS.candidates["none"]["boosted_trees"]
    )["estimator_parameters"]
    found = fitted.get_params()
    assert {name: found[name] for name in wanted} == dict(wanted)
    assert fitted.get_booster().num_boosted_rounds() == wanted["n_estimators"]


def test_it_ranks_nearly_as_well_as_what_is_trained_here(made: Path) -> None:
    time = table()[card().time].to_numpy()
    here = fit(
        table().take(temporal(time, validation=0.2, test=0.2)["train"]),
        card(),
        "none",
        "boosted_trees",
        PARAMS.candidates["none"]["boosted_trees"],
        seed=PARAMS.seed,
        threads=1,
    )
    rows = last_fifth()
    labels = rows[card().label.column].to_numpy()
    there = Scorer(bundles.load(made)).score_features(features_of(rows))
    local = average_precision_score(labels, log_odds(here, rows, card()))
    assert average_precision_score(labels, there) > local - 0.15
    assert local > 0.3


def test_the_figures_are_of_the_part_that_was_held_out(made: Path) -> None:
    metrics = json.loads((made / "metrics.json").read_bytes())
    parts = metrics["parts"]
    assert sum(part["rows"] for part in parts.values()) == len(table())
    assert sum(part["frauds"] for part in parts.values()) == table()[card().label.column].sum()
    assert parts["test"]["judged"] == parts["test"]["rows"] == pytest.approx(2400, abs=25)
    assert metrics["test"]["interval"]["average_precision"]["low"] > 0
    manifest = bundles.load(made).manifest
    assert manifest.metrics["average_precision"] == metrics["test"]["average_precision"]


def test_undersampling_keeps_every_fraud_and_a_share_of_the_rest(spark: Any, data: Path) -> None:
    rows = Table(spark, str(data), card(), PARAMS.seed)
    count = rows.divide(PARAMS.split)["train"]
    settings = candidates.settings(
        "undersample", "boosted_trees", PARAMS.candidates["undersample"]["boosted_trees"]
    )
    kept = Kept.of(count, Wish(sampler="undersample"), settings)
    taken = rows.training(kept.share, kept.weight).toArrow().to_pandas()
    ratio = float(str(settings["sampler_parameters"]["sampling_strategy"]))
    assert taken["_label"].sum() == count.frauds
    assert len(taken) - count.frauds == pytest.approx(count.frauds / ratio, rel=0.25)
    assert set(taken["_weight"]) == {1.0}


def test_rows_left_out_for_want_of_room_are_stood_for_by_the_others() -> None:
    kept = Kept.of(Count(1_000_000, 1_000), Wish(most_rows=100_900), {})
    assert kept.share == pytest.approx(0.1)
    assert kept.weight == pytest.approx(10.0)
    assert Kept.of(Count(1_000, 10), Wish(), {}) == Kept(1.0, 1.0)


def test_equal_rows_are_never_on_two_sides_of_a_stratified_split(
    spark: Any, tmp_path: Path
) -> None:
    once = table().head(900)
    pd.concat([once, once]).to_parquet(tmp_path / "twice.parquet", index=False)
    split = PARAMS.split.model_copy(update={"use": "stratified"})
    rows = Table(spark, str(tmp_path), card(), PARAMS.seed)
    counts = rows.divide(split)
    assert all(count.rows % 2 == 0 for count in counts.values())
    assert counts["train"].rows == pytest.approx(1080, rel=0.1)


def test_what_cannot_be_trained_on_is_refused_in_a_sentence(
    spark: Any, data: Path, tmp_path: Path
) -> None:
    def refused(path: Path, **wish: Any) -> None:
        train(spark, params(), str(path), tmp_path / "out", Wish(**wish), say)

    with pytest.raises(ParamsError, match="smote"):
        refused(data, sampler="smote")
    with pytest.raises(DataError, match="there is no"):
        refused(tmp_path / "nowhere")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.parquet").write_text("no Parquet at all")
    with pytest.raises(DataError, match="no folder of Parquet"):
        refused(tmp_path / "text")
    label = card().label.column
    wrong = table().head(500).astype({label: float})
    wrong.loc[7, label] = 2
    wrong.loc[9, str(card().amount)] = -1
    (tmp_path / "wrong").mkdir()
    wrong.to_parquet(tmp_path / "wrong" / "a.parquet", index=False)
    with pytest.raises(DataError, match="2 of 500 rows do not fit"):
        refused(tmp_path / "wrong")
    without = tmp_path / "without"
    without.mkdir()
    wrong.drop(columns=label).to_parquet(without / "a.parquet", index=False)
    with pytest.raises(DataError, match=f"no column '{label}'"):
        refused(without)
    assert not (tmp_path / "out").exists()
