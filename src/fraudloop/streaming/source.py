"""Reading a topic in batches, as one member of a group; a rebalance never lets a message in twice.

Messages are read in the order of their partition, and what has been committed with them says where
the group goes on. `rewind` goes back there; `offsets` says it, with proof that the partitions
are ours, as of when they were given.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from confluent_kafka import (
    OFFSET_STORED,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from fraudloop.errors import StreamError
from fraudloop.streaming.cluster import Cluster, reason_of, refused

IDLE = 0.5  # seconds to wait for a first message: so soon a signal is heard
UNREAD = -1  # lag that nobody knows yet
FENCED = {KafkaError.FENCED_INSTANCE_ID, KafkaError._FENCED}


class Offsets(NamedTuple):
    """Where a group will go on, and what proves that it may say so."""

    positions: list[TopicPartition]
    metadata: Any


class Source:
    """A topic, read by one member of a group: batches of up to `most`, within `seconds`."""

    def __init__(
        self,
        cluster: Cluster,
        topic: str,
        group: str,
        *,
        most: int,
        seconds: float,
        instance: str | None = None,
        **config: Any,
    ) -> None:
        self.topic = topic
        self._metadata: Any = None
        self._cluster = cluster
        self._most = most
        self._seconds = seconds
        self._instance = instance
        self._moved = False
        named: dict[str, Any] = {} if instance is None else {"group_instance_id": instance}
        self._consumer = Consumer(
            cluster.config(
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                partition_assignment_strategy="range",
                session_timeout_ms=10_000,
                heartbeat_interval_ms=1_000,
                fetch_wait_max_ms=50,
                queued_min_messages=100_000,
                queued_max_messages_kbytes=64 * 1024,
                allow_auto_create_topics=True,
                **named,
                **config,
            )
        )
        self._consumer.subscribe(
            [topic], on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )

    def batch(self, idle: float = IDLE) -> list[Message]:
        """The next messages; none after `idle` seconds without any, or where partitions moved."""
        self._moved = False
        first = self._consumer.consume(1, idle)
        if not first:
            return []
        rest = self._consumer.consume(self._most - 1, self._seconds) if self._most > 1 else []
        if self._moved:
            # Some may be of partitions that another member has been given meanwhile.
            self.rewind()
            return []
        messages = first + rest
        if any(message.error() for message in messages):
            for message in messages:
                self._look_at(message.error())
            messages = [message for message in messages if not message.error()]
        return messages

    def offsets(self) -> Offsets:
        """Behind the last message read of each partition: what to commit with what became of it."""
        positions = self._consumer.position(self._consumer.assignment())
        return Offsets([each for each in positions if each.offset >= 0], self._metadata)

    def commit(self) -> bool:
        """Commit the positions; False where another member has the partitions meanwhile."""
        positions = self.offsets().positions
        if not positions:
            return True
        try:
            self._consumer.commit(offsets=positions, asynchronous=False)
        except KafkaException as error:
            self._look_at(error.args[0])
            return False
        return True

    def rewind(self) -> None:
        """Go back to what has been committed."""
        here = self._consumer.assignment()
        self._consumer.assign(
            [TopicPartition(each.topic, each.partition, OFFSET_STORED) for each in here]
        )

    def hold(self) -> None:
        """Read nothing more until `go_on`; the member stays in its group as long as `tick`s."""
        self._consumer.pause(self._consumer.assignment())

    def tick(self, seconds: float) -> bool:
        """Wait while on hold; False where partitions moved: what was read may be another's now."""
        self._moved = False
        for message in self._consumer.consume(1, seconds):
            self._look_at(message.error())
        return not self._moved

    def go_on(self) -> None:
        """Read again."""
        self._consumer.resume(self._consumer.assignment())

    def lag(self) -> dict[int, int]:
        """How many messages of each partition of ours are still to be read, as far as is known."""
        found = {}
        for each in self._consumer.position(self._consumer.assignment()):
            with suppress(KafkaException):
                low, high = self._consumer.get_watermark_offsets(each, cached=True)
                if high >= 0:
                    position = each.offset if each.offset >= 0 else low
                    found[each.partition] = max(0, high - max(position, 0))
        return found

    def assigned(self) -> Sequence[int]:
        """The partitions that are ours."""
        return sorted(each.partition for each in self._consumer.assignment())

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.assign(partitions)
        # Of this moment: should we be thought dead later, a commit with it is refused.
        self._metadata = consumer.consumer_group_metadata()
        numbers = [each.partition for each in partitions]
        self._cluster.log("partitions", topic=self.topic, partitions=numbers)

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._moved = True
        consumer.unassign()

    def _look_at(self, error: KafkaError | None) -> None:
        """Raise what no waiting mends; say what may pass."""
        if error is None:
            return
        if error.code() in FENCED or error.code() == KafkaError._FATAL or error.fatal():
            raise StreamError(
                f"another process took the place of {self._instance or 'this one'} in the group "
                f"({reason_of(error)}): give each its own --instance"
            )
        denied = refused(error)
        if denied is not None:
            raise denied
        self._cluster.log("kafka error", level="warning", message=reason_of(error))
