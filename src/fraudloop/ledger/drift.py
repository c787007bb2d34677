"""Reports on drift, as monitoring made them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import Engine, insert, select

from fraudloop.errors import LedgerError
from fraudloop.ledger import faults, place
from fraudloop.ledger.records import DriftReport
from fraudloop.ledger.statements import beyond
from fraudloop.ledger.tables import drift_reports as reports


class DriftReports:
    """The reports, the newest first."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._writing = place.writing(engine)
        self._where = where

    def put(self, report: DriftReport) -> None:
        """Keep a report; one that is there is not replaced."""
        values = {column.name: getattr(report, column.name) for column in reports.c}
        values["found"] = int(report.found)
        with faults.told(self._where):
            try:
                with self._writing.begin() as connection:
                    connection.execute(insert(reports).values(**values))
            except Exception as error:
                if not faults.is_known_already(error):
                    raise
                raise LedgerError(
                    f"the ledger has a drift report {report.id!r} already: give it another id"
                ) from error

    def get(self, id: str) -> DriftReport | None:
        """A report."""
        found = self._read(select(reports).where(reports.c.id == id)) if "\0" not in id else ()
        return found[0] if found else None

    def of_day(self, day: date, card: str | None = None) -> tuple[DriftReport, ...]:
        """The reports made on a day (UTC)."""
        begin = datetime.combine(day, time(), UTC)
        within = (reports.c.made_at >= begin) & (reports.c.made_at < begin + timedelta(days=1))
        return self._read(_newest().where(within, _of(card)))

    def newest(
        self, limit: int, before: DriftReport | None = None, card: str | None = None
    ) -> tuple[DriftReport, ...]:
        """The last reports; those made before one, if it is given."""
        wanted = _newest().where(_of(card)).limit(limit)
        if before is not None:
            key = reports.c.made_at, reports.c.id
            wanted = wanted.where(beyond(key, (before.made_at, before.id)))
        return self._read(wanted)

    def _read(self, wanted: Any) -> tuple[DriftReport, ...]:
        with faults.told(self._where), self._engine.begin() as connection:
            return tuple(
                DriftReport(row.id, row.card, row.made_at, bool(row.found), row.report)
                for row in connection.execute(wanted)
            )


def _newest() -> Any:
    return select(reports).order_by(reports.c.made_at.desc(), reports.c.id.desc())


def _of(card: str | None) -> Any:
    return reports.c.card == card if card is not None else True
