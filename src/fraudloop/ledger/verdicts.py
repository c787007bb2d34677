"""Verdicts: added by people, never changed; the newest counts, all stay."""

from __future__ import annotations

from sqlalchemy import Connection, and_, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from fraudloop.errors import DataError, NoDecisionError
from fraudloop.ledger import rows, statements
from fraudloop.ledger.records import Judgement, Verdict
from fraudloop.ledger.tables import decision_ids, decisions, judged, verdicts

LONGEST_WHY = 4_000


def check(given: Judgement) -> None:
    """Refuse what cannot be a verdict."""
    if given.true_value not in (0, 1):
        raise DataError(f"the true value is {given.true_value!r}: give 0 (legitimate) or 1 (fraud)")
    rows.check_name(given.by, "the name of who judges")
    why = given.why
    if not why.strip() or len(why) > LONGEST_WHY or "\0" in why or not rows.is_text(why):
        raise DataError(f"a verdict says why, in 1 to {LONGEST_WHY:,} characters: give the reason")
    rows.check_moment(given.at, "the time of a verdict")


def add(connection: Connection, asked: Judgement) -> Verdict:
    """Add a verdict, in a transaction that writes."""
    id, true_value, at = asked.id, asked.true_value, asked.at
    of = decision_ids if connection.dialect.name == "postgresql" else decisions
    known = rows.can_be_an_id(id)
    decided_at = connection.scalar(select(of.c.decided_at).where(of.c.id == id)) if known else None
    if decided_at is None:
        raise NoDecisionError(f"there is no decision {id[:80]!r} in the ledger: check its id")
    given = {"decision_id": id, "true_value": true_value, "given_at": at}
    adding = insert(verdicts).values(**given, given_by=asked.by, why=asked.why)
    number = connection.scalars(adding.returning(verdicts.c.number)).one()
    own = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    newest = own(judged).values(**given, decided_at=decided_at, number=number)
    said = newest.excluded
    connection.execute(
        newest.on_conflict_do_update(
            index_elements=["decision_id"],
            set_={name: said[name] for name in ("number", "true_value", "given_at")},
            # Two at once come here one after the other: the later of them stays.
            where=or_(
                said.given_at > judged.c.given_at,
                and_(said.given_at == judged.c.given_at, said.number > judged.c.number),
            ),
        )
    )
    return Verdict(number, id, true_value, asked.by, asked.why, at)


def is_there(connection: Connection, asked: Judgement) -> bool:
    """Whether this person said this at this time before."""
    same = (
        (verdicts.c.decision_id == asked.id)
        & (verdicts.c.true_value == asked.true_value)
        & (verdicts.c.given_by == asked.by)
        & (verdicts.c.given_at == asked.at)
    )
    return connection.scalar(select(verdicts.c.number).where(same).limit(1)) is not None


def history(connection: Connection, id: str) -> tuple[Verdict, ...]:
    """All verdicts on a decision, in the order in which they count: the last is the newest."""
    found = connection.execute(
        select(*verdicts.c)
        .where(verdicts.c.decision_id == id)
        .order_by(verdicts.c.given_at, verdicts.c.number)
    )
    return tuple(statements.verdict(row) for row in found)
