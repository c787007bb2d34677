"""The whole stream on one machine with no server: a broker within this process, and SQLite.

librdkafka's broker speaks Kafka's protocol, and keeps only the last few megabytes of a partition:
so no more is sent than can be under way. Its transactions are none; that each decision is kept once
is the ledger's doing here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer

from fraudloop.errors import StreamError
from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision
from fraudloop.serving.live import Live
from fraudloop.serving.log import Log
from fraudloop.settings import Kafka
from fraudloop.streaming.cluster import Cluster
from fraudloop.streaming.metrics import Metrics
from fraudloop.streaming.produce import Producing
from fraudloop.streaming.replay import Pace, at_most, rounds, synthetic
from fraudloop.streaming.score import Batches, Scoring
from fraudloop.streaming.store import Storing

AHEAD = 1_500  # transactions that may be under way: far from what the broker forgets
LATEST = 8  # frauds that are shown
ROWS = 20_000  # of the synthetic table, again and again
LOOKED_AT_EVERY = 0.25  # seconds
ANSWERS_WITHIN = 60.0  # seconds
STUCK = 120.0  # seconds without a decision, while some are under way


@dataclass
class Seen:
    """What has happened so far: written by the steps, read by the view."""

    sent: int = 0
    kept: int = 0
    frauds: int = 0
    latest: list[Decision] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    moved: float = field(default_factory=time.monotonic)

    @property
    def lag(self) -> int:
        """Transactions under way."""
        return max(0, self.sent - self.kept)

    @property
    def rate(self) -> float:
        """Decisions kept a second, since the beginning."""
        return self.kept / max(time.monotonic() - self.began, 0.001)

    def keep(self, decisions: Sequence[Decision], new: int) -> None:
        """Note what the ledger took."""
        frauds = [each for each in decisions if each.prediction]
        self.frauds += len(frauds) if new else 0
        self.latest = [*reversed(frauds), *self.latest][:LATEST]
        self.kept += new
        self.moved = time.monotonic()


@dataclass(frozen=True)
class Demo:
    """What the demo is to do: so many transactions, or no end, at a rate; 0: as fast as it goes."""

    bundle: Path
    ledger: Path
    seed: int
    count: int | None = None
    rate: float = 200.0


def run(demo: Demo, show: Callable[[Seen], None], stop: threading.Event, log: Log) -> Seen:
    """Send, decide and keep transactions until all are kept, or until asked to stop."""
    migrate.migrate(f"sqlite:///{demo.ledger}")
    live = Live(demo.bundle, sha256=None, most_rows=AHEAD, threads=1)
    with _broker() as settings, Ledger.open(f"sqlite:///{demo.ledger}") as ledger:
        return _run(demo, Cluster(settings, log), live, ledger, show, stop)


def _run(
    demo: Demo,
    cluster: Cluster,
    live: Live,
    ledger: Ledger,
    show: Callable[[Seen], None],
    stop: threading.Event,
) -> Seen:
    card, seen, over = live.snapshot.bundle.manifest.card, Seen(), threading.Event()
    batches = Batches(500, 0.01)
    scoring = Scoring(cluster, live, batches, Metrics("score"), over, name="demo")
    storing = Storing(cluster, ledger, card.id, batches, Metrics("store"), over, kept=seen.keep)

    def room(queued: int) -> float:
        seen.sent = queued
        return 0.01 if seen.lag > AHEAD else 0.0

    def produce() -> None:
        columns = synthetic(card, seed=demo.seed, rows=ROWS)
        prefix = f"demo-{time.time_ns() // 1_000_000}"
        due = at_most(demo.count, rounds(card, columns, forever=True, prefix=prefix))
        seen.sent = Producing(cluster, over, room).run(due, Pace(rate=demo.rate))

    faults: list[BaseException] = []
    steps = [
        threading.Thread(target=_guarded, args=(work, faults, over), name=name)
        for name, work in (("produce", produce), ("score", scoring.run), ("store", storing.run))
    ]
    for step in steps:
        step.start()
    try:
        while not over.is_set() and not stop.is_set() and seen.kept != demo.count:
            show(seen)
            over.wait(LOOKED_AT_EVERY)
            if time.monotonic() - seen.moved > STUCK:
                raise StreamError(f"nothing was kept for {STUCK:g} seconds: try again")
    finally:
        over.set()
        for step in steps:
            step.join()
    show(seen)
    if faults:
        raise faults[0]
    return seen


def _guarded(work: Callable[[], None], faults: list[BaseException], over: threading.Event) -> None:
    """Let one step that fails end all of them."""
    try:
        work()
    except BaseException as error:
        faults.append(error)
        over.set()


@contextmanager
def _broker() -> Iterator[Kafka]:
    """A broker within this process, with the topics."""
    holder = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "-", "log_level": 0})
    try:
        found = holder.list_topics(timeout=ANSWERS_WITHIN).brokers.values()
        settings = Kafka(servers=",".join(f"{each.host}:{each.port}" for each in found))
        for topic in (settings.transactions, settings.decisions, settings.dead):
            holder.list_topics(topic, timeout=ANSWERS_WITHIN)  # to ask for it makes it
        yield settings
    finally:
        holder.close()
