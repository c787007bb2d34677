"""A table, or a card's stand-in → files of rows that drift on purpose, and what was done."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fraudloop import files
from fraudloop.dataset import synthetic
from fraudloop.dataset.card import Card, Kind
from fraudloop.errors import DataError
from fraudloop.monitoring import tables
from fraudloop.monitoring.inserter import Inserted

ALL, USUAL, MOVED, CHANGES = "inserted.csv", "reference.csv", "current.csv", "inserted.json"


def rows_of(card: Card, source: Path | None, seed: int) -> dict[str, NDArray[Any]]:
    """The table to draw from: a CSV as it is written, or the card's synthetic stand-in."""
    if source is None:
        return dict(synthetic.draw(card, seed=seed))
    import pyarrow as pa
    from pyarrow import csv

    if not source.is_file():
        raise DataError(f"no table at {source}: name a CSV, or leave it out for a synthetic one")
    as_text = [
        name
        for name, column in card.columns.items()
        if column.kind is Kind.ID or column.is_dated or column.is_open
    ]
    try:
        table = csv.read_csv(
            source,
            convert_options=csv.ConvertOptions(column_types=dict.fromkeys(as_text, pa.string())),
        )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise tables.unreadable(source, "CSV", error) from error
    tables.require(table, card, str(source))
    return {name: table.column(name).to_numpy() for name in table.column_names}


def write(folder: Path, made: Inserted, card: Card, about: Mapping[str, Any]) -> None:
    """Write all rows, the usual and the shifted ones apart, and what was changed."""
    for name, table in ((ALL, made.table), (USUAL, made.usual()), (MOVED, made.moved())):
        _write_csv(folder / name, table)
    files.write_json(
        folder / CHANGES,
        {
            "card": card.id,
            **about,
            "rows": made.rows,
            "shifted": made.shifted,
            "shifted_rows_are": "the last",
            "shifted_columns": dict(made.changes),
        },
    )


def _write_csv(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    import pyarrow as pa
    from pyarrow import csv

    table = pa.table({name: pa.array(values) for name, values in columns.items()})
    with files.written_aside(path) as aside:
        csv.write_csv(table, aside)
