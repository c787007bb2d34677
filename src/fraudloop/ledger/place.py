"""Where the ledger is: its address → an engine, and a way to name it that shows no password."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from fraudloop.errors import SettingsError
from fraudloop.ledger.tables import from_json, to_json

CONNECT_SECONDS = 10
STATEMENT_SECONDS = 60
LOCK_SECONDS = 10
POOL = 5
LOOKS_EVERY = 10_000  # steps of SQLite's: some tenths of a millisecond
_ENDS = "fraudloop.ends"  # in a connection of SQLite's: when its transaction is interrupted
_FORMS = "sqlite:///FILE or postgresql://USER@HOST/DATABASE"


def parsed(address: str) -> URL:
    """The address as SQLAlchemy has it; whatever is wrong with it, it is not shown."""
    try:
        url = make_url(address)
    except (ArgumentError, ValueError):
        refusal = SettingsError(f"the ledger's address is no address: LEDGER_URL is {_FORMS}")
    else:
        kind = url.drivername.partition("+")[0]
        if url.drivername in ("sqlite", "sqlite+pysqlite"):
            if url.database and url.database != ":memory:" and not url.query:
                return url
            refusal = SettingsError("the ledger's address names no file: take sqlite:///ledger.db")
        elif url.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
            return url.set(drivername="postgresql+psycopg")
        else:
            refusal = SettingsError(f"the ledger cannot be kept in {kind[:20]!r}: take {_FORMS}")
    raise refusal  # outside: the first error may hold the address


def shown(url: URL) -> str:
    """The address without password and options, which may hold one too.

    >>> shown(make_url("postgresql+psycopg://ann:secret@db:5432/frauds?sslpassword=secret"))
    'postgresql://ann@db:5432/frauds'
    """
    kind = url.drivername.partition("+")[0]
    bare = URL.create(kind, url.username, None, url.host, url.port, url.database)
    return bare.render_as_string()


def made(url: URL, seconds: float | None = None) -> Engine:
    """An engine with a pool; it connects when it is first used.

    No transaction of SQLite's and no statement of PostgreSQL's goes on for longer than `seconds`;
    by default it is a minute, and in SQLite as long as it takes.
    """
    if url.get_backend_name() == "sqlite":
        return _sqlite(url, seconds)
    return _postgres(url, STATEMENT_SECONDS if seconds is None else seconds)


def writing(engine: Engine) -> Engine:
    """The same pool, for transactions that write: SQLite then takes its one lock at once."""
    return engine.execution_options(writes=True)


def file_of(url: URL) -> Path | None:
    """The file, if the ledger is one."""
    return Path(url.database or "") if url.get_backend_name() == "sqlite" else None


def _sqlite(url: URL, seconds: float | None) -> Engine:
    patience = float(LOCK_SECONDS if seconds is None else min(LOCK_SECONDS, seconds))
    engine = create_engine(url, pool_size=POOL, connect_args={"timeout": patience})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # the driver begins nothing by itself: `begin` does
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        if seconds is not None:
            ends = record.info.get
            connection.set_progress_handler(
                lambda: time.monotonic() > ends(_ENDS, math.inf), LOOKS_EVERY
            )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        # A reader that becomes a writer half way is refused where one that waited is not.
        writes = connection.get_execution_options().get("writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
        if seconds is not None:  # what waited for its turn has the whole of its time before it
            connection.info[_ENDS] = time.monotonic() + seconds

    @event.listens_for(engine, "checkin")
    def rest(_: Any, record: Any) -> None:
        record.info.pop(_ENDS, None)

    return engine


def _postgres(url: URL, seconds: float) -> Engine:
    limits = _LIMITS | {"options": f"-c statement_timeout={round(1000 * seconds)} {_OPTIONS}"}
    own = {name: value for name, value in limits.items() if name not in url.query}
    return create_engine(
        url,
        pool_size=POOL,
        pool_pre_ping=True,
        connect_args=own,
        json_serializer=to_json,
        json_deserializer=from_json,
        hide_parameters=True,
    )


_LIMITS: dict[str, Any] = {
    "connect_timeout": CONNECT_SECONDS,
    "application_name": "fraudloop",
    "tcp_user_timeout": 1000 * CONNECT_SECONDS,
}
_OPTIONS = f"-c lock_timeout={LOCK_SECONDS}s -c timezone=UTC -c client_min_messages=warning"
