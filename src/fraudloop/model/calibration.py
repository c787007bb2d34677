"""From a model's raw log-odds to a score that is a probability: one smooth, rising function.

The compiled forms give raw log-odds, and every path turns them into scores here: a calibration that
is compiled along does not survive it (docs/decisions/0007-calibration.md).
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from fraudloop.documents import Document

Scores = NDArray[np.float64]


class Calibration(Document):
    """Platt's: a score is the logistic function of `slope` · log-odds + `offset`.

    Its slope is above 0, so that calibrating never changes which transaction ranks higher.

    >>> Calibration(slope=0.5, offset=-1.0).scores(np.array([-2.0, 0.0, 2.0]))
    array([0.11920292, 0.26894142, 0.5       ])
    """

    model_config = ConfigDict(allow_inf_nan=False)

    slope: Annotated[float, Field(gt=0)] = 1.0
    offset: float = 0.0

    def scores(self, log_odds: NDArray[Any]) -> Scores:
        """The score of each of many raw log-odds."""
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and the score 0
            calibrated = self.slope * log_odds.astype(np.float64, copy=False) + self.offset
            return np.asarray(1.0 / (1.0 + np.exp(-calibrated)))

    def score(self, log_odds: float) -> float:
        """The score of one: the same, six times as fast for a single number."""
        calibrated = self.slope * log_odds + self.offset
        # exp of more than 709 is beyond a float; what it would divide into is 0 to 300 decimals.
        return 1.0 / (1.0 + math.exp(min(-calibrated, 709.0)))
