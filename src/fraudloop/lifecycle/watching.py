"""The scheduler as one process: it runs what was asked for, and asks when a trigger fires."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from fraudloop.errors import FraudloopError, LedgerError, OpenJobError, StoppedError
from fraudloop.ledger.ledger import Ledger
from fraudloop.lifecycle import asking, facts, triggers
from fraudloop.lifecycle.beating import Heart
from fraudloop.lifecycle.retrain import Site, run_next

if TYPE_CHECKING:
    from fraudloop.ledger.records import Job

POLL = 2.0  # seconds between two looks for jobs
BY = "watch"
KIND = "watch"


@dataclass
class Watcher:
    """What one process remembers; all that must last is in the ledger."""

    site: Site
    every: float  # seconds between two looks at the triggers
    looked_at: float | None = None
    said: dict[str, str] = field(default_factory=dict)
    job: Job | None = None  # by which it is known in the ledger that it is there

    def run(self) -> None:
        """Watch until told to end; whatever is away meanwhile is waited for."""
        while not self.site.stop.is_set():
            try:
                with Ledger.open(self.site.ledger) as ledger:
                    self._there(ledger)
            except StoppedError:
                return
            except FraudloopError as error:
                self.say_once("away", f"waiting: {error}")
            self.site.stop.wait(POLL)

    def _there(self, ledger: Ledger) -> None:
        """Be the card's watcher, until told to end or the ledger goes away."""
        job = self.job = _begun(self.site, ledger, self.job)
        with Heart(ledger.jobs, job.id, self.site.clock) as heart:
            heart.say(0.0, "watching")
            self.say_once("away", "watching")
            try:
                while not self.site.stop.is_set():
                    try:
                        self.tick(ledger)
                        self.said.pop("tick", None)
                    except LedgerError:
                        raise
                    except StoppedError:
                        break
                    except (FraudloopError, OSError) as error:  # the registry is away, a disk full
                        self.say_once("tick", str(error))
                    self.site.stop.wait(POLL)
            finally:
                heart.stop()
                _ended(self.site, ledger, job)

    def tick(self, ledger: Ledger) -> Job | None:
        """Run what waits; else look whether it is time to ask. Gives the job that was run."""
        done = run_next(self.site, ledger)
        if done is not None:
            self.site.say(f"job {done.id}: {done.state}: {done.message}")
            return done
        if self.looked_at is not None and time.monotonic() - self.looked_at < self.every:
            return None
        found = look(self.site, ledger)
        self.looked_at = time.monotonic()
        self.say_once("triggers", found)
        return None

    def say_once(self, about: str, sentence: str) -> None:
        """Say something that was not said the last time."""
        if self.said.get(about) != sentence:
            self.said[about] = sentence
            self.site.say(sentence)


def look(site: Site, ledger: Ledger, by: str = BY) -> str:
    """Ask for a training if a trigger fires and none is open; gives what was found."""
    found = triggers.answer(facts.gather(site, ledger), triggers.rules_of(site.params))
    if not found.due:
        return f"no training: {found.why}"
    try:
        card, at = site.card.id, site.clock()
        job = asking.ask(ledger, card, asking.RETRAIN, by=by, why=found.why, at=at)
    except OpenJobError as error:
        return f"no training besides: {error}"
    return f"job {job.id} was asked for ({found.why})"


def _begun(site: Site, ledger: Ledger, own: Job | None) -> Job:
    """Be the one watcher of the card: another that lives is an OpenJobError."""
    lane, now = asking.watching_lane(site.card.id), site.clock()
    found = ledger.jobs.open_in(lane)
    if own is not None and found is not None and found.id == own.id:  # the ledger was away
        return found
    ledger.jobs.lose(lane, now - asking.SILENT, now)
    _drop_unclaimed(ledger, lane, now)
    ledger.jobs.create(lane, KIND, BY, "watching", now)
    claimed = ledger.jobs.claim(lane, now)
    if claimed is None:  # somebody was quicker by a moment
        raise OpenJobError("another watcher has just begun: one is enough", "")
    return claimed


def _drop_unclaimed(ledger: Ledger, lane: str, now: datetime) -> None:
    """Close what a watcher left that died between asking and claiming."""
    job = ledger.jobs.open_in(lane)
    if job is not None and job.state == "queued" and now - job.created_at > asking.SILENT:
        claimed = ledger.jobs.claim(lane, now)
        if claimed is not None:
            ledger.jobs.finish(claimed.id, done=False, message="never began", detail={}, at=now)


def _ended(site: Site, ledger: Ledger, job: Job) -> None:
    try:
        ledger.jobs.finish(job.id, done=True, message="ended", detail={}, at=site.clock())
    except LedgerError as error:  # it will be taken for gone
        site.say(str(error))
