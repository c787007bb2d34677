"""Alerts that are owed: written with the decisions, gone only when somebody was told."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Engine, and_, func, or_, select, update

from fraudloop.ledger import faults, place, statements
from fraudloop.ledger.records import Kept
from fraudloop.ledger.tables import alerts_owed as owed
from fraudloop.ledger.tables import decisions

STATEMENT_IDS = 1_000


class Alerts:
    """What is owed, taken by one sender at a time, given back when the sender fails or dies."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._writing = place.writing(engine)
        self._where = where

    def take(self, limit: int, now: datetime, hold: timedelta) -> tuple[Kept, ...]:
        """The riskiest decisions that are owed an alert; nobody else gets them until `hold` ends.

        A sender that dies with them loses nothing: after `hold` they are owed as before.
        """
        free = and_(
            owed.c.told_at.is_(None), or_(owed.c.held_until.is_(None), owed.c.held_until <= now)
        )
        riskiest = (
            select(owed.c.decision_id)
            .where(free)
            .order_by(owed.c.score.desc(), owed.c.decision_id)
            .limit(limit)
            .with_for_update(skip_locked=True)  # SQLite has one writer, and leaves this out
        )
        with faults.told(self._where), self._writing.begin() as connection:
            ids = connection.scalars(riskiest).all()
            if not ids:
                return ()
            connection.execute(
                update(owed).where(owed.c.decision_id.in_(ids)).values(held_until=now + hold)
            )
            wanted = (
                statements.with_verdict()
                .join(
                    owed,
                    and_(
                        owed.c.decision_id == decisions.c.id,
                        owed.c.decided_at == decisions.c.decided_at,
                    ),
                )
                .where(owed.c.decision_id.in_(ids))
                .order_by(owed.c.score.desc(), owed.c.decision_id)
            )
            return tuple(statements.kept(row) for row in connection.execute(wanted))

    def told(self, ids: Collection[str], how: str, at: datetime) -> int:
        """Say that these were given, and how; gives how many still were owed."""
        return self._settle(ids, told_at=at, told_how=how)

    def give_back(self, ids: Collection[str]) -> int:
        """Say that these could not be given: they are owed at once, not only when `hold` ends."""
        return self._settle(ids, held_until=None)

    def waiting(self) -> int:
        """How many are owed."""
        return self._count(owed.c.told_at.is_(None))

    def told_since(self, moment: datetime, how: str | None = None) -> int:
        """How many were given since then: what is left of a day's capacity outlives a restart."""
        same = owed.c.told_how == how if how is not None else True
        return self._count(owed.c.told_at >= moment, same)

    def _settle(self, ids: Collection[str], **values: Any) -> int:
        if not ids:
            return 0
        settled = 0
        with faults.told(self._where), self._writing.begin() as connection:
            for some in _few_at_a_time(sorted(ids)):
                still = and_(owed.c.decision_id.in_(some), owed.c.told_at.is_(None))
                settled += connection.execute(update(owed).where(still).values(**values)).rowcount
        return settled

    def _count(self, *conditions: Any) -> int:
        with faults.told(self._where), self._engine.begin() as connection:
            wanted = select(func.count()).select_from(owed).where(*conditions)
            return connection.scalar(wanted) or 0


def _few_at_a_time(ids: list[str]) -> Iterator[list[str]]:
    """A statement has room for so many values, and no flood may be too large."""
    for start in range(0, len(ids), STATEMENT_IDS):
        yield ids[start : start + STATEMENT_IDS]
