"""The whole pipeline on few rows and with few candidates, in a folder of its own."""

from __future__ import annotations

from pathlib import Path

from fraudloop import evaluation, stages
from fraudloop.params import Params
from fraudloop.progress import Silent
from fraudloop.settings import Settings
from tests.fitted import PARAMS, ROOT

ESTIMATORS = ("logistic_regression", "random_forest")


def params_in(folder: Path, committed: Params = PARAMS, rows: int = 15_000) -> Params:
    """The committed parameters, on few rows and with few candidates, all within a folder."""
    paths = {
        "card": ROOT / committed.paths.card,
        "raw": folder / "raw.csv",
        "validated": folder / "validated.csv",
        "prepared": folder / "prepared",
        "output": folder / "output",
    }
    return committed.model_copy(
        update={
            "paths": committed.paths.model_copy(update=paths),
            "data": committed.data.model_copy(update={"rows": rows}),
            "samplers": ("none",),
            "estimators": ESTIMATORS,
            "evaluation": committed.evaluation.model_copy(update={"resamples": 100}),
        }
    )


def run_all(params: Params) -> None:
    stages.get_data(params, Settings.read({}), lambda _: None, Silent())
    stages.preprocess(params)
    for estimator in ESTIMATORS:
        stages.train(params, "none", estimator)
    evaluation.evaluate(params)
    stages.package(params)
