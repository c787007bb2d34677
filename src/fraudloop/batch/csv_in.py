"""CSV → chunks: read by pyarrow, and line by line where that gives up."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from fraudloop.batch import columns as by_columns
from fraudloop.batch.blocks import Block, blocks
from fraudloop.batch.sound import Chunk, Refused, Sound, UnreadableError
from fraudloop.dataset.card import MEASURED, Card
from fraudloop.dataset.records import naming, needed

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class _Layout:
    """What a header says."""

    card: Card
    header: list[str]
    wanted: list[str]

    @property
    def ids(self) -> list[str]:
        return [name for name in self.wanted if name in naming(self.card)]

    def is_number(self, name: str) -> bool:
        return name in self.card.columns and self.card.columns[name].kind in MEASURED


def chunks(file: Any, card: Card, where: str, start: dict[str, int]) -> Iterator[Chunk]:
    """The chunks of a file from the byte on that `start` names."""
    layout, begins = _layout(file, card, where)
    for block in blocks(file, start or begins, quotes=True):
        yield Chunk(partial(_sound, layout, block), block.next, len(block.content))


def _layout(file: Any, card: Card, where: str) -> tuple[_Layout, dict[str, int]]:
    """What the header says, and where the rows begin."""
    first = file.read(LONGEST_HEADER)
    try:
        text = first.decode("utf-8-sig", errors="surrogateescape")
        reader = csv.reader(io.StringIO(text, newline=""))
        header = next(fields for fields in reader if fields)
    except StopIteration:
        raise UnreadableError(f"{where} is empty: send it anew") from None
    except csv.Error as error:
        raise UnreadableError(f"{where} is no CSV that can be read ({error})") from error
    if not _is_utf8("".join(header)):
        raise UnreadableError(f"{where} has a header that is not UTF-8: save it as UTF-8")
    for separator, name in SEPARATORS.items():
        if len(header) == 1 and separator in header[0]:
            raise UnreadableError(f"{where} is separated by {name}: save it separated by commas")
    wanted = by_columns.wanted(card, header, where)
    lines = io.StringIO(text, newline="")
    length = sum(
        len(next(lines).encode("utf-8", errors="surrogateescape")) for _ in range(reader.line_num)
    )
    bom = len(first) - len(text.encode("utf-8", errors="surrogateescape"))
    return _Layout(card, header, wanted), {"at": length + bom, "line": reader.line_num + 1}


def _sound(layout: _Layout, block: Block) -> Sound:
    table = _by_arrow(layout, block.content)
    if table is None:
        return _by_line(layout, block)
    columns = {name: _whole(table.column(name)) for name in needed(layout.card)}
    ids = {name: _whole(table.column(name)) for name in layout.ids}
    lines = partial(_lines, block)
    return by_columns.sound(layout.card, columns, ids, table.num_rows, lines)


def _by_arrow(layout: _Layout, content: bytes) -> Any | None:
    """The block as a table, or None if a line of it is not as it should be."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    types = {
        name: pa.float64() if layout.is_number(name) else pa.string() for name in layout.wanted
    }
    try:
        table = arrow_csv.read_csv(
            pa.BufferReader(content),
            read_options=arrow_csv.ReadOptions(
                column_names=layout.header, use_threads=False, block_size=len(content) + 1
            ),
            parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types=types,
                include_columns=layout.wanted,
                null_values=[""],  # NA may be a category, or an id
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except (pa.ArrowInvalid, UnicodeDecodeError):
        return None
    return table


def _whole(column: Any) -> Any:
    """A column as one array."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _records(block: Block) -> Iterator[tuple[int, list[str]]]:
    """The line and the fields of every record; a byte that is not UTF-8 comes as a surrogate."""
    text = block.content.decode("utf-8", errors="surrogateescape")
    reader = csv.reader(io.StringIO(text, newline=""))
    begins = 0
    while True:
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error:  # a field without an end, most likely
            fields = []
            yield block.line + begins, [""]
        if fields:
            yield block.line + begins, fields
        begins = reader.line_num


def _lines(block: Block, places: Iterable[int]) -> dict[int, int]:
    """The lines that some rows of a block begin on."""
    wanted = set(places)
    return {place: line for place, (line, _) in enumerate(_records(block)) if place in wanted}


def _by_line(layout: _Layout, block: Block) -> Sound:
    """The rows of a block in which a line is not as it should be: the slow way, and a sure one."""
    import pyarrow as pa

    places, rows, lines = [], [], []
    refused: list[Refused] = []
    many = 0
    for place, (line, texts) in enumerate(_records(block)):
        many += 1
        fields, reason = _row(layout, texts)
        if reason is not None:
            refused.append(Refused(place, line, reason))
        elif any(isinstance(fields[name], str) for name in layout.wanted if layout.is_number(name)):
            refused.append(Refused(place, line, fields=fields))
        else:
            places.append(place)
            rows.append(fields)
            lines.append(line)
    columns = {
        name: pa.array(
            [fields[name] for fields in rows],
            pa.float64() if layout.is_number(name) else pa.string(),
        )
        for name in layout.wanted
    }
    ids = {name: columns[name] for name in layout.ids}
    found = by_columns.sound(
        layout.card, columns, ids, len(rows), lambda some: {each: lines[each] for each in some}
    )
    import numpy as np

    moved = np.array(places, dtype=np.int64)
    refused += [
        Refused(places[each.place], each.line, fields=each.fields) for each in found.refused
    ]
    refused.sort(key=lambda each: each.place)
    return Sound(many, moved[found.places], found.features, found.ids, refused)


def _row(layout: _Layout, texts: list[str]) -> tuple[Mapping[str, Any], str | None]:
    """A record's fields, its numbers as numbers; or what is wrong with it as a line."""
    if len(texts) != len(layout.header):
        counted = f"{len(texts)} {'field' if len(texts) == 1 else 'fields'}"
        return {}, f"{counted} where the header has {len(layout.header)}: correct the line"
    fields: dict[str, Any] = dict(zip(layout.header, texts, strict=True))
    fields = {name: fields[name] for name in layout.wanted}
    for name, text in fields.items():
        if not _is_utf8(text):
            return {}, f"{name!r} is not UTF-8 text: save the file as UTF-8"
        if layout.is_number(name):
            fields[name] = _number(text)
        elif not text:
            fields[name] = None
    return fields, None


def _number(text: str) -> float | str | None:
    """A number as pyarrow takes it; Python alone knows 1_000, other digits, other blanks."""
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        return text
    plain = text.isascii() and "_" not in text and text.strip() == text.strip(" \t")
    return number if plain else text


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
