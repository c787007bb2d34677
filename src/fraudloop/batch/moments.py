"""Columns of moments, as texts or in a file's own type → the seconds that features are made of."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Column
from fraudloop.dataset.times import LIKE, SECONDS_PER_DAY, Written, is_moment, seconds_of

Seconds = NDArray[np.float64]
Good = NDArray[np.bool_]

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
# The years that a text of four digits can say.
FIRST, LAST = (
    float(np.datetime64(moment, "s").astype(np.int64))
    for moment in ("0001-01-01", "9999-12-31T23:59:59")
)
NO_FRACTION = re.compile(r"\.0+$")
MIDNIGHT = " 00:00:00"


def moments(values: Any, written: Written) -> tuple[Seconds, Good | None]:
    """The seconds of a pyarrow array, and which of its values are moments; None if all are.

    A file's own type counts as what it would be as text: a fraction of a second, a zone, or an hour
    where the card has a date, is no moment of the card.
    """
    import pyarrow as pa

    kind = values.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return _of_texts(values, written)
    if pa.types.is_date(kind) and written is Written.DATE:
        return _of_stamps(values.cast(pa.timestamp("s")), written)
    if pa.types.is_timestamp(kind) and kind.tz is None:
        return _of_stamps(values, written)
    return np.zeros(len(values)), np.zeros(len(values), dtype=np.bool_)


def as_json(value: Any, column: Column | None) -> Any:
    """A pyarrow scalar as JSON would have it, a moment as the text that it would be."""
    import pyarrow as pa

    if pa.types.is_dictionary(value.type):
        value = value.value
    if not value.is_valid or not pa.types.is_temporal(value.type):
        return value.as_py()
    text = NO_FRACTION.sub("", value.cast(pa.string()).as_py())
    is_date = column is not None and column.written is Written.DATE
    return text.removesuffix(MIDNIGHT) if is_date else text


def _of_texts(values: Any, written: Written) -> tuple[Seconds, Good | None]:
    """Texts of the one right length are read at once, if all of them can be."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = values.cast(pa.string())
    extremes = pc.min_max(pc.binary_length(values)).as_py()
    if values.null_count == 0 and {*extremes.values()} == {len(LIKE[written])}:
        try:
            seconds, good = _of_stamps(values.cast(pa.timestamp("s")), written)
        except pa.ArrowInvalid:
            good = np.zeros(0, dtype=np.bool_)
        if good is None:
            return seconds, None
    return _one_by_one(values, written)


def _one_by_one(values: Any, written: Written) -> tuple[Seconds, Good | None]:
    """Each different text by itself, as the server looks at it."""
    encoded = values.dictionary_encode()
    texts = [*encoded.dictionary.to_pylist(), None]
    good = np.array([is_moment(text, written) for text in texts], dtype=np.bool_)
    seconds = np.zeros(len(texts))
    if good.any():
        seconds[good] = seconds_of(np.array(texts, dtype=object)[good], written)
    places = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    fits = good[places]
    return seconds[places], None if fits.all() else fits


def _of_stamps(values: Any, written: Written) -> tuple[Seconds, Good | None]:
    import pyarrow as pa

    per_second = PER_SECOND[values.type.unit]
    good = np.asarray(values.is_valid().to_numpy(zero_copy_only=False))
    counts = values.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    seconds = counts / per_second if per_second == 1 else (counts // per_second).astype(np.float64)
    if per_second > 1:
        good &= counts % per_second == 0
    if written is Written.DATE:
        good &= seconds % SECONDS_PER_DAY == 0
    good &= (seconds >= FIRST) & (seconds <= LAST)
    return seconds, None if good.all() else good
