"""What is read of a file: the rows that fit the card as features, the others as refusals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card
from fraudloop.dataset.features import Columns, encode
from fraudloop.dataset.records import Id, columns_of, naming, own_id
from fraudloop.errors import DataError, FraudloopError
from fraudloop.model.scorer import Features

Places = NDArray[np.int64]


class UnreadableError(FraudloopError):
    """A file cannot be read, or not from here on; its message is for the list of rejects."""


@dataclass(frozen=True)
class Refused:
    """A row that is not scored: where it stands in its chunk, and what is wrong with it.

    `fields` instead of a `reason` where the sentence is the one that the server would say.
    """

    place: int
    line: int | None
    reason: str | None = None
    fields: Any = None
    key: Id | None = None


@dataclass(frozen=True)
class Sound:
    """A chunk that has been read: `rows` of them, of which those at `places` can be scored.

    `ids` are the columns that name rows, of those at `places` alone: pyarrow arrays, or lists of
    what JSON can hold.
    """

    rows: int
    places: Places
    features: Features
    ids: Mapping[str, Any]
    refused: list[Refused] = field(default_factory=list)


@dataclass(frozen=True)
class Chunk:
    """A stretch of a file, not yet read: `sound` reads it, in any thread.

    `after` is where the file goes on behind it, for the reader that made it.
    """

    sound: Callable[[], Sound]
    after: dict[str, int]
    bytes: int


def id_columns(card: Card) -> tuple[str, ...]:
    """The columns that name rows and are kept: those of the card, or `id`."""
    return naming(card)


def sentence(card: Card, refused: Refused, row: int) -> tuple[str, str | None]:
    """Why a row is refused, in the server's words, and the field that is at fault, if one is."""
    if refused.reason is not None:
        return refused.reason, None
    key = refused.key
    if key is None:
        own = own_id(naming(card), refused.fields)
        key = row if own is None else own
    try:
        columns_of(card, [(key, refused.fields)])
    except DataError as error:
        return str(error), error.detail[0]["field"] if error.detail else None
    raise AssertionError(f"row {row} was refused, and nothing is wrong with it")


def encoded(card: Card, columns: Columns, rows: int) -> Features:
    """The features of so many rows; of none, an empty matrix."""
    if rows == 0:
        return np.empty((0, len(card.feature_names)), dtype=np.float32)
    return encode(card, columns)
