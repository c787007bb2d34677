"""Decisions → files, part by part: what was written of a file stays when it goes on."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from fraudloop.batch import footers
from fraudloop.batch.decided import FILE, REASONS, VERSION, Layout, Placed
from fraudloop.batch.formats import Format


class Encoder(Protocol):
    """Writes one file: `part` any number of times, each behind what is there; then `end`.

    A part may leave a note, to be kept and given to `end`.
    """

    def part(self, layout: Layout, chunks: Sequence[Placed], path: Path, place: int) -> str | None:
        """Write some chunks, which are the part at that place, and give the note."""

    def end(self, layout: Layout, notes: Sequence[str], path: Path) -> None:
        """Write what ends the file."""


class JsonLines:
    """An object a line."""

    def part(self, layout: Layout, chunks: Sequence[Placed], path: Path, place: int) -> str | None:
        """Write the lines."""
        _append(path, _lines(layout, chunks))
        return None

    def end(self, layout: Layout, notes: Sequence[str], path: Path) -> None:
        """Nothing, but the file be there."""
        _append(path, b"")


class Json:
    """A list of objects, each on a line of its own."""

    def part(self, layout: Layout, chunks: Sequence[Placed], path: Path, place: int) -> str | None:
        """Write the objects, behind a bracket or a comma."""
        before = b",\n" if _size(path) else b"[\n"
        _append(path, before + _lines(layout, chunks).rstrip(b"\n").replace(b"\n", b",\n"))
        return None

    def end(self, layout: Layout, notes: Sequence[str], path: Path) -> None:
        """Write the closing bracket."""
        _append(path, b"\n]\n" if _size(path) else b"[]\n")


class Csv:
    """A header, and a line a row; reasons as JSON."""

    def part(self, layout: Layout, chunks: Sequence[Placed], path: Path, place: int) -> str | None:
        """Write the lines, the first part's behind the header."""
        self._write(layout, layout.table(chunks), path)
        return None

    def end(self, layout: Layout, notes: Sequence[str], path: Path) -> None:
        """Write the header, if there were no parts."""
        if not _size(path):
            self._write(layout, layout.schema.empty_table(), path)

    def _write(self, layout: Layout, table: Any, path: Path) -> None:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        if layout.explain:
            place = table.schema.get_field_index(REASONS)
            texts = [msgspec.json.encode(each).decode() for each in table[REASONS].to_pylist()]
            table = table.set_column(place, REASONS, pa.array(texts, pa.string()))
        options = arrow_csv.WriteOptions(include_header=not _size(path))
        with pa.OSFile(str(path), "ab") as file:
            arrow_csv.write_csv(table, file, options)


class Parquet:
    """A row group a part. Its note is what the footer will say of it.

    Every part is made as a file of its own, and taken out of it. Its footer is kept, moved to where
    the part stands now, and at the end all of them become one.
    """

    def part(self, layout: Layout, chunks: Sequence[Placed], path: Path, place: int) -> str | None:
        """Write the row group."""
        import pyarrow as pa
        from pyarrow import parquet

        repeated = [name for name in (FILE, VERSION) if name in layout.schema.names]
        table = layout.table(chunks)
        sink = pa.BufferOutputStream()
        with parquet.ParquetWriter(sink, layout.schema, use_dictionary=repeated) as writer:
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            ends = sink.tell()
        content = sink.getvalue()
        at = _size(path)
        _append(path, content[:ends] if at == 0 else content[len(footers.MARK) : ends])
        tail = bytes(content[ends:])
        moved = footers.moved(footers.of_file(tail), max(at - len(footers.MARK), 0), place)
        return base64.b64encode(moved).decode()

    def end(self, layout: Layout, notes: Sequence[str], path: Path) -> None:
        """Write the footer of all row groups."""
        import pyarrow as pa
        from pyarrow import parquet

        if not notes:
            parquet.write_table(layout.schema.empty_table(), path)
            return
        whole, *others = [
            parquet.read_metadata(pa.BufferReader(footers.as_file(base64.b64decode(note))))
            for note in notes
        ]
        for other in others:
            whole.append_row_groups(other)
        sink = pa.BufferOutputStream()
        whole.write_metadata_file(sink)
        _append(path, footers.ending(footers.of_file(bytes(sink.getvalue()))))


def _lines(layout: Layout, chunks: Sequence[Placed]) -> bytes:
    """Chunks as an object a line."""
    encoder = msgspec.json.Encoder()
    return b"".join(encoder.encode_lines(list(layout.records(chunk))) for chunk in chunks)


def _append(path: Path, content: Any) -> None:
    with path.open("ab") as file:
        file.write(content)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


ENCODERS: dict[Format, type[Encoder]] = {
    Format.JSON: Json,
    Format.JSON_LINES: JsonLines,
    Format.CSV: Csv,
    Format.PARQUET: Parquet,
}
