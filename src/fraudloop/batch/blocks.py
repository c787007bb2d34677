"""A text file → blocks of whole lines, each with the number of the line it begins on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from fraudloop.batch.formats import BOM

BLOCK = 1 << 24
# No line is longer. What goes on without an end is read so far and no further.
LONGEST = 1 << 24


class Block(NamedTuple):
    """Some lines: the first is line `line` of the file, the next block begins at byte `after`.

    The file was read as far as byte `read`: whoever goes on there ends the next block at the same
    place.
    """

    content: bytes
    line: int
    after: int
    lines: int
    read: int

    @property
    def next(self) -> dict[str, int]:
        """Where the file goes on, for `blocks`."""
        return {"at": self.after, "line": self.line + self.lines, "read": self.read}


def blocks(file: Any, start: dict[str, int], *, quotes: bool = False) -> Iterator[Block]:
    """The blocks of a file from where `start` says.

    With `quotes` a line break between two quotation marks ends no line, as in CSV.
    """
    at, line = start.get("at", 0), start.get("line", 1)
    read = start.get("read", at)
    file.seek(at)
    rest = bytes(file.read(read - at)) if read > at else b""
    while True:
        came = bytes(file.read(BLOCK))
        read += len(came)
        text = rest + came
        if not came:
            if text:
                yield _block(text, line, at, read)
            return
        cut = _cut(text, quotes)
        if cut == 0 and len(text) >= LONGEST + BLOCK:
            cut = len(text)
        if cut:
            block = _block(text[:cut], line, at, read)
            yield block
            at, line = block.after, line + block.lines
        rest = text[cut:]


def _block(text: bytes, line: int, at: int, read: int) -> Block:
    content = text.removeprefix(BOM) if at == 0 else text
    lines = text.count(b"\n") + (not text.endswith(b"\n"))
    return Block(content, line, at + len(text), lines, read)


def _cut(text: bytes, quotes: bool) -> int:
    """Where the last whole line ends; 0 where none does.

    >>> _cut(b'a\\nb,"c\\nd', True)
    2
    """
    cut = text.rfind(b"\n") + 1
    if not quotes or not cut or text.count(b'"', 0, cut) % 2 == 0:
        return cut
    # The last break may stand within quotes: the one before the last mark does not.
    before = text.rfind(b"\n", 0, text.rfind(b'"', 0, cut)) + 1
    even = text.count(b'"', 0, before) % 2 == 0
    # A mark that is part of a text, and closes nothing, must not hold up the whole file.
    return before if before and even else (0 if len(text) < 2 * LONGEST else cut)
