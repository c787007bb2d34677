"""`decisions` → the ledger: offsets committed after the database's transaction, each id once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec
from confluent_kafka import Message
from msgspec import Struct

from fraudloop.errors import DataError, LedgerAwayError, LedgerError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision
from fraudloop.streaming import dead
from fraudloop.streaming.cluster import Cluster, Outage
from fraudloop.streaming.messages import now
from fraudloop.streaming.metrics import Metrics
from fraudloop.streaming.score import Batches
from fraudloop.streaming.sink import Post
from fraudloop.streaming.source import Source
from fraudloop.streaming.stopping import Backoff

GROUP = "fraudloop-store-{}"  # of a topic


class Alerts(Protocol):
    """Gives the alerts that the ledger owes."""

    def wake(self) -> None:
        """More are owed: called after the transaction that owes them, and must not wait."""


class Written(Struct, gc=False):
    """A decision as `score` writes it."""

    id: str | int
    transaction: dict[str, Any]
    score: float
    prediction: int
    model_version: str
    decided_at: datetime
    reasons: list[dict[str, Any]] | None = None


class Kept(NamedTuple):
    """How many decisions were new to the ledger; and of each, why it does not take it, or None."""

    new: int
    reasons: list[str | None]


class Storing:
    """Takes decisions into the ledger until it is asked to stop.

    With `alerts` each fraud owes one, in the same transaction of the database. `kept` is told of
    each batch, and how many of it were new.
    """

    def __init__(
        self,
        cluster: Cluster,
        ledger: Ledger,
        card: str,
        batches: Batches,
        metrics: Metrics,
        stop: threading.Event,
        *,
        instance: str | None = None,
        alerts: Alerts | None = None,
        kept: Callable[[Sequence[Decision], int], None] | None = None,
    ) -> None:
        self._topics = cluster.settings
        self._cluster = cluster
        self._ledger = ledger
        self._card = card
        self._metrics = metrics
        self._stop = stop
        self._alerts = alerts
        self._tell = kept
        self._away = Outage(cluster.log, "ledger")
        self._decode = msgspec.json.Decoder(Written).decode
        self._post = Post(cluster)
        self._source = Source(
            cluster,
            self._topics.decisions,
            GROUP.format(self._topics.decisions),
            most=batches.most,
            seconds=batches.seconds,
            instance=instance,
        )

    def run(self) -> None:
        """Go on until asked to stop; what the ledger has and Kafka does not know comes twice."""
        try:
            while not self._stop.is_set():
                taken = self._source.batch()
                if taken:
                    self._do(taken)
                self._metrics.look_at(self._source)
        finally:
            self._source.close()
            self._post.close()

    def _do(self, taken: list[Message]) -> None:
        began = time.perf_counter()
        read = [self._read(message) for message in taken]
        decisions = [each for each in read if isinstance(each, Decision)]
        kept = self._insist(decisions)
        if kept is None:
            return
        reasons = iter(kept.reasons)
        letters = [
            dead.letter(message, reason, self._topics.dead, now())
            for message, each in zip(taken, read, strict=True)
            if (reason := next(reasons) if isinstance(each, Decision) else each) is not None
        ]
        if not self._post.send(letters, self._stop) or not self._source.commit():
            self._metrics.again()
            self._source.rewind()
            return
        if self._tell is not None:
            self._tell(decisions, kept.new)
        if self._alerts is not None and any(each.prediction for each in decisions):
            self._alerts.wake()
        oldest = decisions[0].decided_at.timestamp() if decisions else None
        known = len(taken) - len(letters) - kept.new
        seconds = time.perf_counter() - began
        self._metrics.did(seconds, oldest, new=kept.new, known=known, dead=len(letters))
        if letters:
            self._cluster.log("dead letters", level="warning", messages=len(letters))

    def _read(self, message: Message) -> Decision | str:
        """The decision in a message, or why there is none."""
        try:
            found = self._decode(message.value() or b"")
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            return f"the message is no decision ({error}): correct it"
        return Decision(
            id=found.id if type(found.id) is str else str(found.id),
            transaction=found.transaction,
            score=found.score,
            prediction=found.prediction,
            model_version=found.model_version,
            decided_at=found.decided_at,
            source="stream",
            reasons=found.reasons,
        )

    def _insist(self, decisions: Sequence[Decision]) -> Kept | None:
        """Keep decisions, waiting for a ledger that is away; None if they are another's now."""
        backoff = Backoff(self._stop)
        while True:
            try:
                kept = self._keep(decisions)
            except LedgerAwayError as error:
                if self._away.since is None:
                    self._source.hold()
                self._away.begins(str(error))
                still_ours = self._source.tick(backoff.seconds())
                if self._stop.is_set() or not still_ours:
                    self._source.go_on()
                    self._source.rewind()
                    return None
            else:
                if self._away.since is not None:
                    self._source.go_on()
                self._away.ends()
                return kept

    def _keep(self, decisions: Sequence[Decision]) -> Kept:
        try:
            return Kept(self._kept(decisions), [None] * len(decisions))
        except LedgerAwayError:
            raise
        except (DataError, LedgerError) as error:
            return self._keep_one_by_one(decisions, error)

    def _keep_one_by_one(self, decisions: Sequence[Decision], why: DataError | LedgerError) -> Kept:
        """Keep those that the ledger takes; if it takes none, it is the ledger that is at fault."""
        new = 0
        reasons: list[str | None] = []
        for each in decisions:
            try:
                new += self._kept([each])
            except LedgerAwayError:
                raise
            except (DataError, LedgerError) as error:
                reasons.append(str(error))
            else:
                reasons.append(None)
        if None not in reasons and isinstance(why, LedgerError):
            raise why
        return Kept(new, reasons)

    def _kept(self, decisions: Sequence[Decision]) -> int:
        owed = self._alerts is not None
        return self._ledger.keep(decisions, card=self._card, owe_alerts=owed)
