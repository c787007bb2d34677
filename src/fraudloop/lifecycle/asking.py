"""Asking for a retrain: the job, whose turn it is, and whether anybody is there to run it.

Light enough for a server, which asks and never trains.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.ledger.records import Job

Kind = Literal["retrain", "initial training"]
RETRAIN: Kind = "retrain"
INITIAL: Kind = "initial training"
# A watcher that was not heard of for so long is gone; it says that it is there every few seconds.
SILENT = timedelta(seconds=60)
LONGEST_REASON = 1_000


def training_lane(card: str) -> str:
    """Where trainings on a card stand: one at a time is open."""
    return f"train {card}"


def watching_lane(card: str) -> str:
    """Where the watcher of a card says that it is there."""
    return f"watch {card}"


def ask(ledger: Ledger, card: str, kind: Kind, *, by: str, why: str, at: datetime) -> Job:
    """Ask for a training; an OpenJobError names the one that is open already."""
    return ledger.jobs.create(training_lane(card), kind, by, why, at)


def is_watched(ledger: Ledger, card: str, now: datetime) -> bool:
    """Whether a `fraudloop watch` is there to run what is asked for."""
    found = ledger.jobs.open_in(watching_lane(card))
    return found is not None and found.seen_at is not None and now - found.seen_at < SILENT


def trainings(ledger: Ledger, card: str, limit: int, before: Job | None = None) -> tuple[Job, ...]:
    """The trainings that were last asked for, the newest first."""
    return ledger.jobs.newest(limit, before, training_lane(card))


def as_json(job: Job) -> dict[str, Any]:
    """A job as programs read it."""
    moments = {name: getattr(job, name) for name in ("created_at", "seen_at", "finished_at")}
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "asked_by": job.asked_by,
        "reason": job.why,
        **{name: None if at is None else at.isoformat() for name, at in moments.items()},
        "progress": round(job.progress, 3),
        "message": job.message,
        "detail": dict(job.detail),
    }
