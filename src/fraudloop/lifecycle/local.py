"""A local store of MLflow's, in one SQLite file, read and written by SQL.

A server looks into it each second and may have to write at once, while MLflow itself takes two
seconds and 200 MB to load. The tests hold this against MLflow's own client, both ways.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from fraudloop.errors import RegistryAwayError, RegistryError
from fraudloop.lifecycle.store import STEPS, Model, Version

PATIENCE = 5.0  # seconds, while somebody else writes
WORKSPACE = "default"  # MLflow's, where no other is asked for
COLUMNS = "version, coalesce(run_id, ''), coalesce(source, ''), coalesce(creation_time, 0)"
# MLflow keeps what it deleted, under this name.
THERE = "workspace = ? AND name = ? AND current_stage <> 'Deleted_Internal'"


class LocalStore:
    """A store in a file; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def address(self) -> str:
        """What it is called in sentences."""
        return str(self._path)

    def model(self, name: str) -> Model | None:
        """The registered model of this name."""
        at = (WORKSPACE, name)
        with self._read() as database:
            if not database.execute(
                "SELECT 1 FROM registered_models WHERE workspace = ? AND name = ?", at
            ).fetchone():
                return None
            aliases = database.execute(
                "SELECT alias, version FROM registered_model_aliases "
                "WHERE workspace = ? AND name = ?",
                at,
            ).fetchall()
            steps = database.execute(
                "SELECT value FROM registered_model_tags "
                "WHERE workspace = ? AND name = ? AND key = ?",
                (*at, STEPS),
            ).fetchone()
        return Model(name, dict(aliases), steps[0] if steps else None)

    def alias(self, name: str, alias: str) -> Version | None:
        """The version an alias names."""
        with self._read() as database:
            found = database.execute(
                "SELECT version FROM registered_model_aliases "
                "WHERE workspace = ? AND name = ? AND alias = ?",
                (WORKSPACE, name, alias),
            ).fetchone()
            return None if found is None else _version(database, name, found[0])

    def version(self, name: str, number: int) -> Version | None:
        """One version."""
        with self._read() as database:
            return _version(database, name, number)

    def versions(self, name: str) -> list[Version]:
        """All versions, the newest first."""
        with self._read() as database:
            numbers = database.execute(
                f"SELECT version FROM model_versions WHERE {THERE} ORDER BY version DESC",  # noqa: S608  # a constant
                (WORKSPACE, name),
            ).fetchall()
            found = [_version(database, name, number) for (number,) in numbers]
        return [each for each in found if each is not None]

    def params(self, run: str) -> dict[str, str]:
        """What was written once, all of it."""
        with self._read() as database:
            return dict(
                database.execute("SELECT key, value FROM params WHERE run_uuid = ?", (run,))
            )

    def fetch(self, version: Version, file: str) -> bytes:
        """The content of a file of a version's bundle, unverified."""
        parts = urlsplit(version.source)
        if parts.scheme not in ("", "file"):
            raise RegistryError(
                f"the bundle of version {version.number} lies in {parts.scheme}, not beside "
                f"{self._path}: register it again, or name MLflow's server"
            )
        path = Path(unquote(parts.path) if parts.scheme else version.source) / file
        try:
            return path.read_bytes()
        except OSError as error:
            raise RegistryError(
                f"the registry has no {path} any more ({error.strerror}): register the bundle again"
            ) from error

    def write_once(self, run: str, key: str, value: str) -> bool:
        """Write a value where none stands; False where another stands already."""
        with self._write() as database:
            database.execute(
                "INSERT INTO params (run_uuid, key, value) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (run, key, value),
            )
        return self.params(run).get(key) == value

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let an alias name a version, in one write."""
        with self._write() as database:
            if _version(database, name, number) is None:
                raise RegistryError(f"{self._path} has no version {number} of {name}: look again")
            database.execute(
                "INSERT INTO registered_model_aliases (workspace, name, alias, version) "
                "VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET version = excluded.version",
                (WORKSPACE, name, alias, number),
            )

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias name nothing."""
        with self._write() as database:
            database.execute(
                "DELETE FROM registered_model_aliases "
                "WHERE workspace = ? AND name = ? AND alias = ?",
                (WORKSPACE, name, alias),
            )

    def tag(self, name: str, number: int, key: str, value: str) -> None:
        """Tag a version, in the place of what the tag said before."""
        with self._write() as database:
            database.execute(
                "INSERT INTO model_version_tags (workspace, name, version, key, value) "
                "VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                (WORKSPACE, name, number, key, value),
            )

    def close(self) -> None:
        """Nothing stays open between two calls."""

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        with self._opened("ro") as database:
            yield database

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it, or nothing."""
        with self._opened("rw") as database, database:
            database.execute("BEGIN IMMEDIATE")
            yield database

    @contextmanager
    def _opened(self, mode: str) -> Iterator[sqlite3.Connection]:
        if not self._path.is_file():
            raise RegistryAwayError(
                f"there is no registry at {self._path} yet: make it by "
                "`fraudloop registry register`, or set MLFLOW_TRACKING_URI"
            )
        uri = f"{self._path.resolve().as_uri()}?mode={mode}"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as database:
                yield database
        except sqlite3.Error as error:
            raise RegistryAwayError(
                f"the registry at {self._path} cannot be used ({error}): look whether it is "
                "MLflow's, and of the version that is locked"
            ) from error


def _version(database: sqlite3.Connection, name: str, number: int) -> Version | None:
    found: Any = database.execute(
        f"SELECT {COLUMNS} FROM model_versions WHERE {THERE} AND version = ?",  # noqa: S608  # constants
        (WORKSPACE, name, number),
    ).fetchone()
    if found is None:
        return None
    tags = database.execute(
        "SELECT key, value FROM model_version_tags "
        "WHERE workspace = ? AND name = ? AND version = ?",
        (WORKSPACE, name, number),
    )
    number, run, source, made_at = found
    return Version(number, run, source, made_at, dict(tags))
