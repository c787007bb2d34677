"""A JSON document, in any dialect of the server → chunks, without having all of it at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import Any

import msgspec

from fraudloop.batch.json_text_in import Cursor
from fraudloop.batch.records_in import Record, Records
from fraudloop.batch.sound import Chunk, UnreadableError
from fraudloop.dataset.card import Card
from fraudloop.dataset.records import Id, is_id, needed
from fraudloop.errors import FraudloopError
from fraudloop.serving import json_text
from fraudloop.serving.dialects import SHAPES

ROWS = 1 << 13
SPLIT = ("columns", "index", "data")


def chunks(
    file: Any, card: Card, records: Records, where: str, start: dict[str, int]
) -> Iterator[Chunk]:
    """The chunks of a document from the transaction on that `start` names."""
    document = _Document(file, card, where)
    found = document.records()
    done = start.get("at", 0)
    if done:
        next(islice(found, done - 1, done), None)
    at = document.at
    broken: UnreadableError | None = None
    while broken is None:
        some: list[Record] = []
        try:
            some.extend(islice(found, ROWS))
        except UnreadableError as error:
            broken = error
        if not some:
            break
        done += len(some)
        yield Chunk(partial(records.sound, some), {"at": done}, document.at - at)
        at = document.at
    if broken is not None:
        raise broken


class _Document:
    """Goes through a document, whichever its dialect."""

    def __init__(self, file: Any, card: Card, where: str) -> None:
        self._file = file
        self._where = where
        self._names = list(needed(card))
        self._fields = {*card.columns, card.label.column}
        self._cursor = Cursor(file, where)

    @property
    def at(self) -> int:
        """How far it is."""
        return self._cursor.at

    def records(self) -> Iterator[Record]:
        """Every transaction."""
        first = self._cursor.peek()
        if first == "[":
            self._cursor.take("[")
            for text in self._cursor.elements():
                yield Record(text, self._cursor.line)
        elif first == "{":
            yield from self._of_object()
        else:
            raise UnreadableError(f"{self._where} is no object and no list: {SHAPES}")
        if self._cursor.peek():
            raise self._cursor.broken("more stands behind its end")

    def _of_object(self) -> Iterator[Record]:
        cursor = self._cursor
        line, before = cursor.line, cursor.at
        cursor.take("{")
        if cursor.peek() == "}":
            raise UnreadableError(f"{self._where} is an empty object: {SHAPES}")
        name, value = cursor.name(), cursor.peek()
        if name == "features" and value == "[":
            yield from self._featured()
        elif name in SPLIT and value == "[":
            cursor = self._cursor = Cursor(self._file, self._where, before, line)
            yield from self._split()
        elif value == "{" and name not in self._fields:
            while True:
                text = cursor.value()
                yield Record(text, cursor.line, key=name)
                if cursor.take(",", "}") == "}":
                    return
                name = cursor.name()
        else:
            self._cursor = Cursor(self._file, self._where, before, line)
            yield Record(self._cursor.value(), line)

    def _featured(self) -> Iterator[Record]:
        """Rows of values in the card's order, or one such row."""
        cursor = self._cursor
        cursor.take("[")
        if cursor.peek() in "[]":
            for text in cursor.elements():
                yield self._row(text, self._names, cursor.line)
        else:
            values = b",".join(islice(cursor.elements(), len(self._names) + 1))
            yield self._row(b"[" + values + b"]", self._names, cursor.line)
        if cursor.peek() == ",":
            cursor.take(",")
            raise UnreadableError(
                f"{self._where}: beside 'features' stands {cursor.name()[:80]!r}, "
                "which is unknown: remove it"
            )
        cursor.take("}")

    def _split(self) -> Iterator[Record]:
        """pandas' split. Names and ids may stand behind the rows: so it is gone through twice."""
        columns, places = self._look_through()
        if columns is None or "data" not in places:
            lacking = "columns" if columns is None else "data"
            raise UnreadableError(f"{self._where} has no {lacking!r}: {SHAPES}")
        ids: Iterator[Id | None] = iter(())
        if "index" in places:
            index = Cursor(self._file, self._where, *places["index"])
            index.take("[")
            ids = (_id(text, index) for text in index.elements())
        ends = self._cursor
        cursor = self._cursor = Cursor(self._file, self._where, *places["data"])
        cursor.take("[")
        for text in cursor.elements():
            key = next(ids, None)
            if key is None and "index" in places:
                raise cursor.broken("index has fewer ids than data has rows")
            yield self._row(text, columns, cursor.line, key)
        if next(ids, None) is not None:
            raise cursor.broken("index has more ids than data has rows")
        self._cursor = ends

    def _look_through(self) -> tuple[list[str] | None, dict[str, tuple[int, int]]]:
        """The names of the columns, and where index and data begin: a byte and a line each."""
        cursor, columns = self._cursor, None
        places: dict[str, tuple[int, int]] = {}
        cursor.take("{")
        while True:
            name = cursor.name()
            if name not in SPLIT or name in places or (name == "columns" and columns):
                unknown = "unknown: remove it" if name not in SPLIT else "there twice: remove one"
                raise UnreadableError(f"{self._where} has {name[:80]!r}, which is {unknown}")
            if name == "columns":
                columns = _names(cursor)
            else:
                cursor.peek()
                places[name] = (cursor.at, cursor.line)
                cursor.take("[")
                for _ in cursor.elements():
                    pass
            if cursor.take(",", "}") == "}":
                return columns, places

    def _row(self, text: bytes, names: list[str], line: int, key: Id | None = None) -> Record:
        """A row of values as a record."""
        try:
            values = json_text.parse(text)
        except FraudloopError:
            return Record(text, line, key)
        fields = values
        if isinstance(values, list) and len(values) == len(names):
            fields = dict(zip(names, values, strict=True))
        try:
            written = msgspec.json.encode(fields)
        except (OverflowError, UnicodeEncodeError):  # a number that no other language knows
            written = b"null"
        return Record(written, line, key, fields)


def _names(cursor: Cursor) -> list[str]:
    names = json.loads(cursor.value())
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise cursor.broken("columns is no list of names")
    if len(set(names)) < len(names):
        raise cursor.broken("columns names one twice")
    return names


def _id(text: bytes, cursor: Cursor) -> Id:
    found: Any = json.loads(text)
    if not is_id(found):
        raise cursor.broken(f"index holds {text[:80].decode('utf-8', 'replace')}, which is no id")
    name: Id = found
    return name
