"""The quick road from a body to features: decoders made from the card, and no word of refusal.

It takes well-formed bodies only, and gives up on any other: who is right then, and what is wrong,
the patient road says (`dialects.py`). Whatever both take, both must read alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType
from numpy.typing import NDArray

from fraudloop.dataset.card import Card, Column
from fraudloop.dataset.features import LARGEST, RowEncoder, encode
from fraudloop.dataset.records import Id, beside, carried, naming, needed
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError
from fraudloop.model.scorer import Features
from fraudloop.serving.asked import Asked

JSONDecoder = msgspec.json.Decoder[Any]
Values = Sequence[float | str | int]

# Where a body begins: a list, or an object and its first name.
_BEGINNING = re.compile(rb'\s*(?:(\[)|\{\s*"([^"\\]*)")')
_SPLIT = (b"columns", b"index", b"data")
SPLITS_REMEMBERED = 32
# What a database that keeps transactions takes for an id, and what it does not take in any text.
LONGEST_ID = 128  # characters, each of them up to 4 bytes
NO_TEXT = b"\\u0000"


class _Featured(Struct, forbid_unknown_fields=True):
    features: msgspec.Raw


class _Split(Struct, forbid_unknown_fields=True):
    columns: list[str]
    data: msgspec.Raw
    index: list[str | int] | UnsetType = UNSET


class QuickReader:
    """Reads bodies about transactions of one card."""

    def __init__(self, card: Card) -> None:
        columns = needed(card)
        self._card = card
        self._names = tuple(columns)
        self._known = {name.encode() for name in (*columns, *carried(card), *beside(card))}
        self._types: dict[str, Any] = {name: _type(column) for name, column in columns.items()}
        self._measured = [name for name in columns if columns[name].is_number]
        bounds = [(columns[name].minimum, columns[name].maximum) for name in self._measured]
        self._low = np.array([-LARGEST if low is None else max(low, -LARGEST) for low, _ in bounds])
        self._high = np.array([LARGEST if up is None else min(up, LARGEST) for _, up in bounds])
        self._bounded = [
            (place, low, high)
            for place, (low, high) in enumerate(zip(self._low, self._high, strict=True))
            if low > -LARGEST or high < LARGEST
        ]
        self._rows_of_numbers = RowEncoder(card) if RowEncoder.takes(card) else None
        transaction = self._transaction()
        places = [f"c{place}" for place in range(len(columns))]
        self._values = _getter(attrgetter, places)
        self._extras = _getter(attrgetter, [*self._own_ids(), *self._beside()])
        self._naming = len(naming(card))
        texts = [place for place, name in enumerate(columns) if not columns[name].is_number]
        self._texts = _getter(itemgetter, texts) if texts else None
        self._one = msgspec.json.Decoder(transaction)
        self._many = msgspec.json.Decoder(list[transaction])  # type: ignore[valid-type]  # made above
        self._named = msgspec.json.Decoder(dict[str, transaction])  # type: ignore[valid-type]  # too
        self._featured = msgspec.json.Decoder(_Featured)
        self._split = msgspec.json.Decoder(_Split)
        self._row, self._rows = _decoders(self._types.values())
        self._split_rows = lru_cache(SPLITS_REMEMBERED)(self._decoder_of_split)

    def read(self, body: bytes | bytearray) -> Asked | None:
        """What a body asks for, or None where it is not plainly right."""
        beginning = _BEGINNING.match(body)
        if beginning is None:
            return None
        bracket, name = beginning.groups()
        try:
            if bracket:
                return self._read_many(body)
            if name in self._known:
                return self._read_one(body)
            if name == b"features":
                return self._read_featured(body)
            return self._read_split(body) if name in _SPLIT else self._read_named(body)
        except (msgspec.DecodeError, DataError, ValueError, OverflowError, RecursionError):
            return None

    def read_apart(self, bodies: Sequence[bytes]) -> Asked | None:
        """Transactions that came each in a body of its own, and each with an id of its own.

        They are going to be kept; None where any of them is not plainly right.
        """
        try:
            rows = [*map(self._one.decode, bodies)]
            found = [*map(self._own_id, rows, bodies)]
            ids = [each for each in found if each is not None]
            return self._asked(map(self._values, rows), ids) if len(ids) == len(rows) else None
        except (msgspec.DecodeError, DataError, ValueError, OverflowError, RecursionError):
            return None

    def _own_id(self, fields: Struct, body: bytes) -> Id | None:
        """What a transaction calls itself, if that and all of it can be kept."""
        label, *own = self._extras(fields)
        given = [value for value in own if value is not UNSET]
        members = len(self._names) + len(given)
        if label is not UNSET:
            members += 1
            if not isinstance(label, str | int | float | None):
                return None
        if NO_TEXT in body:
            return None
        if body.count(b":") != members:  # an id may hold one, too
            if b"\\" in body:
                return None
            members += sum(value.count(":") for value in given if type(value) is str)
            if body.count(b":") != members:
                return None
        named = [value for value in given if value is not None]
        if any(type(value) is str and len(value) > LONGEST_ID for value in named):
            return None
        return named[0] if named and named[0] != "" else None

    def _read_one(self, body: bytes | bytearray) -> Asked | None:
        fields = self._one.decode(body)
        ids: list[Id] = [0]
        members = body.count(b":") - self._colons([fields], body, self._values)
        if members != len(self._names):
            if members != len(self._names) + self._count_extras([fields]):
                return None
            ids = self._ids([fields])
        if self._rows_of_numbers is None:
            return self._asked([self._values(fields)], ids, single=True)
        row = self._values(fields)
        return Asked(self._rows_of_numbers.one(row), ids, True) if self._is_in_range(row) else None

    def _read_many(self, body: bytes | bytearray) -> Asked | None:
        rows = self._many.decode(body)
        ids: list[Id] = list(range(len(rows)))
        members = body.count(b":") - self._colons(rows, body, self._values)
        if members != len(rows) * len(self._names):
            if members != len(rows) * len(self._names) + self._count_extras(rows):
                return None
            ids = self._ids(rows)
        return self._asked(map(self._values, rows), ids)

    def _read_named(self, body: bytes | bytearray) -> Asked | None:
        named = self._named.decode(body)
        members = body.count(b":") - self._colons(named.values(), body, self._values)
        expected = len(named) * (len(self._names) + 1)
        if members != expected:
            expected += self._count_extras(named.values())
            if b"\\" not in body:  # an escaped colon would not be seen
                expected += sum(name.count(":") for name in named)
            if members != expected:
                return None
        return self._asked(map(self._values, named.values()), list(named))

    def _read_featured(self, body: bytes | bytearray) -> Asked | None:
        featured = self._featured.decode(body).features
        try:
            rows: Sequence[Values] = self._rows.decode(featured)
        except msgspec.ValidationError:
            rows = [self._row.decode(featured)]
        if body.count(b":") - self._colons(rows, body, tuple) != 1:
            return None
        return self._asked(rows, list(range(len(rows))))

    def _read_split(self, body: bytes | bytearray) -> Asked | None:
        split = self._split.decode(body)
        found = self._split_rows(tuple(split.columns))
        if found is None:
            return None
        decoder, in_order = found
        rows = decoder.decode(split.data)
        members = body.count(b":") - self._colons(rows, body, in_order)
        if members != 2 + (split.index is not UNSET):
            return None
        index: list[Id] = list(range(len(rows)) if split.index is UNSET else split.index)
        return self._asked(map(in_order, rows), index) if len(index) == len(rows) else None

    def _asked(self, rows: Iterable[Values], ids: list[Id], single: bool = False) -> Asked | None:
        if not ids:
            return None
        features = self._features(rows, len(ids))
        return None if features is None else Asked(features, ids, single)

    def _features(self, rows: Iterable[Values], many: int) -> Features | None:
        """The features of so many rows in the card's order, if every number lies in its range."""
        if self._rows_of_numbers is not None:
            size = many * len(self._names)
            numbers = np.fromiter(chain.from_iterable(rows), np.float64, size)
            matrix = numbers.reshape(many, len(self._names))
            return self._rows_of_numbers.many(matrix) if self._are_in_range(matrix) else None
        columns: dict[str, Any] = dict(zip(self._names, zip(*rows, strict=True), strict=True))
        measured = [columns[name] for name in self._measured]
        if measured and not self._are_in_range(np.array(measured, dtype=np.float64).T):
            return None
        for name, values in columns.items():
            columns[name] = self._column(name, values)
        return encode(self._card, columns)

    def _column(self, name: str, values: tuple[Any, ...]) -> NDArray[Any]:
        column = self._card.columns[name]
        if column.categories:
            return np.array([*map(as_text, values)])
        return np.array(values, dtype=np.float64 if column.is_number else object)

    def _colons(self, rows: Iterable[Any], body: bytes | bytearray, values: Any) -> int:
        """How many colons of a body stand in texts, as an hour's do, and not after a name.

        None, where a colon may be escaped and not be seen: then these are too many.
        """
        if self._texts is None or b"\\" in body:
            return 0
        return sum(
            text.count(":")
            for row in rows
            for text in self._texts(values(row))
            if type(text) is str
        )

    def _are_in_range(self, numbers: Any) -> bool:
        return bool((numbers >= self._low).all() and (numbers <= self._high).all())

    def _is_in_range(self, row: Any) -> bool:
        """The same of one row of numbers: its extremes say it of most columns."""
        if not -LARGEST <= min(row) <= max(row) <= LARGEST:
            return False
        return all(low <= row[place] <= high for place, low, high in self._bounded)

    def _transaction(self) -> type[Struct]:
        """The shape of a transaction: what it must have, and what it may have beside."""
        own = [(field, str | int | None | UnsetType, UNSET) for field in self._own_ids()]
        free = [(field, Any, UNSET) for field in self._beside()]
        places = {f"c{place}": name for place, name in enumerate(self._names)}
        return msgspec.defstruct(
            "Transaction",
            [
                *((place, self._types[name]) for place, name in places.items()),
                *own,
                *free,
            ],
            rename={**places, **self._own_ids(), **self._beside()},
            forbid_unknown_fields=True,
            gc=False,
        )

    def _own_ids(self) -> dict[str, str]:
        return {f"id{place}": name for place, name in enumerate(carried(self._card))}

    def _beside(self) -> dict[str, str]:
        names = dict.fromkeys(beside(self._card))
        return {f"free{place}": name for place, name in enumerate(names)}

    def _decoder_of_split(
        self, columns: tuple[str, ...]
    ) -> tuple[JSONDecoder, Callable[[Any], Values]] | None:
        """A decoder of rows in this order of columns, and what puts them into the card's."""
        names = [name.encode() for name in columns]
        if len(set(columns)) < len(columns) or not self._known.issuperset(names):
            return None
        if not set(self._names).issubset(columns):
            return None
        _, decoder = _decoders([self._types.get(name, Any) for name in columns])
        return decoder, _getter(itemgetter, [columns.index(name) for name in self._names])

    def _count_extras(self, rows: Iterable[Struct]) -> int:
        return sum(value is not UNSET for fields in rows for value in self._extras(fields))

    def _ids(self, rows: Sequence[Struct]) -> list[Id]:
        """What each transaction calls itself, or else its place."""
        ids: list[Id] = []
        for place, fields in enumerate(rows):
            ids_there = self._extras(fields)[: self._naming]
            own = [value for value in ids_there if value not in (UNSET, None)]
            ids.append(own[0] if own else place)
        return ids


def _type(column: Column) -> Any:
    """What a value of a column is in JSON, as far as a decoder can tell."""
    if column.is_number:
        return float
    return str if column.is_dated else str | int | float


def _decoders(types: Iterable[Any]) -> tuple[JSONDecoder, JSONDecoder]:
    """What decodes a row of values of these types, and a list of such rows."""
    row: Any = tuple.__class_getitem__(tuple(types))
    return msgspec.json.Decoder(row), msgspec.json.Decoder(list[row])


def _getter(kind: Any, names: Sequence[Any]) -> Callable[[Any], Any]:
    """attrgetter or itemgetter, of which even one name gives a tuple."""
    get = kind(*names)
    return get if len(names) > 1 else lambda values: (get(values),)
