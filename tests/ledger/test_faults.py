"""A database that is away, full of others or not ours is one sentence, and shows no password."""

from __future__ import annotations

import socket
import sqlite3
import traceback
from pathlib import Path

import pytest
from sqlalchemy import text

from fraudloop.errors import LedgerAwayError, LedgerError, SettingsError
from fraudloop.ledger import faults, place
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.migrate import migrate
from tests.databases import Postgres, running
from tests.ledger.given import CARD, decision, many

pytest_plugins = ("tests.databases",)

SECRET = "s3cr3t-pa55word"


@pytest.fixture
def nobody() -> int:
    """A port on which nobody listens."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def test_a_server_that_is_away_may_come_back(nobody: int) -> None:
    with pytest.raises(LedgerAwayError, match="cannot be reached: is it running") as refused:
        Ledger.open(f"postgresql://ann:{SECRET}@127.0.0.1:{nobody}/ledger")
    assert f"postgresql://ann@127.0.0.1:{nobody}/ledger" in str(refused.value)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_a_refused_login_says_what_to_check(postgres: Postgres) -> None:
    rules = postgres.data / "pg_hba.conf"
    before = rules.read_text(encoding="utf-8")
    postgres.run("CREATE ROLE ann LOGIN PASSWORD 'other'")
    try:
        rules.write_text(f"host all ann 127.0.0.1/32 scram-sha-256\n{before}", encoding="utf-8")
        postgres.run("SELECT pg_reload_conf()")
        for login in (f"ann:{SECRET}", "ann"):
            url = postgres.url("postgres", login)
            # The server rereads its rules in its own time.
            for _ in range(600):
                try:
                    Ledger.open(url)
                except LedgerError as error:
                    refused = error
                if "refuses the login" in str(refused):
                    break
            assert "refuses the login: check the user and the password in LEDGER_URL" in str(
                refused
            )
            assert not isinstance(refused, LedgerAwayError)
            assert SECRET not in "".join(traceback.format_exception(refused))
    finally:
        rules.write_text(before, encoding="utf-8")
        postgres.run("SELECT pg_reload_conf()")


def test_a_user_or_database_that_is_not_there_is_named(postgres: Postgres) -> None:
    for url in (postgres.url("nowhere"), postgres.url("postgres", "nobody")):
        with pytest.raises(LedgerError, match="has no such user or database: create it"):
            Ledger.open(url)


def test_a_server_that_stops_and_comes_back_loses_nothing() -> None:
    with running(durable=True) as server:
        url = server.fresh()
        migrate(url)
        with Ledger.open(url) as ledger:
            assert ledger.keep(many(100), card=CARD) == 100
            server.stop("immediate")
            with pytest.raises(LedgerAwayError):
                ledger.keep(many(200), card=CARD)
            server.start()
            assert ledger.keep(many(200), card=CARD) == 100


def test_a_connection_that_was_cut_is_made_anew(postgres: Postgres, postgres_url: str) -> None:
    database = postgres_url.rpartition("/")[2]
    with Ledger.open(postgres_url) as ledger:
        ledger.keep([decision()], card=CARD)
        postgres.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            f"WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        )
        assert ledger.keep([decision("t-2")], card=CARD) == 1


def test_a_statement_that_takes_too_long_is_ended(postgres_url: str) -> None:
    engine = place.made(place.parsed(postgres_url))
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == "1min"
        connection.execute(text("SET statement_timeout = 10"))
        with pytest.raises(LedgerAwayError, match="did not answer in time"), faults.told("here"):
            connection.execute(text("SELECT pg_sleep(60)"))
    engine.dispose()


@pytest.mark.parametrize(
    "address",
    [
        "",
        SECRET,
        f"mysql://u:{SECRET}@h/d",
        f"postgresql+psycopg2://u:{SECRET}@h/d",
        f"postgresql://u:{SECRET}@h:port/d",
        "sqlite://",
        "sqlite:///:memory:",
    ],
)
def test_an_address_that_is_none_is_refused_unseen(address: str) -> None:
    with pytest.raises(SettingsError) as refused:
        Ledger.open(address)
    assert SECRET not in "".join(traceback.format_exception(refused.value))


def test_every_way_to_write_postgres_is_understood() -> None:
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        assert place.parsed(f"{scheme}://u@h/d").drivername == "postgresql+psycopg"


def test_a_file_that_is_no_ledger_is_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "text.db"
    path.write_text("These are no tables.\n" * 100, encoding="utf-8")
    with pytest.raises(LedgerError, match="is no SQLite file"):
        Ledger.open(f"sqlite:///{path}")
    with pytest.raises(LedgerError, match=r"there is no ledger at .*: run `fraudloop ledger mig"):
        Ledger.open(f"sqlite:///{tmp_path}/none.db")


def test_a_file_that_another_process_writes_to_is_waited_for(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, "LOCK_SECONDS", 0.05)
    with Ledger.open(sqlite_url) as ledger:
        writer = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerAwayError, match="is locked by another process: try again"):
            ledger.keep([decision()], card=CARD)
        assert ledger.find("t-1") is None  # readers go on meanwhile
        writer.execute("ROLLBACK")
        writer.close()
        assert ledger.keep([decision()], card=CARD) == 1
