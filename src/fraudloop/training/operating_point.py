"""The threshold: chosen on validation data, between two scores, never on one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoint:
    """Where a score becomes an alert: at `threshold` or above."""

    threshold: float
    f_beta: float


def best_f_beta(labels: Labels, scores: Scores, beta: float) -> OperatingPoint:
    """The threshold at which F-beta is highest; of equals the highest, which asks for least review.

    It lies midway between two neighbouring scores, so that rounding in the sixth decimal of a score
    moves no decision that was chosen here.

    >>> best_f_beta(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.6, 0.8]), beta=1.0)
    OperatingPoint(threshold=0.5, f_beta=1.0)
    """
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    caught = np.cumsum(labels[order])
    alerts = np.arange(1, len(ranked) + 1)
    last_of_equals = np.append(ranked[1:] != ranked[:-1], True)
    values = (1 + beta**2) * caught / (beta**2 * caught[-1] + alerts)
    place = int(np.argmax(np.where(last_of_equals, values, -1.0)))
    below = ranked[place + 1] if place + 1 < len(ranked) else min(0.0, float(ranked[place]))
    threshold = float(ranked[place] + below) / 2
    if not below < threshold <= ranked[place]:  # neighbours with no float between them
        threshold = float(ranked[place])
    return OperatingPoint(threshold, float(values[place]))
