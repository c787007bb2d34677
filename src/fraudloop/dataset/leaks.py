"""Columns that know the label: what no bank knows when a payment is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card
from fraudloop.dataset.features import Columns, encode
from fraudloop.errors import DataError

Labels = NDArray[np.int8]

# From so many frauds on, an average precision of one feature that is too good to be true: the best
# single column of the published table has 0.7. Of a handful, one ranks all of them first by chance.
TOO_GOOD = {20: 0.9, 10: 0.99}


def ranking_power(values: NDArray[np.float32], labels: Labels) -> float:
    """The average precision of one feature alone, in whichever direction ranks frauds higher.

    >>> ranking_power(np.array([1, 2, 3, 4], dtype=np.float32), np.array([1, 0, 0, 0]))
    1.0
    """
    found, place = np.unique(values, return_inverse=True)
    frauds = np.bincount(place, weights=labels == 1, minlength=len(found))
    rows = np.bincount(place, minlength=len(found))
    return max(_average_precision(frauds, rows), _average_precision(frauds[::-1], rows[::-1]))


def refuse_leaks(card: Card, columns: Columns, labels: Labels, trusted: Iterable[str]) -> None:
    """Refuse a table of which one feature alone tells frauds, unless it is `trusted`."""
    frauds = int(labels.sum())
    limits = [limit for enough, limit in TOO_GOOD.items() if frauds >= enough]
    if not limits:
        return
    features = encode(card, columns)
    for name, values in zip(card.feature_names, features.T, strict=True):
        power = 0.0 if name in trusted else ranking_power(values, labels)
        if power >= limits[0]:
            raise DataError(
                f"feature {name!r} alone ranks the training rows' frauds with average precision "
                f"{power:.3f}, as if it knew the label: leave it out of the card, or name it in "
                "data.trusted if it is known before a payment is decided"
            )


def _average_precision(frauds: NDArray[Any], rows: NDArray[Any]) -> float:
    precision = np.cumsum(frauds) / np.cumsum(rows)
    return float((frauds * precision).sum() / max(frauds.sum(), 1.0))
