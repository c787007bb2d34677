"""A raw CSV → a table with the card's columns, or one error that names the column and the line."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from reprlib import repr as shown
from typing import TYPE_CHECKING

from fraudloop.dataset.card import Card
from fraudloop.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}


def read_csv(path: Path, card: Card) -> pd.DataFrame:
    """Read the card's columns and the label of the CSV at `path`; other columns are left out.

    Numbers come as float64, dates, words, ids and the label as text, exactly as written.
    """
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    header = read_header(path, card)
    wanted = [*card.columns, card.label.column]
    types = {name: pa.float64() if is_number(card, name) else pa.string() for name in wanted}
    try:
        table = arrow_csv.read_csv(
            path,
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types,
                include_columns=wanted,
                null_values=[""],  # NA may be a category, or an id
                strings_can_be_null=True,
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise _fault(path, card, header) or DataError(
            f"{path} is not a CSV that can be read ({' '.join(str(error).split())}): save it anew"
        ) from error
    if table.num_rows == 0:
        raise _no_rows(path)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def is_number(card: Card, name: str) -> bool:
    """Whether a column is read as numbers."""
    return name in card.columns and card.columns[name].is_number


def read_header(path: Path, card: Card) -> list[str]:
    """The names in the first record, once they are known to hold all that the card needs."""
    try:
        line, header = next(_records(path))
    except StopIteration:
        raise DataError(f"{path} is empty: fetch it anew") from None
    except OSError as error:
        raise DataError(
            f"no raw data at {path} ({error.strerror}): run `fraudloop get-data`"
        ) from error
    if not _is_utf8("".join(header)):
        raise DataError(f"{path}, line {line}: the header is not UTF-8 text: save it as UTF-8")
    missing = [name for name in (*card.columns, card.label.column) if name not in header]
    if missing:
        for separator, name in SEPARATORS.items():
            if len(header) == 1 and separator in header[0]:
                raise DataError(
                    f"{path}, line {line}: separated by {name}: save it separated by commas"
                )
        others = f" (nor {len(missing) - 1} more of the card's columns)" if missing[1:] else ""
        raise DataError(
            f"{path}, line {line}: no column {missing[0]!r}{others}: add it, or mend the card"
        )
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{path}, line {line}: two columns are named {twice!r}: rename one")
    return header


def line_of(path: Path, row: int) -> int:
    """The line on which data row `row` (from 0) begins: blank lines and quoted breaks counted."""
    return next(line for number, (line, _) in enumerate(_records(path)) if number == row + 1)


def _records(path: Path) -> Iterator[tuple[int, list[str]]]:
    """First line and fields of every record, the header among them, blank lines left out.

    A byte that is not UTF-8 comes as a surrogate: whether it matters depends on its column.
    """
    begins = 1
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file)
        try:
            for fields in reader:
                if fields:
                    yield begins, fields
                begins = reader.line_num + 1
        except csv.Error as error:
            raise DataError(
                f"{path}, line {begins}: not a CSV that can be read ({error}): save it anew"
            ) from error


def _no_rows(path: Path) -> DataError:
    return DataError(f"{path} has a header but no rows: fetch it anew")


def _fault(path: Path, card: Card, header: list[str]) -> DataError | None:
    """The first record that cannot be read, found slowly, once the fast reader has given up."""
    wanted = {*card.columns, card.label.column}
    records = _records(path)
    next(records)
    line = None
    for line, fields in records:
        what = _fault_in(fields, header, wanted, card)
        if what is not None:
            return DataError(f"{path}, line {line}: {what}")
    return _no_rows(path) if line is None else None


def _fault_in(fields: list[str], header: list[str], wanted: set[str], card: Card) -> str | None:
    if len(fields) != len(header):
        counted = f"{len(fields)} {'field' if len(fields) == 1 else 'fields'}"
        advice = (
            "the file may be cut off, fetch it anew"
            if len(fields) < len(header)
            else "correct or remove the line"
        )
        return f"{counted} where the header has {len(header)}: {advice}"
    for name, text in zip(header, fields, strict=True):
        if name in wanted and not _is_utf8(text):
            return f"column {name!r} is not UTF-8 text: save the file as UTF-8"
        if is_number(card, name) and not _is_number_text(text):
            return (
                f"column {name!r} holds {shown(text)}, which is no number: "
                "correct or remove the line"
            )
    return None


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number_text(text: str) -> bool:
    """Whether the fast reader takes it for a number, or for a gap, which the checks will name."""
    try:
        float(text)
    except ValueError:
        return not text
    # Python alone knows 1_000, other digits, and other blanks about a number.
    return text.isascii() and "_" not in text and text.strip() == text.strip(" \t")
