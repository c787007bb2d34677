"""Columns of a table → rows that fit: every value held against the card, a column at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.batch.sound import Refused, Sound, UnreadableError, encoded
from fraudloop.dataset.card import Card, Column, as_text
from fraudloop.dataset.features import LARGEST
from fraudloop.dataset.records import naming, needed

Good = NDArray[np.bool_]


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
    taken: dict[str, NDArray[Any]] = {}
    good: Good | None = None
    for name, column in needed(card).items():
        taken[name], fits = _taken(column, columns[name])
        if fits is not None:
            good = fits if good is None else good & fits
    for values in ids.values():
        fits = _named(values)
        if fits is not None:
            good = fits if good is None else good & fits
    if good is None:
        return Sound(rows, np.arange(rows), encoded(card, taken, rows), ids)
    places, bad = np.flatnonzero(good), np.flatnonzero(~good).tolist()
    lines = line(bad) if line is not None else {}
    refused = [
        Refused(place, lines.get(place), fields=_fields({**columns, **ids}, place)) for place in bad
    ]
    taken = {name: values[places] for name, values in taken.items()}
    kept = {name: values.take(places) for name, values in ids.items()}
    return Sound(rows, places, encoded(card, taken, len(places)), kept, refused)


def _taken(column: Column, values: Any) -> tuple[NDArray[Any], Good | None]:
    """A column as numpy has it, and which of its values fit; None if all do."""
    if column.categories:
        return _categories(column, values)
    return _numbers(column, values)


def _numbers(column: Column, values: Any) -> tuple[NDArray[Any], Good | None]:
    import pyarrow as pa

    kind = values.type
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        values = values.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return np.zeros(len(values)), np.zeros(len(values), dtype=np.bool_)
    numbers = values.to_numpy(zero_copy_only=False)  # a gap is NaN in it
    if not len(numbers):
        return numbers, None
    low, high = -LARGEST, LARGEST
    if column.minimum is not None:
        low = max(low, column.minimum)
    if column.maximum is not None:
        high = min(high, column.maximum)
    if numbers.min() >= low and numbers.max() <= high:  # neither is so of a NaN
        return numbers, None
    return numbers, (numbers >= low) & (numbers <= high)


def _categories(column: Column, values: Any) -> tuple[NDArray[Any], Good | None]:
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
