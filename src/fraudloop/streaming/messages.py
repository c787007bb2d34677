"""A message → a transaction's features, or the reason why it is none; a decision → its message."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fraudloop.dataset.card import Card
from fraudloop.dataset.features import encode
from fraudloop.dataset.records import Id, columns_of, naming, own_id
from fraudloop.errors import DataError, FraudloopError
from fraudloop.model.scorer import Features, Scorer
from fraudloop.serving import json_text
from fraudloop.serving.asked import Asked
from fraudloop.serving.dialects import Dialects
from fraudloop.serving.quick import LONGEST_ID, NO_TEXT

LARGEST = 100_000  # bytes of a transaction; what is larger is no transaction
MOST_REASONS = 8  # of a fraud, the strongest
LONGEST_REASON = 400

_json = msgspec.json.Encoder().encode


class Poison(NamedTuple):
    """A message, by its place in a batch, that is no transaction of the card, and why."""

    place: int
    reason: str


class Read(NamedTuple):
    """The transactions of a batch: which messages they are, what they ask, and the others."""

    places: Sequence[int]
    values: list[bytes]
    asked: Asked | None
    poison: list[Poison]


def read(dialects: Dialects, bodies: Sequence[bytes | None]) -> Read:
    """The transactions among the bodies of messages; almost always all of them."""
    whole = [body for body in bodies if body is not None and len(body) <= LARGEST]
    if len(whole) == len(bodies):
        asked = dialects.read_apart(whole)
        if asked is not None:
            return Read(range(len(whole)), whole, asked, [])
    return _read_one_by_one(dialects, bodies)


def _read_one_by_one(dialects: Dialects, bodies: Sequence[bytes | None]) -> Read:
    places, values, rows, ids, poison = [], [], [], [], []
    for place, body in enumerate(bodies):
        try:
            value = _sized(body)
            asked = dialects.read_apart([value]) or _patiently(dialects.card, value)
        except FraudloopError as error:
            reason = str(error).replace("the body", "the message")
            poison.append(Poison(place, reason[:LONGEST_REASON]))
        else:
            places.append(place)
            values.append(value)
            rows.append(asked.features)
            ids.append(asked.ids[0])
    return Read(places, values, Asked(np.concatenate(rows), ids) if rows else None, poison)


def _sized(body: bytes | None) -> bytes:
    if body is None:
        raise DataError("the message has no value: send a transaction as JSON")
    if len(body) > LARGEST:
        raise DataError(
            f"the message has {len(body):,} bytes, and a transaction {LARGEST:,} at most: "
            "send only its own fields"
        )
    return body


def _patiently(card: Card, body: bytes) -> Asked:
    """Read what is unusual, and say what is wrong with what is not right."""
    fields = json_text.parse(body)
    if not isinstance(fields, dict):
        raise DataError("the message is no object of fields and values: send one transaction")
    key = own_id(naming(card), fields)
    if key is None:
        raise DataError(f"the transaction has no id: name it in the field {naming(card)[-1]!r}")
    features = encode(card, columns_of(card, [(key, fields)]))
    _require_what_can_be_kept(card, fields, key, body)
    return Asked(features, [key], single=True)


def _require_what_can_be_kept(card: Card, fields: dict[str, Any], key: Id, body: bytes) -> None:
    """What a database, or who reads the decision, would stumble over."""
    label = card.label.column
    if not isinstance(fields.get(label), str | int | float | None):
        raise DataError(f"transaction {key!r}: the label {label!r} is no single value: remove it")
    for name in naming(card):
        text = str(fields.get(name, ""))
        if len(text) > LONGEST_ID:
            raise DataError(f"{name!r} has more than {LONGEST_ID} characters: send a shorter id")
    if not str(key):
        raise DataError("the id is empty: give the transaction a name of its own")
    if NO_TEXT in body:
        raise DataError("the message holds a \\u0000, which no database keeps: remove it")
    try:
        msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:  # NaN, or a byte order mark
        raise DataError(f"the message is not plain JSON ({error}): correct it") from error


def reasons_of(scorer: Scorer, features: Features) -> list[bytes]:
    """The strongest reasons of each row, as JSON."""
    found = scorer.reasons(features)
    if found is None:
        return [b"null"] * len(features)
    names = scorer.bundle.manifest.features
    order = np.argsort(-np.abs(found.terms), axis=1, kind="stable")[:, :MOST_REASONS]
    return [
        _json([{"feature": names[at], "contribution": float(terms[at])} for at in strongest])
        for terms, strongest in zip(found.terms, order, strict=True)
    ]


def now() -> str:
    """This moment, in UTC, as ISO 8601 writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Decided(NamedTuple):
    """Decisions as the producer takes them; how many are frauds, and the scores."""

    messages: list[dict[str, Any]]
    frauds: int
    scores: list[float]


NOTHING = Decided([], 0, [])


def decide(scorer: Scorer, asked: Asked, values: Sequence[bytes], at: str) -> Decided:
    """Decide transactions: each decision holds its transaction just as it was sent."""
    scores = scorer.score_features(asked.features)
    predictions = scorer.predictions(scores)
    frauds = np.flatnonzero(predictions)
    of_model = f'"model_version":{_json(scorer.bundle.version).decode()},"decided_at":"{at}"'
    tail = f',"prediction":0,{of_model},"reasons":null}}'.encode()
    tails = [tail] * len(values)
    if len(frauds):
        reasons = reasons_of(scorer, asked.features[frauds])
        for place, why in zip(frauds.tolist(), reasons, strict=True):
            tails[place] = b"".join(
                (b',"prediction":1,', of_model.encode(), b',"reasons":', why, b"}")
            )
    numbers = scores.tolist()
    texts = _json(numbers)[1:-1].split(b",")
    messages = [
        {
            "key": key if type(key) is str else str(key),
            "value": b"".join(
                (b'{"id":', _json(key), b',"transaction":', value, b',"score":', score, end)
            ),
        }
        for key, value, score, end in zip(asked.ids, values, texts, tails, strict=True)
    ]
    return Decided(messages, len(frauds), numbers)
