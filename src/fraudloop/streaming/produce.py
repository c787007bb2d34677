"""Transactions → `transactions`: each a message of its own, its key the transaction's id."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from confluent_kafka import KafkaError, Message, Producer

from fraudloop.errors import StreamError
from fraudloop.streaming.cluster import Cluster, reason_of, refused
from fraudloop.streaming.replay import Pace, Transaction

WAITS_AT_MOST = 0.5  # seconds at once, so that a signal is heard
FLUSHED_WITHIN = 60.0
Room = Callable[[int], float]


def plenty(sent: int) -> float:
    """A broker that forgets nothing always has room."""
    return 0.0


@dataclass
class Sent:
    """What became of messages: Kafka has them, or does not take them."""

    kept: int = 0
    refused: KafkaError | None = None
    over: bool = field(default=False)

    def heard(self, error: KafkaError | None, message: Message) -> None:
        """What Kafka says of one message."""
        if error is None:
            self.kept += 1
        elif self.refused is None:
            self.refused = error


class Producing:
    """Sends transactions at a pace until there are no more, or it is asked to stop.

    `room` says for how many seconds to wait before the next one, for a broker that forgets.
    """

    def __init__(self, cluster: Cluster, stop: threading.Event, room: Room = plenty) -> None:
        self._cluster = cluster
        self._stop = stop
        self._room = room
        self.sent = Sent()
        self._producer = Producer(
            cluster.config(
                enable_idempotence=True,
                linger_ms=5,
                batch_size=512 * 1024,
                queue_buffering_max_messages=100_000,
                partitioner="murmur2_random",
                delivery_timeout_ms=2_147_483_647,  # a broker that is away is waited for
                allow_auto_create_topics=True,
            )
        )

    def run(self, transactions: Iterable[Transaction | None], pace: Pace) -> int:
        """Send them; how many Kafka has. None among them stands for nothing just now."""
        topic = self._cluster.settings.transactions
        queued = 0
        try:
            for each in transactions:
                if each is None:
                    self._producer.poll(0)
                    self._look()
                    continue
                if not self._wait(pace.seconds_until(each)) or not self._has_room(queued):
                    break
                self._send(topic, each)
                queued += 1
                if queued % 1000 == 0:
                    self._producer.poll(0)
                    self._look()
        finally:
            self._producer.flush(1.0 if self._stop.is_set() else FLUSHED_WITHIN)
            left = self._producer.flush(FLUSHED_WITHIN)
            self._producer.close()
        self._look()
        if left:
            raise StreamError(f"{left:,} messages are not with Kafka yet: send them anew")
        return self.sent.kept

    def _send(self, topic: str, each: Transaction) -> None:
        while True:
            try:
                self._producer.produce(topic, each.value, each.key, on_delivery=self.sent.heard)
                return
            except BufferError:
                self._producer.poll(0.1)
                self._look()
                if self._stop.is_set():
                    return

    def _has_room(self, queued: int) -> bool:
        while (seconds := self._room(queued)) > 0:
            self._producer.poll(0)
            if not self._wait(seconds):
                return False
        return True

    def _wait(self, seconds: float) -> bool:
        """Wait; False if asked to stop meanwhile."""
        while seconds > 0 and not self._stop.is_set():
            self._producer.poll(0)
            self._stop.wait(min(seconds, WAITS_AT_MOST))
            seconds -= WAITS_AT_MOST
        return not self._stop.is_set()

    def _look(self) -> None:
        """Raise what no waiting mends."""
        fault = self.sent.refused
        if fault is not None:
            raise refused(fault) or StreamError(
                f"Kafka does not take a transaction ({reason_of(fault)}): correct it"
            )
        if self.sent.kept:
            self._cluster.outage.ends()
