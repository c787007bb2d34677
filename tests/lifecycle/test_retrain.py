"""A training anew comes to one end, whatever kills it when, and only one runs at a time."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from fraudloop.errors import RetrainError
from fraudloop.ledger.ledger import Ledger
from fraudloop.lifecycle import asking, retrain, workspace
from fraudloop.lifecycle.listing import rows
from fraudloop.lifecycle.recording import Record, alone
from fraudloop.lifecycle.registry import Registry
from fraudloop.lifecycle.retrain import STEPS, Site, run_next
from fraudloop.lifecycle.store import opened
from fraudloop.params import Params
from tests.fitted import PARAMS, card
from tests.lifecycle.small_project import site_in
from tests.lifecycle.stores import settings_in
from tests.system.projects import Project

pytest_plugins = ("tests.databases", "tests.lifecycle.small_project")
pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SADeprecationWarning")

CARD = card().id
# Forks, each of which is killed at the next place of the same job: before a step is noted as done,
# and after it. What they say is left for the test to read.
KILLED = """
import json, os, signal, sys, time
from pathlib import Path
from fraudloop import params
from fraudloop.ledger.ledger import Ledger
from fraudloop.lifecycle import recording, retrain
from fraudloop.settings import RegistrySettings

ledger_url, uri, cache = sys.argv[1:]
site = retrain.Site(Path(), params.load(), ledger_url, RegistrySettings(uri=uri, cache=Path(cache)))
note = recording.Record.note

def run(step, when):
    def noted(self, name, found):
        if (name, when) == (step, "before"):
            os.kill(os.getpid(), signal.SIGKILL)
        note(self, name, found)
        if (name, when) == (step, "after"):
            os.kill(os.getpid(), signal.SIGKILL)
    recording.Record.note = noted
    with Ledger.open(ledger_url) as ledger:
        done = retrain.run_next(site, ledger)
    os._exit(0 if done is not None and done.state == "done" else 9)

def forked(step, when):
    process = os.fork()
    if process == 0:
        try:
            run(step, when)
        finally:
            os._exit(8)
    return process

def ended(process):
    status = os.waitpid(process, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)

said = {}
BEGUN = ("copy", "validated")  # before the pipeline

def killed_at(steps):
    for step in steps:
        for when in ("before", "after"):
            said[f"{when} {step}"] = ended(forked(step, when))

killed_at(BEGUN)
process = forked("none", "ever")
until = time.monotonic() + 240
while time.monotonic() < until:
    logs = [each.read_text() for each in site.folder.glob("*/dvc.log")]
    if any("Running stage 'preprocess'" in log for log in logs):
        break
    time.sleep(0.05)
os.kill(process, signal.SIGKILL)
said["within the pipeline"] = ended(process)
while time.monotonic() < until:  # the pipeline goes on alone, and keeps its place until it ends
    with recording.alone(site.folder) as lock:
        if lock is not None:
            break
    time.sleep(0.1)
killed_at(each for each in retrain.STEPS if each not in BEGUN)
said["at last"] = ended(forked("none", "ever"))
print(json.dumps(said))
"""


def asked(site: Site, ledger: Ledger, kind: asking.Kind = asking.RETRAIN) -> str:
    return asking.ask(ledger, CARD, kind, by="ana", why="a test", at=site.clock()).id


@pytest.mark.timeout(900)
def test_killed_at_every_step_and_run_again_it_comes_to_the_same_end(
    small_project: Project, sqlite_url: str, tmp_path: Path
) -> None:
    registry = settings_in(tmp_path)
    site = site_in(small_project.folder, sqlite_url, registry)
    with Ledger.open(sqlite_url) as ledger:
        job = asked(site, ledger, asking.INITIAL)
        done = small_project.run(
            *(sys.executable, "-c", KILLED, sqlite_url, registry.uri, registry.cache)
        )
        said = json.loads(done.stdout.splitlines()[-1])
        places = {f"{when} {step}" for step in STEPS for when in ("before", "after")}
        assert said == dict.fromkeys({*places, "within the pipeline"}, 9) | {"at last": 0}
        ended = ledger.jobs.find(job)
        assert ended is not None
        assert ended.state == "done", ended.message
        assert ended.message == "version 1 decides now: no version decided before"
        noted = [(row.action, row.by) for row in ledger.audit.newest(10)]
        assert noted == [("retrain", "ana"), ("promote", "retrain")]
        with closing(opened(registry)) as store:
            (version,) = rows(Registry(store, CARD))
        assert version["aliases"] == ["champion"]
        assert not (site.folder / job / retrain.COPY).exists()

        # Nobody kills the second, and it makes the very same.
        second = asked(site, ledger)
        again = run_next(site, ledger)
        assert again is not None
        assert (again.id, again.state) == (second, "done"), again.message
        assert again.detail["train"]["bundle"] == version["bundle"]
        assert "the very champion came out again" in again.message
        assert run_next(site, ledger) is None  # nothing waits
    assert small_project.run("git", "status", "--porcelain").stdout == ""  # the tree is untouched


def test_while_one_trains_nobody_else_does_and_is_told_which(
    small_project: Project, sqlite_url: str, tmp_path: Path
) -> None:
    registry = settings_in(tmp_path)
    site = site_in(small_project.folder, sqlite_url, registry)
    with Ledger.open(sqlite_url) as ledger:
        job = asked(site, ledger)
        environment = {"LEDGER_URL": sqlite_url, "MLFLOW_TRACKING_URI": registry.uri}
        with alone(site.folder) as lock:
            assert lock is not None
            told = small_project.run(
                *(sys.executable, "-m", "fraudloop", "retrain", "--reason", "me too"),
                check=False,
                environment=environment,
            )
        assert told.returncode == 1
        assert f"job {job} (retrain)" in told.stderr.splitlines()[-1]
        assert "run by another process" in told.stderr
        assert len(asking.trainings(ledger, CARD, 9)) == 1


def test_what_fails_ends_its_job_with_the_reason_and_the_next_may_come(
    small_project: Project, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = site_in(small_project.folder, sqlite_url, settings_in(tmp_path))

    def fails(*_: Any) -> None:
        raise RetrainError("the pipeline failed (no disk): see the log")

    monkeypatch.setattr(workspace, "reproduce", fails)
    with Ledger.open(sqlite_url) as ledger:
        job = asked(site, ledger)
        with pytest.raises(RetrainError):
            run_next(site, ledger)
        ended = ledger.jobs.find(job)
        assert ended is not None
        assert (ended.state, ended.message) == (
            "failed",
            "the pipeline failed (no disk): see the log",
        )
        assert asked(site, ledger) != job


def test_a_broken_pipeline_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: 'false'\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    with pytest.raises(RetrainError, match=r"the pipeline failed .*train.*: see "):
        workspace.reproduce(tmp_path, tmp_path / "log", threading.Event(), None)


def test_the_pipelines_environment_has_no_secret_of_the_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEDGER_URL", "postgresql://f:tulips@db/f")
    (tmp_path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: env > said\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text("[core]\n    no_scm = true\n")
    workspace.reproduce(tmp_path, tmp_path / "log", threading.Event(), None)
    said = (tmp_path / "said").read_text()
    assert "tulips" not in said
    assert f"PYTHONPATH={tmp_path / 'src'}" in said


@pytest.mark.parametrize(
    ("better", "setting", "promoted", "told"),
    [
        (True, "person", False, "it waits for a person"),
        (False, "better", False, "version 2 is the challenger, worse"),
    ],
)
def test_who_promotes_is_a_setting(
    better: bool, setting: str, promoted: bool, told: str, tmp_path: Path
) -> None:
    own: Params = PARAMS.model_copy(
        update={"retraining": PARAMS.retraining.model_copy(update={"promote": setting})}
    )
    site = Site(tmp_path, own, "sqlite:///none.db", settings_in(tmp_path))
    found: dict[str, dict[str, Any]] = {
        "register": {"version": 2},
        "compare": {"champion": 1, "better": better, "sentence": "better" if better else "worse"},
    }
    work = retrain.Work(
        site,
        None,  # type: ignore[arg-type]  # it is not asked
        None,  # type: ignore[arg-type]  # nor is the job
        Record(tmp_path, found),
        None,
    )
    _, promote = STEPS["promote"]
    said = promote(work)
    assert said["promoted"] is promoted
    assert told in said["sentence"]


def test_the_lock_is_free_when_its_holder_is_dead(tmp_path: Path) -> None:
    with alone(tmp_path) as first, alone(tmp_path) as second:
        assert first is not None
        assert second is None
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from fraudloop.lifecycle.recording import alone\n"
        "with alone(Path(sys.argv[1])) as lock: os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    with alone(tmp_path) as third:
        assert third is not None
