"""A local store of MLflow's, in one SQLite file.

What is read is read from the file: a server looks each second, and MLflow itself would take two
seconds and 200 MB to load. What is written is written by MLflow.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from fraudloop.errors import RegistryAwayError, RegistryError
from fraudloop.lifecycle.store import STEPS, Model, Version
from fraudloop.settings import let_mlflow_tell_nobody

if TYPE_CHECKING:
    from mlflow import MlflowClient

PATIENCE = 5.0  # seconds, while somebody else writes
WORKSPACE = "default"  # MLflow's, where no other is asked for
COLUMNS = "version, coalesce(run_id, ''), coalesce(source, ''), coalesce(creation_time, 0)"
# MLflow keeps what it deleted, under this name.
THERE = "workspace = ? AND name = ? AND current_stage <> 'Deleted_Internal'"


class LocalStore:
    """A store in a file; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writing = threading.Lock()

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
        with self._written() as client:
            from mlflow.exceptions import MlflowException

            try:
                client.log_param(run, key, value)
            except MlflowException as error:
                if error.error_code != "INVALID_PARAMETER_VALUE":
                    raise
        return self.params(run).get(key) == value

    def set_alias(self, name: str, alias: str, number: int) -> None:
        """Let an alias name a version, in one write."""
        with self._written() as client:
            client.set_registered_model_alias(name, alias, str(number))

    def drop_alias(self, name: str, alias: str) -> None:
        """Let an alias name nothing."""
        with self._written() as client:
            client.delete_registered_model_alias(name, alias)

    def tag(self, name: str, number: int, key: str, value: str) -> None:
        """Tag a version, in the place of what the tag said before."""
        with self._written() as client:
            client.set_model_version_tag(name, str(number), key, value)

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        if not self._path.is_file():
            raise RegistryAwayError(
                f"there is no registry at {self._path} yet: make it by "
                "`fraudloop registry register`, or set MLFLOW_TRACKING_URI"
            )
        uri = f"{self._path.resolve().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as database:
                yield database
        except sqlite3.Error as error:
            raise RegistryAwayError(
                f"the registry at {self._path} cannot be read ({error}): look whether it is "
                "MLflow's, and of the version that is locked"
            ) from error

    @contextmanager
    def _written(self) -> Iterator[MlflowClient]:
        client = self._client
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._writing:
                yield client
        except (MlflowException, SQLAlchemyError) as error:
            reason = str(error).strip().partition("\n")[0]
            raise RegistryError(
                f"the registry at {self._path} did not take it ({reason}): try again"
            ) from error

    @cached_property
    def _client(self) -> MlflowClient:
        return client_of(f"sqlite:///{self._path}")


def client_of(uri: str) -> MlflowClient:
    """MLflow's own client, silent and telling nobody."""
    let_mlflow_tell_nobody()
    try:
        from mlflow import MlflowClient
    except ImportError as error:  # an image that only serves has none
        raise RegistryError(
            "MLflow is not installed here, and a local registry is written by it: name a server "
            "in MLFLOW_TRACKING_URI, or do this where `make install` ran"
        ) from error
    for chatty in ("mlflow", "alembic"):  # each tells of every table it makes
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


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
