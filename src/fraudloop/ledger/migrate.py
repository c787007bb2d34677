"""Bring the ledger's tables to a revision, and tell which one they have."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, inspect, text

from fraudloop.errors import LedgerError
from fraudloop.ledger import faults, place
from fraudloop.ledger.tables import REVISIONS

if TYPE_CHECKING:
    from alembic.script import ScriptDirectory

NEWEST = REVISIONS[-1]
NOTHING = "base"
_LOCK = 5_770_201  # any number that no other program takes for an advisory lock of this database


def migrate(address: str, to: str = NEWEST) -> tuple[str, str]:
    """Go up or down to revision `to`; gives the revision before and after, `base` being none."""
    if to not in (*REVISIONS, NOTHING):
        known = ", ".join((NOTHING, *REVISIONS))
        raise LedgerError(f"there is no revision {to[:40]!r}: take one of {known}")
    url = place.parsed(address)
    if (file := place.file_of(url)) is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
    engine = place.made(url)
    try:
        with faults.told(place.shown(url)), _alone(engine) as connection:
            before = revision_of(connection) or NOTHING
            if before not in (*REVISIONS, NOTHING):
                raise newer(place.shown(url), before)
            _run(connection, before, to)
            return before, revision_of(connection) or NOTHING
    finally:
        engine.dispose()


def revision_of(connection: Connection) -> str | None:
    """The revision of the tables, None if there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return None if found is None else str(found)


def refuse_other_revisions(engine: Engine, where: str) -> None:
    """Refuse a ledger whose tables are not those of this code."""
    with faults.told(where), engine.connect() as connection:
        found = revision_of(connection)
    if found == NEWEST:
        return
    if found is not None and found not in REVISIONS:
        raise newer(where, found)
    state = "has no tables yet" if found is None else f"is at revision {found}, not {NEWEST}"
    raise LedgerError(f"the ledger at {where} {state}: run `fraudloop ledger migrate`")


def newer(where: str, found: str) -> LedgerError:
    """What to say to a ledger from the future."""
    return LedgerError(
        f"the ledger at {where} is at revision {found[:40]}, newer than this program "
        f"({NEWEST}): install the newer fraudloop"
    )


def scripts() -> ScriptDirectory:
    """The revisions as Alembic knows them."""
    from alembic.script import ScriptDirectory

    folder = Path(__file__).parent / "migrations"
    return ScriptDirectory(folder, version_locations=[folder / "versions"])


@contextmanager
def _alone(engine: Engine) -> Iterator[Connection]:
    """A transaction that no other migration shares: all of it, or nothing."""
    with place.writing(engine).begin() as connection:
        if engine.dialect.name == "postgresql":
            # A table with rows may take longer than any statement of the day's work.
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield connection


def _run(connection: Connection, before: str, to: str) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext

    directory = scripts()
    order = (NOTHING, *REVISIONS)
    up = order.index(to) >= order.index(before)

    def steps(revision: Any, _: Any) -> Any:
        # What `alembic upgrade` itself calls; there is no public way without an env.py, which
        # would work at import and read a file of settings.
        go = directory._upgrade_revs if up else directory._downgrade_revs
        return go(to, revision)

    with EnvironmentContext(Config(), directory, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()
