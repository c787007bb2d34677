"""Transactions as they come one by one, {name: value} → columns, refused by field and by name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from reprlib import repr as shortened
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset import buckets
from fraudloop.dataset.card import Card, Column, Kind
from fraudloop.dataset.features import LARGEST, Columns
from fraudloop.dataset.times import LIKE, is_moment, seconds_of
from fraudloop.dataset.words import as_text, is_word
from fraudloop.errors import DataError

Id = str | int
# The field that names a transaction where the card has no column of that name.
ID = "id"
# A sentence is about the first fault; the detail lists no more than these.
MOST_FAULTS = 20
LONGEST_SHOWN = 60
LONGEST_KEY = 200


def columns_of(card: Card, transactions: Collection[tuple[Id, Any]]) -> Columns:
    """The columns of transactions given with their ids; label and ids may stand among their fields.

    >>> from fraudloop.dataset import card
    >>> cup = card.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns: {price: {kind: numeric, minimum: 0}}
    ... label: {column: stolen}
    ... ''', "an example")
    >>> columns_of(cup, [("a", {"price": 2.5}), ("b", {"price": 3})])
    {'price': array([2.5, 3. ])}
    >>> columns_of(cup, [("a", {"price": -1})])
    Traceback (most recent call last):
    fraudloop.errors.DataError: transaction 'a': 'price' is -1, below 0: correct it
    """
    if not transactions:
        raise DataError("there is no transaction to score: give at least one")
    faults = list(islice(_faults(card, transactions), MOST_FAULTS))
    if faults:
        sentence, _ = faults[0]
        raise DataError(sentence, detail=[fault for _, fault in faults])
    return {
        name: _taken(column, [fields[name] for _, fields in transactions])
        for name, column in needed(card).items()
    }


def needed(card: Card) -> dict[str, Column]:
    """The columns that a transaction must have, in the card's order: all but ids."""
    return {name: column for name, column in card.columns.items() if column.kind is not Kind.ID}


def naming(card: Card) -> tuple[str, ...]:
    """The fields that may name a transaction, the first that is there counting.

    The entity is none of them: a card number says whose transaction it is, and not which.
    """
    ids = tuple(
        name
        for name, column in card.columns.items()
        if column.kind is Kind.ID and name != card.entity
    )
    return ids if ID in ids or ID in card.columns else (*ids, ID)


def carried(card: Card) -> tuple[str, ...]:
    """The fields that hold an id, where they are there: of the transaction, or of its entity."""
    entity = card.entity
    ids = naming(card)
    if entity is None or card.columns[entity].kind is not Kind.ID:
        return ids
    return (*ids, entity)


def beside(card: Card) -> tuple[str, ...]:
    """The fields that may stand in a transaction with any value: nothing looks at them."""
    return (card.label.column, *card.ignored)


def is_id(value: Any) -> bool:
    """Whether a value can name a transaction: a text, or a whole number."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def own_id(names: Collection[str], fields: Any) -> Id | None:
    """What a transaction is called by the first of these fields that says so."""
    if not isinstance(fields, Mapping):
        return None
    return next((fields[name] for name in names if is_id(fields.get(name))), None)


def _faults(
    card: Card, transactions: Collection[tuple[Id, Any]]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each fault as a sentence, and as what it says."""
    columns = needed(card)
    known = {*card.columns, *beside(card), *naming(card)}
    ids = carried(card)
    categories = {name: [*map(as_text, column.categories)] for name, column in columns.items()}
    for key, fields in transactions:
        if not isinstance(fields, Mapping):
            problem = " is not an object of fields and values: write it as one"
            yield _fault(key, None, problem)
            continue
        for name in fields:
            if name not in known:
                yield _fault(key, name, f" has an unknown field {shortened(name)}: remove it")
        for name in ids:
            if not is_id(value := fields.get(name)) and value is not None:
                shown = f": {name!r} is {_shown(value)}, which is no id: correct it"
                yield _fault(key, name, shown)
        for name, column in columns.items():
            if name not in fields:
                yield _fault(key, name, f" has no {name!r}: add it")
            elif wrong := _problem(column, categories[name], fields[name]):
                yield _fault(key, name, f": {name!r} is {_shown(fields[name])}{wrong}: correct it")


def _fault(key: Id, field: str | None, problem: str) -> tuple[str, dict[str, Any]]:
    sentence = f"transaction {shortened(key)}{problem}"
    row = key[:LONGEST_KEY] if isinstance(key, str) else key
    return sentence, {"row": row, "field": field, "error": sentence}


def _problem(column: Column, categories: list[str], value: Any) -> str | None:
    """What is wrong with a value, or None."""
    if column.categories:
        known = is_word(value) and as_text(value) in categories
        return None if known else f", none of {', '.join(categories)}"
    if column.is_open:
        wrong = buckets.problem(value)
        return None if wrong is None else f", which {wrong}"
    if column.is_dated:
        like = LIKE.get(column.written)
        return None if is_moment(value, column.written) else f", not written as {like}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ", which is no number"
    if not abs(value) <= LARGEST:  # nor is NaN; an int may be more than a float can hold
        return ", which is out of range"
    if column.minimum is not None and value < column.minimum:
        return f", below {column.minimum:.15g}"
    if column.maximum is not None and value > column.maximum:
        return f", above {column.maximum:.15g}"
    return None


def _taken(column: Column, values: list[Any]) -> NDArray[Any]:
    if column.is_open:  # as objects: in an array of texts each takes the room of the longest
        return np.array(values, dtype=object)
    if column.is_dated:
        return seconds_of(np.array(values, dtype=object), column.written)
    return np.array([as_text(each) if column.categories else float(each) for each in values])


def _shown(value: Any) -> str:
    """A value as JSON would write it, as far as that is short."""
    words = {None: "null", True: "true", False: "false"}
    if value is None or isinstance(value, bool):
        return words[value]
    shown = shortened(value)
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"
