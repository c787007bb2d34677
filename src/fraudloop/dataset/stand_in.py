"""A synthetic stand-in of columns of every kind, drawn one after the other by the card's recipe.

What it is: the file's columns in their order and as they are written there, its share of frauds,
each column's usual values and how they differ among frauds, columns that hang together where the
recipe says so. Seeded: the same bytes every time.

What it is not: anybody's payments or credits. A figure measured on it says that the code works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset import recipes
from fraudloop.dataset.recipes import Draws, Level
from fraudloop.dataset.words import as_text

SECONDS_PER_HOUR = 3600
SECONDS_PER_DAY = 86400
HEX_DIGITS = 32
# How unevenly rows fall on entities: a card that is used often has ten times the rows of another.
UNEVEN = 2.0

Values = NDArray[Any]
Table = dict[str, Values]


def draw(recipe: Draws, *, seed: int, rows: int | None = None) -> Table:
    """Draw a table by a recipe, its columns in the recipe's order.

    >>> coin = {"rows": 4, "frauds": 1, "columns": {
    ...     "side": {"draw": "shares", "usual": {"heads": 1}, "fraud": {"edge": 1}},
    ...     "wrong": {"draw": "label"}}}
    >>> table = draw(Draws.model_validate(coin), seed=1)
    >>> sorted(table["side"].tolist()), int(table["wrong"].sum())
    (['edge', 'heads', 'heads', 'heads'], 1)
    """
    total = rows or recipe.rows
    rng = np.random.default_rng(seed)
    fraud = np.zeros(total, dtype=bool)
    frauds = max(1, round(recipe.frauds * total / recipe.rows))
    fraud[rng.choice(total, size=frauds, replace=False)] = True
    entities = max(1, round(recipe.entities * min(1.0, total / recipe.rows)))
    entity = _whose(rng, total, entities)
    desk = _Desk(rng, fraud, entity, entities)
    for name in recipe.in_order():
        column = recipe.columns[name]
        desk.drawn[name] = _DRAWN[type(column)](desk, column)
    return {name: desk.drawn[name] for name in recipe.columns}


@dataclass
class _Desk:
    """What a column is drawn with: randomness, which rows are frauds, and the columns before it."""

    rng: np.random.Generator
    fraud: NDArray[np.bool_]
    entity: NDArray[np.intp]
    entities: int
    drawn: Table = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.fraud)

    def per(self, what: str, make: Callable[[int], Values]) -> Values:
        """So many values for the rows: one for each, or one for each entity."""
        return make(self.entities)[self.entity] if what == "entity" else make(self.rows)


def _whose(rng: np.random.Generator, rows: int, entities: int) -> NDArray[np.intp]:
    weights = rng.gamma(UNEVEN, size=entities)
    return np.asarray(rng.choice(entities, size=rows, p=weights / weights.sum()))


def _shares(desk: _Desk, column: recipes.Shares) -> Values:
    def among(weights: Mapping[Any, float], many: int) -> Values:
        shares = np.array([*weights.values()])
        return desk.rng.choice(len(weights), size=many, p=shares / shares.sum())

    names = [*column.usual, *(name for name in column.fraud or {} if name not in column.usual)]
    found = desk.per(column.per, lambda many: among(column.usual, many))
    if column.fraud is not None:
        places = np.array([names.index(name) for name in column.fraud])
        found[desk.fraud] = places[among(column.fraud, int(desk.fraud.sum()))]
    return np.array(names)[found]


def _amount(desk: _Desk, column: recipes.Amount) -> Values:
    usual = _levels(desk, column.by, column.usual, column.usual_by)
    if column.fraud is not None or column.fraud_by:
        frauds = _levels(desk, column.by, column.fraud or column.usual, column.fraud_by)
        usual = np.where(desk.fraud[:, None], frauds, usual)
    spread = desk.per(column.per, desk.rng.standard_normal)
    values = usual[:, 0] * np.exp(usual[:, 1] * spread)
    return _whole(np.clip(values, column.minimum, column.maximum), column.decimals)


def _levels(
    desk: _Desk, by: str | None, otherwise: Level, levels: Mapping[Any, Level]
) -> NDArray[np.float64]:
    """Median and sigma of each row."""
    found = np.tile([otherwise.median, otherwise.sigma], (desk.rows, 1))
    if by is not None:
        said = desk.drawn[by].astype(str)
        for name, level in levels.items():
            found[said == as_text(name)] = (level.median, level.sigma)
    return found


def _even(desk: _Desk, column: recipes.Even) -> Values:
    values = desk.per(column.per, lambda many: desk.rng.uniform(column.low, column.high, many))
    if column.around is not None:
        values = values + desk.drawn[column.around]
    return _whole(values, column.decimals)


def _days(desk: _Desk, column: recipes.Days) -> Values:
    first, last = np.datetime64(column.first), np.datetime64(column.last)
    many = int((last - first).astype(int)) + 1
    return (first + desk.per(column.per, lambda each: desk.rng.integers(many, size=each))).astype(
        str
    )


def _moments(desk: _Desk, column: recipes.Moments) -> Values:
    first, last = np.datetime64(column.first), np.datetime64(column.last)
    day = desk.rng.integers(int((last - first).astype(int)) + 1, size=desk.rows)
    hour = _hours(desk, column.usual, desk.rows)
    if column.fraud is not None:
        hour[desk.fraud] = _hours(desk, column.fraud, int(desk.fraud.sum()))
    within = desk.rng.integers(SECONDS_PER_HOUR, size=desk.rows)
    seconds = day * SECONDS_PER_DAY + hour * SECONDS_PER_HOUR + within
    # In order, and whoever is a fraud stays one.
    order = np.argsort(seconds, kind="stable")
    desk.fraud, desk.entity = desk.fraud[order], desk.entity[order]
    moments = first.astype("datetime64[s]") + seconds[order]
    return np.char.replace(moments.astype(str), "T", " ")


def _hours(desk: _Desk, weights: tuple[float, ...], many: int) -> Values:
    shares = np.array(weights)
    return desk.rng.choice(len(shares), size=many, p=shares / shares.sum())


def _seconds(desk: _Desk, column: recipes.Seconds) -> Values:
    return desk.drawn[column.of].astype("datetime64[s]").astype(np.int64)


def _words(desk: _Desk, column: recipes.Words) -> Values:
    number = desk.per(column.per, lambda many: desk.rng.integers(column.many, size=many))
    if column.by is not None:  # each has its own, so that what one of them says, no other does
        groups, group = np.unique(desk.drawn[column.by], return_inverse=True)
        number = number * len(groups) + group
    if column.per == "entity":  # no two entities share one
        number = desk.entity if column.many >= desk.entities else number
    texts = [column.text.format(column.first + each) for each in number.tolist()]
    if column.text == "{}":
        return np.array(texts, dtype=np.int64)
    return np.array(texts)


def _key(desk: _Desk, column: recipes.Key) -> Values:
    if column.draw == "number":
        return np.arange(desk.rows)
    digits = desk.rng.bytes(desk.rows * HEX_DIGITS // 2).hex()
    return np.array([digits[at : at + HEX_DIGITS] for at in range(0, len(digits), HEX_DIGITS)])


def _label(desk: _Desk, column: recipes.Answer) -> Values:
    return np.where(desk.fraud, column.fraud, column.legitimate)


def _whole(values: Values, decimals: int) -> Values:
    """Rounded to what every machine agrees on; without decimals, whole numbers."""
    rounded = np.round(values, decimals)
    return rounded.astype(np.int64) if decimals == 0 else rounded


_DRAWN: dict[type[Any], Callable[[_Desk, Any], Values]] = {
    recipes.Shares: _shares,
    recipes.Amount: _amount,
    recipes.Even: _even,
    recipes.Days: _days,
    recipes.Moments: _moments,
    recipes.Seconds: _seconds,
    recipes.Words: _words,
    recipes.Key: _key,
    recipes.Answer: _label,
}
