"""What a file holds of each column: gaps and strangers are counted, not refused.

Training's reader stops at the first value that does not fit the card. Here such values are what is
looked for: a missing value, a category that the card does not know, a text where numbers were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset import buckets
from fraudloop.dataset.card import CATEGORICAL, Card, Column, Kind
from fraudloop.dataset.features import LARGEST
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError
from fraudloop.monitoring.detectors import Moments

# What stands for nothing where a number belongs. A category may well be called NA.
NOTHING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
FORMATS = {".csv": "csv", ".gz": "csv", ".parquet": "parquet", ".pq": "parquet"}


@dataclass(frozen=True)
class Numbers:
    """A numeric column: its numbers, and how many rows have none, or something else."""

    values: NDArray[np.float64]
    missing: int = 0
    unknown: int = 0

    @property
    def rows(self) -> int:
        """All rows, whatever they hold."""
        return len(self.values) + self.missing + self.unknown

    @cached_property
    def moments(self) -> Moments:
        """What Welch's test needs of them."""
        return Moments.of(self.values)


@dataclass(frozen=True)
class Categories:
    """A categorical column: how many rows each category of the card has; what others there are.

    Words that are too many to be listed are counted by the bucket that the model sees them in.
    """

    counts: NDArray[np.int64]
    missing: int
    others: Mapping[str, int]

    @property
    def known(self) -> int:
        """Rows with a category of the card."""
        return int(self.counts.sum())

    @property
    def unknown(self) -> int:
        """Rows with a value that is no category of the card."""
        return sum(self.others.values())

    @property
    def rows(self) -> int:
        """All rows, whatever they hold."""
        return self.known + self.missing + self.unknown


Held = Numbers | Categories


def tested(card: Card) -> dict[str, Column]:
    """The columns that can drift: time goes on by itself, and ids are new each time."""
    return {
        name: column
        for name, column in card.columns.items()
        if column.kind not in (Kind.TIME, Kind.ID)
    }


def read(path: Path, card: Card) -> Any:
    """The table of a CSV or Parquet file, as Arrow has it; a number may be missing or a text."""
    if not path.is_file():
        raise DataError(f"no table at {path}: name a CSV or a Parquet file")
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise DataError(f"{path} is neither .csv nor .parquet: name a CSV or a Parquet file")
    table = _read_parquet(path, card) if form == "parquet" else _read_csv(path, card)
    require(table, card, str(path))
    return table


def require(table: Any, card: Card, where: str) -> None:
    """Refuse a table that lacks a column, has one twice, or has no rows."""
    names = table.column_names
    missing = [name for name in tested(card) if name not in names]
    if missing:
        others = f" (nor {len(missing) - 1} more of the card's columns)" if missing[1:] else ""
        raise DataError(
            f"{where}: no column {missing[0]!r}{others}: name a file in the columns of {card.id}, "
            "or another card"
        )
    twice = next((name for name in card.columns if names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: two columns are named {twice!r}: rename one")
    if table.num_rows == 0:
        raise DataError(f"{where} has no rows: there is nothing to compare")


def held(table: Any, card: Card) -> dict[str, Held]:
    """What a table holds of each column that can drift.

    >>> from fraudloop.dataset import card
    >>> import pyarrow
    >>> cup = card.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns: {price: {kind: numeric}, size: {kind: ordinal, categories: [small, large]}}
    ... label: {column: stolen}
    ... ''', "an example")
    >>> bought = {"price": [2.5, None, 3.0], "size": ["large", "huge", "small"]}
    >>> found = held(pyarrow.table(bought), cup)
    >>> found["price"]
    Numbers(values=array([2.5, 3. ]), missing=1, unknown=0)
    >>> found["size"]
    Categories(counts=array([1, 1]), missing=0, others={'huge': 1})
    """
    return {
        name: _numbers(table.column(name), name)
        if column.kind is Kind.NUMERIC
        else _categories(table.column(name), column)
        for name, column in tested(card).items()
    }


def of_frame(frame: Any) -> Any:
    """The Arrow table of a pandas DataFrame."""
    import pyarrow as pa

    return pa.Table.from_pandas(frame, preserve_index=False)


def number_of(value: str | None) -> float:
    """The number that a text says; NaN where it says none.

    >>> number_of("2.5"), number_of("n/a"), number_of(None)
    (2.5, nan, nan)
    """
    try:
        return math.nan if value is None else float(value)
    except ValueError:
        return math.nan


def _read_parquet(path: Path, card: Card) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        file = parquet.ParquetFile(path)
        names = [name for name in file.schema_arrow.names if name in card.columns]
        file.close()
        # Words stay the places in a dictionary that the file has them as.
        words = [name for name in names if card.columns[name].kind in CATEGORICAL]
        return parquet.read_table(path, columns=names, read_dictionary=words)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, "Parquet file", error) from error


def _read_csv(path: Path, card: Card) -> Any:
    import pyarrow as pa
    from pyarrow import csv

    numeric = [name for name, column in card.columns.items() if column.is_number]
    texts = [name for name in card.columns if name not in numeric]

    def as_it_is(numbers: Any) -> Any:
        return csv.read_csv(
            path,
            parse_options=csv.ParseOptions(newlines_in_values=True),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(numeric, numbers) | dict.fromkeys(texts, pa.string()),
                null_values=[""],  # NA may be a category
                strings_can_be_null=True,
            ),
        )

    try:
        try:
            return as_it_is(pa.float64())
        except pa.ArrowInvalid:  # some number is none: take all as text, and count it below
            return as_it_is(pa.string())
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise unreadable(path, "CSV", error) from error


def unreadable(path: Path, what: str, error: Exception) -> DataError:
    """What is said of a file that is not what its name says."""
    reason = " ".join(str(error).split())
    return DataError(f"{path} is not a {what} that can be read ({reason}): save it anew")


def _numbers(column: Any, name: str) -> Numbers:
    import pyarrow as pa
    from pyarrow import compute

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = kind.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _numbers_of_texts(column)
    if pa.types.is_null(kind):
        return Numbers(np.empty(0), missing=len(column))
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise DataError(f"column {name!r} holds {kind}, not numbers: save it as numbers")
    missing = column.null_count
    if missing:
        column = column.drop_null()
    if not pa.types.is_float64(kind):
        column = compute.cast(column, pa.float64(), safe=False)
    return _finite(column.to_numpy(), missing)


def _finite(values: NDArray[np.float64], missing: int, unknown: int = 0) -> Numbers:
    """Take out what is no number: NaN is missing, what no model could take is unknown."""
    # The sum of numbers is one, unless one of them isn't: most columns are done by that alone.
    with np.errstate(over="ignore", invalid="ignore"):
        largest = max(values.max(initial=0), -values.min(initial=0))
        if np.isfinite(values.sum()) and largest <= LARGEST:
            return Numbers(values, missing, unknown)
        gaps = np.isnan(values)
        good = np.abs(values) <= LARGEST
    gone = int(gaps.sum())
    return Numbers(values[good], missing + gone, unknown + len(values) - gone - int(good.sum()))


def _numbers_of_texts(column: Any) -> Numbers:
    """Read each different text once; where most are different, that is no slower than any way."""
    counted = _counted(column)
    values, counts = [], []
    missing = unknown = 0
    for text, count in counted:
        if text is None or text.strip().lower() in NOTHING:
            missing += count
        elif math.isnan(number := number_of(text)):
            unknown += count
        else:
            values.append(number)
            counts.append(count)
    numbers = np.repeat(np.array(values, dtype=np.float64), np.array(counts, dtype=np.intp))
    return _finite(numbers, missing, unknown)


def labels(column: Column) -> list[str]:
    """What the categories of a column are called, in the order of its counts."""
    if column.buckets is not None:
        return [f"bucket {place}" for place in range(column.buckets)]
    return [as_text(category) for category in column.categories]


def _categories(column: Any, card_column: Column) -> Categories:
    places = {label: place for place, label in enumerate(labels(card_column))}
    counts = np.zeros(len(places), dtype=np.int64)
    others: dict[str, int] = {}
    missing = 0
    for value, count in _counted(column):
        text = "" if value is None or value != value else as_text(value)
        if not text and text not in places:
            missing += count
        elif card_column.buckets is not None:
            counts[buckets.bucket(text, card_column.buckets)] += count
        elif text in places:
            counts[places[text]] += count
        else:
            others[text] = others.get(text, 0) + count
    most_first = sorted(others.items(), key=lambda each: (-each[1], each[0]))
    return Categories(counts, missing, dict(most_first))


def _counted(column: Any) -> list[tuple[Any, int]]:
    """Each different value with the number of its rows."""
    import pyarrow as pa
    from pyarrow import compute

    if pa.types.is_dictionary(column.type):
        column = column.unify_dictionaries()
    counted = compute.value_counts(column)
    return list(
        zip(counted.field("values").to_pylist(), counted.field("counts").to_pylist(), strict=True)
    )
