"""Every trial is kept as an MLflow run, whatever stopped the search, and nobody else is told."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.fitted import PARAMS, start_python, told
from tests.small_search import NAMES, TRIALS, children, params_in, prepare, runs_of, search

# MLflow's tables use what SQLAlchemy 2.1 would rather they did not.
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")


def test_mlflow_holds_every_trial_below_its_candidate(tmp_path: Path) -> None:
    params = prepare(params_in(tmp_path))
    search(params)
    runs = runs_of(params)
    parents = {run.data.tags["mlflow.runName"]: run for run in runs if run not in children(runs)}
    assert set(parents) == set(NAMES)
    assert len(children(runs)) == TRIALS * len(NAMES)
    for name, parent in parents.items():
        assert parent.info.status == "FINISHED"
        assert parent.data.metrics["validation_present"] > 0
        assert parent.data.tags["kept"] in ("found", "params.yaml's")
        below = [
            run
            for run in children(runs)
            if run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        ]
        assert sorted(run.data.tags["trial"] for run in below) == ["0", "1", "2"]
        first = next(run for run in below if run.data.tags["trial"] == "0")
        folds = [first.data.metrics[f"fold_{place}"] for place in (1, 2, 3, 4)]
        assert first.data.metrics["mean"] == pytest.approx(sum(folds) / 4)
        assert first.info.status == "FINISHED"
        sampler, _, estimator = name.partition("-")
        said = PARAMS.candidates[sampler][estimator].estimator
        assert {f"estimator.{key}": str(each) for key, each in said.items()}.items() <= set(
            first.data.params.items()
        )
    for run in runs:
        assert run.data.tags["seed"] == str(PARAMS.seed)
        assert len(run.data.tags["data"]) == 16


def test_a_trial_that_was_not_written_to_mlflow_is_written_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    params = prepare(params_in(tmp_path))
    with monkeypatch.context() as patch:

        def killed(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(MlflowClient, "set_terminated", killed)
        with suppress(KeyboardInterrupt):
            search(params)
    (begun,) = children(runs_of(params))
    assert begun.info.status == "RUNNING"
    search(params)
    trials = [(run.data.tags["study"], run.data.tags["trial"]) for run in children(runs_of(params))]
    assert len(trials) == len(set(trials)) == TRIALS * len(NAMES)
    assert all(run.info.status != "RUNNING" for run in runs_of(params))


def test_mlflow_tells_nobody_of_its_use_and_marks_nobodys_home(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "for name in ('PYTEST_CURRENT_TEST', 'CI', 'GITHUB_ACTIONS'): os.environ.pop(name, None)\n"
        "from fraudloop import tracking\n"
        "tracking._client(Path(sys.argv[1]))\n"
        "from mlflow.telemetry import get_telemetry_client\n"
        "print(get_telemetry_client())"
    )
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert told(start_python(code, ":memory:", **home)).split() == ["None"]
    assert list(tmp_path.rglob("*mlflow*")) == []
