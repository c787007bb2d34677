"""Parquet → chunks, a stretch of rows each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from fraudloop.batch import columns as by_columns
from fraudloop.batch.sound import Chunk, Sound, UnreadableError
from fraudloop.dataset.card import Card
from fraudloop.dataset.records import naming

ROWS = 1 << 16
# Never a whole row group at once: its length is up to who wrote it.
READ_AHEAD = 1 << 20


def chunks(
    file: Any, card: Card, where: str, start: dict[str, int], size: int, stop: int | None = None
) -> Iterator[Chunk]:
    """The chunks of a file from the row on that `start` names, up to row `stop`."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file, pre_buffer=False, buffer_size=READ_AHEAD) as content:
            names = list(content.schema_arrow.names)
            wanted = by_columns.wanted(card, names, where)
            rows = content.metadata.num_rows
            stretch = range(start.get("at", 0), rows if stop is None else stop)
            yield from _chunks(content, card, wanted, stretch, size)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # it is the disk that fails, not what is on it
        raise UnreadableError(
            f"{where} is no Parquet that can be read ({_first_line(error)}): write it anew"
        ) from error


def _chunks(
    content: Any, card: Card, wanted: list[str], stretch: range, size: int
) -> Iterator[Chunk]:
    """Chunks end where row groups do, so that they are the same wherever reading begins."""
    total = max(content.metadata.num_rows, 1)
    row = 0
    for group in range(content.num_row_groups):
        ends = row + content.metadata.row_group(group).num_rows
        if ends <= stretch.start or row >= stretch.stop:
            row = ends
            continue
        for batch in content.iter_batches(ROWS, row_groups=[group], columns=wanted):
            first, last = max(row, stretch.start), min(row + batch.num_rows, stretch.stop)
            if first < last:
                read = partial(_sound, card, batch.slice(first - row, last - first))
                yield Chunk(read, {"at": last}, size * (last - first) // total)
            row += batch.num_rows


def _sound(card: Card, batch: Any) -> Sound:
    names = dict(zip(batch.schema.names, batch.columns, strict=True))
    required = {name: values for name, values in names.items() if name in card.columns}
    ids = {name: values for name, values in names.items() if name in naming(card)}
    return by_columns.sound(card, required, ids, batch.num_rows, None)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(". ")
