"""A source → its chunks, by its format."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from fraudloop.batch import csv_in, json_in, json_lines_in, parquet_in
from fraudloop.batch.formats import KNOWN, Format
from fraudloop.batch.places import Source
from fraudloop.batch.records_in import Records
from fraudloop.batch.sound import Chunk, UnreadableError
from fraudloop.dataset.card import Card


class Reader:
    """Reads files of transactions of one card."""

    def __init__(self, card: Card) -> None:
        self._card = card

    def chunks(
        self, file: Any, source: Source, after: dict[str, int], stop: int | None = None
    ) -> Iterator[Chunk]:
        """The chunks of a source, from behind the one that said `after`.

        `stop` is the row of a Parquet file that is not to be read any more.
        """
        card, where = self._card, source.name
        if source.format is Format.PARQUET:
            return parquet_in.chunks(file, card, where, after, source.size, stop)
        if source.format is Format.CSV:
            return csv_in.chunks(file, card, where, after)
        if source.format is Format.JSON_LINES:
            return json_lines_in.chunks(file, self._records, where, after)
        if source.format is Format.JSON:
            return json_in.chunks(file, card, self._records, where, after)
        raise UnreadableError(f"{where} has none of the endings {KNOWN}: rename or remove it")

    @cached_property
    def _records(self) -> Records:
        return Records(self._card)
