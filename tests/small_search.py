"""`fraudloop tune` on few rows and with small candidates, in a folder of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fraudloop import tracking, tuning
from fraudloop.params import Params
from fraudloop.training import fit as fitting
from tests.fitted import PARAMS, ROOT, card, table

NAMES = ["none-logistic_regression", "undersample-decision_tree"]
TRIALS = 3
TIME = card().time or ""


def params_in(folder: Path, **changes: Any) -> Params:
    """The committed parameters, with all paths within a folder."""
    paths = {"prepared": folder / "prepared", "output": folder / "output"}
    paths |= {"card": ROOT / PARAMS.paths.card, "raw": folder / "raw.csv"}
    paths |= {"validated": folder / "validated.csv"}
    update = {"paths": PARAMS.paths.model_copy(update=paths), "threads": 1} | changes
    return PARAMS.model_copy(update=update)


def prepare(params: Params) -> Params:
    """Write a training and a validation part; the test part is not there at all."""
    ordered = table().sort_values(TIME, ignore_index=True)
    folder = params.paths.prepared / params.split.use
    folder.mkdir(parents=True)
    ordered.head(9000).to_parquet(folder / "train.parquet")
    ordered.tail(3000).to_parquet(folder / "validation.parquet")
    return params


def search(params: Params, **changes: Any) -> tuple[str, list[str]]:
    """The lines that are kept, and what was said."""
    said: list[str] = []
    given: dict[str, Any] = {"minutes": None, "trials": TRIALS, "fresh": False}
    names = changes.pop("names", NAMES)
    return tuning.tune(params, names, say=said.append, **(given | changes)), said


class Spy:
    """Every table that was fitted on, and every table that was judged by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fits: list[pd.DataFrame] = []
        self.judged: list[pd.DataFrame] = []
        self.seeds: list[int] = []
        fit, log_odds = fitting.fit, fitting.log_odds

        def fitted(rows: pd.DataFrame, *given: Any, **named: Any) -> Any:
            self.fits.append(rows)
            self.seeds.append(named["seed"])
            return fit(rows, *given, **named)

        def judged(pipeline: Any, rows: pd.DataFrame, *given: Any) -> Any:
            self.judged.append(rows)
            return log_odds(pipeline, rows, *given)

        monkeypatch.setattr(fitting, "fit", fitted)
        monkeypatch.setattr(fitting, "log_odds", judged)


def runs_of(params: Params) -> list[Any]:
    from mlflow import MlflowClient  # seconds, which a collection of tests is not to take

    client = MlflowClient(
        tracking_uri=tracking.address(params.paths.output / "tuning" / "mlflow.db")
    )
    experiment = client.get_experiment_by_name(f"tune {card().id}")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def children(runs: list[Any]) -> list[Any]:
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]
