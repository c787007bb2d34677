"""Columns of a table → rows that fit: every value held against the card, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.batch.sound import Refused, Sound, UnreadableError, encoded
from fraudloop.dataset.card import Card, Column
from fraudloop.dataset.features import LARGEST, encode
from fraudloop.dataset.records import naming, needed
from fraudloop.dataset.words import as_text
from fraudloop.model.scorer import Features

Values = NDArray[Any]
Good = NDArray[np.bool_]

# So many rows of a card's columns stay in a core's own cache from the first look to the last.
BLOCK = 1 << 13


def wanted(card: Card, names: list[str], where: str) -> list[str]:
    """The columns to read of those a file has, the ids last; refuses a file that has not all.

    A server would refuse each of its rows with the same words.
    """
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UnreadableError(f"{where} has two columns named {twice[:80]!r}: rename one")
    missing = [name for name in needed(card) if name not in names]
    if missing:
        more = f" (nor {len(missing) - 1} more of the card's columns)" if missing[1:] else ""
        raise UnreadableError(f"{where} has no column {missing[0]!r}{more}: add it")
    known = {*card.columns, card.label.column, *naming(card)}
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise UnreadableError(f"{where} has an unknown column {unknown[:80]!r}: remove it")
    return [*needed(card), *(name for name in naming(card) if name in names)]


def sound(
    card: Card,
    columns: Mapping[str, Any],
    ids: Mapping[str, Any],
    rows: int,
    line: Callable[[Iterable[int]], dict[int, int]] | None,
) -> Sound:
    """The rows of a chunk that fit, and the others refused.

    `columns` are pyarrow arrays; `line` tells the lines of some rows, where a file has lines.
    """
    taken: dict[str, Values] = {}
    doubts: list[Good] = []
    for name, column in needed(card).items():
        taken[name], fits = _taken(column, columns[name])
        doubts += [] if fits is None else [fits]
    doubts += [fits for fits in map(_named, ids.values()) if fits is not None]
    if not doubts:
        features = _all_at_once(card, taken, rows)
        if features is not None:
            return Sound(rows, np.arange(rows), features, ids)
    good = np.ones(rows, dtype=np.bool_)
    for fits in doubts:
        good &= fits
    for name, column in needed(card).items():
        if not column.categories:
            low, high = _range(column)
            good &= (taken[name] >= low) & (taken[name] <= high)
    places, bad = np.flatnonzero(good), np.flatnonzero(~good).tolist()
    lines = line(bad) if line is not None else {}
    refused = [
        Refused(place, lines.get(place), fields=_fields({**columns, **ids}, place)) for place in bad
    ]
    taken = {name: values[places] for name, values in taken.items()}
    kept = {name: values.take(places) for name, values in ids.items()}
    return Sound(rows, places, encoded(card, taken, len(places)), kept, refused)


def _all_at_once(card: Card, columns: Mapping[str, Values], rows: int) -> Features | None:
    """The features of a chunk if every number of it lies in its range, else None."""
    ranges = {
        name: _range(column) for name, column in needed(card).items() if not column.categories
    }
    features = np.empty((rows, len(card.feature_names)), dtype=np.float32)
    for first in range(0, rows, BLOCK):
        block = {name: values[first : first + BLOCK] for name, values in columns.items()}
        for name, (low, high) in ranges.items():
            numbers = block[name]
            if not (numbers.min() >= low and numbers.max() <= high):  # nor is it so of a NaN
                return None
        features[first : first + BLOCK] = encode(card, block)
    return features


def _range(column: Column) -> tuple[float, float]:
    """What a number of a column lies between."""
    low = -LARGEST if column.minimum is None else max(column.minimum, -LARGEST)
    return low, LARGEST if column.maximum is None else min(column.maximum, LARGEST)


def _taken(column: Column, values: Any) -> tuple[Values, Good | None]:
    """A column as numpy has it, and which of its values are of its kind; None if all are."""
    import pyarrow as pa

    if column.categories:
        return _categories(column, values)
    kind = values.type
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        values = values.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.zeros(len(values)), np.zeros(len(values), dtype=np.bool_)
    return values.to_numpy(zero_copy_only=False), None  # a gap is NaN in it


def _categories(column: Column, values: Any) -> tuple[Values, Good | None]:
    import pyarrow as pa

    if not pa.types.is_dictionary(values.type):
        values = values.dictionary_encode()
    known = {as_text(category) for category in column.categories}
    texts = [
        as_text(value)
        if isinstance(value, str | int | float) and not isinstance(value, bool)
        else None
        for value in values.dictionary.to_pylist()
    ]
    # The last stands for a gap, whose code would be -1.
    fits = np.array([text in known for text in texts] + [False])
    codes = values.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    taken = np.array([*(text or "" for text in texts), ""], dtype=object)[codes]
    good = fits[codes]
    return taken, None if good.all() else good


def _named(values: Any) -> Good | None:
    """Which values of an id column are ids: texts, whole numbers, or nothing at all."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    names = (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_null(kind)
    )
    if names:
        return None
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False))


def _fields(columns: Mapping[str, Any], place: int) -> dict[str, Any]:
    """One row as a record, for the sentence on it."""
    return {name: values[place].as_py() for name, values in columns.items()}
