"""A card with a column of each kind, and tables of it."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from fraudloop.dataset import card as cards
from fraudloop.dataset.card import Card
from fraudloop.monitoring.drift import Compared, Comparison, compare
from fraudloop.monitoring.tables import held
from tests.fitted import PARAMS

SETTINGS = PARAMS.drift
SIZES = ("small", "medium", "large")
KINDS = ("espresso", "filter", "latte", "tea")


@cache
def card() -> Card:
    return cards.parse(
        """
        id: cups
        title: Cups of coffee, paid by card
        columns:
          at: {kind: time}
          number: {kind: id}
          price: {kind: numeric}
          size: {kind: ordinal, categories: [small, medium, large]}
          milk: {kind: binary, categories: [0, 1]}
          kind: {kind: nominal, categories: [espresso, filter, latte, tea]}
          shop: {kind: nominal, buckets: 8}
        label: {column: stolen}
        """,
        "an example",
    )


def cups(rows: int, seed: int, **changes: Any) -> dict[str, Any]:
    """So many cups; a change is a column's values instead."""
    rng = np.random.default_rng(seed)
    drawn: dict[str, Any] = {
        "price": rng.normal(3.0, 1.0, rows),
        "size": rng.choice(SIZES, rows, p=[0.5, 0.3, 0.2]),
        "milk": rng.integers(0, 2, rows),
        "kind": rng.choice(KINDS, rows, p=[0.4, 0.3, 0.2, 0.1]),
        "shop": rng.choice([f"shop {number}" for number in range(40)], rows),
    }
    return drawn | changes


def table(columns: dict[str, Any]) -> Any:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def compared(before: dict[str, Any], now: dict[str, Any]) -> Comparison:
    first, second = (held(table(each), card()) for each in (before, now))
    return compare(card(), first, second, SETTINGS)


def column(comparison: Comparison, name: str) -> Compared:
    return next(each for each in comparison.compared if each.name == name)
