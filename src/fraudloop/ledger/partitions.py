"""PostgreSQL's partitions of the decisions, one for each day (UTC), made when first wanted."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta

from sqlalchemy import Connection, Engine, text

_LOCK = 5_770_202  # see migrate.py
_DAY = timedelta(days=1)


def name_of(day: date) -> str:
    """The partition of a day.

    >>> name_of(date(2026, 11, 3))
    'decisions_20261103'
    """
    return f"decisions_{day.isoformat().replace('-', '')}"


def make(engine: Engine, days: Collection[date]) -> None:
    """Make the partitions that are not there yet, in a short transaction of their own.

    The lock lets one process make a day; the others find it made. A table is attached, not created
    in place: that would wait for whoever reads, and let nobody read meanwhile.
    """
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        for day in sorted(days):
            if not _is_there(connection, name_of(day)):
                _make(connection, day)


def _is_there(connection: Connection, name: str) -> bool:
    return connection.scalar(text("SELECT to_regclass(:name)"), {"name": name}) is not None


def _make(connection: Connection, day: date) -> None:
    name, end = name_of(day), day + _DAY
    connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE decisions INCLUDING DEFAULTS)")
    connection.exec_driver_sql(
        f"ALTER TABLE decisions ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{day.isoformat()} 00:00+00') TO ('{end.isoformat()} 00:00+00')"
    )
