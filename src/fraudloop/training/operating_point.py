"""The threshold: chosen on validation data, between two scores, never on one."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from fraudloop.training.scored import Policy, Scored

Scores = NDArray[np.float64]


def by_cost(rows: Scored, policy: Policy) -> float:
    """The threshold of the least expected cost; of equals the highest, which asks for least review.

    A review costs what `policy` says, and is taken to find a fraud out. A missed fraud is expected
    to cost the lost share of the average fraud's amount: to add up the very amounts of a hundred
    frauds would let the two largest choose the threshold.

    >>> scores, amounts = np.array([0.1, 0.4, 0.6, 0.8]), np.array([9, 1, 9, 5])
    >>> rows = Scored(np.array([0, 1, 0, 1]), scores, amounts)
    >>> by_cost(rows, Policy(review_cost=2, lost_share=1, alert_share=1))
    0.7
    """
    ranked, order, last_of_equals = _ranked(rows)
    per_fraud = policy.lost_share * float(rows.amounts[rows.labels == 1].mean())
    caught, alerts = np.cumsum(rows.labels[order]), np.arange(1, len(rows) + 1)
    gains = caught * per_fraud - alerts * policy.review_cost
    best = int(np.argmax(np.where(last_of_equals, gains, -np.inf)))
    return _below(ranked, best if gains[best] > 0 else None)


def by_capacity(rows: Scored, policy: Policy) -> float:
    """The lowest threshold that raises no more alerts than the reviewers can look at.

    >>> rows = Scored(np.array([0, 1, 0, 1]), np.array([0.1, 0.4, 0.6, 0.8]), np.ones(4))
    >>> by_capacity(rows, Policy(review_cost=2, lost_share=1, alert_share=0.5))
    0.5
    """
    ranked, _, last_of_equals = _ranked(rows)
    most = max(1, int(policy.alert_share * len(rows)))
    possible = np.flatnonzero(last_of_equals[:most])
    return _below(ranked, int(possible[-1]) if len(possible) else None)


WAYS: dict[str, Callable[[Scored, Policy], float]] = {"cost": by_cost, "capacity": by_capacity}


def thresholds(rows: Scored, policy: Policy) -> dict[str, float]:
    """The threshold that each way of deciding asks for."""
    return {way: choose(rows, policy) for way, choose in WAYS.items()}


def _ranked(rows: Scored) -> tuple[Scores, NDArray[np.intp], NDArray[np.bool_]]:
    """Scores from the highest down, the rows in that order, and where a run of equals ends."""
    order = np.argsort(-rows.scores, kind="stable")
    ranked = rows.scores[order]
    return ranked, order, np.append(ranked[1:] != ranked[:-1], True)


def _below(ranked: Scores, place: int | None) -> float:
    """A threshold midway between the score at `place` and the next one; None is above them all.

    Midway, so that rounding in the sixth decimal of a score moves no decision that was chosen here.
    """
    if place is None:
        above, below = max(1.0, float(np.nextafter(ranked[0], 2.0))), float(ranked[0])
    else:
        above = float(ranked[place])
        below = float(ranked[place + 1]) if place + 1 < len(ranked) else min(0.0, above)
    middle = (above + below) / 2
    return middle if below < middle <= above else above  # neighbours with no float between them
