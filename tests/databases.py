"""A real PostgreSQL for the tests, started once a session, and a fresh ledger on either database.

A test module takes the fixtures with `pytest_plugins = ("tests.databases",)`.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.migrate import migrate
from tests.servers import unavailable

USER = "postgres"


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server of ours on loopback, in a folder of its own.

    What is not durable is so only for want of power, which a test does not cut.
    """

    bin: Path
    data: Path
    port: int
    durable: bool

    def url(self, database: str, login: str = USER) -> str:
        """The address of a database."""
        return f"postgresql://{login}@127.0.0.1:{self.port}/{database}"

    def fresh(self, template: str = "template1") -> str:
        """The address of a new database, a copy of another."""
        name = f"ledger_{secrets.token_hex(6)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement as the server's owner."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            answer = connection.execute(statement)
            return answer.fetchall() if answer.description else []

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = (
            f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' "
            "-c max_connections=60"
        )
        if not self.durable:
            options += " -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        log = str(self.data.parent / "log")
        _as_owner(
            *(self.bin / "pg_ctl", "-D", self.data, "-o", options, "-l", log),
            *("-w", "-t", "120", "start"),
        )

    def stop(self, how: str = "fast") -> None:
        """Stop it: `fast` refuses whoever is connected, `immediate` is like losing power."""
        _as_owner(self.bin / "pg_ctl", "-D", self.data, "-m", how, "-w", "-t", "120", "stop")


def binaries() -> Path | None:
    """The folder of PostgreSQL's newest programs here."""
    folders = [*Path("/usr/lib/postgresql").glob("*/bin")]
    if (found := shutil.which("initdb")) is not None:
        folders.append(Path(found).resolve().parent)
    able = [folder for folder in folders if (folder / "initdb").is_file()]
    return max(able, key=_version, default=None)


@contextmanager
def running(*, durable: bool) -> Iterator[Postgres]:
    """A server of our own until the block ends; a `NotHereError` says why there can be none."""
    folder = binaries()
    if folder is None:
        raise NotHereError("its programs are not here: install Debian's postgresql")
    # Not in pytest's own folder, which only its owner may enter: PostgreSQL refuses to be root.
    base = Path(tempfile.mkdtemp(prefix="fraudloop-postgres-"))
    server = Postgres(folder, base / "data", _free_port(), durable)
    try:
        try:
            if os.geteuid() == 0:
                shutil.chown(base, USER, USER)
            making = ("-A", "trust", "-U", USER, "-N", "-E", "UTF8")
            _as_owner(folder / "initdb", "-D", server.data, *making)
            server.start()
        except (OSError, LookupError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", "") or error
            raise NotHereError(f"it does not start here ({reason})") from error
        try:
            yield server
        finally:
            with suppress(subprocess.CalledProcessError):  # a test may have stopped it
                server.stop("immediate")
    finally:
        shutil.rmtree(base, ignore_errors=True)


class NotHereError(Exception):
    """There is no PostgreSQL to be had here."""


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The server; other tests' databases are in it."""
    starting = running(durable=False)
    try:
        server = starting.__enter__()
    except NotHereError as error:
        unavailable("postgres", str(error))
    yield server
    starting.__exit__(None, None, None)


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """A database with the newest tables and nothing in them, to make others from."""
    url = postgres.fresh()
    migrate(url)
    return url.rpartition("/")[2]


@pytest.fixture(scope="session")
def template_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as a file of SQLite."""
    path = tmp_path_factory.mktemp("ledger") / "template.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database in which nothing is yet, on each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.fresh()


@pytest.fixture
def sqlite_url(template_file: Path, tmp_path: Path) -> str:
    """The address of a ledger with nothing in it, in SQLite."""
    return f"sqlite:///{shutil.copy(template_file, tmp_path / 'ledger.db')}"


@pytest.fixture
def postgres_url(postgres: Postgres, template: str) -> str:
    """The address of a ledger with nothing in it, in PostgreSQL."""
    return postgres.fresh(template)


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The address of a ledger with nothing in it, in each kind of database in turn."""
    kind = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(kind)
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A ledger with nothing in it, in each kind of database in turn."""
    with Ledger.open(ledger_url) as opened:
        yield opened


def _as_owner(*command: str | Path) -> None:
    """Run one of its programs, as the user it wants to be where we are root."""
    as_user = ("runuser", "-u", USER, "--") if os.geteuid() == 0 else ()
    with tempfile.TemporaryFile("w+") as said:
        # Not a pipe: the server inherits it, and would keep it open.
        done = subprocess.run(
            [*as_user, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
        if done.returncode:
            said.seek(0)
            raise subprocess.CalledProcessError(
                done.returncode, str(command[0]), stderr=" ".join(said.read().split())
            )


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _version(folder: Path) -> tuple[int, ...]:
    digits = folder.parent.name.split(".")
    return tuple(int(part) for part in digits if part.isdigit())
