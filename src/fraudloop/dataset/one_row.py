"""`encode` for a single transaction, for which numpy's calls cost more than its numbers do."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from fraudloop.dataset import buckets
from fraudloop.dataset.card import CATEGORICAL, Card, Column, Kind
from fraudloop.dataset.features import LARGEST
from fraudloop.dataset.records import needed
from fraudloop.dataset.times import Written
from fraudloop.dataset.words import as_text

_EPOCH = datetime(1970, 1, 1)  # as it was written: no zone is known
_SHAPES = {
    Written.DATE: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}"),
    Written.DATETIME: re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?!24)[0-9]{2}:[0-9]{2}:[0-9]{2}"),
}

# A value → what it is among the numbers; ValueError where it is none of its column.
Read = Callable[[Any], float]


class OneRow:
    """Makes the features of transactions of one card, one at a time, of values in its order.

    What it gives is what `encode` gives. What is not plainly right is a ValueError.

    >>> from fraudloop.dataset import card
    >>> cup = card.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns:
    ...   at: {kind: time, written: datetime}
    ...   price: {kind: numeric, minimum: 0}
    ...   size: {kind: nominal, categories: [small, large]}
    ... label: {column: stolen}
    ... derived: [{name: hour, hour_of: at}]
    ... ''', "an example")
    >>> OneRow(cup).features(("2020-12-31 06:00:00", 2.5, "large"))
    [2.5, 0.0, 1.0, 6.0]
    """

    def __init__(self, card: Card) -> None:
        columns = needed(card)
        places = {name: place for place, name in enumerate(columns)}
        self._reads = [_reader(column) for column in columns.values()]
        self._wide = len(card.feature_names) - len(card.derived)
        self._numbers: list[tuple[int, int]] = []
        self._spread: list[tuple[int, int]] = []  # of nominal columns: the code says which is 1
        slot = 0
        for name, column in columns.items():
            if not column.feature or column.kind is Kind.TIME:
                continue
            if column.kind is Kind.NOMINAL:
                self._spread.append((places[name], slot))
                slot += column.buckets or len(column.categories)
            else:
                self._numbers.append((places[name], slot))
                slot += 1
        self._derived = [
            (each.one, [places[name] for name in each.columns]) for each in card.derived
        ]

    def features(self, values: Sequence[Any]) -> list[float]:
        """The features of a transaction."""
        read = [reads(value) for reads, value in zip(self._reads, values, strict=True)]
        row = [0.0] * self._wide
        for place, slot in self._numbers:
            row[slot] = read[place]
        for place, slot in self._spread:
            row[slot + int(read[place])] = 1.0
        row += [one(*[read[place] for place in places]) for one, places in self._derived]
        return row


def _reader(column: Column) -> Read:
    if column.is_number:
        return _number(column)
    if column.is_dated:
        return _moment(column.written)
    assert column.kind in CATEGORICAL, "an id is no part of a transaction's values"
    return _category(column) if column.buckets is None else _bucket(column.buckets)


def _number(column: Column) -> Read:
    low = -LARGEST if column.minimum is None else max(column.minimum, -LARGEST)
    high = LARGEST if column.maximum is None else min(column.maximum, LARGEST)

    def read(value: float) -> float:
        if low <= value <= high:
            return value
        raise ValueError("out of range")

    return read


def _category(column: Column) -> Read:
    places: dict[Any, float] = {}
    for code, category in enumerate(column.categories):
        places[category] = places[as_text(category)] = float(code)

    def read(value: Any) -> float:
        code = places.get(value)
        if code is None:
            code = places.get(as_text(value))
        if code is None:
            raise ValueError("no category")
        return code

    return read


def _bucket(wide: int) -> Read:
    def read(value: Any) -> float:
        if buckets.problem(value) is not None:
            raise ValueError("no word")
        return buckets.bucket(value, wide)

    return read


def _moment(written: Written) -> Read:
    shape = _SHAPES[written].fullmatch

    def read(value: str) -> float:
        if shape(value) is None:
            raise ValueError("no moment")
        return (datetime.fromisoformat(value) - _EPOCH).total_seconds()

    return read
