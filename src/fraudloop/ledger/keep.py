"""Decisions into the ledger, in bulk: each id once for ever, its verdicts never touched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any

from sqlalchemy import Connection, Engine, insert

from fraudloop.ledger import faults, partitions, place, rows
from fraudloop.ledger.records import Decision
from fraudloop.ledger.tables import alerts_owed, microseconds, to_json

_COPY_IDS = "COPY decision_ids (id, decided_at) FROM STDIN"
_COLUMNS = ", ".join(f'"{name}"' for name in rows.COLUMNS)
_NEW_IDS = """
INSERT INTO decision_ids (id, decided_at)
SELECT id, decided_at FROM unnest(%s::text[], %s::timestamptz[]) AS given (id, decided_at)
ORDER BY id COLLATE "C"
ON CONFLICT DO NOTHING RETURNING id
"""
_KNOWN_IDS = "SELECT id FROM decisions WHERE id IN (SELECT value FROM json_each(?))"
_INSERT = (
    f"INSERT INTO decisions ({_COLUMNS}) "  # noqa: S608  # names of columns alone
    f"VALUES ({', '.join('?' * len(rows.COLUMNS))})"
)


class SqliteKeeper:
    """Keeps decisions in SQLite, which lets one process write at a time."""

    def __init__(self, engine: Engine) -> None:
        self._engine = place.writing(engine)

    def keep(self, decisions: Sequence[Decision], card: str, owe_alerts: bool) -> int:
        """How many of them were new."""
        with self._engine.begin() as connection:
            asked = to_json([decision.id for decision in decisions])
            known = set(connection.exec_driver_sql(_KNOWN_IDS, (asked,)).scalars())
            new = [decision for decision in decisions if decision.id not in known]
            if new:
                connection.exec_driver_sql(_INSERT, [_row(decision, card) for decision in new])
                if owe_alerts:
                    _owe(connection, new)
        return len(new)


class PostgresKeeper:
    """Keeps decisions in PostgreSQL by COPY, straight into the partitions of their days.

    All ids being new is what nearly always happens, and is tried first: COPY, which breaks at the
    first known id. Then, and for the next batch, the known ones are asked for instead.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._days: set[date] = set()
        self._replaying = False

    def keep(self, decisions: Sequence[Decision], card: str, owe_alerts: bool) -> int:
        """How many of them were new."""
        if lacking := rows.by_day(decisions).keys() - self._days:
            partitions.make(self._engine, lacking)
            self._days |= lacking
        with self._engine.begin() as connection:
            new = self._new(connection, decisions)
            for day, group in rows.by_day(new).items():
                statement = f"COPY {partitions.name_of(day)} ({_COLUMNS}) FROM STDIN"
                with _copy(connection, statement) as copy:
                    for chunk in rows.lines(group, card):
                        copy.write(chunk)
            if owe_alerts:
                _owe(connection, new)
        return len(new)

    def _new(self, connection: Connection, decisions: Sequence[Decision]) -> Sequence[Decision]:
        """Those whose ids were not there; now they are."""
        if not self._replaying:
            try:
                with connection.begin_nested(), _copy(connection, _COPY_IDS) as copy:
                    copy.write(rows.id_lines(decisions))
                return decisions
            except Exception as error:
                if not faults.is_known_already(error):
                    raise
        given = [each.id for each in decisions], [each.decided_at for each in decisions]
        new = set(connection.exec_driver_sql(_NEW_IDS, given).scalars())
        self._replaying = len(new) < len(decisions)
        return [decision for decision in decisions if decision.id in new]


@contextmanager
def _copy(connection: Connection, statement: str) -> Iterator[Any]:
    """A COPY to write to; SQLAlchemy knows none, its driver does."""
    driver: Any = connection.connection.driver_connection
    with driver.cursor() as cursor, cursor.copy(statement) as copy:
        yield copy


def _owe(connection: Connection, decisions: Sequence[Decision]) -> None:
    """Owe an alert for each fraud among them, in the transaction that keeps them."""
    owed = [
        {"decision_id": each.id, "decided_at": each.decided_at, "score": each.score}
        for each in decisions
        if each.prediction == 1
    ]
    if owed:
        connection.execute(insert(alerts_owed), owed)


def _row(decision: Decision, card: str) -> tuple[Any, ...]:
    given = rows.reasons(decision)
    return (
        decision.id,
        card,
        rows.document(decision).decode(),
        decision.score,
        decision.prediction,
        decision.model_version,
        microseconds(decision.decided_at),
        decision.source,
        None if given is None else given.decode(),
    )
