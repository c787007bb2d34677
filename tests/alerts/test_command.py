"""`fraudloop stream alert`, as it is typed, and killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

import pytest

from fraudloop.ledger.ledger import Ledger
from fraudloop.serving.log import Log
from fraudloop.settings import Alerting
from fraudloop.streaming.alerts import HOLD, Teller, channels
from tests.alerts.receivers import PASSWORD, USER, Mails, Posts, certificate, endpoint, mail_server
from tests.fitted import ROOT
from tests.ledger.given import CARD, decision
from tests.serving.running import START, until
from tests.test_cli import exit_code, refusal

pytest_plugins = ("tests.databases",)

SECRET = "quite-a-secret-for-hooks"
SOON = 120.0  # seconds; on a busy machine too


@pytest.fixture
def owing(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a ledger that owes two alerts; the environment names it."""
    monkeypatch.setenv("LEDGER_URL", sqlite_url)
    for name in ("SMTP_HOST", "ALERT_WEBHOOK_URL", "ALERT_CAPACITY_PER_DAY"):
        monkeypatch.delenv(name, raising=False)
    frauds = [decision(f"t-{n}", prediction=1, score=0.9) for n in range(2)]
    with Ledger.open(sqlite_url) as ledger:
        ledger.keep(frauds, card=CARD, owe_alerts=True)
    return sqlite_url


def owed(url: str) -> int:
    with Ledger.open(url) as ledger:
        return ledger.alerts.waiting()


def environment(ledger: str, url: str) -> dict[str, str]:
    """What lets it tell of that ledger there."""
    return {
        "LEDGER_URL": ledger,
        "ALERT_WEBHOOK_URL": url,
        "ALERT_WEBHOOK_SECRET": SECRET,
        "ALERT_GROUP_SECONDS": "0",
    }


def started(settings: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """The command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", START, "stream", "alert"],
        cwd=ROOT,
        env=os.environ | settings,
        stdout=log,
        stderr=log,
    )


def test_all_that_is_owed_is_told_once(
    owing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    posts = Posts()
    with endpoint(posts) as url:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", url)
        monkeypatch.setenv("ALERT_WEBHOOK_SECRET", SECRET)
        for _ in range(2):
            assert exit_code(monkeypatch, "stream", "alert", "--once") == 0
    assert [json.loads(body)["count"] for _, body in posts.got] == [2]
    assert owed(owing) == 0
    said = capsys.readouterr()
    assert "secret" not in said.out + said.err


def test_what_could_not_be_told_is_said_and_stays_owed(
    owing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with endpoint(Posts(500)) as url:
        monkeypatch.setenv("ALERT_WEBHOOK_URL", url)
        monkeypatch.setenv("ALERT_WEBHOOK_SECRET", SECRET)
        assert exit_code(monkeypatch, "stream", "alert", "--once") == 1
    said = capsys.readouterr()
    assert "answers 500" in said.err
    assert "1 messages could not be sent" in said.err
    assert "secret" not in said.out + said.err
    assert owed(owing) == 2


def test_a_trial_tells_of_nothing_that_happened(
    owing: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context, ca = certificate(tmp_path)
    mails = Mails()
    with mail_server(context, mails) as port:
        for name, value in {
            "HOST": "localhost",
            "PORT": str(port),
            "FROM": "alerts@shop.example",
            "TO": "ana@shop.example",
            "USER": USER,
            "PASSWORD": PASSWORD,
            "CA": str(ca),
        }.items():
            monkeypatch.setenv(f"SMTP_{name}", value)
        assert exit_code(monkeypatch, "stream", "alert", "--trial") == 0
    [mail] = mails.got
    assert "made-up has score 1.000" in mail.get_body().get_content()  # type: ignore[union-attr]  # it has one
    assert capsys.readouterr().err == "mail: sent\n"
    assert exit_code(monkeypatch, "stream", "alert", "--trial") == 1
    told = refusal(capsys.readouterr())
    assert "does not answer" in told
    assert PASSWORD not in told
    assert owed(owing) == 2


def test_killed_while_it_tells_it_forgets_nothing(owing: str, tmp_path: Path) -> None:
    posts = Posts(answer=threading.Event())
    with endpoint(posts) as url, (tmp_path / "log").open("w+b") as log:
        mine = environment(owing, url)
        process = started(mine, log)
        try:
            until(lambda: len(posts.got) == 1, "it is told", SOON)
        finally:
            process.kill()
            process.wait()
        assert posts.answer is not None
        posts.answer.set()
        assert owed(owing) == 2
        settings = Alerting.read(mine)
        with Ledger.open(owing) as ledger:
            ways = channels(settings, Log(log))
            teller = Teller(ledger, ways, settings, Log(log))
            assert teller.look(at_once=True) == 0
            assert len(posts.got) == 1  # for all we know, the other one still is at it
            clock = teller.clock
            teller.clock = lambda: clock() + HOLD
            assert teller.look(at_once=True) == 0
        log.seek(0)
        assert b"secret" not in log.read()
    first, second = (json.loads(body)["frauds"] for _, body in posts.got)
    assert first == second
    assert owed(owing) == 0


def test_asked_to_stop_it_ends(owing: str, tmp_path: Path) -> None:
    posts = Posts()
    with endpoint(posts) as url, (tmp_path / "log").open("w+b") as log:
        process = started(environment(owing, url), log)
        try:
            until(lambda: owed(owing) == 0, "all is told", SOON)
            process.send_signal(signal.SIGTERM)
            assert process.wait(SOON) == 0
        finally:
            process.kill()
            process.wait()
    assert len(posts.got) == 1
