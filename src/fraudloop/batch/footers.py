"""Parquet's footers, moved: what was written at the beginning of a file stands further on in it.

A footer is in Thrift's compact protocol. All of it is copied as it is but for the numbers that say
where something stands, which become larger by one and the same number.
"""

from __future__ import annotations

from typing import Any

MARK = b"PAR1"
LENGTH = 4  # of the number before the mark that a file ends with

# The fields, by their numbers in parquet.thrift, that are places in the file.
_COLUMN = {9: "place", 10: "place", 11: "place", 14: "place"}
_CHUNK = {2: "place", 3: _COLUMN, 4: "place", 6: "place"}
_ROW_GROUP = {1: _CHUNK, 5: "place", 7: "ordinal"}
_FOOTER: dict[int, Any] = {4: _ROW_GROUP}


def of_file(content: bytes) -> bytes:
    """The footer of a file that is given whole."""
    length = int.from_bytes(content[-LENGTH - len(MARK) : -len(MARK)], "little")
    return content[-LENGTH - len(MARK) - length : -LENGTH - len(MARK)]


def as_file(footer: bytes) -> bytes:
    """A footer as a file that has nothing else, for a reader of such files."""
    return MARK + ending(footer)


def ending(footer: bytes) -> bytes:
    """A footer as it stands at the end of a file."""
    return footer + len(footer).to_bytes(LENGTH, "little") + MARK


def moved(footer: bytes, by: int, ordinal: int) -> bytes:
    """The footer of the same row groups that many bytes and row groups further on."""
    return _Copy(footer, {"place": by, "ordinal": ordinal}).struct(_FOOTER)


class _Copy:
    """Copies a value, with some numbers in it made larger."""

    def __init__(self, content: bytes, added: dict[str, int]) -> None:
        self._content = content
        self._added = added
        self._at = 0
        self._made = bytearray()

    def struct(self, rules: dict[int, Any]) -> bytes:
        """Copy a struct, whose fields `rules` tell what to do with."""
        field = 0
        while head := self._bytes(1)[0]:
            field = field + (head >> 4) if head >> 4 else _signed(self._number())
            self._value(head & 15, rules.get(field), in_list=False)
        return bytes(self._made)

    def _value(self, kind: int, rule: Any, *, in_list: bool) -> None:
        if kind in (1, 2):  # a truth value, which stands in its field's head
            self._bytes(int(in_list))
        elif kind in (4, 5, 6):  # a whole number
            self._whole(rule)
        elif kind in (3, 7):  # a byte, a double
            self._bytes(1 if kind == 3 else 8)
        elif kind == 8:  # a text
            self._bytes(self._number())
        elif kind in (9, 10):  # a list, a set
            head = self._bytes(1)[0]
            many = head >> 4 if head >> 4 < 15 else self._number()
            for _ in range(many):
                self._value(head & 15, rule, in_list=True)
        elif kind == 12:
            self.struct(rule or {})
        else:
            raise ValueError(f"a footer has no values of kind {kind}")

    def _bytes(self, many: int) -> bytes:
        found = self._content[self._at : self._at + many]
        self._at += many
        self._made += found
        return found

    def _number(self) -> int:
        """Copy a number, seven bits a byte."""
        number = shift = 0
        while True:
            (byte,) = self._bytes(1)
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    def _whole(self, rule: Any) -> None:
        """Copy a whole number, or a larger one."""
        before = len(self._made)
        number = _signed(self._number())
        if rule is not None and (number > 0 or rule == "ordinal"):
            del self._made[before:]
            rest = _unsigned(number + self._added[rule])
            while rest > 127:
                self._made.append(rest & 127 | 128)
                rest >>= 7
            self._made.append(rest)


def _signed(number: int) -> int:
    return number >> 1 if number % 2 == 0 else -(number >> 1) - 1


def _unsigned(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1
