"""A JSON document as a stream: where each of its values begins and ends, and nothing kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from fraudloop.batch.formats import BOM
from fraudloop.batch.sound import UnreadableError

PIECE = 1 << 22
# No value is longer: what looks like one is a document that is broken.
LONGEST = 1 << 24
BLANKS = " \t\r\n"

_SCANNER = json.JSONDecoder(parse_int=float)


class Cursor:
    """A place in a document, which moves on value by value.

    The text is decoded as Latin-1, a byte a character: whoever takes a value decodes it rightly.
    """

    def __init__(self, file: Any, where: str, at: int = 0, line: int = 1) -> None:
        self._file = file
        self._where = where
        self._begins = at  # which byte of the file the text begins with
        self._text = ""
        self._place = 0
        self._counted = 0
        self._line = line
        self._ended = False
        if at == 0:
            self._more()
            if self._text.startswith(BOM.decode("latin-1")):
                self._place = self._counted = len(BOM)

    @property
    def at(self) -> int:
        """The byte of the file that comes next."""
        return self._begins + self._place

    @property
    def line(self) -> int:
        """The line that it stands on."""
        self._line += self._text.count("\n", self._counted, self._place)
        self._counted = self._place
        return self._line

    def peek(self) -> str:
        """The next character that is no blank; nothing at the end."""
        while True:
            while self._place < len(self._text) and self._text[self._place] in BLANKS:
                self._place += 1
            if self._place < len(self._text) or not self._more():
                return self._text[self._place : self._place + 1]

    def take(self, *characters: str) -> str:
        """One of these characters, which must come next."""
        found = self.peek()
        if not found or found not in characters:
            expected = " or ".join(characters)
            stands = f"{found!r} stands" if found else "it ends"
            raise self.broken(f"{stands} where {expected} should")
        self._place += 1
        return found

    def value(self) -> bytes:
        """The next value, as it is written."""
        self.peek()
        while True:
            try:
                _, end = _SCANNER.raw_decode(self._text, self._place)
            except RecursionError:
                raise self.broken("it is nested too deeply") from None
            except ValueError as error:
                if len(self._text) - self._place > LONGEST or not self._more():
                    raise self.broken(getattr(error, "msg", str(error))) from None
                continue
            if end < len(self._text) or not self._more():  # a number may go on
                break
        found = self._text[self._place : end].encode("latin-1")
        self._place = end
        return found

    def elements(self) -> Iterator[bytes]:
        """The values of a list whose bracket has been taken."""
        if self.peek() == "]":
            self.take("]")
            return
        while True:
            yield self.value()
            if self.take(",", "]") == "]":
                return

    def name(self) -> str:
        """The name of a member, its colon taken too."""
        if self.peek() != '"':
            self.take('"')
        name = self.value()
        self.take(":")
        try:
            return str(json.loads(name))
        except ValueError as error:
            raise self.broken(f"{error}") from None

    def broken(self, why: str) -> UnreadableError:
        """The refusal of what comes from here on."""
        return UnreadableError(
            f"{self._where} is no JSON from line {self.line} on ({why}): correct it"
        )

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        if self._ended:
            return False
        line = self.line
        self._file.seek(self._begins + len(self._text))
        came = self._file.read(PIECE)
        self._ended = not came
        self._begins += self._place
        self._text = self._text[self._place :] + bytes(came).decode("latin-1")
        self._place = self._counted = 0
        self._line = line
        return bool(came)
