"""The steps of the stream as processes: from their settings until they are asked to stop."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fraudloop.dataset.card import Card
from fraudloop.ledger.ledger import Ledger
from fraudloop.model import manifest as manifests
from fraudloop.serving.live import Live
from fraudloop.serving.log import Log
from fraudloop.settings import Kafka, Serving
from fraudloop.streaming.cluster import Cluster
from fraudloop.streaming.metrics import Metrics, shown
from fraudloop.streaming.poll import is_source, polled
from fraudloop.streaming.produce import Producing
from fraudloop.streaming.redrive import Redriven, Redriving, Wish
from fraudloop.streaming.reload import kept_current
from fraudloop.streaming.replay import (
    Pace,
    Transaction,
    at_most,
    from_file,
    rounds,
    synthetic,
)
from fraudloop.streaming.score import Batches, Scoring
from fraudloop.streaming.stopping import asked_to_stop
from fraudloop.streaming.store import Storing


@dataclass(frozen=True)
class Options:
    """What a step is started with; `instance` is its own name, over restarts."""

    most: int
    seconds: float
    instance: str | None = None
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = None

    @property
    def batches(self) -> Batches:
        """How messages are taken."""
        return Batches(self.most, self.seconds)


def score(settings: Kafka, bundle: Path, sha256: str | None, options: Options) -> None:
    """Decide transactions until asked to stop."""
    log = Log()
    live = Live(bundle, sha256=sha256, most_rows=options.most, threads=Serving.read().threads)
    cluster = Cluster(settings, log)
    cluster.require(settings.transactions, settings.decisions, settings.dead)
    metrics = Metrics("score")
    with (
        asked_to_stop() as stop,
        shown(metrics, options.metrics_host, options.metrics_port) as port,
        kept_current(live, log, metrics),
    ):
        scoring = Scoring(
            cluster,
            live,
            options.batches,
            metrics,
            stop,
            name=f"{settings.transactions}-{name_of(options.instance)}",
            instance=options.instance,
        )
        gc.collect()
        gc.freeze()  # what is loaded stays
        version = live.snapshot.bundle.version
        log("scoring", model_version=version, metrics_port=port, process=os.getpid())
        scoring.run()
    log("stopped", process=os.getpid())


@dataclass(frozen=True)
class Replay:
    """What is sent: the rows of a file, or of the card's synthetic table; how fast, how many."""

    source: str | None = None
    every: float = 1.0
    rows: int | None = None
    rate: float = 0.0
    speed: float = 0.0
    count: int | None = None
    forever: bool = False
    prefix: str | None = None


def produce(settings: Kafka, card: Card, seed: int, replay: Replay) -> int:
    """Send transactions until there are no more, or asked to stop; how many Kafka has."""
    log = Log()
    with asked_to_stop() as stop:
        due = _due(card, seed, replay, log, stop)
        cluster = Cluster(settings, log)
        cluster.require(settings.transactions)
        pace = Pace(rate=replay.rate, speed=replay.speed)
        return Producing(cluster, stop).run(due, pace)


def _due(
    card: Card, seed: int, replay: Replay, log: Log, stop: threading.Event
) -> Iterator[Transaction | None]:
    if replay.source is not None and is_source(replay.source):
        return at_most(replay.count, polled(replay.source, replay.every, card, log, stop))
    if replay.source is not None:
        columns = from_file(Path(replay.source), card)
    else:
        columns = synthetic(card, seed=seed, rows=replay.rows)
    prefix = replay.prefix or datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return at_most(replay.count, rounds(card, columns, forever=replay.forever, prefix=prefix))


def redrive(settings: Kafka, wish: Wish) -> Redriven:
    """Send dead letters back to where they came from."""
    cluster = Cluster(settings, Log())
    cluster.require(settings.transactions, settings.decisions, settings.dead)
    with asked_to_stop() as stop:
        return Redriving(cluster, wish, stop).run()


def store(settings: Kafka, url: str, bundle: Path, options: Options) -> None:
    """Take decisions into the ledger until asked to stop."""
    log = Log()
    card = manifests.parse((bundle / manifests.NAME).read_bytes(), str(bundle)).card
    cluster = Cluster(settings, log)
    cluster.require(settings.decisions, settings.dead)
    metrics = Metrics("store")
    with (
        Ledger.open(url) as ledger,
        asked_to_stop() as stop,
        shown(metrics, options.metrics_host, options.metrics_port) as port,
    ):
        storing = Storing(
            cluster, ledger, card.id, options.batches, metrics, stop, instance=options.instance
        )
        log("storing", ledger=ledger.where, metrics_port=port, process=os.getpid())
        storing.run()
    log("stopped", process=os.getpid())


def name_of(instance: str | None) -> str:
    """A name that no other process that runs has."""
    return instance or f"{socket.gethostname()}-{os.getpid()}"
