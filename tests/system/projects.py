"""Clones of this project in temporary folders, to run the real `dvc` and `fraudloop` in."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
OUTPUT = Path("ml/output/credit-card-fraud")
RAW = Path("ml/input/data/training/creditcard.csv")

Environment = Mapping[str, str]
NOTHING: Environment = {}

# Few rows and four candidates: what takes a minute takes a quarter of one.
SMALL: dict[str, Any] = {
    "data": {"rows": 20_000},
    "samplers": ["none", "smote"],
    "estimators": ["logistic_regression", "boosted_trees"],
}


@dataclass(frozen=True)
class Project:
    """A working copy of the project."""

    folder: Path

    def run(
        self, *command: str | Path, check: bool = True, environment: Environment = NOTHING
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with its own code first; by default it must succeed."""
        done = subprocess.run(
            [str(part) for part in command],
            cwd=self.folder,
            env=_environment() | {"PYTHONPATH": str(self.folder / "src")} | dict(environment),
            capture_output=True,
            text=True,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"{command} ended with {done.returncode}:\n{_told(done)}")
        return done

    def dvc(
        self, *arguments: str | Path, check: bool = True, environment: Environment = NOTHING
    ) -> subprocess.CompletedProcess[str]:
        """Run dvc."""
        return self.run(BIN / "dvc", *arguments, check=check, environment=environment)

    def ran(self, *arguments: str, environment: Environment = NOTHING) -> list[str]:
        """The stages that a dvc command ran."""
        told = self.dvc(*arguments, environment=environment).stdout
        return [
            line.removeprefix("Running stage '").rstrip("':")
            for line in told.splitlines()
            if line.startswith("Running stage '")
        ]

    def read(self, name: str | Path) -> bytes:
        """A file's bytes."""
        return (self.folder / name).read_bytes()

    def change(self, name: str, changes: dict[str, Any]) -> None:
        """Change a YAML file of it, deep."""
        path = self.folder / name
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        _merge(content, changes)
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    def commit(self, message: str) -> None:
        """Commit everything that git does not ignore."""
        self.run("git", "add", "-A")
        self.run("git", *AUTHOR, "commit", "-q", "-m", message)

    def clone(self, folder: Path) -> Project:
        """Clone it as a colleague would: code and locks, no data, no cache."""
        self.run("git", "clone", "-q", self.folder, folder)
        return Project(folder)

    def outputs(self) -> dict[str, str]:
        """The digest of every file that the stages wrote."""
        written = [self.folder / RAW, *(self.folder / OUTPUT).rglob("*")]
        written += (self.folder / "ml/input/data/prepared").rglob("*")
        return {
            str(path.relative_to(self.folder)): hashlib.md5(path.read_bytes()).hexdigest()
            for path in sorted(written)
            if path.is_file()
        }


AUTHOR = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")


def copy_of_this(folder: Path, changes: dict[str, Any], *, keep_lock: bool = False) -> Project:
    """This project as it stands in the working tree, committed anew with changed parameters."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [name for name in listed.stdout.decode().split("\0") if name]
    else:  # an unpacked archive has no git to ask; it has few files besides its own
        own = (path for path in ROOT.rglob("*") if path.is_file())
        names = [
            str(path.relative_to(ROOT)) for path in own if not _is_made(path.relative_to(ROOT))
        ]
    for name in names:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    project = Project(folder)
    if not keep_lock:
        (folder / "dvc.lock").unlink(missing_ok=True)
    project.change("params.yaml", changes)
    project.run("git", "init", "-q", "-b", "main")
    project.commit("as it stands")
    return project


def _is_made(path: Path) -> bool:
    made = {
        ".venv",
        ".cache",
        ".git",
        "__pycache__",
        ".mypy_cache",
        ".ruff_cache",
        ".hypothesis",
        "runs",
    }
    inside = path.parts[:2] == (".dvc", "cache") or path.parts[:2] == (".dvc", "tmp")
    data = path.parts[:3] in {("ml", "input", "data"), ("ml", "output", "credit-card-fraud")}
    return bool(made & set(path.parts)) or inside or data or path.name == "config.local"


def _environment() -> dict[str, str]:
    """The tests' environment, without what would lead out of it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LEADING_OUT)}
    return kept | {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "DVC_NO_ANALYTICS": "1",
    }


LEADING_OUT = ("AWS_", "KAGGLE_", "GIT_", "PYTHONPATH")


def _merge(into: dict[str, Any], changes: dict[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def _told(done: subprocess.CompletedProcess[str]) -> str:
    return f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
