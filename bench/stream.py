"""`make bench-stream`: the stream against a real broker and a real PostgreSQL, on this machine.

What is measured of scoring is one process beside a bare loop that only consumes and produces, both
in Kafka's transactions, one after the other on the same topic. The model and the transactions are
synthetic: the figures are about the code.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from confluent_kafka import Consumer, Producer

from fraudloop.ledger import migrate
from fraudloop.settings import Kafka
from fraudloop.streaming.replay import Transaction, synthetic, transactions
from tests import brokers, databases
from tests.fitted import ROOT, card

MANY = int(os.environ.get("MANY", "200000"))
LATENCY_SECONDS = 20
OFFERED = 1_000  # a second
BATCH = 5_000
DONE = "fraudloop_stream_messages_total"
STEP = [sys.executable, "-m", "fraudloop", "stream"]


def main() -> None:
    """Measure, and print what came out."""
    with tempfile.TemporaryDirectory(prefix="fraudloop-bench-") as folder:
        broker = brokers.started(Path(folder))
        try:
            with databases.running(durable=True) as server:
                _measure(broker, server)
        finally:
            broker.stop()


def _measure(broker: brokers.Broker, server: databases.Postgres) -> None:
    server.run("ALTER SYSTEM SET track_commit_timestamp = on")
    server.stop()
    server.start()
    url = server.fresh()
    migrate.migrate(url)
    columns = synthetic(card(), seed=1, rows=50_000)
    due = [
        (each.key, each.value)
        for number in range(-(-MANY // 50_000))
        for each in transactions(card(), columns, f"b{number}")
    ][:MANY]
    settings = Kafka(servers=broker.servers)
    topics = brokers.Topics(broker, settings)
    topics.create(*topics.names, "bare")
    topics.send_keyed(settings.transactions, due)
    environment = {**os.environ, **topics.environment, "LEDGER_URL": url}
    _say(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, synthetic data")
    bare = _bare(settings)
    _say(f"bare loop: {bare:,.0f} transactions/s")
    scored = _until_done("score", environment)
    _say(
        f"score: {scored['rate']:,.0f} transactions/s ({scored['rate'] / bare:.2f} of the bare "
        f"loop), {scored['cpu'] * 1e6:.1f} µs of CPU each"
    )
    stored = _until_done("store", environment)
    _say(f"store: {stored['rate']:,.0f} rows/s, {stored['cpu'] * 1e6:.1f} µs of CPU each")
    _latencies(topics, environment, server, url)


def _bare(settings: Kafka) -> float:
    """Transactions a second of a loop that does nothing but consume and produce."""
    producer = Producer(
        {
            "bootstrap.servers": settings.servers,
            "transactional.id": "bare",
            "linger.ms": 2,
            "batch.size": 512 * 1024,
            "batch.num.messages": 20_000,
            "queue.buffering.max.messages": 1_000_000,
            "retry.backoff.ms": 20,
        }
    )
    producer.init_transactions()
    consumer = Consumer(
        {
            "bootstrap.servers": settings.servers,
            "group.id": "bare",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.subscribe([settings.transactions])
    done, began = 0, 0.0
    while done < MANY:
        taken = consumer.consume(1, 0.5)
        if not taken:
            continue
        began = began or time.perf_counter()
        taken += consumer.consume(BATCH - 1, 0.005)
        producer.begin_transaction()
        producer.produce_batch("bare", [{"value": m.value(), "key": m.key()} for m in taken])
        producer.send_offsets_to_transaction(
            consumer.position(consumer.assignment()), consumer.consumer_group_metadata()
        )
        producer.commit_transaction()
        done += len(taken)
    seconds = time.perf_counter() - began
    consumer.close()
    return done / seconds


@contextmanager
def _step(name: str, environment: dict[str, str]) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A step that runs, and where its metrics are."""
    [port] = brokers.free_ports(1)
    bundle = str(ROOT / "ml" / "output" / "credit-card-fraud")
    step = subprocess.Popen(
        [*STEP, name, "--bundle", bundle, "--metrics-port", str(port)],
        env=environment,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield step, port
    finally:
        step.send_signal(signal.SIGTERM)
        step.wait(60)


def _until_done(name: str, environment: dict[str, str]) -> dict[str, float]:
    """The rate and the CPU of a step between its first batch and its last."""
    with _step(name, environment) as (_, port):
        first: tuple[float, float, float] | None = None
        while True:
            time.sleep(0.05)
            found = _metrics(port)
            if found is None or found.get(DONE, 0.0) == 0.0:
                continue
            now = (time.perf_counter(), found[DONE], found["process_cpu_seconds_total"])
            first = first or now
            if now[1] >= MANY:
                done = now[1] - first[1]
                return {"rate": done / (now[0] - first[0]), "cpu": (now[2] - first[2]) / done}


def _latencies(
    topics: brokers.Topics, environment: dict[str, str], server: databases.Postgres, url: str
) -> None:
    """How old a transaction is when its decision can be read, and when the ledger has it."""
    columns = synthetic(card(), seed=2, rows=OFFERED * LATENCY_SECONDS)
    due = list(transactions(card(), columns, "latency"))
    decided: dict[str, float] = {}
    over = threading.Event()
    listening = threading.Thread(target=_listen, args=(topics.settings, decided, over))
    listening.start()
    with _step("score", environment), _step("store", environment):
        time.sleep(15)  # until both have their partitions
        sent = _offer(topics.settings, due)
        time.sleep(5)
        kept = _kept(server, url)
    over.set()
    listening.join()
    fresh = [key for number, key in enumerate(sent) if number > 2 * OFFERED]  # warm by then
    for what, at in (("a decision that can be read", decided), ("the ledger", kept)):
        ages = np.array([at[key] - sent[key] for key in fresh if key in at]) * 1000
        _say(
            f"at {OFFERED:,}/s, from produce to {what}: p50 {np.percentile(ages, 50):.0f} ms, "
            f"p99 {np.percentile(ages, 99):.0f} ms ({len(ages):,} of {len(fresh):,})"
        )


def _offer(settings: Kafka, due: list[Transaction]) -> dict[str, float]:
    """Send transactions at an even pace; when each was sent."""
    producer = Producer({"bootstrap.servers": settings.servers, "linger.ms": 2})
    sent = {}
    began = time.time()
    for number, each in enumerate(due):
        wait = began + number / OFFERED - time.time()
        if wait > 0:
            producer.poll(0)
            time.sleep(wait)
        sent[each.key] = time.time()
        producer.produce(settings.transactions, each.value, each.key)
    producer.flush(60)
    producer.close()
    return sent


def _listen(settings: Kafka, decided: dict[str, float], over: threading.Event) -> None:
    """Note when each decision can be read."""
    consumer = Consumer(
        {
            "bootstrap.servers": settings.servers,
            "group.id": "latency",
            "auto.offset.reset": "latest",
            "isolation.level": "read_committed",
            "fetch.wait.max.ms": 10,
        }
    )
    consumer.subscribe([settings.decisions])
    while not over.is_set():
        for message in consumer.consume(1_000, 0.005):
            decided[(message.key() or b"").decode()] = time.time()
    consumer.close()


def _kept(server: databases.Postgres, url: str) -> dict[str, float]:
    """When PostgreSQL committed each row, which it notes itself."""
    found = server.run(
        "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM decisions "
        "WHERE id LIKE 'latency%'",
        url.rpartition("/")[2],
    )
    return {str(id): float(at) for id, at in found}


def _metrics(port: int) -> dict[str, float] | None:
    """The metrics of a step, those of several labels added up; None before it answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    found: dict[str, float] = {}
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


def _say(*parts: object) -> None:
    print(*parts, flush=True)


if __name__ == "__main__":
    main()
