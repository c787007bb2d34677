"""The alerts that the ledger owes → people: grouped, ranked, no more than can be looked at.

A message is settled in the ledger after it was sent, so that a teller that dies may tell twice and
never forgets. Each channel is owed by itself: one that fails is tried again, later and later, and
keeps neither the others nor the stream waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter

from fraudloop.errors import AlertError, LedgerError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Held, Told
from fraudloop.serving.log import Log
from fraudloop.settings import Alerting
from fraudloop.streaming.mail import Mail
from fraudloop.streaming.notice import Notice, one_line, ranked, top_reasons
from fraudloop.streaming.webhook import Hook

HOLD = timedelta(minutes=5)  # longer than any channel takes
FIRST_WAIT = timedelta(seconds=2)
LONGEST_WAIT = timedelta(minutes=5)
COUNTED_EVERY = timedelta(hours=1)  # between messages that list nothing
CONSIDERED = 2_000  # of the highest scores, where an amount ranks them
LOOK_EVERY = 2.0  # seconds: other processes owe alerts too
LOOK_AFTER = 0.2  # seconds, at the soonest
LISTED_IN_LOG = 10
STOP_WITHIN = 10.0  # seconds


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """What the ledger calls it."""

    def send(self, notice: Notice) -> str:
        """Tell of it, or raise an AlertError; gives what else is to be said in the log."""


class InLog:
    """The channel that is there where no other is set: a line of the log, without any values."""

    name = "log"

    def __init__(self, log: Log) -> None:
        self._log = log

    def send(self, notice: Notice) -> str:
        """Write it."""
        listed = [
            {"id": one_line(each.id)[:100], "score": each.score, "reasons": top_reasons(each)}
            for each in notice.frauds[:LISTED_IN_LOG]
        ]
        self._log("fraud alert", level="warning", message=notice.headline, frauds=listed)
        return ""


def channels(settings: Alerting, log: Log) -> list[Channel]:
    """The channels that the settings name; the log if they name none."""
    named: list[Channel] = []
    if settings.mail is not None:
        named.append(Mail(settings.mail))
    if settings.webhook is not None:
        named.append(Hook(settings.webhook))
    return named or [InLog(log)]


@dataclass
class _Line:
    """How it stands with one channel."""

    channel: Channel
    owed_since: datetime | None = None
    not_before: datetime | None = None
    wait: timedelta = FIRST_WAIT
    sent: tuple[Held, int, datetime] | None = None  # and not yet settled in the ledger

    def failed(self, now: datetime) -> timedelta:
        """Note a failure; gives how long to wait."""
        wait, self.wait = self.wait, min(2 * self.wait, LONGEST_WAIT)
        self.not_before = now + wait
        return wait

    def went_well(self) -> None:
        """Note a success."""
        self.owed_since, self.not_before, self.wait = None, None, FIRST_WAIT


class Counted:
    """What was told, for Prometheus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.messages = Counter(
            "fraudloop_alert_messages",
            "Messages about frauds, by what became of them.",
            ("channel", "outcome"),
            registry=registry,
        )
        self.alerts = Counter(
            "fraudloop_alerts",
            "Frauds told of: listed one by one, or beyond the day's capacity.",
            ("channel", "how"),
            registry=registry,
        )


@dataclass
class Teller:
    """Tells each channel of what it owes, when that is due.

    Several may tell of one ledger, in as many processes, if they have the same settings.
    """

    ledger: Ledger
    channels: Sequence[Channel]
    settings: Alerting
    log: Log
    counted: Counted = field(default_factory=lambda: Counted(CollectorRegistry()))
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _woken: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        """Begin with nothing known."""
        self._lines = [_Line(each) for each in self.channels]
        self._names = [each.name for each in self.channels]
        self._settled = False
        self._ledger_away = False

    def wake(self) -> None:
        """More may be owed: look soon. It does not wait for anything."""
        self._woken.set()

    def run(self, stop: threading.Event) -> None:
        """Tell until asked to stop, whatever happens meanwhile."""
        while not stop.is_set():
            self.look()
            self._woken.wait(LOOK_EVERY)
            self._woken.clear()
            stop.wait(LOOK_AFTER)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Tell meanwhile, in a thread of its own."""
        stop = threading.Event()
        thread = threading.Thread(target=self.run, args=(stop,), name="alerts", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self.wake()
            # What is being sent and not settled then, is owed again after a while.
            thread.join(STOP_WITHIN)

    def look(self, *, at_once: bool = False) -> int:
        """Tell whatever is due, or `at_once` all that is owed; gives how many messages failed."""
        failed = 0
        try:
            if not self._settled:
                self.ledger.alerts.settle(self._names, self.clock())
                self._settled = True
            for line in self._lines:
                now = self.clock()
                if at_once or line.not_before is None or now >= line.not_before:
                    failed += not self._tell(line, now, at_once)
        except LedgerError as error:
            if not self._ledger_away:
                self.log("alerts wait for the ledger", level="warning", message=str(error))
            self._ledger_away = True
            return failed + 1
        if self._ledger_away:
            self.log("alerts go on")
        self._ledger_away = False
        return failed

    def _tell(self, line: _Line, now: datetime, at_once: bool) -> bool:
        """Tell one channel of what it owes, if that is due; False if it could not be told."""
        alerts, name = self.ledger.alerts, line.channel.name
        if line.sent is not None:
            alerts.told(*line.sent, self._names)
            line.sent = None
        if not alerts.is_owed(name, now):
            line.owed_since = None
            return True
        line.owed_since = line.owed_since or now
        if not at_once and now < self._due(line, alerts.told_since(name, midnight(now)), now):
            return True
        held = alerts.take(name, now, HOLD)
        if held is None:
            return True
        try:
            told = alerts.told_since(name, midnight(now))  # another teller may have been faster
            if not at_once and now < self._due(line, told, now):
                alerts.give_back(held)
                return True
            notice = self._notice(held, told, now)
            more = line.channel.send(notice)
        except Exception as error:
            self._could_not(line, held, error)
            if isinstance(error, LedgerError):
                raise
            return False
        line.went_well()
        line.sent = held, len(notice.frauds), now
        self.counted.messages.labels(name, "told").inc()
        self.counted.alerts.labels(name, "listed").inc(len(notice.frauds))
        self.counted.alerts.labels(name, "beyond").inc(notice.beyond)
        said = {"message": more} if more else {}
        self.log("alert told", channel=name, count=held.count, listed=len(notice.frauds), **said)
        alerts.told(*line.sent, self._names)
        line.sent = None
        return True

    def _could_not(self, line: _Line, held: Held, error: Exception) -> None:
        wait = line.failed(self.clock())
        self.counted.messages.labels(line.channel.name, "failed").inc()
        with suppress(LedgerError):  # else it is owed again after a while
            self.ledger.alerts.give_back(held)
        # Of an error that nobody foresaw only its kind: its words may hold anything.
        ours = isinstance(error, AlertError | LedgerError)
        reason = str(error) if ours else f"a {type(error).__name__}, which nobody foresaw"
        self.log(
            "alert not told",
            level="warning",
            channel=line.channel.name,
            count=held.count,
            message=reason,
            again_in_seconds=wait.total_seconds(),
        )

    def _due(self, line: _Line, told: Told, now: datetime) -> datetime:
        """When the next message of a channel may be sent."""
        group, every = (
            timedelta(seconds=each) for each in (self.settings.group, self.settings.every)
        )
        due = (line.owed_since or now) + group
        if told.last_at is None:
            return due
        if told.listed >= self.settings.capacity:
            tomorrow = midnight(now) + timedelta(days=1)
            return max(due, min(told.last_at + max(every, COUNTED_EVERY), tomorrow))
        return max(due, told.last_at + every)

    def _notice(self, held: Held, told: Told, now: datetime) -> Notice:
        room = max(0, self.settings.capacity - told.listed)
        amount = self.settings.amount
        most = max(room, CONSIDERED) if amount is not None and room else room
        found = [each.decision for each in self.ledger.alerts.riskiest(held, most)] if most else []
        listed = ranked(found, amount)[:room]
        return Notice(
            id=held.id,
            at=now,
            frauds=tuple(listed),
            count=held.count,
            capacity=self.settings.capacity,
            listed_today=told.listed + len(listed),
            beyond_today=told.beyond + held.count - len(listed),
        )


def midnight(moment: datetime) -> datetime:
    """When the day of a moment began; days are UTC's."""
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
