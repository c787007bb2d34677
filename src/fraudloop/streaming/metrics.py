"""What a streaming process counts, for Prometheus, on a port of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.process_collector import ProcessCollector

from fraudloop.errors import StreamError
from fraudloop.serving.metrics import SCORES, ScoreHistogram

SIZES = (1, 10, 100, 500, 1_000, 2_000, 5_000, 10_000)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0)
LOOKED_AT_EVERY = 1.0  # seconds


class Read(Protocol):
    """A topic that is being read."""

    topic: str

    def lag(self) -> dict[int, int]:
        """What is still to be read, by partition."""


class Metrics:
    """The metrics of one process, which does one `step` of the stream."""

    def __init__(self, step: str) -> None:
        self._step = step
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._messages = Counter(
            "fraudloop_stream_messages",
            "Messages done with, by what became of them.",
            ("step", "outcome"),
            registry=registry,
        )
        self._size = self._histogram("batch_messages", "Messages of a batch.", SIZES)
        self._seconds = self._histogram(
            "batch_seconds", "From a batch's last message to its commit.", SECONDS
        )
        self._age = self._histogram(
            "age_seconds", "How old the oldest message of a batch was at its commit.", SECONDS
        )
        self._lag = Gauge(
            "fraudloop_stream_lag",
            "Messages that are still to be read.",
            ("topic", "partition"),
            registry=registry,
        )
        self._retries = Counter(
            "fraudloop_stream_retries",
            "Batches that had to be done again.",
            ("step",),
            registry=registry,
        ).labels(step)
        self._reloads = Counter(
            "fraudloop_reloads", "Bundles taken or not taken.", ("outcome",), registry=registry
        )
        self._scores = ScoreHistogram(
            "fraudloop_score", "Scores given.", buckets=SCORES, registry=registry
        )
        self._looked = 0.0
        self._partitions: set[int] = set()

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        made = Histogram(
            f"fraudloop_stream_{name}", what, ("step",), buckets=buckets, registry=self.registry
        )
        return made.labels(self._step)

    def did(self, seconds: float, oldest: float | None, **outcomes: int) -> None:
        """Count a batch: how long it took, when its oldest message was made, what became of all."""
        self._size.observe(sum(outcomes.values()))
        self._seconds.observe(seconds)
        if oldest is not None:
            self._age.observe(max(0.0, time.time() - oldest))
        for outcome, many in outcomes.items():
            self._messages.labels(self._step, outcome).inc(many)

    def scored(self, scores: list[float]) -> None:
        """Count scores."""
        import numpy as np

        self._scores.observe_many(np.array(scores))

    def again(self) -> None:
        """Count a batch that has to be done again."""
        self._retries.inc()

    def reloaded(self, outcome: str) -> None:
        """Count a bundle that was taken, or refused."""
        self._reloads.labels(outcome).inc()

    def look_at(self, read: Read) -> None:
        """Note how far behind we are, once a second."""
        now = time.monotonic()
        if now - self._looked < LOOKED_AT_EVERY:
            return
        self._looked = now
        lag = read.lag()
        for partition in self._partitions - set(lag):
            self._lag.remove(read.topic, str(partition))
        for partition, messages in lag.items():
            self._lag.labels(read.topic, str(partition)).set(messages)
        self._partitions = set(lag)


@contextmanager
def shown(metrics: Metrics, host: str, port: int | None) -> Iterator[int | None]:
    """Answer GET /metrics on a port meanwhile, which is given; 0 takes a free one."""
    if port is None:
        yield None
        return
    try:
        server, thread = start_http_server(port, host, metrics.registry)
    except OSError as error:
        raise StreamError(
            f"no metrics on {host}:{port} ({error.strerror}): name another --metrics-port"
        ) from error
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
