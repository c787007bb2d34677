"""A real Airflow imports and runs the DAGs: drift asks for a retrain, a failure is a failure."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.model import bundle as bundles
from tests.fitted import PARAMS, ROOT, bundle_of, card, table
from tests.ledger.given import decision
from tests.servers import unavailable

AIRFLOW = ROOT / ".cache" / "apart" / "airflow" / "bin"
RETRAIN, DRIFT, EXTRACT = "fraudloop_retrain", "fraudloop_drift", "fraudloop_extract_validated"
TYPED = 'she said "now"; touch typed; $(touch typed) `touch typed` {{ 1 + 1 }}'
# A stand-in that writes down what it was called with, and ends as it is told to: each code once,
# the last one ever after.
STAND_IN = """#!/bin/sh
printf '%s\\n' "$*" >>calls
code=$(head -n 1 codes)
if [ "$(wc -l <codes)" -gt 1 ]; then sed 1d codes >rest && mv rest codes; fi
exit "$code"
"""


@dataclass(frozen=True)
class Answer:
    """What Airflow found in the DAG folder, and how each case went; a project has its name."""

    projects: Path
    errors: dict[str, str]
    dags: dict[str, Any]
    loaded: list[str]
    runs: dict[str, Any]

    def calls(self, name: str) -> list[str]:
        """What a project's stand-in was called with."""
        return (self.projects / name / "calls").read_text(encoding="utf-8").splitlines()

    def asked(self, name: str) -> dict[str, Any]:
        """The retraining that a case asked for, by its run's id."""
        names = list(self.runs)
        before = self.runs[names[names.index(name) - 1]]["queued"] if name != names[0] else {}
        found = self.runs[name]["queued"]
        return {id: conf for id, conf in found.items() if id not in before}


def run(home: Path, program: str, *arguments: str | Path) -> None:
    """Run a program of Airflow's environment; what it printed is shown where it fails."""
    mine = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
    told = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "deploy" / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
    }
    done = subprocess.run(
        [str(AIRFLOW / program), *map(str, arguments)],
        env=mine | told,
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-8_000:]


@pytest.fixture(scope="session")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    """Every case, run in one process of the Airflow of `make airflow`."""
    if not (AIRFLOW / "airflow").is_file():
        unavailable("airflow", "`make airflow` sets it up, in .cache/apart/airflow")
    home = tmp_path_factory.mktemp("airflow")
    projects = tmp_path_factory.mktemp("projects")
    asked = {"reason": "drift found", "if_needed": True}
    cases = {
        "calm": {"dag": DRIFT, "env": stand_in(projects / "calm", 0)},
        "drifted": {"dag": DRIFT, "env": stand_in(projects / "drifted", 3)},
        "broken": {"dag": DRIFT, "env": stand_in(projects / "broken", 1)},
        "monthly": {"dag": RETRAIN, "env": stand_in(projects / "monthly", 1, 0)},
        "needed": {"dag": RETRAIN, "env": stand_in(projects / "needed", 0), "conf": asked},
        "typed": {
            "dag": RETRAIN,
            "env": stand_in(projects / "typed", 0),
            "conf": {"reason": TYPED},
        },
        "real drift": {"dag": DRIFT, "env": loop(projects / "real")},
        "real extract": {"dag": EXTRACT},
    }
    (home / "cases.json").write_text(json.dumps(cases), encoding="utf-8")
    run(home, "airflow", "db", "migrate")
    run(home, "python", ROOT / "tests/deploy/airflow_runs.py", "cases.json", "answer.json")
    return Answer(projects, **json.loads((home / "answer.json").read_text(encoding="utf-8")))


def stand_in(folder: Path, *codes: int) -> dict[str, str]:
    """A project in which `fraudloop` ends with these exit codes."""
    own = folder / ".venv" / "bin" / "fraudloop"
    own.parent.mkdir(parents=True)
    own.write_text(STAND_IN, encoding="utf-8")
    own.chmod(0o755)
    (folder / "codes").write_text("".join(f"{code}\n" for code in codes), "utf-8")
    return {"AIRFLOW_VAR_FRAUDLOOP_PROJECT": str(folder)}


def test_airflow_imports_the_dags_and_nothing_of_fraudloop(answer: Answer) -> None:
    assert answer.errors == {}
    assert set(answer.dags) == {EXTRACT, DRIFT, RETRAIN}
    assert answer.loaded == []


def test_each_is_run_when_it_should_one_at_a_time_with_limits_and_tries(answer: Answer) -> None:
    schedules = {id: dag["schedule"] for id, dag in answer.dags.items()}
    assert schedules == {DRIFT: "0 2 * * *", EXTRACT: "0 3 * * *", RETRAIN: "0 4 1 * *"}
    for id, dag in answer.dags.items():
        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
        assert len(dag["doc"].splitlines()) > 3
        assert dag["description"] in dag["doc"]
        for task in dag["tasks"].values():
            assert task["retries"] == 2
            # Three tries, five minutes apart, have to fit into a run.
            assert 0 < 3 * task["limit"] + 600 < dag["limit"], id
    assert answer.dags[RETRAIN]["params"] == {"reason": "monthly", "if_needed": False}


def test_the_steps_stand_in_their_order(answer: Answer) -> None:
    after = {
        id: {name: task["after"] for name, task in dag["tasks"].items()}
        for id, dag in answer.dags.items()
    }
    assert after == {
        DRIFT: {"look": [], "is_drift": ["look"], "ask_for_retrain": ["is_drift"]},
        EXTRACT: {"export_validated": [], "ask_if_needed": ["export_validated"]},
        RETRAIN: {"retrain": []},
    }


def test_without_drift_nothing_is_asked_for(answer: Answer) -> None:
    assert answer.calls("calm") == ["drift --out runs/airflow/drift"]
    assert answer.runs["calm"]["state"] == "success"
    assert answer.runs["calm"]["tasks"] == {
        "look": ["success", 1],
        "is_drift": ["success", 1],
        "ask_for_retrain": ["skipped", 0],
    }
    assert answer.asked("calm") == {}


def test_drift_is_no_failure_and_asks_for_a_retrain_if_needed(answer: Answer) -> None:
    assert answer.calls("drifted") == ["drift --out runs/airflow/drift"]
    assert answer.runs["drifted"]["state"] == "success"
    assert {tuple(each) for each in answer.runs["drifted"]["tasks"].values()} == {("success", 1)}
    ((id, conf),) = answer.asked("drifted").items()
    assert id.startswith(f"{DRIFT}__manual__")
    assert conf["if_needed"] is True
    assert conf["reason"].startswith("drift found on 20")


def test_a_failure_is_one_after_three_tries_and_asks_for_nothing(answer: Answer) -> None:
    assert answer.runs["broken"]["state"] == "failed"
    assert answer.runs["broken"]["tasks"] == {
        "look": ["failed", 3],
        "is_drift": ["upstream_failed", 0],
        "ask_for_retrain": ["upstream_failed", 0],
    }
    assert len(answer.calls("broken")) == 3
    assert answer.asked("broken") == {}


def test_a_retrain_that_fails_once_is_tried_again(answer: Answer) -> None:
    assert answer.runs["monthly"]["tasks"] == {"retrain": ["success", 2]}
    first, second = answer.calls("monthly")
    assert first == second
    assert first.startswith("retrain --reason monthly (Airflow: manual__")
    assert first.endswith(") --by airflow")


def test_a_retrain_that_was_asked_for_trains_if_needed(answer: Answer) -> None:
    assert answer.runs["needed"]["state"] == "success"
    (called,) = answer.calls("needed")
    assert called.startswith("retrain --if-needed --reason drift found (Airflow: ")


def test_nothing_of_a_typed_reason_is_run_or_filled_in(answer: Answer) -> None:
    assert answer.runs["typed"]["state"] == "success"
    assert answer.calls("typed")[0].startswith(f"retrain --reason {TYPED} (Airflow: ")
    assert not list((answer.projects / "typed").rglob("typed"))


def test_the_real_commands_find_drift_and_export_what_was_judged(answer: Answer) -> None:
    folder = answer.projects / "real"
    assert answer.runs["real drift"]["tasks"]["ask_for_retrain"] == ["success", 1]
    assert len(answer.asked("real drift")) == 1
    report = json.loads((folder / "runs/airflow/drift/drift.json").read_text(encoding="utf-8"))
    with Ledger.open(f"sqlite:///{folder / 'ledger.db'}") as ledger:
        (kept,) = ledger.drift.newest(10, card=card().id)
    assert kept.found
    assert report["verdict"] == kept.report["verdict"]
    assert answer.runs["real extract"]["state"] == "success"
    exported = pd.read_csv(folder / "runs/airflow/validated.csv")
    assert exported[card().label.column].tolist() == [1]
    ((id, conf),) = answer.asked("real extract").items()
    assert id.startswith(f"{EXTRACT}__manual__")
    assert conf["if_needed"] is True


def loop(folder: Path) -> dict[str, str]:
    """A project with a model, and a ledger of 200 decisions on shifted rows, one of them judged."""
    folder.mkdir()
    (folder / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    (folder / PARAMS.paths.card).parent.mkdir(parents=True)
    (folder / PARAMS.paths.card).write_bytes((ROOT / PARAMS.paths.card).read_bytes())
    bundles.save(folder / PARAMS.paths.output, bundle_of("logistic_regression"))
    train = folder / PARAMS.paths.prepared / PARAMS.split.use / "train.parquet"
    train.parent.mkdir(parents=True)
    table().to_parquet(train)
    url = f"sqlite:///{folder / 'ledger.db'}"
    migrate.migrate(url, migrate.NEWEST)
    now = datetime.now(UTC) - timedelta(minutes=1)
    with Ledger.open(url) as ledger:
        ledger.keep(shifted(200, now), card=card().id)
        ledger.judge("d-0", 1, "ana", "called", now)
    return {"AIRFLOW_VAR_FRAUDLOOP_PROJECT": str(folder), "LEDGER_URL": url}


def shifted(many: int, at: datetime) -> list[Any]:
    rows: pd.DataFrame = table()[list(card().columns)].iloc[:many] + 3.0
    made = decision(decided_at=at)
    return [
        replace(made, id=f"d-{number}", transaction={str(name): row[name] for name in row})
        for number, row in enumerate(rows.to_dict("records"))
    ]
