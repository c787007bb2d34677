"""Transactions from an HTTP source, asked again and again: each new one once."""

from __future__ import annotations

import hashlib
import threading
import urllib.error
import urllib.request
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import msgspec

from fraudloop.dataset.card import Card
from fraudloop.dataset.records import naming, own_id
from fraudloop.errors import FraudloopError, StreamError
from fraudloop.serving.log import Log
from fraudloop.streaming.cluster import Outage
from fraudloop.streaming.replay import Transaction, rows_of
from fraudloop.streaming.stopping import Backoff

ANSWERS_WITHIN = 10.0  # seconds
LARGEST = 50_000_000  # bytes of an answer
REMEMBERED = 200_000  # ids; what is sent twice all the same, the ledger keeps once

_json = msgspec.json.Encoder(order="deterministic").encode


def is_source(text: str) -> bool:
    """Whether this is an HTTP source and not a file."""
    return text.startswith(("http://", "https://"))


def polled(
    url: str, every: float, card: Card, log: Log, stop: threading.Event
) -> Iterator[Transaction | None]:
    """What the source gives, until asked to stop; None between two answers.

    A source that is away, or answers nonsense, is asked again later: said once.
    """
    away = Outage(log, "source")
    backoff = Backoff(stop)
    seen: OrderedDict[str, None] = OrderedDict()
    while not stop.is_set():
        try:
            rows = list(rows_of(_asked(url)))
        except (OSError, ValueError, msgspec.DecodeError, FraudloopError) as error:
            reason = " ".join(str(getattr(error, "reason", error)).split())
            away.begins(f"{url} gives no transactions ({reason}): asked again later")
            yield None
            backoff.wait()
            continue
        away.ends()
        backoff.over()
        for row in rows:
            found = as_transaction(card, row)
            if found.key not in seen:
                seen[found.key] = None
                if len(seen) > REMEMBERED:
                    seen.popitem(last=False)
                yield found
        yield None
        stop.wait(every)


def as_transaction(card: Card, row: dict[str, Any]) -> Transaction:
    """A row as a message; one without an id is called by what it holds."""
    key = own_id(naming(card), row)
    if key is None:
        key = hashlib.sha256(_json(row)).hexdigest()[:32]
        row = {naming(card)[0]: key} | row
    return Transaction(str(key), _json(row))


def _asked(url: str) -> Any:
    asking = urllib.request.Request(  # noqa: S310  # `is_source` saw to its scheme
        url, headers={"Accept": "application/json", "User-Agent": "fraudloop"}
    )
    with urllib.request.urlopen(asking, timeout=ANSWERS_WITHIN) as answer:  # noqa: S310  # as above
        content = answer.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise StreamError(f"the answer has more than {LARGEST:,} bytes")
    return msgspec.json.decode(content)
