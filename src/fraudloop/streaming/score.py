"""`transactions` → `decisions`: each transaction decided once, whatever is killed when."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

from confluent_kafka import KafkaError, Message

from fraudloop.serving.live import Live
from fraudloop.streaming import dead, messages
from fraudloop.streaming.cluster import Cluster
from fraudloop.streaming.metrics import Metrics
from fraudloop.streaming.sink import FencedError, Sink
from fraudloop.streaming.source import Source
from fraudloop.streaming.stopping import Backoff

GROUP = "fraudloop-score-{}"  # of a topic: another one is read by others
HEARS_OF_A_TWIN = 3.0  # seconds, some heartbeats: by then the group has told who is the older one


@dataclass(frozen=True)
class Batches:
    """How many messages are taken at once, and how long those that are there wait for more."""

    most: int
    seconds: float


class Scoring:
    """One scorer: reads, decides and writes until it is asked to stop.

    `name` is that of its transactions; `instance` its place in the group, if it has one of its own.
    """

    def __init__(
        self,
        cluster: Cluster,
        live: Live,
        batches: Batches,
        metrics: Metrics,
        stop: threading.Event,
        *,
        name: str,
        instance: str | None = None,
    ) -> None:
        self._topics = cluster.settings
        self._live = live
        self._log = cluster.log
        self._metrics = metrics
        self._stop = stop
        self._backoff = Backoff(stop)
        self._cut = False
        self._sink = Sink(cluster, name, stop)
        self._source = Source(
            cluster,
            self._topics.transactions,
            GROUP.format(self._topics.transactions),
            most=batches.most,
            seconds=batches.seconds,
            instance=instance,
        )

    def run(self) -> None:
        """Go on until asked to stop; what is not committed by then, another one will do."""
        try:
            while not self._stop.is_set():
                taken = self._source.batch()
                if taken:
                    self._do(taken)
                self._metrics.look_at(self._source)
        finally:
            self._source.close()
            self._sink.close()

    def _do(self, taken: list[Message]) -> None:
        began = time.perf_counter()
        snapshot = self._live.snapshot  # taken once: a batch has one model
        read = messages.read(snapshot.dialects, [each.value() for each in taken])
        at = messages.now()
        decided = messages.NOTHING
        if read.asked is not None:
            decided = messages.decide(snapshot.scorer, read.asked, read.values, at)
        letters = [
            dead.letter(taken[each.place], each.reason, self._topics.dead, at, cut=self._cut)
            for each in read.poison
        ]
        try:
            fault = self._sink.write(
                self._topics.decisions, decided.messages, letters, self._source.offsets()
            )
        except FencedError:
            self._require_no_twin()
            self._sink.renew()
            self._again()
            return
        if fault is not None:
            self._cut |= fault.code() == KafkaError.MSG_SIZE_TOO_LARGE
            self._again()
            return
        self._backoff.over()
        self._metrics.scored(decided.scores)
        self._metrics.did(
            time.perf_counter() - began,
            min(each.timestamp()[1] for each in (taken[0], taken[-1])) / 1000,
            legitimate=len(decided.messages) - decided.frauds,
            fraud=decided.frauds,
            dead=len(letters),
        )
        for each in read.poison[:1]:
            place = taken[each.place]
            self._log(
                "dead letters",
                level="warning",
                messages=len(letters),
                first={"partition": place.partition(), "offset": place.offset()},
            )

    def _again(self) -> None:
        """Nothing of the batch has come through: go back, and do it again."""
        self._metrics.again()
        self._source.rewind()
        self._backoff.wait()

    def _require_no_twin(self) -> None:
        """Tell a twin, before which we step back, from a transaction that was open too long."""
        end = time.monotonic() + HEARS_OF_A_TWIN
        self._source.hold()
        while time.monotonic() < end:
            self._source.tick(HEARS_OF_A_TWIN / 10)
        self._source.go_on()
