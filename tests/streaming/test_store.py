"""`stream store` with a real broker and a real PostgreSQL: decisions kept once, verdicts safe."""

from __future__ import annotations

import json
import signal
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.streaming import dead
from tests.brokers import Topics
from tests.serving.running import until
from tests.streaming.steps import SOON, bundle_in, running

if TYPE_CHECKING:
    from tests.databases import Postgres

pytest_plugins = ("tests.brokers", "tests.databases")


def decision(id: str, **changes: object) -> bytes:
    whole = {
        "id": id,
        "transaction": {"id": id, "Time": 1.0, "Amount": 2.5},
        "score": 0.75,
        "prediction": 1,
        "model_version": "v1",
        "decided_at": "2026-11-30T10:00:00.000Z",
        "reasons": [{"feature": "Amount", "contribution": 0.5}],
    }
    return json.dumps(whole | changes).encode()


@pytest.fixture
def ledger_url(postgres: Postgres) -> str:
    url = postgres.fresh()
    migrate.migrate(url)
    return url


def rows(postgres: Postgres, url: str) -> int:
    [[many]] = postgres.run("SELECT count(*) FROM decisions", url.rpartition("/")[2])
    return int(many)


def test_a_replay_and_a_database_that_was_away_change_and_lose_nothing(
    kafka: Topics, postgres: Postgres, ledger_url: str, tmp_path: Path
) -> None:
    kafka.create(*kafka.names)
    topic = kafka.settings.decisions
    kafka.send_keyed(topic, [(f"d-{n}", decision(f"d-{n}")) for n in range(300)])
    environment = kafka.environment | {"LEDGER_URL": ledger_url}
    with running(
        tmp_path / "log", "store", "--bundle", bundle_in(tmp_path), environment=environment
    ) as step:
        until(lambda: rows(postgres, ledger_url) == 300, "all are kept", SOON)
        with Ledger.open(ledger_url) as ledger:
            ledger.judge("d-7", 0, "ann", "called the customer", datetime.now(UTC))
        postgres.stop()
        kafka.send_keyed(topic, [(f"d-{n}", decision(f"d-{n}", score=0.9)) for n in range(500)])
        until(lambda: bool(step.events("ledger away")), "it is missed", SOON)
        postgres.start()
        until(lambda: rows(postgres, ledger_url) == 500, "what waited is kept", SOON)
        until(lambda: bool(step.events("ledger back")), "it is back", SOON)
        step.process.send_signal(signal.SIGTERM)
        assert step.ended(SOON) == 0
    assert len(step.events("ledger away")) == 1
    with Ledger.open(ledger_url) as ledger:
        kept = ledger.find("d-7")
        later = ledger.find("d-400")
    assert kept is not None
    assert kept.verdict is not None
    assert (kept.decision.score, kept.verdict.true_value) == (0.75, 0)
    assert later is not None
    assert later.decision.score == 0.9
    assert later.decision.reasons == [{"feature": "Amount", "contribution": 0.5}]


def test_what_is_no_decision_or_cannot_be_kept_is_put_aside(
    kafka: Topics, postgres: Postgres, ledger_url: str, tmp_path: Path
) -> None:
    kafka.create(*kafka.names)
    bad = {
        "no value": None,
        "no JSON": b"{",
        "no score": decision("a", score=None),
        "deep": b'{"id":' + b"[" * 20_000,
        "above one": decision("b", score=1.5),
        "NUL": decision("c\0"),
        "no zone": decision("d", decided_at="2026-11-30T10:00:00"),
    }
    topic = kafka.settings.decisions
    for name, value in bad.items():
        kafka.send(topic, decision(f"good-{name}"), key=name)
        kafka.send(topic, value, key=name)
    environment = kafka.environment | {"LEDGER_URL": ledger_url}
    with running(
        tmp_path / "log", "store", "--bundle", bundle_in(tmp_path), environment=environment
    ):
        letters = kafka.read(kafka.settings.dead, len(bad))
        until(lambda: rows(postgres, ledger_url) == len(bad), "the good ones are kept", SOON)
    assert {(each.key() or b"").decode(): each.value() for each in letters} == bad
    assert {dead.said(each, dead.TOPIC) for each in letters} == {topic}
    assert all(dead.said(each, dead.REASON) for each in letters)
