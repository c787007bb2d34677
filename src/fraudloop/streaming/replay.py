"""Transactions to send: the rows of a table, in its order, each as JSON with an id of its own."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from fraudloop.dataset.card import Card
from fraudloop.dataset.reading import is_number, read_csv
from fraudloop.dataset.records import naming, needed
from fraudloop.dataset.words import as_text
from fraudloop.errors import DataError, StreamError

_json = msgspec.json.Encoder().encode

Columns = dict[str, list[Any]]


class Transaction(NamedTuple):
    """One message: its key, which is its id, and its JSON; its time in the table, in seconds."""

    key: str
    value: bytes
    time: float = 0.0


def from_file(path: Path, card: Card) -> Columns:
    """The columns of a CSV, Parquet or JSON file, without its label."""
    names = [*card.columns]
    if path.suffix == ".csv":
        frame = read_csv(path, card)
        columns = {name: frame[name].tolist() for name in names}
    elif path.suffix == ".parquet":
        columns = _from_parquet(path, names)
    elif path.suffix == ".json":
        columns = _from_json(path, names)
    else:
        raise DataError(f"{path} is no .csv, .parquet or .json: name one of these")
    if not columns[names[0]]:
        raise DataError(f"{path} holds no transaction: name a file with some")
    return columns


def synthetic(card: Card, *, seed: int, rows: int | None) -> Columns:
    """The columns of the card's synthetic table."""
    from fraudloop.dataset.synthetic import draw

    table = draw(card, seed=seed, rows=rows)
    return {name: table[name].tolist() for name in card.columns}


def transactions(card: Card, columns: Columns, prefix: str) -> Iterator[Transaction]:
    """Every row as a message. Where the card has a column of ids, that is what names it.

    >>> from fraudloop.dataset import card as cards
    >>> cup = cards.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns: {price: {kind: numeric}}
    ... label: {column: stolen}
    ... ''', "an example")
    >>> [(key, value) for key, value, _ in transactions(cup, {"price": [2.5]}, "a")]
    [('a-0', b'{"id":"a-0","price":2.5}')]
    """
    field = naming(card)[0]
    own = columns.get(field) if field in card.columns else None
    wanted = needed(card)
    texts = {name for name in wanted if not is_number(card, name)}
    values = [map(as_text, columns[name]) if name in texts else columns[name] for name in wanted]
    times = columns[card.time] if card.time is not None else None
    for place, row in enumerate(zip(*values, strict=True)):
        name = place if own is None else own[place]
        key = f"{prefix}-{name}" if prefix else str(name)
        value = _json({field: key} | dict(zip(wanted, row, strict=True)))
        yield Transaction(key, value, times[place] if times is not None else 0.0)


def rounds(card: Card, columns: Columns, *, forever: bool, prefix: str) -> Iterator[Transaction]:
    """The rows once, or again and again: each round with other ids, and later than the one before.

    The first round leaves the ids of the table as they are.
    """
    has_ids = naming(card)[0] in card.columns
    times = columns[card.time] if card.time is not None else [0.0]
    length = max(times) - min(times) + 1
    for number in count():
        later = f"{prefix}.{number}"
        first = "" if has_ids else prefix
        for each in transactions(card, columns, later if number else first):
            yield each._replace(time=each.time + number * length)
        if not forever:
            return


def at_most(
    count: int | None, transactions: Iterable[Transaction | None]
) -> Iterator[Transaction | None]:
    """The first so many of them, and whatever stands for none in between."""
    left = count
    for each in transactions:
        yield each
        if left is not None and each is not None:
            left -= 1
            if left == 0:
                return


class Pace:
    """When the next message is due: so many a second, or by its time in the table, sped up."""

    def __init__(self, *, rate: float = 0.0, speed: float = 0.0) -> None:
        self._rate = rate
        self._speed = speed
        self._began: float | None = None
        self._first = 0.0
        self._sent = 0

    def seconds_until(self, due: Transaction) -> float:
        """How long to wait before this one is sent; of one that is late, nothing."""
        now = time.monotonic()
        if self._began is None:
            self._began, self._first = now, due.time
        at = self._began
        if self._rate:
            at += self._sent / self._rate
        elif self._speed:
            at += (due.time - self._first) / self._speed
        self._sent += 1
        return max(0.0, at - now) if self._rate or self._speed else 0.0


def _from_parquet(path: Path, names: list[str]) -> Columns:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path} cannot be read ({' '.join(str(error).split())})") from error
    _require(path, names, table.column_names)
    found: Columns = table.to_pydict()
    return found


def _from_json(path: Path, names: list[str]) -> Columns:
    try:
        content = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise DataError(f"{path} cannot be read ({error}): name a file of JSON") from error
    rows = list(rows_of(content))
    for row in rows:
        _require(path, names, row)
    return {name: [row[name] for row in rows] for name in names}


def rows_of(content: Any) -> Iterable[dict[str, Any]]:
    """The transactions in decoded JSON: one, a list, by id, or in pandas' split form."""
    if isinstance(content, list):
        rows = content
    elif not isinstance(content, dict):
        rows = []
    elif isinstance(content.get("data"), list) and isinstance(content.get("columns"), list):
        rows = [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
    elif content and all(isinstance(each, dict) for each in content.values()):
        rows = [{"id": key} | fields for key, fields in content.items()]
    else:
        rows = [content]
    if not all(isinstance(row, dict) for row in rows):
        raise StreamError("a transaction is no object of fields and values: send objects")
    return rows


def _require(path: Path, names: list[str], found: Iterable[str]) -> None:
    missing = next((name for name in names if name not in set(found)), None)
    if missing is not None:
        raise DataError(f"{path} has no column {missing!r}: add it, or name another file")
