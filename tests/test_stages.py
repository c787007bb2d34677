"""The stages, run on few rows: nothing leaks, nothing is missing, and what is missing is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraudloop import artifacts, evaluation, stages
from fraudloop.dataset.card import Kind
from fraudloop.errors import DataError, FraudloopError, ParamsError, TrainingError
from fraudloop.model import bundle as bundles
from fraudloop.model.scorer import Scorer
from fraudloop.params import Params
from fraudloop.progress import Silent
from fraudloop.settings import Settings
from fraudloop.training import plots
from fraudloop.training.fit import log_odds
from tests.fitted import card, features_of
from tests.small_run import ESTIMATORS, params_in, run_all

FIRST = ("none", ESTIMATORS[0])


@pytest.fixture
def copy(ran: Path, tmp_path: Path) -> Params:
    """The parameters of a copy of it, to change."""
    return params_in(Path(shutil.copytree(ran, tmp_path / "copy")))


def part(params: Params, name: str) -> Path:
    return params.paths.prepared / params.split.use / f"{name}.parquet"


def change(path: Path, seed: int = 0) -> None:
    """Make a part useless: its labels dealt anew, its numbers drawn anew."""
    table, rng = pd.read_parquet(path), np.random.default_rng(seed)
    table[card().label.column] = rng.permutation(table[card().label.column].to_numpy())
    for name in card().columns:
        table[name] = rng.permutation(table[name].to_numpy())
    table.to_parquet(path)


def read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_bytes()))


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_stages_write_what_the_contract_names_and_nothing_half(ran: Path) -> None:
    written = {name.removeprefix("output/") for name in contents(ran) if name.startswith("output/")}
    assert written >= {"model.joblib", "manifest.json", "metrics.json", "champion.json"}
    assert written >= {"evaluation.json", "model-card.md", "report.html"}
    promised = (
        "candidates",
        "calibration",
        "capacity",
        "confusion-matrix",
        "cost",
        "precision-recall",
        "roc",
        "score-distribution",
    )
    assert written >= {f"plots/{name}.{kind}" for name in promised for kind in ("png", "csv")}
    assert not [name for name in contents(ran) if name.endswith(".part")]


def test_running_the_stages_again_writes_the_same_bytes(ran: Path, tmp_path: Path) -> None:
    run_all(params_in(tmp_path))
    assert contents(tmp_path) == contents(ran)


def test_the_champion_is_the_best_on_validation(ran: Path) -> None:
    metrics = read(ran / "output/metrics.json")
    by_name = {
        name: each["validation"]["average_precision"]
        for name, each in metrics["candidates"].items()
    }
    assert set(by_name) == {f"none-{estimator}" for estimator in ESTIMATORS}
    assert by_name[metrics["champion"]] == max(by_name.values())
    chosen = read(ran / "output/champion.json")
    assert chosen == {"candidate": metrics["champion"], "threshold": metrics["test"]["threshold"]}


def test_the_bundle_holds_the_champion_as_it_was_dumped(ran: Path) -> None:
    champion = read(ran / "output/champion.json")["candidate"]
    packed = (ran / "output/model.joblib").read_bytes()
    assert packed == (ran / "output/candidates" / champion / "model.joblib").read_bytes()
    assert champion == "none-random_forest"  # whose bytes change when it is dumped again


def test_a_fit_reads_the_training_part_and_validation_moves_its_calibration_alone(
    copy: Params,
) -> None:
    before = {name: pipeline_of(copy, name) for name in artifacts.pairs(copy)}
    rows = pd.read_parquet(part(copy, "test"))
    odds = {name: log_odds(pipeline, rows, card()) for name, pipeline in before.items()}
    change(part(copy, "validation"))
    part(copy, "test").unlink()
    for estimator in ESTIMATORS:
        stages.train(copy, "none", estimator)
    for name, pipeline in before.items():
        after = pipeline_of(copy, name)
        np.testing.assert_array_equal(log_odds(after, rows, card()), odds[name])
        assert after[-1].calibration != pipeline[-1].calibration
    change(part(copy, "train"))
    stages.train(copy, "none", ESTIMATORS[0])
    after = pipeline_of(copy, f"none-{ESTIMATORS[0]}")
    assert (log_odds(after, rows, card()) != odds[f"none-{ESTIMATORS[0]}"]).any()


def pipeline_of(params: Params, name: str) -> Any:
    return artifacts.loaded(artifacts.dumped_candidate(params, name))


def test_with_shuffled_labels_nothing_is_found_on_test(tmp_path: Path) -> None:
    """Whatever leaked from validation or test into a fit would lift this above the base rate."""
    params = params_in(tmp_path)
    stages.get_data(params, Settings.read({}), lambda _: None, Silent())
    raw = pd.read_csv(params.paths.raw)
    label = card().label.column
    rng = np.random.default_rng(5)
    # One in 50, so that the test part holds enough frauds to tell.
    raw[label] = rng.permutation((np.arange(len(raw)) % 50 == 0).astype(int))
    raw.to_csv(params.paths.raw, index=False)
    stages.preprocess(params)
    for estimator in ESTIMATORS:
        stages.train(params, "none", estimator)
    metrics = evaluation.evaluate(params)
    test = metrics["test"]
    base_rate = test["frauds"] / test["rows"]
    interval = test["interval"]["average_precision"]
    assert interval["low"] < base_rate * 1.2
    assert test["average_precision"] < 1.8 * base_rate
    assert test["interval"]["roc_auc"]["low"] < 0.5 < test["interval"]["roc_auc"]["high"]
    for way in metrics["beside"].values():
        assert way["test"]["average_precision"] < 1.8 * base_rate


def test_a_planted_column_stops_the_pipeline_before_anything_is_trained(copy: Params) -> None:
    table = pd.read_csv(copy.paths.raw)
    name = next(name for name, each in card().columns.items() if each.kind is Kind.NUMERIC)
    rng = np.random.default_rng(0)
    table[name] = 9.0 * table[card().label.column] + rng.normal(0, 1, len(table))
    table.to_csv(copy.paths.raw, index=False)
    with pytest.raises(DataError, match=f"feature {name!r} alone ranks .* data.trusted"):
        stages.preprocess(copy)
    trusting = copy.model_copy(update={"data": copy.data.model_copy(update={"trusted": (name,)})})
    stages.preprocess(trusting)


def test_champion_and_threshold_are_chosen_without_the_test_part(copy: Params) -> None:
    before = (copy.paths.output / "champion.json").read_bytes()
    metrics = read(copy.paths.output / "metrics.json")
    change(part(copy, "test"))
    changed = evaluation.evaluate(copy)
    assert (copy.paths.output / "champion.json").read_bytes() == before
    assert changed["candidates"] == metrics["candidates"]
    assert changed["test"]["average_precision"] != metrics["test"]["average_precision"]


def test_the_bundle_scores_the_test_part_as_the_metrics_say(ran: Path) -> None:
    params = params_in(ran)
    scorer = Scorer(bundles.load(params.paths.output))
    metrics = read(ran / "output/metrics.json")
    test = pd.read_parquet(part(params, "test"))
    alerts = scorer.predictions(scorer.score_features(features_of(test))) == 1
    frauds = test[card().label.column].to_numpy() == 1
    assert metrics["test"]["recall"] == round(alerts[frauds].mean(), 6)
    assert scorer.bundle.manifest.threshold == metrics["test"]["threshold"]
    assert scorer.bundle.manifest.candidate == metrics["champion"]
    assert scorer.bundle.manifest.metrics["recall"] == metrics["test"]["recall"]


def test_a_split_that_cannot_be_judged_is_left_out_and_the_reason_told(copy: Params) -> None:
    path = copy.paths.output / artifacts.DATA_REPORT
    report = read(path)
    report["splits"]["stratified"]["test"]["frauds"] = 0
    path.write_text(json.dumps(report), encoding="utf-8")
    assert evaluation.evaluate(copy)["beside"] == {}
    told = (
        "could not be judged on the stratified split: the test part of the stratified split holds"
    )
    assert told in (copy.paths.output / artifacts.MODEL_CARD).read_text(encoding="utf-8")


@pytest.mark.parametrize(("synthetic", "title"), [(True, "synthetic data"), (False, card().id)])
def test_reports_of_synthetic_data_say_so(
    synthetic: bool, title: str, copy: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = copy.paths.output / "data-report.json"
    assert read(report)["synthetic"] is True
    report.write_text(json.dumps(read(report) | {"synthetic": synthetic}), encoding="utf-8")
    titles = []

    def seen(*given: Any) -> dict[str, bytes]:
        titles.append(given[-1])
        return {}

    monkeypatch.setattr(plots, "draw_all", seen)
    assert evaluation.evaluate(copy)["dataset"]["synthetic"] is synthetic
    assert titles == [title]
    assert stages.package(copy).manifest.synthetic is synthetic


@pytest.mark.parametrize(
    ("missing", "stage", "named"),
    [
        ("prepared", lambda params: stages.train(params, *FIRST), r"train\.parquet: run `fraud"),
        ("prepared", evaluation.evaluate, r"validation\.parquet: run `fraudloop preprocess`"),
        (
            "output/candidates",
            evaluation.evaluate,
            r"validation-log-odds\.npy: run `dvc repro train`",
        ),
        (
            "output/data-report.json",
            evaluation.evaluate,
            r"data-report\.json .*: run the stage before",
        ),
        ("output/champion.json", stages.package, r"champion\.json .*: run the stage before"),
        ("output/metrics.json", stages.package, r"metrics\.json .*: run the stage before"),
        ("output/candidates", stages.package, r"model\.joblib: run `dvc repro train`"),
    ],
)
def test_a_stage_without_its_input_names_what_to_run(
    missing: str, stage: Any, named: str, copy: Params
) -> None:
    path = copy.paths.output.parent / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(TrainingError, match=named) as caught:
        stage(copy)
    assert "\n" not in str(caught.value)


def test_a_candidate_without_parameters_is_named(copy: Params) -> None:
    with pytest.raises(ParamsError, match=r"no candidates\.none\.forest: add it"):
        stages.train(copy, "none", "forest")


def test_a_stage_that_fails_leaves_what_stood_before(
    copy: Params, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(copy.paths.output)
    change(part(copy, "validation"))

    def interrupted(*_: Any) -> dict[str, bytes]:
        raise KeyboardInterrupt

    monkeypatch.setattr(plots, "draw_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluation.evaluate(copy)
    broken = copy.model_copy(update={"candidates": {}})
    with pytest.raises(FraudloopError):
        stages.train(broken, *FIRST)
    assert contents(copy.paths.output) == before
