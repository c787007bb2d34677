"""Verdicts: added by people, never changed; the newest counts, all stay."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, and_, insert, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from fraudloop.errors import DataError, NoDecisionError
from fraudloop.ledger import rows, statements
from fraudloop.ledger.records import Verdict
from fraudloop.ledger.tables import decision_ids, decisions, judged, verdicts

LONGEST_WHY = 4_000


def checked(true_value: int, by: str, why: str, at: datetime) -> None:
    """Refuse what cannot be a verdict."""
    if true_value not in (0, 1):
        raise DataError(f"the true value is {true_value!r}: give 0 (legitimate) or 1 (fraud)")
    rows.check_name(by, "the name of who judges")
    if not why.strip() or len(why) > LONGEST_WHY or "\0" in why:
        raise DataError(f"a verdict says why, in 1 to {LONGEST_WHY:,} characters: give the reason")
    rows.moment_of(at, "the time of a verdict")


def add(
    connection: Connection, id: str, true_value: int, by: str, why: str, at: datetime
) -> Verdict:
    """Add a verdict, in a transaction that writes."""
    of = decision_ids if connection.dialect.name == "postgresql" else decisions
    decided_at = connection.scalar(select(of.c.decided_at).where(of.c.id == id))
    if decided_at is None:
        raise NoDecisionError(f"there is no decision {id[:80]!r} in the ledger: check its id")
    given = {"decision_id": id, "true_value": true_value, "given_at": at}
    adding = insert(verdicts).values(**given, given_by=by, why=why)
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
    return Verdict(number, id, true_value, by, why, at)


def history(connection: Connection, id: str) -> tuple[Verdict, ...]:
    """All verdicts on a decision, in the order in which they count: the last is the newest."""
    found = connection.execute(
        select(*verdicts.c)
        .where(verdicts.c.decision_id == id)
        .order_by(verdicts.c.given_at, verdicts.c.number)
    )
    return tuple(statements.verdict(row) for row in found)
