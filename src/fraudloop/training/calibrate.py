"""Fitting the calibration: on labelled rows that the model itself was not fitted on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fraudloop.model.calibration import Calibration

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]

SLOPES = (0.05, 20.0)
OFFSETS = (-50.0, 50.0)
DIGITS = 6  # what every processor agrees on after a hundred thousand additions


def fit(labels: Labels, log_odds: Scores) -> Calibration:
    """The slope and the offset that make the labels most likely, as Platt smoothed them.

    A fraud counts as a little less than certain, so that labels which the log-odds divide perfectly
    ask for no infinite slope. The slope stays within `SLOPES` whatever comes: a model that ranks
    frauds below legitimate rows is not turned around, it is flattened.
    """
    from scipy.optimize import minimize
    from scipy.special import expit, logit

    frauds = int(labels.sum())
    legitimate = len(labels) - frauds
    likely = np.where(labels == 1, (frauds + 1) / (frauds + 2), 1 / (legitimate + 2))

    def loss(parameters: Scores) -> tuple[float, Scores]:
        calibrated = parameters[0] * log_odds + parameters[1]
        # log(1 + exp(x)) - likely · x is -log of the labels' likelihood, and cannot overflow.
        total = (np.logaddexp(0.0, calibrated) - likely * calibrated).sum()
        excess = expit(calibrated) - likely
        gradient = np.array([excess @ log_odds, excess.sum()])
        return float(total) / (frauds + 1), gradient / (frauds + 1)

    start = np.array([1.0, np.clip(logit(likely.mean()) - np.median(log_odds), *OFFSETS)])
    found = minimize(
        loss,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[SLOPES, OFFSETS],
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 500},
    )
    slope, offset = (float(f"{value:.{DIGITS}g}") for value in found.x)
    return Calibration(slope=slope, offset=offset)
