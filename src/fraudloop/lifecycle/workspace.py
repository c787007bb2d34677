"""A copy of the project in which the pipeline runs: the user's own tree stays as it is."""

from __future__ import annotations

import configparser
import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from fraudloop import files, params
from fraudloop.errors import RetrainError, StoppedError
from fraudloop.params import Params
from fraudloop.settings import for_a_pipeline

FOLDERS = ("src/fraudloop", ".dvc/plots")
FILES = ("params.yaml", "dvc.yaml", "dvc.lock", ".dvc/config", ".dvc/config.local", ".dvcignore")
CONFIGS = (".dvc/config", ".dvc/config.local")
MADE = shutil.ignore_patterns("__pycache__", "*.pyc")
LOG = "dvc.log"
ENDS_WITHIN = 20.0  # seconds, of a pipeline that was told to end
LOOK_EVERY = 0.2


def prepare(project: Path, folder: Path) -> None:
    """Have a copy of the project's code, parameters and data in a folder, or nothing."""
    if folder.is_dir():
        return
    for needed in ("params.yaml", "dvc.yaml", "src/fraudloop"):
        if not (project / needed).exists():
            raise RetrainError(
                f"there is no {needed} in {project.resolve()}: train where the project is"
            )
    with files.written_aside(folder) as aside:
        try:
            _copy(project, aside)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise


def _copy(project: Path, to: Path) -> None:
    own = params.load(project / "params.yaml")
    for name in (*FOLDERS, str(own.paths.card.parent)):
        if (project / name).is_dir():
            shutil.copytree(project / name, to / name, ignore=MADE)
    some = [*FILES, str(own.paths.raw)]
    if own.data.file is not None and not own.data.file.is_absolute():
        some.append(str(own.data.file))
    for name in some:
        if (project / name).is_file() and not (to / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(project / name, to / name)
    _configure(project, to)


def _configure(project: Path, to: Path) -> None:
    """Let DVC know that no git is here, and that the project's cache is this one's, too."""
    config = configparser.ConfigParser()
    for name in CONFIGS:
        config.read(project / name, encoding="utf-8")
    said = config.get("cache", "dir", fallback="cache")
    local = configparser.ConfigParser()
    local.read(to / CONFIGS[1], encoding="utf-8")
    cache = os.path.normpath((project / ".dvc").resolve() / said)
    for section, name, value in (("core", "no_scm", "true"), ("cache", "dir", cache)):
        if not local.has_section(section):
            local.add_section(section)
        local.set(section, name, value)
    (to / ".dvc").mkdir(exist_ok=True)
    with (to / CONFIGS[1]).open("w", encoding="utf-8") as file:
        local.write(file)


def within(folder: Path, own: Params) -> Params:
    """The parameters of a copy, as they are read from outside of it."""
    paths = {name: folder / path for name, path in own.paths if path is not None}
    return own.model_copy(update={"paths": own.paths.model_copy(update=paths)})


def reproduce(folder: Path, log: Path, stop: threading.Event, lock: int | None) -> None:
    """Run `dvc repro` in a copy; what was done before in it is not done again."""
    programs = Path(sys.executable).parent
    with log.open("ab") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "dvc", "repro"],
            cwd=folder,
            env=for_a_pipeline(programs, folder.resolve() / "src"),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=() if lock is None else (lock,),
        )
    try:
        while process.poll() is None:
            if stop.is_set():
                raise StoppedError("the training was told to end: the next run goes on with it")
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY)
    finally:
        _end(process)
    if process.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
        told = [" ".join(line.split()) for line in lines if line.startswith(("ERROR", "fraudloop"))]
        reason = "; ".join(told[-2:])[:500] or f"it ended with {process.returncode}"
        raise RetrainError(f"the pipeline failed ({reason}): see {log}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave nothing of it behind."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDS_WITHIN)
    if process.returncode != 0:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
