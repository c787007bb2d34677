"""A body, in any dialect → rows of features and their ids, by the dataset card alone.

Two roads lead there. The quick one reads with decoders made from the card and gives up, saying
nothing, at whatever is unusual. The patient one reads anything, and is the one that refuses: so a
sentence is the same whatever the dialect, and only well-formed bodies are read at full speed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl

from fraudloop.dataset.card import Card
from fraudloop.dataset.features import encode
from fraudloop.dataset.records import Id, beside, carried, columns_of, is_id, naming, needed, own_id
from fraudloop.errors import DataError
from fraudloop.serving import json_text
from fraudloop.serving.asked import Asked
from fraudloop.serving.quick import QuickReader
from fraudloop.serving.refusals import RequestError

UNNAMED = "Atr"  # a client that knows no names numbers its columns: Atr1 to AtrN
SHAPES = (
    'send one transaction {"<column>": …}, several [{…}, …], {"features": [[…], …]}, '
    '{"columns": […], "index": […], "data": [[…], …]} or {"<id>": {"<column>": …}, …}'
)


class Dialects:
    """Reads bodies and queries about transactions of one card."""

    def __init__(self, card: Card, *, most_rows: int) -> None:
        self.card = card
        self.most_rows = most_rows
        self._names = tuple(needed(card))
        self._naming = naming(card)
        self._fields = {*self._names, *carried(card), *beside(card)}
        self._quick = QuickReader(card)

    def read(self, body: bytes | bytearray, *, unnamed: bool = False) -> Asked:
        """What a body asks for; `unnamed` lets Atr1…AtrN stand for the card's columns."""
        quick = self._quick.read(body)
        if quick is not None:
            self._require_few(len(quick.ids))
            return quick
        transactions, single = self._transactions(json_text.parse(body))
        self._require_few(len(transactions))
        if unnamed:
            transactions = [(key, self._named(fields)) for key, fields in transactions]
        return self._asked(transactions, single)

    def read_apart(self, bodies: Sequence[bytes]) -> Asked | None:
        """Transactions each in a body of its own, if all are plainly right: see `QuickReader`."""
        return self._quick.read_apart(bodies)

    def read_query(self, pairs: Sequence[tuple[str, str]]) -> Asked:
        """One transaction, given as the parameters of a query."""
        fields: dict[str, Any] = {}
        for name, text in pairs:
            if name in fields:
                raise DataError(f"the query has {name[:80]!r} twice: keep one of the two")
            fields[name] = self._value(name, text)
        return self._asked(self._by_place([fields]), single=True)

    def _asked(self, transactions: list[tuple[Id, Any]], single: bool) -> Asked:
        columns = columns_of(self.card, transactions)
        return Asked(encode(self.card, columns), [key for key, _ in transactions], single)

    def _require_few(self, rows: int) -> None:
        if rows > self.most_rows:
            raise RequestError(
                413,
                f"the body holds {rows:,} transactions, and {self.most_rows:,} at once are the "
                "most: send it in parts",
            )

    def _transactions(self, content: Any) -> tuple[list[tuple[Id, Any]], bool]:
        """The transactions of any dialect, told apart by its shape alone."""
        if isinstance(content, list):
            self._require_few(len(content))
            return self._by_place(content), False
        if not isinstance(content, dict):
            raise DataError(f"the body is no object and no list: {SHAPES}")
        if not content:
            raise DataError(f"the body is empty: {SHAPES}")
        if isinstance(content.get("features"), list):
            return self._featured(content), False
        if isinstance(content.get("columns"), list) or isinstance(content.get("data"), list):
            return self._split(content), False
        objects = [isinstance(value, Mapping) for value in content.values()]
        if all(objects) or (any(objects) and self._fields.isdisjoint(content)):
            return list(content.items()), False
        return self._by_place([content]), True

    def _by_place(self, transactions: list[Any]) -> list[tuple[Id, Any]]:
        """Transactions with their own ids, or their places."""
        named = ((own_id(self._naming, fields), fields) for fields in transactions)
        return [
            (place if key is None else key, fields) for place, (key, fields) in enumerate(named)
        ]

    def _featured(self, content: dict[str, Any]) -> list[tuple[Id, Any]]:
        """Rows of values in the card's order, or one such row."""
        _require_only(content, ("features",))
        rows = content["features"]
        if rows and not any(isinstance(row, list) for row in rows):
            rows = [rows]
        for place, row in enumerate(rows):
            _require_values(row, self._names, f"row {place} of features", place)
        return [(place, dict(zip(self._names, row, strict=True))) for place, row in enumerate(rows)]

    def _split(self, content: dict[str, Any]) -> list[tuple[Id, Any]]:
        """pandas' split: named columns in any order, an index, and rows of values."""
        _require_only(content, ("columns", "index", "data"))
        names, rows = content.get("columns"), content.get("data")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise DataError("columns is no list of names: give the names of data's columns")
        if not isinstance(rows, list):
            raise DataError("data is no list of rows: give one list of values per transaction")
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise DataError(f"columns names {twice[:80]!r} twice: keep one of the two")
        index = content.get("index", list(range(len(rows))))
        if not isinstance(index, list) or len(index) != len(rows) or not all(map(is_id, index)):
            raise DataError(
                f"index is no list of {len(rows)} ids, one for each row of data: correct it"
            )
        for place, row in enumerate(rows):
            _require_values(row, names, f"row {place} of data", index[place])
        return [(index[i], dict(zip(names, row, strict=True))) for i, row in enumerate(rows)]

    def _named(self, fields: Any) -> Any:
        """Fields by the card's names, where all of them were only numbered."""
        numbered = [f"{UNNAMED}{place}" for place in range(1, len(self._names) + 1)]
        if not isinstance(fields, Mapping) or not any(name in fields for name in numbered):
            return fields
        names = dict(zip(numbered, self._names, strict=True))
        named = {names.get(name, name): value for name, value in fields.items()}
        return named if len(named) == len(fields) else fields  # else it has one by both names

    def _value(self, name: str, text: str) -> Any:
        """A number where the card has one, if the text is one."""
        column = self.card.columns.get(name)
        if column is None or not column.is_number or name not in self._names:
            return text
        try:
            return text if "_" in text or text != text.strip() else float(text)
        except ValueError:
            return text


def pairs_of(query: bytes) -> list[tuple[str, str]]:
    """The names and values of a query string."""
    try:
        return parse_qsl(
            query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=1000
        )
    except UnicodeError as error:
        raise RequestError(400, "the query is not UTF-8: percent-encode it in UTF-8") from error
    except ValueError as error:
        raise RequestError(400, "the query has more than 1,000 fields: send fewer") from error


def _require_only(content: dict[str, Any], names: tuple[str, ...]) -> None:
    unknown = next((name for name in content if name not in names), None)
    if unknown is not None:
        raise DataError(f"beside {names[0]!r} stands {unknown[:80]!r}, which is unknown: remove it")


def _require_values(row: Any, names: Sequence[str], where: str, key: Id) -> None:
    if not isinstance(row, list) or len(row) != len(names):
        found = f"{len(row)} values" if isinstance(row, list) else "no list of values"
        sentence = f"{where} is {found}, and there are {len(names)} columns: correct it"
        raise DataError(sentence, detail=[{"row": key, "field": None, "error": sentence}])
