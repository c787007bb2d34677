"""`stream demo`: everything on one machine, with no server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.serving.running import Running
from tests.streaming.steps import SOON, bundle_in, running


def test_the_demo_keeps_as_many_decisions_as_were_asked_for(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.db"
    arguments = ("demo", "--count", "1500", "--rate", "0", "--ledger", ledger)
    with running(tmp_path / "log", *arguments, "--bundle", bundle_in(tmp_path)) as step:
        assert ended(step) == 0
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last.startswith("1,500 decided and kept")
    connection = sqlite3.connect(ledger)
    assert connection.execute("SELECT count(*) FROM decisions").fetchone() == (1500,)
    connection.close()


def ended(step: Running) -> int:
    return step.ended(2 * SOON)
