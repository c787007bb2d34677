"""The ledger: every decision once, and what people said of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from sqlalchemy import ColumnElement, Engine, Select, select

from fraudloop.errors import DataError, LedgerError, NoDecisionError
from fraudloop.ledger import faults, migrate, place, rows, statements, tallies, verdicts
from fraudloop.ledger.accounts import Accounts
from fraudloop.ledger.alerts import Alerts
from fraudloop.ledger.audit import Audit
from fraudloop.ledger.drift import DriftReports
from fraudloop.ledger.jobs import Jobs
from fraudloop.ledger.keep import PostgresKeeper, SqliteKeeper
from fraudloop.ledger.records import (
    NEWEST,
    RISKIEST,
    Decision,
    Filters,
    Judgement,
    Kept,
    Order,
    Page,
    Verdict,
)
from fraudloop.ledger.tables import decision_ids, decisions
from fraudloop.ledger.tallies import Tally

MOST_ON_A_PAGE = 1_000
CONFIRMED_AT_ONCE = 1_000
LOOKED_UP_AT_ONCE = 500
EVERYTHING = Filters()


class Ledger:
    """The database of decisions and verdicts; any number of threads may use one.

    What stands around the decisions has a part of its own: `alerts`, `audit`, `drift`, `jobs`,
    `users`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = place.writing(engine)
        self._dialect = engine.dialect.name
        self.where = place.shown(engine.url)
        self._keeper = (
            PostgresKeeper(engine) if self._dialect == "postgresql" else SqliteKeeper(engine)
        )
        self.alerts = Alerts(engine, self.where)
        self.audit = Audit(engine, self.where)
        self.drift = DriftReports(engine, self.where)
        self.jobs = Jobs(engine, self.where)
        self.users = Accounts(engine, self.where)

    @classmethod
    def open(cls, url: str, seconds: float | None = None) -> Self:
        """The ledger at this address, whose tables must be those of this program.

        What it is asked ends after `seconds`, if they are given.
        """
        where = place.parsed(url)
        file = place.file_of(where)
        if file is not None and not file.is_file():
            raise LedgerError(f"there is no ledger at {file}: run `fraudloop ledger migrate`")
        engine = place.made(where, seconds)
        try:
            migrate.refuse_other_revisions(engine, place.shown(where))
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def close(self) -> None:
        """Give all connections back; a second time does nothing."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        """Open it is already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it, whatever happened."""
        self.close()

    def keep(self, decisions: Sequence[Decision], *, card: str, owe_alerts: bool = False) -> int:
        """Keep decisions, all or none of them; gives how many were new.

        One whose id the ledger has is left as it is, with its verdicts. With `owe_alerts`, each new
        fraud is owed an alert until `alerts` is told that it was given.
        """
        rows.check_name(card, "a dataset card")
        once = rows.once(decisions)
        if not once:
            return 0
        with faults.told(self.where):
            return self._keeper.keep(once, card, owe_alerts)

    def find(self, id: str) -> Kept | None:
        """A decision with all verdicts on it."""
        if not rows.can_be_an_id(id):
            return None
        with faults.told(self.where), self._engine.begin() as connection:
            wanted = statements.with_verdict().where(decisions.c.id == id)
            if self._dialect == "postgresql":
                decided_at = connection.scalar(
                    select(decision_ids.c.decided_at).where(decision_ids.c.id == id)
                )
                wanted = wanted.where(decisions.c.decided_at == decided_at)
            row = connection.execute(wanted).first()
            return None if row is None else statements.kept(row, verdicts.history(connection, id))

    def known(self, ids: Sequence[str]) -> dict[str, Kept]:
        """Those of these decisions that the ledger has, by their ids."""
        found: list[Kept] = []
        able = [id for id in dict.fromkeys(ids) if rows.can_be_an_id(id)]
        with faults.told(self.where), self._engine.begin() as connection:
            for start in range(0, len(able), LOOKED_UP_AT_ONCE):
                wanted: ColumnElement[bool] = decisions.c.id.in_(
                    able[start : start + LOOKED_UP_AT_ONCE]
                )
                if self._dialect == "postgresql":  # an id does not say in which partition it is
                    of = decision_ids.c
                    there = of.id.in_(able[start : start + LOOKED_UP_AT_ONCE])
                    moments = connection.scalars(select(of.decided_at).where(there).distinct())
                    wanted = wanted & decisions.c.decided_at.in_(moments.all())
                read = connection.execute(statements.with_verdict().where(wanted))
                found += map(statements.kept, read)
        return {each.decision.id: each for each in found}

    def page(
        self,
        filters: Filters = EVERYTHING,
        after_key: str | None = None,
        limit: int = 50,
        order: Order = NEWEST,
    ) -> Page:
        """Decisions that pass the filters, newest or riskiest first, from a key on."""
        if not 0 < limit <= MOST_ON_A_PAGE:
            raise DataError(f"a page of {limit} decisions: ask for 1 to {MOST_ON_A_PAGE:,}")
        asked = (filters, order, after_key, limit + 1, self._dialect)
        risky = order == RISKIEST  # an index has these; the rest is looked at if they are too few
        found = self._read(statements.page(*asked, risky=risky))
        if risky and len(found) <= limit:
            found = self._read(statements.page(*asked))
        if len(found) <= limit:
            return Page(tuple(found), None)
        last = found[limit - 1].decision
        value = last.decided_at if order == NEWEST else last.score
        return Page(tuple(found[:limit]), statements.key_text(order, value, last.id))

    def _read(self, statement: Select[Any]) -> list[Kept]:
        with faults.told(self.where), self._engine.begin() as connection:
            return [statements.kept(row) for row in connection.execute(statement)]

    def judge(self, id: str, true_value: int, by: str, why: str, at: datetime) -> Verdict:
        """Add a verdict on a decision; those before it stay."""
        asked = Judgement(id, true_value, by, why, at)
        verdicts.check(asked)
        with faults.told(self.where), self._writing.begin() as connection:
            return verdicts.add(connection, asked)

    def judge_all(
        self, asked: Sequence[Judgement]
    ) -> list[Verdict | DataError | NoDecisionError | None]:
        """Add many verdicts in one transaction; for each that cannot be, why.

        None says that the ledger has it: the same person said the same at the same time.
        """
        answers: list[Verdict | DataError | NoDecisionError | None] = []
        with faults.told(self.where), self._writing.begin() as connection:
            for each in asked:
                try:
                    verdicts.check(each)
                    known = rows.can_be_an_id(each.id) and verdicts.is_there(connection, each)
                    answers.append(None if known else verdicts.add(connection, each))
                except (DataError, NoDecisionError) as error:
                    answers.append(error)
        return answers

    def confirmed(self, card: str) -> Iterator[Kept]:
        """The judged decisions of a card with their newest verdicts, the oldest first."""
        wanted = statements.confirmed(card)
        with faults.told(self.where), self._engine.begin() as connection:
            streamed = connection.execution_options(yield_per=CONFIRMED_AT_ONCE)
            for row in streamed.execute(wanted):
                yield statements.kept(row)

    def judged_since(self, card: str, since: datetime) -> int:
        """How many decisions of a card had their newest verdict given then or later."""
        with faults.told(self.where), self._engine.begin() as connection:
            return int(connection.scalar(tallies.judged_since(card, since)) or 0)

    def tallies(self, card: str, since: datetime, until: datetime) -> tuple[Tally, ...]:
        """How many decisions each day had of each model version and prediction."""
        with faults.told(self.where), self._engine.begin() as connection:
            found = connection.execute(tallies.by_day(card, since, until, self._dialect))
            return tuple(map(tallies.of_row, found))
