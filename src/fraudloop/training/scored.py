"""What every figure, slice and plot is made from: labelled rows with their scores, and a policy."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """Labelled transactions with their scores; `seconds` is None where the card has no time."""

    labels: Labels
    scores: Scores
    amounts: Floats
    seconds: Floats | None = None

    def __len__(self) -> int:
        """How many transactions there are."""
        return len(self.labels)

    @property
    def frauds(self) -> int:
        """How many of them are frauds."""
        return int(self.labels.sum())

    def by(self, scores: Scores) -> Scored:
        """The same transactions, scored otherwise."""
        return replace(self, scores=scores)

    def only(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> Scored:
        """Some of the transactions."""
        seconds = None if self.seconds is None else self.seconds[rows]
        return Scored(self.labels[rows], self.scores[rows], self.amounts[rows], seconds)


@dataclass(frozen=True)
class Policy:
    """What alerts cost, what frauds cost, and how many alerts people can look at."""

    review_cost: float  # of looking at one alert
    lost_share: float  # of a fraud's amount, when nobody stops it
    alert_share: float  # of all transactions, that reviewers can look at
