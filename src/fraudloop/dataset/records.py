"""Transactions as they come one by one, {name: value} → columns, refused by field and by name."""

from __future__ import annotations

from collections.abc import Mapping
from reprlib import repr as shown
from typing import Any

import numpy as np

from fraudloop.dataset.card import Card, Column, Kind, as_text
from fraudloop.dataset.features import LARGEST, Columns
from fraudloop.errors import DataError


def columns_of(card: Card, transactions: Mapping[str, Any]) -> Columns:
    """The columns of transactions given by id; label and ids may stand among their fields.

    >>> from fraudloop.dataset import card
    >>> cup = card.parse('''
    ... id: cups
    ... title: Cups of coffee, paid by card
    ... columns: {price: {kind: numeric, minimum: 0}}
    ... label: {column: stolen}
    ... ''', "an example")
    >>> columns_of(cup, {"a": {"price": 2.5}, "b": {"price": 3}})
    {'price': array([2.5, 3. ])}
    >>> columns_of(cup, {"a": {"price": -1}})
    Traceback (most recent call last):
    fraudloop.errors.DataError: transaction 'a': 'price' is -1, below 0: correct it
    """
    if not transactions:
        raise DataError("there is no transaction to score: give at least one")
    for key, transaction in transactions.items():
        _check_fields(card, key, transaction)
    columns = {}
    for name, column in card.columns.items():
        if column.kind is Kind.ID:
            continue
        values = [
            _value(column, transaction[name], f"transaction {key!r}: {name!r}")
            for key, transaction in transactions.items()
        ]
        columns[name] = np.array(values)
    return columns


def _check_fields(card: Card, key: str, transaction: Any) -> None:
    if not isinstance(transaction, Mapping):
        raise DataError(
            f"transaction {key!r} is not an object of fields and values: write it as one"
        )
    needed = [name for name, column in card.columns.items() if column.kind is not Kind.ID]
    missing = [name for name in needed if name not in transaction]
    if missing:
        raise DataError(f"transaction {key!r} has no {missing[0]!r}: add it")
    known = {*card.columns, card.label.column}
    unknown = next((name for name in transaction if name not in known), None)
    if unknown is not None:
        raise DataError(f"transaction {key!r} has an unknown field {unknown!r}: remove it")


def _value(column: Column, value: Any, where: str) -> float | str:
    if column.categories:
        known = [as_text(category) for category in column.categories]
        written = isinstance(value, str | int | float) and not isinstance(value, bool)
        if not written or as_text(value) not in known:
            raise DataError(f"{where} is {shown(value)}, none of {', '.join(known)}: correct it")
        return as_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise DataError(f"{where} is {shown(value)}, which is no number: correct it")
    if not abs(value) <= LARGEST:  # nor is NaN; an int may be more than a float can hold
        raise DataError(f"{where} is {shown(value)}, which is out of range: correct it")
    if column.minimum is not None and value < column.minimum:
        raise DataError(f"{where} is {value!r}, below {column.minimum:.15g}: correct it")
    if column.maximum is not None and value > column.maximum:
        raise DataError(f"{where} is {value!r}, above {column.maximum:.15g}: correct it")
    return float(value)
