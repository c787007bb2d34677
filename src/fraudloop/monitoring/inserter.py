"""Rows that drift on purpose: some columns moved, so that drift has something to find.

The rows are drawn from a table with replacement. In the shifted ones a few columns are changed,
each in the way of its kind and so far that nobody would call it chance; all others stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card, Column, Kind
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError
from fraudloop.monitoring.tables import tested

# Far beyond what params.yaml calls drift, and still like data that could come.
DEVIATIONS = 0.5  # by which numbers rise
FLIPPED = 0.3  # of the rows with the more common of two categories
MOVED_OVER = 0.25  # of the rows, to the rarest category that there is
STEPPED = 0.4  # of the rows, by one step

Values = NDArray[Any]


@dataclass(frozen=True)
class Inserted:
    """A table whose last `shifted` rows are shifted, and what was done to which column."""

    table: Mapping[str, Values]
    rows: int
    shifted: int
    changes: Mapping[str, str]

    def usual(self) -> dict[str, Values]:
        """The rows that are as they were."""
        return {name: values[: self.rows - self.shifted] for name, values in self.table.items()}

    def moved(self) -> dict[str, Values]:
        """The shifted rows."""
        return {name: values[self.rows - self.shifted :] for name, values in self.table.items()}


def insert(
    card: Card,
    table: Mapping[str, Values],
    *,
    rows: int = 12_000,
    shifted: int = 2_000,
    columns: int = 6,
    seed: int = 0,
) -> Inserted:
    """Draw `rows` rows of a table, the last `shifted` of them shifted in some of its columns.

    >>> from fraudloop.dataset import card
    >>> cup = card.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns: {price: {kind: numeric}, milk: {kind: binary, categories: [0, 1]}}
    ... label: {column: stolen}
    ... ''', "an example")
    >>> sold = {"price": np.array([2.0, 3.0, 4.0]), "milk": np.array([0, 1, 0])}
    >>> made = insert(cup, sold, rows=300, shifted=100, columns=1, seed=1)
    >>> dict(made.changes)
    {'price': '0.5 standard deviations more'}
    >>> float(made.moved()["price"].mean() - made.usual()["price"].mean()) > 0.2
    True
    """
    names = [name for name in tested(card) if name in table]
    if not 0 < shifted < rows or not 0 < columns <= len(names):
        raise DataError(
            f"{shifted} of {rows} rows, {columns} of {len(names)} columns cannot be shifted: give "
            "at least 1 of each, and fewer rows than there are"
        )
    rng = np.random.default_rng(seed)
    size = len(table[names[0]])
    drawn = rng.integers(size, size=rows)
    made = {name: np.asarray(values)[drawn] for name, values in table.items()}
    chosen = set(rng.choice(len(names), size=columns, replace=False).tolist())
    changes = {}
    for name in (name for place, name in enumerate(names) if place in chosen):
        column = card.columns[name]
        moved = made[name][rows - shifted :]
        moved[:], changes[name] = _SHIFTS[column.kind](rng, column, moved, made[name])
    return Inserted(made, rows, shifted, changes)


def _more(
    rng: np.random.Generator, column: Column, moved: Values, every: Values
) -> tuple[Values, str]:
    """Numbers rise; whole ones stay whole, and none leaves the card's range."""
    numbers = every.astype(np.float64)
    risen = moved.astype(np.float64) + DEVIATIONS * np.nanstd(numbers)
    if np.issubdtype(every.dtype, np.integer) or bool((np.mod(numbers, 1) == 0).all()):
        risen = np.ceil(risen)
    low = -np.inf if column.minimum is None else column.minimum
    high = np.inf if column.maximum is None else column.maximum
    return np.clip(risen, low, high), f"{DEVIATIONS} standard deviations more"


def _flipped(
    rng: np.random.Generator, column: Column, moved: Values, every: Values
) -> tuple[Values, str]:
    codes, values = _codes(column, every)
    common = int(np.bincount(codes, minlength=2).argmax())
    changed = codes[len(codes) - len(moved) :] == common
    changed &= rng.random(len(moved)) < FLIPPED
    return _replaced(moved, changed, values[1 - common]), (
        f"{FLIPPED:.0%} of {values[common]} made {values[1 - common]}"
    )


def _moved_over(
    rng: np.random.Generator, column: Column, moved: Values, every: Values
) -> tuple[Values, str]:
    codes, values = _codes(column, every)
    counts = np.bincount(codes, minlength=len(values))
    rarest = int(np.where(counts > 0, counts, len(codes) + 1).argmin())
    changed = rng.random(len(moved)) < MOVED_OVER
    return _replaced(moved, changed, values[rarest]), f"{MOVED_OVER:.0%} made {values[rarest]}"


def _stepped(
    rng: np.random.Generator, column: Column, moved: Values, every: Values
) -> tuple[Values, str]:
    codes, values = _codes(column, every)
    top = len(values) - 1
    up = 1 if codes.mean() <= top / 2 else -1
    steps = np.where(rng.random(len(moved)) < STEPPED, up, 0)
    places = np.clip(codes[len(codes) - len(moved) :] + steps, 0, top)
    stepped = moved.copy()
    for place, value in enumerate(values):
        stepped = _replaced(stepped, places == place, value)
    return stepped, f"{STEPPED:.0%} one step {'up' if up == 1 else 'down'}"


_SHIFTS: Mapping[
    Kind, Callable[[np.random.Generator, Column, Values, Values], tuple[Values, str]]
] = {
    Kind.NUMERIC: _more,
    Kind.BINARY: _flipped,
    Kind.NOMINAL: _moved_over,
    Kind.ORDINAL: _stepped,
}


def _codes(column: Column, values: Values) -> tuple[NDArray[np.intp], list[Any]]:
    """Each value's place among the column's categories, and how the table writes these."""
    found, inverse = np.unique(values.astype(object).astype(str), return_inverse=True)
    written = [as_text(text) for text in found]
    names = [as_text(category) for category in column.categories] or sorted(set(written))
    strange = next((text for text in written if text not in names), None)
    if strange is not None:
        raise DataError(f"{strange!r} is no category of the card: name a table that fits it")
    places = np.array([names.index(text) for text in written], dtype=np.intp)
    return places[inverse], [
        column.categories[place] if column.categories else name for place, name in enumerate(names)
    ]


def _replaced(values: Values, where: NDArray[np.bool_], value: Any) -> Values:
    """Some values replaced by one, a number where the table has numbers."""
    if np.issubdtype(values.dtype, np.number):
        return np.where(where, values.dtype.type(value), values)
    return np.where(where, as_text(value), values.astype(object))
