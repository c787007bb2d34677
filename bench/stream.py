"""`make bench-stream`: the stream against a real broker and a real PostgreSQL, on this machine.

What is measured of scoring is one process beside a bare loop that only consumes and produces, both
in Kafka's transactions, one after the other on the same topic. The model and the transactions are
synthetic: the figures are about the code.
"""

from __future__ import annotations

import os
import re
import shutil
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
from typing import Any

import numpy as np
from confluent_kafka import Consumer, Producer

from fraudloop.ledger import migrate
from fraudloop.settings import Kafka
from fraudloop.streaming.replay import synthetic, transactions
from tests import brokers, databases
from tests.fitted import ROOT, card

MANY = int(os.environ.get("MANY", "200000"))
LATENCY_SECONDS = 20
OFFERED = 1_000  # a second
BATCH = 5_000
STEP = [sys.executable, "-m", "fraudloop", "stream"]


def main() -> None:
    """Measure, and print what came out."""
    base = Path(tempfile.mkdtemp(prefix="fraudloop-bench-"))
    base.chmod(0o755)
    (base / "kafka").mkdir()
    broker = brokers.started(base / "kafka")
    server = _postgres(base)
    try:
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
        _say("cores", os.cpu_count(), "load", round(os.getloadavg()[0], 1))
        bare = _bare(settings)
        _say(f"bare loop: {bare:,.0f} transactions/s")
        scored = _until_done("score", environment, MANY, "fraudloop_stream_messages_total")
        _say(
            f"score: {scored['rate']:,.0f} transactions/s ({scored['rate'] / bare:.2f} of the bare "
            f"loop), {scored['cpu'] * 1e6:.1f} µs of CPU each"
        )
        stored = _until_done("store", environment, MANY, "fraudloop_stream_messages_total")
        _say(f"store: {stored['rate']:,.0f} rows/s, {stored['cpu'] * 1e6:.1f} µs of CPU each")
        _latencies(topics, environment, server, url)
    finally:
        server.stop("immediate")
        broker.stop()
        shutil.rmtree(base, ignore_errors=True)


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


def _until_done(name: str, environment: dict[str, str], many: int, metric: str) -> dict[str, float]:
    """The rate and the CPU of a step between its first batch and its last."""
    with _step(name, environment) as (_, port):
        first: tuple[float, float, float] | None = None
        while True:
            time.sleep(0.05)
            found = _metrics(port)
            if found is None or found.get(metric, 0.0) == 0.0:
                continue
            now = (time.perf_counter(), found[metric], found["process_cpu_seconds_total"])
            first = first or now
            if now[1] >= many:
                done = now[1] - first[1]
                return {"rate": done / (now[0] - first[0]), "cpu": (now[2] - first[2]) / done}


def _latencies(topics: brokers.Topics, environment: dict[str, str], server: Any, url: str) -> None:
    """How old a transaction is when its decision can be read, and when the ledger has it."""
    columns = synthetic(card(), seed=2, rows=OFFERED * LATENCY_SECONDS)
    due = list(transactions(card(), columns, "latency"))
    sent: dict[str, float] = {}
    decided: dict[str, float] = {}
    over = threading.Event()

    def listen() -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": topics.settings.servers,
                "group.id": "latency",
                "auto.offset.reset": "latest",
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        consumer.subscribe([topics.settings.decisions])
        while not over.is_set():
            for message in consumer.consume(1_000, 0.005):
                decided[(message.key() or b"").decode()] = time.time()
        consumer.close()

    listening = threading.Thread(target=listen)
    listening.start()
    with _step("score", environment), _step("store", environment):
        time.sleep(15)  # until both have their partitions
        producer = Producer({"bootstrap.servers": topics.settings.servers, "linger.ms": 2})
        began = time.time()
        for number, each in enumerate(due):
            wait = began + number / OFFERED - time.time()
            if wait > 0:
                producer.poll(0)
                time.sleep(wait)
            sent[each.key] = time.time()
            producer.produce(topics.settings.transactions, each.value, each.key)
        producer.flush(60)
        time.sleep(5)
        kept = _kept(server, url)
        over.set()
        listening.join()
        producer.close()
    fresh = [key for number, key in enumerate(sent) if number > 2 * OFFERED]  # warm by then
    to_topic = np.array([decided[key] - sent[key] for key in fresh if key in decided]) * 1000
    _say(
        f"at {OFFERED:,}/s: p50 {np.percentile(to_topic, 50):.0f} ms, "
        f"p99 {np.percentile(to_topic, 99):.0f} ms from produce to a decision that can be read "
        f"({len(to_topic):,} of {len(fresh):,})"
    )
    to_ledger = np.array([kept[key] - sent[key] for key in fresh if key in kept]) * 1000
    _say(
        f"at {OFFERED:,}/s: p50 {np.percentile(to_ledger, 50):.0f} ms, "
        f"p99 {np.percentile(to_ledger, 99):.0f} ms from produce to the ledger "
        f"({len(to_ledger):,} of {len(fresh):,})"
    )


def _kept(server: Any, url: str) -> dict[str, float]:
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


def _postgres(base: Path) -> databases.Postgres:
    folder = databases.binaries()
    if folder is None:
        raise SystemExit("PostgreSQL is not installed")
    [port] = brokers.free_ports(1)
    home = base / "postgres"
    home.mkdir()
    if os.geteuid() == 0:
        shutil.chown(home, databases.USER, databases.USER)
    server = databases.Postgres(folder, home / "data", port)
    databases._as_owner(folder / "initdb", "-D", server.data, "-A", "trust", "-U", databases.USER)
    with (server.data / "postgresql.conf").open("a") as file:
        file.write("track_commit_timestamp = on\n")
    server.start()
    return server


def _say(*parts: object) -> None:
    print(*parts, flush=True)


if __name__ == "__main__":
    main()
