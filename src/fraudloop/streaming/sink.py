"""Messages, and the offsets of what they were made from, in one transaction or not at all."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from fraudloop.errors import StreamError
from fraudloop.streaming.cluster import LARGEST_DEAD, Cluster, reason_of, refused
from fraudloop.streaming.source import Offsets

ANSWER = 5.0  # seconds that one call waits before it is made again
LAST_TRY = 15.0  # seconds a transaction may still take when we are asked to stop
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
    """A transactional producer: what it writes is seen together with the offsets, or never."""

    def __init__(self, cluster: Cluster, name: str, stop: threading.Event) -> None:
        self._cluster = cluster
        self._name = name
        self._stop = stop
        self._producer = self._made()

    def write(
        self,
        topic: str,
        messages: list[dict[str, Any]],
        letters: Sequence[Letter],
        read: Offsets,
    ) -> KafkaError | None:
        """Write, and commit what was `read` with it; the error if nothing came of it.

        Then whoever reads has to go back, and to do its work again.
        """
        producer = self._producer
        try:
            producer.begin_transaction()
            if messages and producer.produce_batch(topic, messages) < len(messages):
                raise KafkaException(next(each["_error"] for each in messages if "_error" in each))
            for letter in letters:
                producer.produce(letter.topic, letter.value, letter.key, headers=letter.headers)
            self._insist(
                lambda: producer.send_offsets_to_transaction(read.positions, read.metadata, ANSWER)
            )
            self._insist(lambda: producer.commit_transaction(ANSWER))
        except KafkaException as error:
            self._abort(_fault_of(error))
            return _fault_of(error)
        self._cluster.outage.ends()
        return None

    def close(self) -> None:
        """End the producer; a transaction that is still open is aborted by Kafka, in time."""
        self._producer.purge()
        self._producer.close()

    def renew(self) -> None:
        """Begin anew as a producer of the same name: whatever the old one left open is aborted."""
        self.close()
        self._producer = self._made()

    def _made(self) -> Producer:
        producer = Producer(
            self._cluster.config(
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
        self._insist(lambda: producer.init_transactions(ANSWER))
        return producer

    def _insist(self, call: Callable[[], None]) -> None:
        """Make a call again for as long as Kafka only is slow, or away."""
        waited = 0.0
        while True:
            try:
                call()
                return
            except KafkaException as error:
                fault = _fault_of(error)
                if not fault.retriable():
                    raise
                waited += ANSWER
                if self._stop.is_set() and waited > LAST_TRY:
                    raise
                self._cluster.outage.begins(f"{reason_of(fault)}: waiting")
                self._stop.wait(0.1)

    def _abort(self, error: KafkaError) -> None:
        denied = refused(error)
        if denied is not None:
            raise denied
        if error.fatal():
            raise FencedError(
                f"another producer took the name {self._name} ({reason_of(error)}): "
                "give each process its own --instance"
            )
        self._cluster.log("aborted", level="warning", message=reason_of(error))
        try:
            self._insist(lambda: self._producer.abort_transaction(ANSWER))
        except KafkaException as again:
            if again.args[0].fatal():
                self._abort(again.args[0])
            if not self._stop.is_set():
                self.renew()


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
