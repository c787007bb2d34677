"""Figures of parts of the rows: by amount, by hour of day, by day."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.times import SECONDS_PER_DAY, SECONDS_PER_HOUR
from fraudloop.training.figures import judge
from fraudloop.training.scored import Floats, Policy, Scored

SLICED = ("average_precision", "precision", "recall", "money_caught")
HOURS = 6  # of a band
DAYS = 14  # that are shown, the last ones
FIRST_DATED = 3650  # days after some midnight: no table begins so late, unless it counts from 1970

Bands = NDArray[np.int64]


def quartiles(amounts: Floats) -> tuple[float, ...]:
    """The edges between four bands of about as many amounts each, to six digits.

    Of amounts that the judged rows are not among: what is judged should not draw its own borders.
    Fewer than three edges, where so many amounts are equal that two of them fall together.

    >>> quartiles(np.array([1.0, 2.0, 3.0, 4.0, 1000.0]))
    (2.0, 3.0, 4.0)
    """
    edges = np.quantile(amounts, [0.25, 0.5, 0.75])
    return tuple(sorted({float(f"{edge:.6g}") for edge in edges}))


def slices(
    rows: Scored,
    threshold: float,
    policy: Policy,
    *,
    edges: Sequence[float],
    resamples: int,
    confidence: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Every slice that holds a row, by `amount` (between `edges`), `hour` and `day`.

    Without time there are no slices by hour and day. Of the days only the last 14 are shown;
    `days_left_out` says how many were before.
    """
    seed = int(rng.integers(2**63))  # each slice anew: none depends on how many came before it

    def described(label: str, part: Scored) -> dict[str, Any]:
        made = judge(
            part,
            threshold,
            policy,
            resamples=resamples,
            confidence=confidence,
            rng=np.random.default_rng(seed),
        )
        alerts = part.scores >= threshold
        return {
            "label": label,
            "rows": len(part),
            "share": round(len(part) / len(rows), 6),
            "frauds": part.frauds,
            "alerts": int(alerts.sum()),
            "false_alarms": int((alerts & (part.labels != 1)).sum()),
            **(made.only(*SLICED) if part.frauds else _unknown()),
        }

    def of(bands: Bands, labels: Sequence[str]) -> list[dict[str, Any]]:
        return [described(labels[band], rows.only(bands == band)) for band in np.unique(bands)]

    found: dict[str, Any] = {"amount": of(*by_amount(rows.amounts, edges))}
    if rows.seconds is not None:
        days = of_days(rows.seconds)
        shown = np.unique(days)[-DAYS:]
        found["hour"] = of(*by_hour(rows.seconds))
        found["day"] = [described(day_name(day), rows.only(days == day)) for day in shown]
        found["days_left_out"] = len(np.unique(days)) - len(shown)
    return found


def by_amount(amounts: Floats, edges: Sequence[float]) -> tuple[Bands, list[str]]:
    """The band of each amount, and what the bands are called; an edge belongs to the upper one."""
    edges = sorted(set(edges))
    names = [np.format_float_positional(edge, trim="-") for edge in edges]
    between = [f"{low} to {high}" for low, high in pairwise(names)]
    labels = [f"below {names[0]}", *between, f"{names[-1]} and more"] if names else ["any"]
    return np.searchsorted(np.asarray(edges), amounts, side="right"), labels


def by_hour(seconds: Floats) -> tuple[Bands, list[str]]:
    """The quarter of the day of each of many seconds since any midnight."""
    bands = (seconds % SECONDS_PER_DAY / (HOURS * SECONDS_PER_HOUR)).astype(np.int64)
    labels = [f"{hour:02d} to {hour + HOURS:02d} h" for hour in range(0, 24, HOURS)]
    # A hair before midnight, the remainder may round up to a whole day.
    return np.minimum(bands, len(labels) - 1), labels


def of_days(seconds: Floats) -> Bands:
    """Which day it is of each of many seconds since any midnight: 0 is the day after it."""
    return np.asarray(np.floor(seconds / SECONDS_PER_DAY).astype(np.int64))


def day_name(day: int) -> str:
    """How a day is called: by its number, or by its date where seconds count from 1970.

    >>> day_name(0), day_name(19723)
    ('day 1', '2024-01-01')
    """
    if day < FIRST_DATED:
        return f"day {day + 1}"
    return str(np.datetime64(int(day), "D"))


def _unknown() -> dict[str, Any]:
    """Where no fraud is, nothing can be said of how frauds are found."""
    return {
        **dict.fromkeys(SLICED),
        "interval": {name: {"low": None, "high": None} for name in SLICED},
    }
