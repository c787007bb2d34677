"""Transactions → the float32 matrix that every model sees: by the card alone, numpy alone.

Training, HTTP, batch and stream all come through here, so that the same transaction gets the same
numbers everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card, Column, Kind, as_text
from fraudloop.errors import DataError

SECONDS_PER_HOUR = 3600.0
SECONDS_PER_DAY = 86400.0
HOURS_PER_DAY = np.float32(24.0)
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
        if column.kind is Kind.NUMERIC:
            matrix[:, filled] = columns[name]
            filled += 1
        elif column.kind in (Kind.BINARY, Kind.ORDINAL):
            matrix[:, filled] = _codes(name, column, columns[name])
            filled += 1
        elif column.kind is Kind.NOMINAL:
            codes = _codes(name, column, columns[name])
            for code in range(len(column.categories)):
                matrix[:, filled] = codes == code
                filled += 1
    for derived in card.derived:
        matrix[:, filled] = _hours(np.asarray(columns[derived.hour_of], dtype=np.float64))
        filled += 1
    return matrix


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
            raise ValueError(f"{card.id} has categories, which are no numbers")
        names = list(columns)
        numeric = [place for place, name in enumerate(names) if columns[name] is Kind.NUMERIC]
        self._width = len(card.feature_names)
        # Runs of columns that stand together, so that each is taken in one piece.
        self._runs = [slice(run[0], run[-1] + 1) for run in _runs(numeric)]
        self._hours = [names.index(derived.hour_of) for derived in card.derived]

    @staticmethod
    def takes(card: Card) -> bool:
        """Whether a card's columns are all numbers."""
        return not any(column.categories for column in card.columns.values())

    def many(self, rows: Rows) -> NDArray[np.float32]:
        """The features of many rows."""
        matrix = np.empty((len(rows), self._width), dtype=np.float32)
        filled = 0
        for run in self._runs:
            wide = run.stop - run.start
            matrix[:, filled : filled + wide] = rows[:, run]
            filled += wide
        for place, time in enumerate(self._hours, start=filled):
            matrix[:, place] = _hours(rows[:, time])
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
    """`_hours` of one number."""
    hour = float(np.float32(seconds % SECONDS_PER_DAY / SECONDS_PER_HOUR))
    return 0.0 if hour == HOURS_PER_DAY else hour


def _hours(seconds: Rows) -> NDArray[np.float32]:
    """The hour of the day of each number of seconds."""
    hours = (seconds % SECONDS_PER_DAY / SECONDS_PER_HOUR).astype(np.float32)
    # In float32 a day's last instant is 24, which is the next day's 0.
    return hours % HOURS_PER_DAY


def _codes(name: str, column: Column, values: NDArray[Any]) -> NDArray[np.intp]:
    """Each value's place among the column's categories; 1, 1.0 and "1" are the same category."""
    places = {as_text(category): code for code, category in enumerate(column.categories)}
    found, inverse = np.unique(np.asarray(values, dtype=object).astype(str), return_inverse=True)
    codes = np.array([places.get(as_text(value), -1) for value in found], dtype=np.intp)
    if (codes < 0).any():
        raise DataError(
            f"column {name!r} holds {str(found[codes < 0][0])!r}, which is none of its categories: "
            f"use one of {', '.join(places)}, or add it to the card"
        )
    return np.asarray(codes[inverse])
