"""Parquet → chunks, a stretch of rows each."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from fraudloop.batch import columns as by_columns
from fraudloop.batch.sound import Chunk, Sound, UnreadableError
from fraudloop.dataset.card import Card
from fraudloop.dataset.records import naming

ROWS = 1 << 17


def chunks(
    file: Any, card: Card, where: str, start: dict[str, int], size: int, stop: int | None = None
) -> Iterator[Chunk]:
    """The chunks of a file from the row on that `start` names, up to row `stop`."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as content:
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
    total = content.metadata.num_rows
    groups, skipped = [], 0
    begins = 0
    for group in range(content.num_row_groups):
        rows = content.metadata.row_group(group).num_rows
        if begins + rows <= stretch.start:
            skipped += rows
        elif begins < stretch.stop:
            groups.append(group)
        begins += rows
    row = skipped
    for batch in content.iter_batches(ROWS, row_groups=groups, columns=wanted):
        begin, ends = max(row, stretch.start), min(row + batch.num_rows, stretch.stop)
        if begin < ends:
            read = partial(_sound, card, batch.slice(begin - row, ends - begin))
            share = size * (ends - begin) // max(total, 1)
            yield Chunk(read, {"at": ends}, share)
        row += batch.num_rows


def _sound(card: Card, batch: Any) -> Sound:
    names = dict(zip(batch.schema.names, batch.columns, strict=True))
    required = {name: values for name, values in names.items() if name in card.columns}
    ids = {name: values for name, values in names.items() if name in naming(card)}
    return by_columns.sound(card, required, ids, batch.num_rows, None)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(". ")
