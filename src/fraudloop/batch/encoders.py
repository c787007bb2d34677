"""Decisions → bytes, part by part: what was written of a file stays as it is when it goes on."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from fraudloop.batch.decided import REASONS, Layout, Placed
from fraudloop.batch.formats import Format


class Encoder(Protocol):
    """Writes one file: `part` any number of times, each told at which byte it begins; then `end`.

    A part may leave a note, to be kept and given to `end`.
    """

    def part(self, layout: Layout, chunks: Sequence[Placed], at: int) -> tuple[Any, str | None]:
        """The bytes of some chunks, and the note."""

    def end(self, layout: Layout, notes: Sequence[str], at: int) -> Any:
        """The bytes that end the file."""


class JsonLines:
    """An object a line."""

    def part(self, layout: Layout, chunks: Sequence[Placed], at: int) -> tuple[Any, str | None]:
        """The lines."""
        encoder = msgspec.json.Encoder()
        return b"".join(encoder.encode_lines(list(layout.records(chunk))) for chunk in chunks), None

    def end(self, layout: Layout, notes: Sequence[str], at: int) -> Any:
        """Nothing."""
        return b""


class Json:
    """A list of objects, each on a line of its own."""

    def part(self, layout: Layout, chunks: Sequence[Placed], at: int) -> tuple[Any, str | None]:
        """The objects, behind a bracket or a comma."""
        lines, _ = JsonLines().part(layout, chunks, at)
        if not lines:
            return b"", None
        before = b",\n" if at else b"[\n"
        return before + lines.rstrip(b"\n").replace(b"\n", b",\n"), None

    def end(self, layout: Layout, notes: Sequence[str], at: int) -> Any:
        """The closing bracket."""
        return b"\n]\n" if at else b"[]\n"


class Csv:
    """A header, and a line a row; reasons as JSON."""

    def part(self, layout: Layout, chunks: Sequence[Placed], at: int) -> tuple[Any, str | None]:
        """The lines, the first part's behind the header."""
        return self._written(layout, layout.table(chunks), header=at == 0), None

    def end(self, layout: Layout, notes: Sequence[str], at: int) -> Any:
        """Nothing; of no parts, the header."""
        return b"" if at else self._written(layout, layout.schema.empty_table(), header=True)

    def _written(self, layout: Layout, table: Any, *, header: bool) -> Any:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        if layout.explain:
            place = table.schema.get_field_index(REASONS)
            texts = [msgspec.json.encode(each).decode() for each in table[REASONS].to_pylist()]
            table = table.set_column(place, REASONS, pa.array(texts, pa.string()))
        sink = pa.BufferOutputStream()
        arrow_csv.write_csv(table, sink, arrow_csv.WriteOptions(include_header=header))
        return sink.getvalue()


class Parquet:
    """A row group a part. Its note is what the footer will say of it.

    Every part is written as a file of its own that believes to begin where it will stand; its
    footer is kept for the end, where all of them become one.
    """

    def part(self, layout: Layout, chunks: Sequence[Placed], at: int) -> tuple[Any, str | None]:
        """The row group, the first behind the format's mark."""
        import pyarrow as pa
        from pyarrow import parquet

        sink = _Elsewhere(max(at - len(_MARK), 0))
        footers: list[Any] = []
        with parquet.ParquetWriter(
            pa.PythonFile(sink, mode="w"),
            layout.schema,
            use_dictionary=[name for name in layout.ids if name == "file"] + ["model_version"],
            metadata_collector=footers,
        ) as writer:
            table = layout.table(chunks)
            writer.write_table(table, row_group_size=max(table.num_rows, 1))
            length = sink.length
        content = b"".join(sink.pieces)[:length]
        return content[len(_MARK) :] if at else content, _text(footers[0])

    def end(self, layout: Layout, notes: Sequence[str], at: int) -> Any:
        """The footer of all row groups."""
        import pyarrow as pa
        from pyarrow import parquet

        if not notes:
            sink = pa.BufferOutputStream()
            parquet.write_table(layout.schema.empty_table(), sink)
            return sink.getvalue()
        whole, *others = [_footer(note) for note in notes]
        for other in others:
            whole.append_row_groups(other)
        return _written(whole)[len(_MARK) :]


_MARK = b"PAR1"


class _Elsewhere:
    """A file that believes to begin at a byte further on."""

    closed = False

    def __init__(self, begins: int) -> None:
        self._begins = begins
        self.pieces: list[bytes] = []
        self.length = 0

    def write(self, content: Any) -> int:
        self.pieces.append(bytes(content))
        self.length += len(self.pieces[-1])
        return len(self.pieces[-1])

    def tell(self) -> int:
        return self._begins + self.length

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


def _written(footer: Any) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    footer.write_metadata_file(sink)
    return bytes(sink.getvalue())


def _text(footer: Any) -> str:
    return base64.b64encode(_written(footer)).decode()


def _footer(text: str) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    return parquet.read_metadata(pa.BufferReader(base64.b64decode(text)))


ENCODERS: dict[Format, type[Encoder]] = {
    Format.JSON: Json,
    Format.JSON_LINES: JsonLines,
    Format.CSV: Csv,
    Format.PARQUET: Parquet,
}
