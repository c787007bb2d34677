"""Dead letters → back to where they came from, once each, after what was wrong has been mended.

What is not sent back goes to the end of the dead letters in the same transaction: offsets are all
that Kafka remembers of what was read, and nothing may be forgotten.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from confluent_kafka import (
    OFFSET_STORED,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from fraudloop.errors import StreamError
from fraudloop.streaming import dead
from fraudloop.streaming.cluster import Cluster, reason_of, refused
from fraudloop.streaming.sink import Letter, Sink
from fraudloop.streaming.source import Offsets

GROUP = "fraudloop-redrive-{}"  # of a topic
MOST = 1_000  # at once
SILENT_FOR = 30.0  # seconds without an answer
TIMES = 3  # a letter that came back so often stays where it is


@dataclass(frozen=True)
class Wish:
    """Which letters are sent back: those whose reason holds a text, and not too often."""

    reason: str = ""
    times: int = TIMES
    look_only: bool = False


@dataclass
class Redriven:
    """What became of dead letters; of those that stay, by their reasons."""

    sent: int = 0
    stay: Counter[str] = field(default_factory=Counter)


class Redriving:
    """Reads the dead letters that were there when it began."""

    def __init__(self, cluster: Cluster, wish: Wish, stop: threading.Event) -> None:
        self._topics = cluster.settings
        self._wish = wish
        self._stop = stop
        self._done = Redriven()
        group = GROUP.format(self._topics.dead)
        self._sink = None if wish.look_only else Sink(cluster, group, stop)
        self._consumer = Consumer(
            cluster.config(
                group_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                isolation_level="read_committed",
                enable_partition_eof=True,
            )
        )

    def run(self) -> Redriven:
        """Send back what is wished; what an earlier run has sent back, this one does not."""
        try:
            for partition in self._partitions():
                for batch in self._batches(partition):
                    self._do(batch)
        except KafkaException as error:
            fault: KafkaError = error.args[0]
            raise refused(fault) or StreamError(
                f"the dead letters cannot be read ({reason_of(fault)}): try again"
            ) from error
        finally:
            self._consumer.close()
            if self._sink is not None:
                self._sink.close()
        return self._done

    def _partitions(self) -> list[TopicPartition]:
        topic = self._topics.dead
        found = self._consumer.list_topics(topic, timeout=SILENT_FOR).topics[topic].partitions
        return [TopicPartition(topic, number, OFFSET_STORED) for number in sorted(found)]

    def _batches(self, partition: TopicPartition) -> Iterator[list[Message]]:
        """The letters of a partition up to where it ends now, in batches."""
        _, end = self._consumer.get_watermark_offsets(partition, timeout=SILENT_FOR)
        self._consumer.assign([partition])
        heard = time.monotonic()
        while not self._stop.is_set():
            taken = self._consumer.consume(MOST, 0.5)
            heard = time.monotonic() if taken else heard
            if time.monotonic() - heard > SILENT_FOR:
                raise StreamError("Kafka sends no dead letters: try again")
            faults = [error for each in taken if (error := each.error()) is not None]
            at_end = any(each.code() == KafkaError._PARTITION_EOF for each in faults)
            for each in faults:
                if each.code() != KafkaError._PARTITION_EOF:
                    raise KafkaException(each)
            messages = [each for each in taken if each.error() is None]
            fresh = [each for each in messages if (each.offset() or 0) < end]
            if fresh:
                yield fresh
            if at_end or len(fresh) < len(messages):
                return

    def _do(self, batch: list[Message]) -> None:
        letters, stay = [], Counter[str]()
        for message in batch:
            why_not = self._why_not(message)
            if why_not is None:
                letters.append(self._sent_back(message))
            else:
                stay[f"{why_not}: {dead.said(message, dead.REASON)}"] += 1
                letters.append(self._put_back(message))
        if self._sink is not None:
            last = batch[-1]
            position = TopicPartition(
                str(last.topic()), last.partition() or 0, (last.offset() or 0) + 1
            )
            read = Offsets([position], self._consumer.consumer_group_metadata())
            fault = self._sink.write("", [], letters, read)
            if fault is not None:
                raise StreamError(
                    f"the dead letters could not be sent back ({reason_of(fault)}): try again"
                )
        self._done.sent += len(batch) - stay.total()
        self._done.stay += stay

    def _why_not(self, message: Message) -> str | None:
        """Why a letter stays; None if it goes."""
        if dead.said(message, dead.TOPIC) not in (
            self._topics.transactions,
            self._topics.decisions,
        ):
            return "from another topic"
        if dead.said(message, dead.CUT):
            return "not whole"
        if dead.redriven(message) >= self._wish.times:
            return f"came back {dead.redriven(message)} times"
        if self._wish.reason not in dead.said(message, dead.REASON):
            return "another reason"
        return None

    def _sent_back(self, message: Message) -> Letter:
        times = b"%d" % (dead.redriven(message) + 1)
        headers = [*dead.others(message), (dead.TIMES, times)]
        topic = dead.said(message, dead.TOPIC)
        return Letter(topic, message.key(), message.value(), headers)

    def _put_back(self, message: Message) -> Letter:
        return Letter(self._topics.dead, message.key(), message.value(), dead.all_of(message))
