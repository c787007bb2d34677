"""Who did what to what, when: rows are only ever added."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, insert, select

from fraudloop.ledger import faults, place
from fraudloop.ledger.records import AuditRow
from fraudloop.ledger.tables import audit


class Audit:
    """The rows, the newest first."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._writing = place.writing(engine)
        self._where = where

    def note(
        self, by: str, action: str, subject: str, detail: Mapping[str, Any], at: datetime
    ) -> int:
        """Write a row; gives its number."""
        values = {"by_whom": by, "action": action, "subject": subject, "detail": detail, "at": at}
        with faults.told(self._where), self._writing.begin() as connection:
            adding = insert(audit).values(**values).returning(audit.c.number)
            return int(connection.scalars(adding).one())

    def newest(
        self, limit: int, before: int | None = None, action: str | None = None
    ) -> tuple[AuditRow, ...]:
        """The last rows, those with smaller numbers than `before`, those of one action."""
        wanted = select(audit).order_by(audit.c.number.desc()).limit(limit)
        if before is not None:
            wanted = wanted.where(audit.c.number < before)
        if action is not None:
            wanted = wanted.where(audit.c.action == action)
        with faults.told(self._where), self._engine.begin() as connection:
            return tuple(
                AuditRow(row.number, row.at, row.by_whom, row.action, row.subject, row.detail)
                for row in connection.execute(wanted)
            )
