"""Alerts that are owed: written with the decisions, gone only when every channel told of them.

One sender at a time holds what a channel still owes, up to a bound; it tells of it in one
message, and settles it by that message's id. A sender that dies with it loses nothing: after a
while it is owed as before.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, and_, func, insert, or_, select, update

from fraudloop.ledger import faults, place, statements
from fraudloop.ledger.records import Held, Kept, Told
from fraudloop.ledger.tables import alert_messages as messages
from fraudloop.ledger.tables import alerts_owed as owed
from fraudloop.ledger.tables import decisions

STATEMENT_IDS = 1_000
HELD_AT_ONCE = 100_000  # what a database settles well within a statement's time
# The same for all who take, so that of two at once the second sees what the first did.
_TAKING = select(func.pg_advisory_xact_lock(0x66726175))


class Alerts:
    """What is owed, by channel: `mail`, `webhook`, whatever tells people."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._writing = place.writing(engine)
        self._where = where

    def take(self, channel: str, now: datetime, hold: timedelta) -> Held | None:
        """All that this channel owes; nobody else gets it until it is settled, or `hold` ends.

        None if nothing is owed, or another sender holds what this channel owes. Of more than
        `HELD_AT_ONCE` the riskiest are taken.
        """
        id = f"{channel}-{secrets.token_hex(8)}"
        held = and_(
            owed.c.told_at.is_(None),
            owed.c.held_by.startswith(f"{channel}-", autoescape=True),
            owed.c.held_until > now,
        )
        with faults.told(self._where), self._writing.begin() as connection:
            if self._engine.dialect.name == "postgresql":
                connection.execute(_TAKING)  # SQLite has one writer
            if connection.scalar(select(owed.c.decision_id).where(held).limit(1)) is not None:
                return None
            riskiest = (
                select(owed.c.decision_id)
                .where(_owes(channel), _free(now))
                .order_by(owed.c.score.desc())
                .limit(HELD_AT_ONCE)
            )
            took = connection.execute(
                update(owed)
                .where(owed.c.decision_id.in_(riskiest), owed.c.told_at.is_(None))
                .values(held_by=id, held_until=now + hold)
            )
        return Held(id, channel, took.rowcount) if took.rowcount else None

    def riskiest(self, held: Held, most: int) -> tuple[Kept, ...]:
        """Those with the highest scores among what is held."""
        wanted = (
            select(owed.c.decision_id)
            .where(_is_held(held))
            .order_by(owed.c.score.desc(), owed.c.decision_id)
            .limit(most)
        )
        with faults.told(self._where), self._engine.begin() as connection:
            ids = connection.scalars(wanted).all()
            found: list[Kept] = []
            for start in range(0, len(ids), STATEMENT_IDS):
                found += _decisions(connection, ids[start : start + STATEMENT_IDS])
        return tuple(found)

    def told(self, held: Held, listed: int, at: datetime, channels: Collection[str]) -> int:
        """Say that a message told of what is held, `listed` of them one by one; gives how many.

        They are owed no more once all `channels` told of them.
        """
        others = [_was_told_by(each) for each in channels if each != held.channel]
        how = func.coalesce(owed.c.told_how, " ") + f"{held.channel} "
        with faults.told(self._where), self._writing.begin() as connection:
            given = {"held_by": None, "held_until": None, "told_how": how}
            complete = _is_held(held) if not others else and_(_is_held(held), *others)
            done = connection.execute(update(owed).where(complete).values(told_at=at, **given))
            part = connection.execute(update(owed).where(_is_held(held)).values(**given))
            counted = done.rowcount + part.rowcount
            if counted:  # else another sender told of them, after our time was over
                row = {"id": held.id, "channel": held.channel, "sent_at": at}
                connection.execute(insert(messages), [row | {"listed": listed, "counted": counted}])
        return counted

    def give_back(self, held: Held) -> int:
        """Say that it could not be told: it is owed at once, not only when `hold` ends."""
        values = {"held_by": None, "held_until": None}
        return self._change(update(owed).where(_is_held(held)).values(**values))

    def settle(self, channels: Collection[str], at: datetime) -> int:
        """Close what all `channels` told of: there may have been others, that are gone."""
        told_by_all = and_(owed.c.told_at.is_(None), *(_was_told_by(each) for each in channels))
        return self._change(update(owed).where(told_by_all).values(told_at=at))

    def is_owed(self, channel: str, now: datetime) -> bool:
        """Whether `take` would find anything, for all we know."""
        wanted = select(owed.c.decision_id).where(_owes(channel), _free(now)).limit(1)
        with faults.told(self._where), self._engine.begin() as connection:
            return connection.scalar(wanted) is not None

    def waiting(self, channel: str | None = None) -> int:
        """How many are owed, by a channel or by any."""
        wanted = owed.c.told_at.is_(None) if channel is None else _owes(channel)
        with faults.told(self._where), self._engine.begin() as connection:
            return connection.scalar(select(func.count()).select_from(owed).where(wanted)) or 0

    def told_since(self, channel: str, moment: datetime) -> Told:
        """What a channel told of since then: so a day's capacity outlives a restart."""
        of = messages.c.channel == channel
        sums = select(
            func.coalesce(func.sum(messages.c.listed), 0),
            func.coalesce(func.sum(messages.c.counted), 0),
        ).where(of, messages.c.sent_at >= moment)
        last = select(messages.c.sent_at).where(of).order_by(messages.c.sent_at.desc()).limit(1)
        with faults.told(self._where), self._engine.begin() as connection:
            listed, counted = connection.execute(sums).one()
            return Told(int(listed), int(counted), connection.scalar(last))

    def _change(self, statement: Any) -> int:
        with faults.told(self._where), self._writing.begin() as connection:
            return connection.execute(statement).rowcount


def _was_told_by(channel: str) -> ColumnElement[bool]:
    return func.coalesce(owed.c.told_how, " ").contains(f" {channel} ", autoescape=True)


def _owes(channel: str) -> ColumnElement[bool]:
    return and_(owed.c.told_at.is_(None), ~_was_told_by(channel))


def _free(now: datetime) -> ColumnElement[bool]:
    return or_(owed.c.held_until.is_(None), owed.c.held_until <= now)


def _is_held(held: Held) -> ColumnElement[bool]:
    """What this sender holds, even after its time if nobody took it since."""
    return and_(owed.c.told_at.is_(None), owed.c.held_by == held.id)


def _decisions(connection: Connection, ids: Collection[str]) -> list[Kept]:
    same = and_(owed.c.decision_id == decisions.c.id, owed.c.decided_at == decisions.c.decided_at)
    wanted = (
        statements.with_verdict()
        .join(owed, same)
        .where(owed.c.decision_id.in_(ids))
        .order_by(owed.c.score.desc(), owed.c.decision_id)
    )
    return [statements.kept(row) for row in connection.execute(wanted)]
