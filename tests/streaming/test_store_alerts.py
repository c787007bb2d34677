"""`stream store` tells of the frauds it takes, and a receiver that fails never holds it up."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from fraudloop.ledger.ledger import Ledger
from tests.alerts.receivers import Posts, endpoint
from tests.brokers import Topics
from tests.serving.running import until
from tests.streaming.steps import SOON, bundle_in, running
from tests.streaming.test_store import decision

pytest_plugins = ("tests.brokers", "tests.databases")

SECRET = "quite-a-secret-for-hooks"


def test_frauds_are_told_of_and_a_receiver_that_fails_holds_nothing_up(
    kafka: Topics, sqlite_url: str, tmp_path: Path
) -> None:
    kafka.create(*kafka.names)
    posts = Posts(status=500)
    with endpoint(posts) as url, Ledger.open(sqlite_url) as ledger:
        settings = {
            "LEDGER_URL": sqlite_url,
            "ALERT_WEBHOOK_URL": url,
            "ALERT_WEBHOOK_SECRET": SECRET,
            "ALERT_GROUP_SECONDS": "0",
            "ALERT_EVERY_SECONDS": "0",
        }
        log = tmp_path / "log"
        with running(
            log, "store", "--bundle", bundle_in(tmp_path), environment=kafka.environment | settings
        ) as step:
            topic = kafka.settings.decisions
            kafka.send_keyed(topic, [("d-0", decision("d-0"))])
            until(lambda: bool(posts.got), "somebody is to be told", SOON)
            harmless = [(f"h-{n}", decision(f"h-{n}", prediction=0)) for n in range(200)]
            kafka.send_keyed(topic, [*harmless, ("d-1", decision("d-1"))])
            until(lambda: ledger.find("h-199") is not None, "all are kept", SOON)
            until(lambda: ledger.alerts.waiting() == 2, "both frauds are owed", SOON)
            posts.status = 204
            until(lambda: ledger.alerts.waiting() == 0, "all are told", SOON)
            step.process.send_signal(signal.SIGTERM)
            assert step.ended(SOON) == 0
    told = {fraud["id"] for _, body in posts.got for fraud in json.loads(body)["frauds"]}
    assert told == {"d-0", "d-1"}
    assert "secret" not in log.read_text(encoding="utf-8")
