"""Transactions → the float32 matrix that every model sees: by the card alone, numpy alone.

Training, HTTP, batch and stream all come through here, so that the same transaction gets the same
numbers everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset import buckets
from fraudloop.dataset.card import Card, Column, Kind
from fraudloop.dataset.derivations import HOURS_PER_DAY, HourOf, Numbers
from fraudloop.dataset.times import SECONDS_PER_DAY, SECONDS_PER_HOUR, seconds_of
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError

# For so few values numpy's calls cost more than looking each up does.
FEW = 64
LARGEST = float(np.finfo(np.float32).max)

Columns = Mapping[str, NDArray[Any]]
Rows = NDArray[np.float64]


def encode(card: Card, columns: Columns) -> NDArray[np.float32]:
    """Turn columns of transactions into features, ordered as `card.feature_names`.

    >>> from fraudloop.dataset import card
    >>> cup = card.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns:
    ...   at: {kind: time}
    ...   price: {kind: numeric}
    ...   size: {kind: ordinal, categories: [small, large]}
    ... label: {column: stolen}
    ... derived: [{name: hour, hour_of: at}]
    ... ''', "an example")
    >>> bought = {"at": [90000.0], "price": [2.5], "size": ["large"]}
    >>> encode(cup, {name: np.array(values) for name, values in bought.items()})
    array([[2.5, 1. , 1. ]], dtype=float32)
    """
    rows = len(next(iter(columns.values()))) if columns else 0
    matrix = np.empty((rows, len(card.feature_names)), dtype=np.float32)
    filled = 0
    for name, column in card.columns.items():
        if not column.feature or column.kind in (Kind.TIME, Kind.ID):
            continue
        if column.kind is Kind.NUMERIC:
            matrix[:, filled] = columns[name]
            filled += 1
        elif column.kind in (Kind.BINARY, Kind.ORDINAL):
            matrix[:, filled] = _codes(name, column, columns[name])
            filled += 1
        else:
            codes = _codes(name, column, columns[name])
            wide = column.buckets or len(column.categories)
            matrix[:, filled : filled + wide] = codes[:, None] == np.arange(wide)
            filled += wide
    measured = _measured(card, columns)
    for derived in card.derived:
        matrix[:, filled] = derived.values(measured)
        filled += 1
    return matrix


def _measured(card: Card, columns: Columns) -> dict[str, Numbers]:
    """The columns that features are derived from, as numbers: moments in seconds."""
    found: dict[str, Numbers] = {}
    for name in {name: None for derived in card.derived for name in derived.columns}:
        try:
            found[name] = seconds_of(np.asarray(columns[name]), card.columns[name].written)
        except ValueError as error:
            raise DataError(f"column {name!r}: {error}: correct it") from error
    return found


class RowEncoder:
    """`encode` for rows of plain numbers in the order of the card's columns, in less time.

    >>> from fraudloop.dataset import card
    >>> cup = card.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns: {at: {kind: time}, price: {kind: numeric}}
    ... label: {column: stolen}
    ... derived: [{name: hour, hour_of: at}]
    ... ''', "an example")
    >>> RowEncoder(cup).many(np.array([[90000.0, 2.5]]))
    array([[2.5, 1. ]], dtype=float32)
    """

    def __init__(self, card: Card) -> None:
        columns = {name: each.kind for name, each in card.columns.items() if each.kind != Kind.ID}
        if not self.takes(card):
            raise ValueError(f"{card.id} has columns that are no numbers")
        names = list(columns)
        numeric = [
            place
            for place, name in enumerate(names)
            if columns[name] is Kind.NUMERIC and card.columns[name].feature
        ]
        self._width = len(card.feature_names)
        # Runs of columns that stand together, so that each is taken in one piece.
        self._runs = [slice(run[0], run[-1] + 1) for run in _runs(numeric)]
        self._hours = [
            names.index(derived.hour_of) for derived in card.derived if isinstance(derived, HourOf)
        ]

    @staticmethod
    def takes(card: Card) -> bool:
        """Whether a card's columns are all numbers, and nothing but hours is derived from them."""
        kinds = card.columns.values()
        numbers = all(column.kind is Kind.ID or column.is_number for column in kinds)
        return numbers and all(isinstance(derived, HourOf) for derived in card.derived)

    def many(self, rows: Rows) -> NDArray[np.float32]:
        """The features of many rows."""
        matrix = np.empty((len(rows), self._width), dtype=np.float32)
        filled = 0
        for run in self._runs:
            wide = run.stop - run.start
            matrix[:, filled : filled + wide] = rows[:, run]
            filled += wide
        for place, time in enumerate(self._hours, start=filled):
            matrix[:, place] = HourOf(name="hour", hour_of="at").values({"at": rows[:, time]})
        return matrix

    def one(self, row: Sequence[float]) -> NDArray[np.float32]:
        """The features of one row: for so few numbers numpy's calls cost more than they do."""
        features: list[float] = []
        for run in self._runs:
            features += row[run]
        features += [_hour(row[time]) for time in self._hours]
        return np.array([features], dtype=np.float32)


def _runs(places: Sequence[int]) -> list[list[int]]:
    """Rising numbers, dealt into runs without a gap.

    >>> _runs([1, 2, 3, 5, 7, 8])
    [[1, 2, 3], [5], [7, 8]]
    """
    runs: list[list[int]] = []
    for place in places:
        if runs and place == runs[-1][-1] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _hour(seconds: float) -> float:
    """`HourOf` of one number."""
    hour = float(np.float32(seconds % SECONDS_PER_DAY / SECONDS_PER_HOUR))
    return 0.0 if hour == HOURS_PER_DAY else hour


def _codes(name: str, column: Column, values: NDArray[Any]) -> NDArray[np.intp]:
    """Each value's place among the column's categories; 1, 1.0 and "1" are the same category."""
    if column.buckets is not None:
        try:
            return buckets.codes(np.asarray(values, dtype=object), column.buckets)
        except ValueError as error:
            raise DataError(f"column {name!r} holds {error}: correct it") from error
    places = _places(column.categories)
    if len(values) <= FEW:
        read = [as_text(value) for value in np.asarray(values).tolist()]
        codes = np.array([places.get(text, -1) for text in read], dtype=np.intp)
        if (codes < 0).any():
            raise _unknown(name, read[int(np.argmin(codes))], places)
        return codes
    found, inverse = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    codes = np.array([places.get(as_text(value), -1) for value in found], dtype=np.intp)
    if (codes < 0).any():
        raise _unknown(name, str(found[codes < 0][0]), places)
    return np.asarray(codes[inverse])


@lru_cache(maxsize=1024)
def _places(categories: tuple[str | int, ...]) -> dict[str, int]:
    return {as_text(category): code for code, category in enumerate(categories)}


def _unknown(name: str, text: str, places: dict[str, int]) -> DataError:
    return DataError(
        f"column {name!r} holds {text!r}, which is none of its categories: "
        f"use one of {', '.join(places)}, or add it to the card"
    )
