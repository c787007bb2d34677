"""JSON Lines → chunks: one record a line, blank lines left out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from fraudloop.batch.blocks import Block, blocks
from fraudloop.batch.records_in import Record, Records
from fraudloop.batch.sound import Chunk, Sound


def chunks(file: Any, records: Records, where: str, start: dict[str, int]) -> Iterator[Chunk]:
    """The chunks of a file from the byte on that `start` names."""
    for block in blocks(file, start):
        yield Chunk(partial(_sound, records, block), block.next, len(block.content))


def _sound(records: Records, block: Block) -> Sound:
    found = [
        Record(text, line)
        for line, text in enumerate(block.content.split(b"\n"), start=block.line)
        if text and not text.isspace()
    ]
    return records.sound(found)
