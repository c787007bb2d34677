"""How many decisions there were, counted where they are: nobody reads a million rows for it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import Select, func, literal_column, select

from fraudloop.ledger.tables import decisions, judged

_FIRST_DAY = datetime(1970, 1, 1, tzinfo=UTC)
# SQLite has moments as microseconds since 1970; the other gives a date, whatever its zone.
_DAY = {
    "sqlite": "decisions.decided_at / 86400000000",
    "postgresql": "(decisions.decided_at AT TIME ZONE 'UTC')::date",
}


@dataclass(frozen=True, slots=True)
class Tally:
    """The decisions of one day (UTC) by one version of the model that say the same."""

    day: date
    model_version: str
    prediction: int
    decisions: int


def by_day(card: str, since: datetime, until: datetime, dialect: str) -> Select[Any]:
    """The statement that counts them."""
    of = decisions.c
    day: Any = literal_column(_DAY[dialect])
    kinds = (day, of.model_version, of.prediction)
    return (
        select(day.label("day"), of.model_version, of.prediction, func.count().label("rows"))
        .where(of.card == card, of.decided_at >= since, of.decided_at < until)
        .group_by(*kinds)
        .order_by(*kinds)
    )


def judged_since(card: str, since: datetime) -> Select[Any]:
    """The statement that counts decisions whose newest verdict was given then or later."""
    of = decisions.c
    same = (of.id == judged.c.decision_id) & (of.decided_at == judged.c.decided_at)
    found = select(func.count()).select_from(judged.join(decisions, same))
    return found.where(of.card == card, judged.c.given_at >= since)


def of_row(row: Any) -> Tally:
    """A tally as the database gives it."""
    day = row.day if isinstance(row.day, date) else (_FIRST_DAY + timedelta(days=row.day)).date()
    return Tally(day, row.model_version, row.prediction, row.rows)
