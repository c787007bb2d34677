"""What a column looks like in both tables: as few numbers as a picture needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Column
from fraudloop.monitoring import tables
from fraudloop.monitoring.detectors import AT_ONCE
from fraudloop.monitoring.tables import Categories, Held, Numbers

BINS = 28
SAMPLED = 4096  # values, by which the range of a picture is chosen
MOST_BARS = 12
OTHERS, UNKNOWN = "(others)", "(unknown)"


@dataclass(frozen=True)
class Shape:
    """Shares of rows in both tables: by bin between `edges`, or by category of `labels`.

    What lies beyond the first and the last edge counts in the bin beside it.
    """

    reference: tuple[float, ...]
    current: tuple[float, ...]
    edges: tuple[float, ...] = ()
    labels: tuple[str, ...] = ()
    means: tuple[float, float] | None = None
    deviations: tuple[float, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """The shape as it stands in the report."""
        numbers: dict[str, Any] = (
            {"edges": list(self.edges)} if self.edges else {"categories": list(self.labels)}
        )
        for name, pair in (("mean", self.means), ("standard_deviation", self.deviations)):
            if pair is not None:
                numbers[name] = {"reference": pair[0], "current": pair[1]}
        return {**numbers, "reference": list(self.reference), "current": list(self.current)}


def shape_of(column: Column, before: Held, now: Held) -> Shape:
    """The shape of what two tables hold of one column."""
    if isinstance(before, Numbers) and isinstance(now, Numbers):
        return histogram(before, now)
    assert isinstance(before, Categories)
    assert isinstance(now, Categories)
    return _bars(column, before, now)


def histogram(before: Numbers, now: Numbers) -> Shape:
    """Shares of rows by bins of equal width, over the range in which nearly all rows are.

    >>> shape = histogram(Numbers(np.array([0.0, 1.0])), Numbers(np.array([1.0, 1.0])))
    >>> shape.reference[0], shape.reference[-1], shape.current[0], shape.current[-1]
    (0.5, 0.5, 0.0, 1.0)
    """
    edges = _edges(before.values, now.values)
    known = min(len(before.values), len(now.values)) > 1
    moments = before.moments, now.moments
    means = [_short(each.mean) for each in moments]
    deviations = [_short(math.sqrt(each.variance)) for each in moments] if known else []
    return Shape(
        reference=_shares(before.values, edges),
        current=_shares(now.values, edges),
        edges=tuple(_short(edge) for edge in edges),
        means=(means[0], means[1]) if known else None,
        deviations=(deviations[0], deviations[1]) if known else None,
    )


def _edges(before: NDArray[np.float64], now: NDArray[np.float64]) -> NDArray[np.float64]:
    sampled = np.concatenate([values[:: len(values) // SAMPLED + 1] for values in (before, now)])
    if not len(sampled):
        return np.array([0.0, 1.0])
    low, high = np.quantile(sampled, [0.005, 0.995])
    if low == high:
        low, high = float(sampled.min()), float(sampled.max())
    if low == high:
        wide = max(abs(low) * 0.05, 0.5)
        low, high = low - wide, high + wide
    return np.linspace(low, high, BINS + 1)


def _shares(values: NDArray[np.float64], edges: NDArray[np.float64]) -> tuple[float, ...]:
    bins = len(edges) - 1
    counts = np.zeros(bins, dtype=np.int64)
    scale = bins / (edges[-1] - edges[0])
    for begin in range(0, len(values), AT_ONCE):
        places = values[begin : begin + AT_ONCE] - edges[0]
        places *= scale
        np.clip(places, 0, bins - 1, out=places)
        counts += np.bincount(places.astype(np.intp), minlength=bins)
    return tuple(round(float(count), 6) for count in counts / max(len(values), 1))


def _bars(column: Column, before: Categories, now: Categories) -> Shape:
    """The largest categories in the card's order; what else there is goes together at the end."""
    labels = tables.labels(column)
    shares = [each.counts / max(each.known + each.unknown, 1) for each in (before, now)]
    order = np.arange(len(labels))
    if len(labels) > MOST_BARS:
        order = np.sort(np.argsort(-np.maximum(*shares), kind="stable")[: MOST_BARS - 1])
    rest = np.setdiff1d(np.arange(len(labels)), order)
    shown = [labels[place] for place in order]
    columns = [[float(share[place]) for place in order] for share in shares]
    if len(rest):
        shown.append(OTHERS)
        for each, share in zip(columns, shares, strict=True):
            each.append(float(share[rest].sum()))
    if before.unknown or now.unknown:
        shown.append(UNKNOWN)
        for each, held in zip(columns, (before, now), strict=True):
            each.append(held.unknown / max(held.known + held.unknown, 1))
    reference, current = (tuple(round(share, 6) for share in each) for each in columns)
    return Shape(reference, current, labels=tuple(shown))


def _short(value: Any) -> float:
    return float(f"{float(value):.6g}")
