"""Dead letters: a message that cannot be used, as it came, with why and where it came from."""

from __future__ import annotations

from typing import cast

from confluent_kafka import Message

from fraudloop.streaming.sink import Headers, Letter

REASON = "fraudloop-reason"
TOPIC = "fraudloop-topic"
PARTITION = "fraudloop-partition"
OFFSET = "fraudloop-offset"
AT = "fraudloop-dead-at"
TIMES = "fraudloop-redriven"  # how often it was sent back already
CUT = "fraudloop-cut"  # of so many bytes only the first could be kept
OURS = {REASON, TOPIC, PARTITION, OFFSET, AT, TIMES, CUT}
WHAT_EVERY_TOPIC_TAKES = 900_000  # bytes


def letter(message: Message, reason: str, topic: str, at: str, *, cut: bool = False) -> Letter:
    """The dead letter of a message; `cut` where the topic does not take it whole."""
    value = message.value()
    headers = [*others(message), (REASON, reason.encode(errors="replace"))]
    headers += [(TOPIC, str(message.topic()).encode()), (AT, at.encode())]
    headers += [(PARTITION, b"%d" % (message.partition() or 0))]
    headers += [(OFFSET, b"%d" % (message.offset() or 0))]
    if times := redriven(message):
        headers.append((TIMES, b"%d" % times))
    if cut and value is not None and len(value) > WHAT_EVERY_TOPIC_TAKES:
        headers.append((CUT, b"%d" % len(value)))
        value = value[:WHAT_EVERY_TOPIC_TAKES]
    return Letter(topic, message.key(), value, headers)


def said(message: Message, name: str) -> str:
    """One of our headers, or nothing."""
    found = [value for key, value in all_of(message) if key == name]
    value = found[-1] if found else None
    return value.decode(errors="replace") if isinstance(value, bytes) else ""


def redriven(message: Message) -> int:
    """How often a message was sent back already."""
    times = said(message, TIMES)
    return int(times) if times.isdecimal() and len(times) < 9 else 0


def others(message: Message) -> Headers:
    """The headers that are not ours."""
    return [(name, value) for name, value in all_of(message) if name not in OURS]


def all_of(message: Message) -> Headers:
    """The headers of a message."""
    return cast("Headers", message.headers() or [])
