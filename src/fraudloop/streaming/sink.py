"""Messages, and the offsets of what they were made from, in one transaction or not at all."""

from __future__ import annotations

import queue
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fraudloop.errors import StreamError
from fraudloop.streaming.cluster import LARGEST_DEAD, Cluster, reason_of, refused
from fraudloop.streaming.source import FENCED, Offsets

ANSWER = 5.0  # seconds that one call waits before it is made again
STUCK = 20.0  # seconds after which a transaction is given up
# After so long Kafka aborts an open transaction, and who reads committed waits no longer.
OPEN_AT_MOST = 10_000  # milliseconds

Headers = list[tuple[str, str | bytes | None]]


class Letter(NamedTuple):
    """A message with headers, to any topic."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: Headers


class FencedError(StreamError):
    """Kafka holds this producer for one of the past."""


class Sink:
    """A transactional producer: what it writes is seen together with the offsets, or never.

    One that failed is never mended: another of the same name takes its place, before which Kafka
    aborts, or ends, whatever the old one left open.
    """

    def __init__(self, cluster: Cluster, name: str, stop: threading.Event) -> None:
        self._cluster = cluster
        self._name = name
        self._stop = stop
        self._shaken = False
        self._producer: Producer | None = self._made()

    def write(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        letters: Sequence[Letter],
        read: Offsets,
    ) -> KafkaError | None:
        """Write, and commit what was `read` with it; the error if it is not known to have come.

        Then whoever reads has to go back to what is committed.
        """
        if self._producer is not None:
            self._producer.poll(0)  # what was heard meanwhile
        if self._producer is None or self._shaken:
            self.renew()
        producer = self._producer
        if producer is None:
            return KafkaError(KafkaError._TIMED_OUT)
        fault = _within(STUCK, lambda: _written(producer, topic, messages, letters, read))
        if fault is None:
            self._cluster.outage.ends()
            return None
        self.close()
        denied = refused(fault)
        if denied is not None:
            raise denied
        if fault.fatal() or fault.code() in FENCED:
            raise FencedError(
                f"another producer took the name {self._name} ({reason_of(fault)}): "
                "give each process its own --instance"
            )
        self._cluster.log("transaction given up", level="warning", message=reason_of(fault))
        return fault

    def close(self) -> None:
        """End the producer, without waiting for it: what it left open, Kafka aborts in time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            _in_background(lambda: _end(producer))

    def renew(self) -> None:
        """Begin anew as a producer of the same name, unless asked to stop before Kafka answers."""
        self.close()
        self._shaken = False
        self._producer = self._made()

    def _made(self) -> Producer | None:
        producer = Producer(
            self._cluster.config(
                self._heard,
                transactional_id=self._name,
                transaction_timeout_ms=OPEN_AT_MOST,
                linger_ms=2,
                batch_size=512 * 1024,
                batch_num_messages=20_000,
                queue_buffering_max_messages=1_000_000,
                message_max_bytes=LARGEST_DEAD,
                partitioner="murmur2_random",
                retry_backoff_ms=20,
            )
        )
        while not self._stop.is_set():
            fault = _within(STUCK, lambda: producer.init_transactions(ANSWER))
            if fault is None:
                return producer
            denied = refused(fault)
            if denied is not None:
                raise denied
            if not fault.retriable():
                raise StreamError(f"Kafka begins no transactions ({reason_of(fault)}): try again")
            self._cluster.outage.begins(f"{reason_of(fault)}: waiting")
            self._stop.wait(0.2)
        return None

    def _heard(self, error: KafkaError) -> None:
        """A connection that was lost between two transactions is no base for the next one."""
        if error.code() == KafkaError._ALL_BROKERS_DOWN:
            self._shaken = True
            self._cluster.outage.begins("no broker answers: waiting for one")


def _written(
    producer: Producer,
    topic: str,
    messages: list[dict[str, Any]],
    letters: Sequence[Letter],
    read: Offsets,
) -> None:
    producer.begin_transaction()
    if messages and producer.produce_batch(topic, messages) < len(messages):
        raise KafkaException(next(each["_error"] for each in messages if "_error" in each))
    for letter in letters:
        producer.produce(letter.topic, letter.value, letter.key, headers=letter.headers)
    _insist(lambda: producer.send_offsets_to_transaction(read.positions, read.metadata, ANSWER))
    _insist(lambda: producer.commit_transaction(ANSWER))


def _insist(call: Callable[[], None]) -> None:
    """Make a call again for as long as Kafka only is slow."""
    end = time.monotonic() + STUCK
    while True:
        try:
            call()
            return
        except KafkaException as error:
            if not _fault_of(error).retriable() or time.monotonic() > end:
                raise


def _within(seconds: float, work: Callable[[], None]) -> KafkaError | None:
    """Do something; what went wrong, if anything did, or that it takes too long.

    librdkafka's calls have time limits of their own, and do not always keep them: one that asks a
    coordinator which was lost while nothing was under way waits for ever.
    """
    ended: queue.SimpleQueue[Exception | None] = queue.SimpleQueue()

    def run() -> None:
        try:
            work()
        except Exception as error:  # it is for who waits
            ended.put(error)
        else:
            ended.put(None)

    _in_background(run)
    try:
        error = ended.get(timeout=seconds)
    except queue.Empty:
        return KafkaError(KafkaError._TIMED_OUT, f"no answer within {seconds:g} s")
    if error is None:
        return None
    if isinstance(error, KafkaException):
        return _fault_of(error)
    raise error


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _end(producer: Producer) -> None:
    with warnings.catch_warnings(), suppress(KafkaException, RuntimeError):
        warnings.simplefilter("ignore")
        producer.purge()
        producer.close()


class Post:
    """Sends letters of their own, outside any transaction: after a crash perhaps once more."""

    def __init__(self, cluster: Cluster) -> None:
        self._failed: list[KafkaError] = []
        self._producer = Producer(
            cluster.config(
                enable_idempotence=True,
                message_max_bytes=LARGEST_DEAD,
                partitioner="murmur2_random",
            )
        )

    def send(self, letters: Sequence[Letter], stop: threading.Event) -> bool:
        """Have Kafka keep all of them; False if it does not."""
        self._failed = []
        for each in letters:
            self._producer.produce(
                each.topic, each.value, each.key, headers=each.headers, on_delivery=self._heard
            )
        while letters and self._producer.flush(1.0):
            if stop.is_set():
                return False
        for fault in self._failed:
            denied = refused(fault)
            if denied is not None:
                raise denied
        return not self._failed

    def close(self) -> None:
        """End the producer."""
        self._producer.purge()
        self._producer.close()

    def _heard(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self._failed.append(error)


def _fault_of(error: KafkaException) -> KafkaError:
    fault: KafkaError = error.args[0]
    return fault
