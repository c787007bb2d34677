"""Whether a table fits its card, by a pandera schema made from the card; what the table is like."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any

import numpy as np

from fraudloop.dataset import buckets
from fraudloop.dataset.card import CATEGORICAL, Card, Column, Kind
from fraudloop.dataset.features import LARGEST
from fraudloop.dataset.reading import line_of
from fraudloop.dataset.split import Part, Rows
from fraudloop.dataset.times import LIKE, is_moment, seconds_of
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError

if TYPE_CHECKING:
    import pandas as pd
    import pandera.pandas as pa

FRAUD = 1
LEGITIMATE = 0


@contextmanager
def _pandera_hushed() -> Iterator[None]:
    """Pandera loads PySpark where it is installed, which then complains of a new pandas."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet", FutureWarning)
        yield


@_pandera_hushed()
def schema(card: Card) -> pa.DataFrameSchema:
    """The pandera schema of a table as it is read, before its label is mapped to 0 and 1."""
    import pandera.pandas as pa

    columns = {
        name: pa.Column(
            float if column.is_number else None,
            checks=_checks(column),
            nullable=False,
        )
        for name, column in card.columns.items()
    }
    label = {as_text(card.label.legitimate), as_text(card.label.fraud)}
    columns[card.label.column] = pa.Column(None, checks=_one_of(label), nullable=False)
    return pa.DataFrameSchema(columns, strict=False)


@_pandera_hushed()
def validate(table: pd.DataFrame, card: Card, where: Path, *, alone: bool = True) -> pd.DataFrame:
    """The table, once every value fits the card: its label 0 or 1, categories alike, times seconds.

    The first value that does not fit, by line, is named in one error. A model is to be made of it
    `alone`, unless it is said that there are other rows: then it may hold one label only.
    """
    import pandera.pandas as pa

    try:
        schema(card).validate(table, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise _first_failure(error.failure_cases, where) from error
    label = table[card.label.column].map(as_text) == as_text(card.label.fraud)
    if alone and (label.all() or not label.any()):
        only = "no fraud" if not label.any() else "nothing but fraud"
        raise DataError(
            f"{where} holds {only} (column {card.label.column!r}): a model needs both to learn from"
        )
    alike = {
        name: table[name].map(as_text)
        for name, column in card.columns.items()
        if column.kind in CATEGORICAL
    }
    seconds = {
        name: seconds_of(table[name].to_numpy(dtype=object), column.written)
        for name, column in card.columns.items()
        if column.is_dated
    }
    return table.assign(**alike, **seconds, **{card.label.column: label.to_numpy().astype(np.int8)})


def report(
    table: pd.DataFrame,
    card: Card,
    splits: Mapping[str, Mapping[Part, Rows]],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """The data report: what a validated table and its splits are like, as plain values."""
    frauds = int(table[card.label.column].sum())
    title = f"{card.title} (synthetic data)" if about["synthetic"] else card.title
    return {
        "dataset": card.id,
        "title": title,
        **about,
        "rows": len(table),
        "frauds": frauds,
        "fraud_rate": _rounded(frauds / len(table)),
        "duplicates": int(table.duplicated().sum()),
        "columns": _columns(table, card),
        "splits": {
            way: {part: _part(table.take(rows), card) for part, rows in parts.items()}
            for way, parts in splits.items()
        },
    }


def _columns(table: pd.DataFrame, card: Card) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, column in card.columns.items():
        values = table[name]
        about: dict[str, Any] = {"kind": str(column.kind), "missing": int(values.isna().sum())}
        if column.is_open:
            about["distinct"] = int(values.nunique())
        elif column.kind in CATEGORICAL:
            counts = values.map(as_text).value_counts()
            about["counts"] = {
                as_text(category): int(counts.get(as_text(category), 0))
                for category in column.categories
            }
        elif column.kind is Kind.ID:
            about["distinct"] = int(values.nunique())
        else:
            about |= {
                "minimum": _rounded(values.min()),
                "median": _rounded(values.median()),
                "mean": _rounded(values.mean()),
                "maximum": _rounded(values.max()),
                "standard_deviation": _rounded(values.std()),
            }
        columns[name] = about
    return columns


def _part(table: pd.DataFrame, card: Card) -> dict[str, Any]:
    """Counts of one part of a split, and the time it spans."""
    frauds = int(table[card.label.column].sum())
    about: dict[str, Any] = {
        "rows": len(table),
        "frauds": frauds,
        "fraud_rate": _rounded(frauds / max(len(table), 1)),
    }
    if card.time is not None and len(table):
        about["from"] = _rounded(table[card.time].min())
        about["to"] = _rounded(table[card.time].max())
    return about


def _rounded(value: float) -> float:
    """Eight significant digits: enough to read, few enough to be the same on every machine."""
    return float(f"{value:.8g}")


def _checks(column: Column) -> list[pa.Check]:
    import pandera.pandas as pa

    if column.is_open:
        return [_each(lambda value: buckets.problem(value) is None, "is too long or empty")]
    if column.is_dated:
        like = f"is not written as {LIKE[column.written]}"
        return [_each(lambda value: is_moment(value, column.written), like)]
    if column.kind in CATEGORICAL:
        return [_one_of({as_text(category) for category in column.categories})]
    if column.kind is Kind.ID:
        return []
    checks = [pa.Check(lambda values: values.abs() <= LARGEST, error="is out of range")]
    if column.minimum is not None:
        checks.append(pa.Check.ge(column.minimum, error=f"is below {column.minimum:.15g}"))
    if column.maximum is not None:
        checks.append(pa.Check.le(column.maximum, error=f"is above {column.maximum:.15g}"))
    return checks


def _each(fits: Callable[[Any], bool], error: str) -> pa.Check:
    """A check of each value; of values that a table says often, each is asked about once."""
    import pandera.pandas as pa

    def checked(values: pd.Series[Any]) -> pd.Series[Any]:
        known = {value: fits(value) for value in values.unique()}
        return values.map(known)

    return pa.Check(checked, error=error)


def _one_of(allowed: set[str]) -> pa.Check:
    import pandera.pandas as pa

    listed = ", ".join(sorted(allowed))
    return pa.Check(lambda values: values.map(as_text).isin(allowed), error=f"is none of {listed}")


def _first_failure(cases: pd.DataFrame, where: Path) -> DataError:
    """The failure on the earliest line; how many values do not fit besides."""
    cases = cases.sort_values("index", kind="stable").drop_duplicates(["index", "column"])
    first = cases.iloc[0]
    column, row = first["column"], int(first["index"])
    value, check = first["failure_case"], str(first["check"])
    written = shown(value) if isinstance(value, str) else repr(float(value))
    what = "has no value" if check == "not_nullable" else f"holds {written}, which {check}"
    all_of_them = f" (in all {len(cases)} values do not fit)" if len(cases) > 1 else ""
    return DataError(
        f"{where}, line {line_of(where, row)}: column {column!r} {what}{all_of_them}: "
        "correct or remove the line"
    )
