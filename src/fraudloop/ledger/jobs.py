"""Long work that people ask for: of each lane, one job at a time is open, whoever asks where."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Engine, insert, select, update
from sqlalchemy.exc import IntegrityError

from fraudloop.errors import OpenJobError
from fraudloop.ledger import faults, place
from fraudloop.ledger.records import Job
from fraudloop.ledger.statements import beyond
from fraudloop.ledger.tables import jobs


class Jobs:
    """Jobs: created by who asks, claimed by who runs them, followed by anybody."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._writing = place.writing(engine)
        self._where = where

    def create(self, lane: str, kind: str, by: str, why: str, at: datetime) -> Job:
        """Ask for a job; an OpenJobError names the one that is still open in its lane."""
        job = Job(secrets.token_hex(8), lane, kind, "queued", by, why, at)
        values = {column.name: getattr(job, column.name) for column in jobs.c}
        with faults.told(self._where):
            try:
                with self._writing.begin() as connection:
                    connection.execute(insert(jobs).values(**values))
            except IntegrityError as error:
                if not faults.is_known_already(error):
                    raise
            else:
                return job
        found = self.open_in(lane)
        if found is None:  # it ended in this moment
            return self.create(lane, kind, by, why, at)
        raise OpenJobError(
            f"job {found.id} ({found.kind}) is still {found.state}: wait for it", found.id
        )

    def claim(self, lane: str, at: datetime) -> Job | None:
        """Take the lane's queued job to run it; of several who try, one gets it."""
        queued = (jobs.c.lane == lane) & (jobs.c.state == "queued")
        return self._change(queued, state="running", seen_at=at)

    def take_over(self, job: Job, at: datetime) -> Job | None:
        """Go on with a running job whose process is gone; of several who try, one gets it."""
        found = _running(job.id) & (jobs.c.seen_at == job.seen_at)
        return self._change(found, seen_at=at)

    def advance(self, id: str, progress: float, message: str, at: datetime) -> bool:
        """Say how far a running job is; False tells that it is not this one's to run any more."""
        values = {"progress": progress, "message": message, "seen_at": at}
        return self._change(_running(id), **values) is not None

    def finish(
        self, id: str, *, done: bool, message: str, detail: Mapping[str, Any], at: datetime
    ) -> bool:
        """Say how a running job ended."""
        values: dict[str, Any] = {"state": "done", "progress": 1.0} if done else {"state": "failed"}
        values |= {"message": message, "detail": detail, "seen_at": at, "finished_at": at}
        return self._change(_running(id), **values) is not None

    def lose(self, lane: str, silent_since: datetime, at: datetime) -> Job | None:
        """Close a running job of which nobody has heard since then: its process is gone."""
        silent = (jobs.c.lane == lane) & (jobs.c.state == "running")
        silent &= jobs.c.seen_at < silent_since
        return self._change(silent, state="lost", message="its process is gone", finished_at=at)

    def open_in(self, lane: str) -> Job | None:
        """The job of a lane that has not ended."""
        return self._first((jobs.c.lane == lane) & jobs.c.finished_at.is_(None))

    def find(self, id: str) -> Job | None:
        """A job."""
        return self._first(jobs.c.id == id) if "\0" not in id else None

    def newest(
        self, limit: int, before: Job | None = None, lane: str | None = None
    ) -> tuple[Job, ...]:
        """The jobs last asked for, the newest first; those asked for before one, if it is given."""
        wanted = select(jobs).order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit)
        if lane is not None:
            wanted = wanted.where(jobs.c.lane == lane)
        if before is not None:
            key = jobs.c.created_at, jobs.c.id
            wanted = wanted.where(beyond(key, (before.created_at, before.id)))
        with faults.told(self._where), self._engine.begin() as connection:
            return tuple(_job(row) for row in connection.execute(wanted))

    def _first(self, which: ColumnElement[bool]) -> Job | None:
        with faults.told(self._where), self._engine.begin() as connection:
            row = connection.execute(select(jobs).where(which)).first()
        return None if row is None else _job(row)

    def _change(self, which: ColumnElement[bool], **values: Any) -> Job | None:
        with faults.told(self._where), self._writing.begin() as connection:
            changed = update(jobs).where(which).values(**values).returning(*jobs.c)
            row = connection.execute(changed).first()
        return None if row is None else _job(row)


def _running(id: str) -> ColumnElement[bool]:
    return (jobs.c.id == id) & (jobs.c.state == "running")


def _job(row: Any) -> Job:
    return Job(**row._mapping)
