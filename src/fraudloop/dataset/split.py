"""Dividing a table into training, validation and test, two ways, with no row on two sides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card, Kind
from fraudloop.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = ("train", "validation", "test")
Rows = NDArray[np.intp]


def temporal(time: NDArray[np.float64], *, validation: float, test: float) -> dict[Part, Rows]:
    """Train on the past, validate on what came next, test on the last; a moment is never divided.

    >>> parts = temporal(np.array([5.0, 1.0, 2.0, 4.0, 3.0]), validation=0.2, test=0.2)
    >>> {part: rows.tolist() for part, rows in parts.items()}
    {'train': [1, 2, 4], 'validation': [3], 'test': [0]}
    """
    order = np.argsort(time, kind="stable")
    ordered = time[order]
    cuts = []
    for share in (1 - validation - test, 1 - test):
        moment = ordered[min(round(len(time) * share), len(time) - 1)]
        cuts.append(int(np.searchsorted(ordered, moment, side="left")))
    return dict(zip(PARTS, np.split(order, cuts), strict=True))


def stratified(
    groups: NDArray[np.generic],
    fraud: NDArray[np.bool_],
    *,
    validation: float,
    test: float,
    seed: int,
) -> dict[Part, Rows]:
    """Divide at random, frauds and legitimate alike; rows of one group stay together.

    >>> groups = np.array([0, 0, 1, 2, 3, 4, 5, 6, 7, 8])
    >>> parts = stratified(groups, groups >= 5, validation=0.25, test=0.25, seed=1)
    >>> sorted(np.concatenate(list(parts.values())).tolist()) == list(range(10))
    True
    """
    part_of = dealt(groups, fraud, cuts=(1 - validation - test, 1 - test), seed=seed)
    return {part: np.flatnonzero(part_of == place) for place, part in enumerate(PARTS)}


def dealt(
    groups: NDArray[np.generic],
    fraud: NDArray[np.bool_],
    *,
    cuts: Sequence[float] | NDArray[np.float64],
    seed: int,
) -> NDArray[np.int8]:
    """Which part each row is dealt to at random; parts end where `cuts` say, as shares of all rows.

    Frauds and legitimate rows are dealt alike, and rows of one group to the same part.
    """
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.bincount(group)
    fraudulent = np.bincount(group, weights=fraud) > 0
    rng = np.random.default_rng(seed)
    part_of = np.empty(len(sizes), dtype=np.int8)
    for stratum in (True, False):
        members = rng.permutation(np.flatnonzero(fraudulent == stratum))
        # A group goes where its middle row falls, so that the shares hold to within one group.
        middle = np.cumsum(sizes[members]) - sizes[members] / 2
        bounds = np.array(cuts) * sizes[members].sum()
        part_of[members] = np.searchsorted(bounds, middle, side="right")
    return np.asarray(part_of[group])


def split(
    table: pd.DataFrame, card: Card, *, validation: float, test: float, seed: int
) -> dict[str, dict[Part, Rows]]:
    """Every way of dividing that the card allows: `temporal` needs a time column."""
    ways: dict[str, dict[Part, Rows]] = {}
    if card.time is not None:
        ways["temporal"] = temporal(table[card.time].to_numpy(), validation=validation, test=test)
    ways["stratified"] = stratified(
        alike(table, card),
        table[card.label.column].to_numpy() == 1,
        validation=validation,
        test=test,
        seed=seed,
    )
    return ways


def alike(table: pd.DataFrame, card: Card) -> NDArray[np.uint64]:
    """The same number for rows that are the same transaction, whatever its label."""
    import pandas as pd

    # A payment that is booked twice may come under two ids: it is the same payment.
    said = [name for name, column in card.columns.items() if column.kind is not Kind.ID]
    return np.asarray(pd.util.hash_pandas_object(table[said], index=False), dtype=np.uint64)


def require_fraud(way: str, frauds: dict[Part, int]) -> None:
    """Refuse a split that cannot be trained or judged on."""
    lacking = next((part for part, count in frauds.items() if count == 0), None)
    if lacking is not None:
        raise DataError(
            f"the {lacking} part of the {way} split holds no fraud: "
            f"give it a larger share in params.yaml, set split.use=stratified, or bring more rows"
        )
