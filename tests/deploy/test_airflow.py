"""A real Airflow imports the DAGs and runs them: drift asks for a retrain, a failure is a failure."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fraudloop.dataset.reading import read_csv
from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.model import bundle as bundles
from tests.fitted import PARAMS, ROOT, bundle_of, card, table
from tests.ledger.given import decision
from tests.servers import unavailable

AIRFLOW = ROOT / ".cache" / "apart" / "airflow" / "bin"
DAGS = ROOT / "deploy" / "airflow"
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
class Airflow:
    """An Airflow with a database of its own, and its Python to run things in."""

    home: Path

    def environment(self) -> dict[str, str]:
        """What it is told: nothing of it leaves this machine, or stays on it."""
        mine = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
        return mine | {
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DEFAULT_TASK_RETRY_DELAY": "0",
        }

    def ask(self, what: str, *cases: dict[str, Any]) -> Any:
        """Have `airflow_runs.py` do something, and give its answer."""
        given, answer = self.home / "cases.json", self.home / "answer.json"
        given.write_text(json.dumps(cases), encoding="utf-8")
        self.run("python", ROOT / "tests/deploy/airflow_runs.py", what, given, answer)
        return json.loads(answer.read_text(encoding="utf-8"))

    def run(self, program: str, *arguments: str | Path) -> str:
        """Run a program of its environment; what it printed is shown where it fails."""
        done = subprocess.run(
            [str(AIRFLOW / program), *map(str, arguments)],
            env=self.environment(),
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout[-8_000:]
        return done.stdout


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Airflow:
    """The Airflow of `make airflow`."""
    if not (AIRFLOW / "airflow").is_file():
        unavailable("airflow", "`make airflow` sets it up, in .cache/apart/airflow")
    made = Airflow(tmp_path_factory.mktemp("airflow"))
    made.run("airflow", "db", "migrate")
    return made


@pytest.fixture(scope="session")
def bag(airflow: Airflow) -> Any:
    """What Airflow finds in the DAG folder."""
    return airflow.ask("bag")


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Make a project in which `fraudloop` is a stand-in that ends with these exit codes."""

    def make(name: str, *codes: int) -> dict[str, str]:
        own = tmp_path / name / ".venv" / "bin" / "fraudloop"
        own.parent.mkdir(parents=True)
        own.write_text(STAND_IN, encoding="utf-8")
        own.chmod(0o755)
        (tmp_path / name / "codes").write_text("".join(f"{code}\n" for code in codes), "utf-8")
        return {"AIRFLOW_VAR_FRAUDLOOP_PROJECT": str(tmp_path / name)}

    return make


def calls(environment: dict[str, str]) -> list[str]:
    folder = Path(environment["AIRFLOW_VAR_FRAUDLOOP_PROJECT"])
    return (folder / "calls").read_text(encoding="utf-8").splitlines()


def new(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """The retraining that was asked for between two answers, by its run's id."""
    return {id: conf for id, conf in after["queued"].items() if id not in before["queued"]}


def test_airflow_imports_the_dags_and_nothing_of_fraudloop(bag: Any) -> None:
    assert bag["errors"] == {}
    assert set(bag["dags"]) == {EXTRACT, DRIFT, RETRAIN}
    assert bag["loaded"] == []


def test_each_is_run_when_it_should_one_at_a_time_with_limits_and_tries(bag: Any) -> None:
    schedules = {id: dag["schedule"] for id, dag in bag["dags"].items()}
    assert schedules == {DRIFT: "0 2 * * *", EXTRACT: "0 3 * * *", RETRAIN: "0 4 1 * *"}
    for id, dag in bag["dags"].items():
        assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
        assert len(dag["doc"].splitlines()) > 3
        assert dag["description"] in dag["doc"]
        for task in dag["tasks"].values():
            assert task["retries"] == 2
            # Three tries, five minutes apart, have to fit into a run.
            assert 0 < 3 * task["limit"] + 600 < dag["limit"], id
    assert bag["dags"][RETRAIN]["params"] == {"reason": "monthly", "if_needed": False}


def test_the_steps_stand_in_their_order(bag: Any) -> None:
    after = {
        id: {name: task["after"] for name, task in dag["tasks"].items()}
        for id, dag in bag["dags"].items()
    }
    assert after == {
        DRIFT: {"look": [], "is_drift": ["look"], "ask_for_retrain": ["is_drift"]},
        EXTRACT: {"export_validated": [], "ask_if_needed": ["export_validated"]},
        RETRAIN: {"retrain": []},
    }


def test_drift_asks_for_a_retrain_no_drift_does_not_and_a_failure_is_one(
    airflow: Airflow, project: Callable[..., dict[str, str]]
) -> None:
    calm, drifted, broken = project("calm", 0), project("drifted", 3), project("broken", 1)
    none, asked, failed = airflow.ask(
        "run",
        {"dag": DRIFT, "env": calm},
        {"dag": DRIFT, "env": drifted},
        {"dag": DRIFT, "env": broken},
    )
    assert calls(calm) == calls(drifted) == ["drift --out runs/airflow/drift"]
    assert none["state"] == asked["state"] == "success"
    assert none["tasks"] == {
        "look": ["success", 1],
        "is_drift": ["success", 1],
        "ask_for_retrain": ["skipped", 0],
    }
    assert {state for state, _ in asked["tasks"].values()} == {"success"}
    ((id, conf),) = new(none, asked).items()
    assert id.startswith(f"{DRIFT}__manual__")
    assert conf["if_needed"] is True
    assert conf["reason"].startswith("drift found on 20")

    assert failed["state"] == "failed"
    assert failed["tasks"]["look"] == ["failed", 3]
    assert failed["tasks"]["ask_for_retrain"] == ["upstream_failed", 0]
    assert len(calls(broken)) == 3
    assert new(asked, failed) == {}


def test_a_retrain_has_its_reason_and_is_tried_again(
    airflow: Airflow, project: Callable[..., dict[str, str]]
) -> None:
    monthly, typed, needed = project("monthly", 1, 0), project("typed", 0), project("needed", 0)
    extracting = project("extracting", 0)
    asked = {"reason": "drift found", "if_needed": True}
    again, by_hand, if_needed, extracted = airflow.ask(
        "run",
        {"dag": RETRAIN, "env": monthly},
        {"dag": RETRAIN, "env": typed, "conf": {"reason": TYPED}},
        {"dag": RETRAIN, "env": needed, "conf": asked},
        {"dag": EXTRACT, "env": extracting},
    )
    assert again["tasks"] == {"retrain": ["success", 2]}
    first, second = calls(monthly)
    assert first == second
    assert first.startswith("retrain --reason monthly (Airflow: manual__")
    # Nothing of what somebody typed is run or filled in.
    assert by_hand["state"] == "success"
    assert calls(typed)[0].startswith(f"retrain --reason {TYPED} (Airflow: ")
    assert not list(Path(typed["AIRFLOW_VAR_FRAUDLOOP_PROJECT"]).rglob("typed"))
    assert if_needed["state"] == "success"
    assert calls(needed)[0].startswith("retrain --if-needed --reason drift found (Airflow: ")
    assert calls(extracting) == ["ledger export-validated --if-any runs/airflow/validated.csv"]
    ((_, conf),) = new(if_needed, extracted).items()
    assert conf["if_needed"] is True


def test_the_real_commands_find_drift_and_export_what_was_judged(
    airflow: Airflow, tmp_path: Path
) -> None:
    environment = loop(tmp_path)
    drifted, extracted = airflow.ask(
        "run", {"dag": DRIFT, "env": environment}, {"dag": EXTRACT, "env": {}}
    )
    assert drifted["tasks"]["ask_for_retrain"] == ["success", 1]
    report = json.loads((tmp_path / "runs/airflow/drift/drift.json").read_text(encoding="utf-8"))
    with Ledger.open(environment["LEDGER_URL"]) as ledger:
        (kept,) = ledger.drift.newest(10, card=card().id)
    assert kept.found
    assert report["verdict"] == kept.report["verdict"]
    assert extracted["state"] == "success"
    exported = read_csv(tmp_path / "runs/airflow/validated.csv", card())
    assert exported[card().label.column].tolist() == [1]


def loop(folder: Path) -> dict[str, str]:
    """A project with a model, and a ledger of 200 decisions on shifted rows, one of them judged."""
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
        replace(made, id=f"d-{number}", transaction=row)
        for number, row in enumerate(rows.to_dict("records"))
    ]
