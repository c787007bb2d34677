"""The stages, run on few rows: nothing leaks, nothing is missing, and what is missing is named."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraudloop import stages
from fraudloop.errors import FraudloopError, ParamsError, TrainingError
from fraudloop.model import bundle as bundles
from fraudloop.model.scorer import Scorer
from fraudloop.params import Params
from fraudloop.progress import Silent
from fraudloop.settings import Settings
from fraudloop.training import plots
from tests.fitted import PARAMS, ROOT, card, features_of

ESTIMATORS = ("logistic_regression", "random_forest")
FIRST = ("none", ESTIMATORS[0])


def params_in(folder: Path) -> Params:
    """The committed parameters, on few rows and with few candidates, all within a folder."""
    paths = {
        "card": ROOT / PARAMS.paths.card,
        "raw": folder / "raw.csv",
        "prepared": folder / "prepared",
        "output": folder / "output",
    }
    return PARAMS.model_copy(
        update={
            "paths": PARAMS.paths.model_copy(update=paths),
            "data": PARAMS.data.model_copy(update={"rows": 15_000}),
            "samplers": ("none",),
            "estimators": ESTIMATORS,
            "evaluation": PARAMS.evaluation.model_copy(update={"resamples": 100}),
        }
    )


def run_all(params: Params) -> None:
    stages.get_data(params, Settings.read({}), lambda _: None, Silent())
    stages.preprocess(params)
    for estimator in ESTIMATORS:
        stages.train(params, "none", estimator)
    stages.evaluate(params)
    stages.package(params)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all stages ran. Look, but do not change."""
    folder = tmp_path_factory.mktemp("ran")
    run_all(params_in(folder))
    return folder


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
    assert written >= {f"plots/{name}.png" for name in ("roc", "precision-recall", "candidates")}
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


def test_training_reads_the_training_part_alone(copy: Params) -> None:
    models = [
        copy.paths.output / "candidates" / f"none-{estimator}" / "model.joblib"
        for estimator in ESTIMATORS
    ]
    before = [path.read_bytes() for path in models]
    change(part(copy, "validation"))
    part(copy, "test").unlink()
    for estimator in ESTIMATORS:
        stages.train(copy, "none", estimator)
    assert [path.read_bytes() for path in models] == before
    change(part(copy, "train"))
    stages.train(copy, "none", ESTIMATORS[0])
    assert models[0].read_bytes() != before[0]


def test_champion_and_threshold_are_chosen_without_the_test_part(copy: Params) -> None:
    before = (copy.paths.output / "champion.json").read_bytes()
    metrics = read(copy.paths.output / "metrics.json")
    change(part(copy, "test"))
    changed = stages.evaluate(copy)
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
    assert stages.evaluate(copy)["dataset"]["synthetic"] is synthetic
    assert titles == [title]
    assert stages.package(copy).manifest.synthetic is synthetic


@pytest.mark.parametrize(
    ("missing", "stage", "named"),
    [
        ("prepared", lambda params: stages.train(params, *FIRST), r"train\.parquet: run `fraud"),
        ("prepared", stages.evaluate, r"validation\.parquet: run `fraudloop preprocess`"),
        ("output/candidates", stages.evaluate, r"validation-scores\.npy: run `dvc repro train`"),
        ("output/data-report.json", stages.evaluate, r"data-report\.json .*: run the stage before"),
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
        stages.evaluate(copy)
    broken = copy.model_copy(update={"candidates": {}})
    with pytest.raises(FraudloopError):
        stages.train(broken, *FIRST)
    assert contents(copy.paths.output) == before
