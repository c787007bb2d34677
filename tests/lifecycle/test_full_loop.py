"""The whole loop on real parts: PostgreSQL, MLflow's server, two servers, the watcher."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from fraudloop import users
from fraudloop.dataset import synthetic
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision, Job, Judgement
from fraudloop.lifecycle import asking
from tests.fitted import card
from tests.mlflow_server import MlflowServer
from tests.serving.running import JSON, Running, as_body, running, until
from tests.system.projects import Project

pytest_plugins = ("tests.databases", "tests.mlflow_server", "tests.lifecycle.small_project")

CARD = card().id
PASSWORD = "open sesame"
ANA = f"{JSON}Authorization: Basic {b64encode(f'ana:{PASSWORD}'.encode()).decode()}\r\n"
LONG = 400.0  # seconds: a training on a busy machine
SHIFT = 4.0


@dataclass(frozen=True)
class Loop:
    """A project with its ledger and registry, as commands are told of them."""

    project: Project
    ledger: str
    environment: Mapping[str, str]

    def fraudloop(self, *arguments: str) -> str:
        """Run a command in it; gives what it says."""
        done = self.project.run(
            *(sys.executable, "-m", "fraudloop"), *arguments, environment=self.environment
        )
        return done.stdout + done.stderr

    def versions(self) -> dict[int, tuple[str, list[str]]]:
        """The bundle and the aliases of each version."""
        listed = json.loads(self.fraudloop("registry", "list", "--json").partition("\n]")[0] + "]")
        return {row["version"]: (row["bundle"], row["aliases"]) for row in listed}

    @contextmanager
    def watched(self, log: Path) -> Iterator[subprocess.Popen[bytes]]:
        """The watcher, until the block ends: it ends well when it is told to."""
        with log.open("wb") as said:
            process = subprocess.Popen(
                [sys.executable, "-m", "fraudloop", "watch", "--every", "1"],
                cwd=self.project.folder,
                env=self.project_environment(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )
        try:
            yield process
            process.send_signal(signal.SIGTERM)
            assert process.wait(120) == 0, log.read_text()
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(60)

    def project_environment(self) -> dict[str, str]:
        """What commands in the project are told."""
        return {**os.environ, "PYTHONPATH": str(self.project.folder / "src"), **self.environment}


@pytest.fixture
def loop(
    small_project: Project, postgres_url: str, mlflow_server: MlflowServer, tmp_path: Path
) -> Loop:
    for user, role in (("ana", "operator"), ("ben", "scorer")):
        users.add(tmp_path / "users.yaml", user, PASSWORD, [role])
    environment = {
        "LEDGER_URL": postgres_url,
        "MLFLOW_TRACKING_URI": mlflow_server.uri,
        "FRAUDLOOP_CACHE": str(tmp_path / "cache"),
        "FRAUDLOOP_MODEL": CARD,
        "FRAUDLOOP_USERS": str(tmp_path / "users.yaml"),
    }
    return Loop(small_project, postgres_url, environment)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """3,000 transactions that no model has seen, with many frauds among them."""
    drawn = pd.DataFrame(dict(synthetic.draw(card(), seed=11, rows=40_000)))
    fraud = drawn[card().label.column] == 1
    return pd.concat([drawn[fraud].head(40), drawn[~fraud].head(2_960)]).sample(
        frac=1, random_state=1
    )


def decide(server: Running, rows: pd.DataFrame, first: int) -> list[Decision]:
    """Have transactions scored, as decisions to keep."""
    sent: list[Any] = rows[list(card().columns)].to_dict("records")
    answer = server.ask("POST", "/predict", as_body(sent))
    assert answer.status == 200, answer.content
    said, now = answer.json, datetime.now(UTC)
    return [
        Decision(
            f"d-{first + number:05}", each, score, prediction, said["model_version"], now, "online"
        )
        for number, (each, score, prediction) in enumerate(
            zip(sent, said["scores"], said["predictions"], strict=True)
        )
    ]


def keep(ledger: Ledger, server: Running, rows: pd.DataFrame) -> None:
    """3,000 decisions, of which the last third have drifted, and verdicts on the others."""
    calm, moved = rows.head(2_000), rows.tail(1_000).copy()
    moved[card().feature_names[3]] += SHIFT
    made = decide(server, calm, 0)
    assert ledger.keep([*made, *decide(server, moved, 2_000)], card=CARD) == 3_000
    labels = calm[card().label.column].tolist()
    now = datetime.now(UTC)
    judged = [
        Judgement(each.id, int(label), "ana", "called", now)
        for each, label in zip(made, labels, strict=True)
    ]
    assert len(ledger.judge_all(judged)) == 2_000


def all_decide(servers: list[Running], bundle: str) -> bool:
    return {each.ask("GET", "/get_model_ver").json["version"] for each in servers} == {bundle}


def ended(ledger: Ledger, why: str) -> Job | None:
    """The training that was asked for so, once it has ended."""
    found = [job for job in asking.trainings(ledger, CARD, 20) if job.why.startswith(why)]
    return found[0] if found and found[0].finished_at is not None else None


def asked_over_http(server: Running, ledger: Ledger) -> None:
    """A person's request is written down, once, and followed."""
    body = as_body({"reason": "the quarter is over"})
    assert server.ask("POST", "/retrain", body).status == 401
    first = server.ask("POST", "/retrain", body, ANA)
    assert first.status == 202, first.content
    assert (first.json["state"], first.json["watched"]) == ("queued", False)
    assert "fraudloop watch" in first.json["message"]
    second = server.ask("POST", "/initialtrain", b"", ANA)
    assert (second.status, second.json["detail"]) == (409, [{"job": first.json["id"]}])
    followed = server.ask("GET", first.headers["location"]).json
    assert (followed["asked_by"], followed["reason"]) == ("ana", "the quarter is over")
    assert server.ask("GET", "/jobs").json["jobs"][0]["id"] == first.json["id"]
    assert server.ask("GET", "/jobs/none").status == 404
    job = ledger.jobs.claim(asking.training_lane(CARD), datetime.now(UTC))
    assert job is not None


def trained_for_drift(ledger: Ledger) -> None:
    """One training came of the drift, and it learned from every verdict."""
    job = ended(ledger, "drift: ")
    assert job is not None
    assert job.state == "done", job.message
    assert job.asked_by == "watch"
    assert job.detail["validated"]["rows"] == 2_000
    assert job.detail["train"]["joined"]["added"] == 2_000
    assert len(asking.trainings(ledger, CARD, 20)) == 2  # the first, and one for the drift
    (report,) = ledger.drift.newest(5, card=CARD)
    moved = set(report.report["drifted"]) - {"score", "prediction"}
    assert moved == {card().feature_names[3]}


@pytest.mark.timeout(1_800)
def test_the_loop_closes(loop: Loop, rows: pd.DataFrame, tmp_path: Path) -> None:
    said = loop.fraudloop("retrain", "--initial", "--reason", "the first", "--by", "ana")
    assert "version 1 decides now" in said
    ((first, _),) = loop.versions().values()
    with ExitStack() as stack:
        place = Path("registry:champion")
        servers = [
            stack.enter_context(
                running(tmp_path / f"log {at}", place, environment=loop.environment)
            )
            for at in range(2)
        ]
        ledger = stack.enter_context(Ledger.open(loop.ledger))
        assert all_decide(servers, first)
        keep(ledger, servers[0], rows)

        log = tmp_path / "watch"
        with loop.watched(log):
            until(lambda: ended(ledger, "drift: ") is not None, f"trained: {log}", within=LONG)
            assert servers[0].ask("GET", "/jobs").json["watched"] is True
        trained_for_drift(ledger)
        second, aliases = loop.versions()[2]
        assert aliases == ["challenger"]
        assert all_decide(servers, first)  # a person has not decided yet

        loop.fraudloop("registry", "promote", "--why", "it knows more", "--by", "ana")
        until(lambda: all_decide(servers, second), "both decide with the second", within=120)
        back = servers[1].ask("POST", "/model/rollback", as_body({"reason": "too many"}), ANA)
        assert (back.status, back.json["version"]) == (200, first), back.content
        until(lambda: all_decide(servers, first), "both decide with the first", within=120)

        asked_over_http(servers[0], ledger)
        audited: list[tuple[str, str, Any]] = [
            (row.action, row.by, row.subject) for row in ledger.audit.newest(20)
        ]
    assert audited == [
        ("rollback", "ana", f"{CARD} version 1"),
        ("promote", "ana", f"{CARD} version 2"),
        ("retrain", "watch", f"{CARD} version 2"),
        ("retrain", "ana", f"{CARD} version 1"),
        ("promote", "retrain", f"{CARD} version 1"),
    ]
    assert loop.project.run("git", "status", "--porcelain").stdout == ""
