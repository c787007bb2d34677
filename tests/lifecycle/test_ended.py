"""A `fraudloop retrain` that a scheduler ends takes its pipeline with it; its job goes on later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fraudloop import params
from fraudloop.dataset import card as cards
from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.lifecycle import asking
from tests.lifecycle.small_project import TINY
from tests.system.projects import copy_of_this


def test_sigterm_ends_the_pipeline_too_and_leaves_the_job_open(tmp_path: Path) -> None:
    folder = copy_of_this(tmp_path / "project", TINY).folder
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate.migrate(url, migrate.NEWEST)
    own = {"LEDGER_URL": url, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'registry.db'}"}
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "fraudloop", "retrain", "--reason", "to be ended"],
            cwd=folder,
            env=os.environ | own | {"PYTHONPATH": str(folder / "src")},
            stdout=said,
            stderr=said,
        )
    try:
        pipeline = child(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 1, (tmp_path / "said").read_text()
    finally:
        process.kill()
        process.wait()
    with pytest.raises(ProcessLookupError):
        os.kill(pipeline, 0)
    assert "the next run goes on with it" in (tmp_path / "said").read_text(encoding="utf-8")
    card = cards.load(folder / params.load(folder / "params.yaml").paths.card)
    with Ledger.open(url) as ledger:
        job = ledger.jobs.open_in(asking.training_lane(card.id))
    assert job is not None
    assert job.state == "running"


def child(process: subprocess.Popen[bytes]) -> int:
    """The `dvc repro` that the process has started, as soon as there is one."""
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        found = subprocess.run(
            ["pgrep", "-P", str(process.pid), "-f", "dvc repro"], capture_output=True, text=True
        )
        if found.stdout:
            return int(found.stdout.split()[0])
        time.sleep(0.05)
    raise AssertionError("no pipeline was started")
