"""Fitting one candidate: the same rows, parameters and seed give the same bytes."""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fraudloop.dataset.card import Card
from fraudloop.errors import ParamsError, TrainingError
from fraudloop.model.calibration import Calibration
from fraudloop.params import Candidate
from fraudloop.training import calibrate, candidates

if TYPE_CHECKING:
    import pandas as pd

Scores = NDArray[np.float64]

# BLAS adds in another order on another family of processors, and the last digits differ. Of a few
# learned numbers twelve digits agree; of a hundred thousand scores eight do, more than float32 has.
LEARNED_DIGITS = 12
SCORE_DIGITS = 8


def fit(
    table: pd.DataFrame,
    card: Card,
    sampler: str,
    estimator: str,
    candidate: Candidate,
    *,
    seed: int,
    threads: int,
) -> Any:
    """Fit a candidate on training rows, and give the pipeline back ready to be handed over."""
    from threadpoolctl import threadpool_limits

    pipeline = candidates.build(sampler, estimator, candidate, card, seed=seed, threads=threads)
    labels = table[card.label.column].to_numpy()
    _fewer_neighbours(pipeline, int(labels.sum()))
    # Sums split over another number of BLAS threads round differently: one, on every machine.
    try:
        with threadpool_limits(limits=1, user_api="blas"), warnings.catch_warnings():
            # How many times a network sees the rows is a setting here, not a failure to converge.
            warnings.filterwarnings("ignore", "Stochastic Optimizer: Maximum iterations")
            pipeline.fit(table[list(card.columns)], labels)
    except (ValueError, TypeError) as error:
        raise _refusal(candidates.name(sampler, estimator), error) from error
    for step in (*(step for _, step in pipeline.steps), pipeline[-1].estimator_):
        _settle(step)
    for each in (pipeline[-1].estimator, pipeline[-1].estimator_):
        if "n_jobs" in each.get_params():
            each.set_params(n_jobs=1)  # one row is scored four times slower with more
    return pipeline


def fit_and_calibrate(
    training: pd.DataFrame,
    validation: pd.DataFrame,
    card: Card,
    sampler: str,
    estimator: str,
    candidate: Candidate,
    *,
    seed: int,
    threads: int,
) -> tuple[Any, Scores]:
    """Fit on training rows, calibrate on validation rows; the latter's log-odds come along."""
    pipeline = fit(training, card, sampler, estimator, candidate, seed=seed, threads=threads)
    found = log_odds(pipeline, validation, card)
    calibration = calibrate.fit(validation[card.label.column].to_numpy(), found)
    return calibrated(pipeline, calibration), found


def log_odds(pipeline: Any, table: pd.DataFrame, card: Card) -> Scores:
    """How much rather fraud than not a fitted pipeline finds each row, before calibration."""
    rows = table[list(card.columns)]
    for name, step in pipeline.steps[:-1]:
        if name != "sampler":
            rows = step.transform(rows)
    return _to_digits(pipeline[-1].log_odds(rows), SCORE_DIGITS)


def calibrated(pipeline: Any, calibration: Calibration) -> Any:
    """The same pipeline, whose scores go through `calibration`."""
    pipeline[-1].set_params(slope=calibration.slope, offset=calibration.offset)
    return pipeline


def score(pipeline: Any, table: pd.DataFrame, card: Card) -> Scores:
    """The probability of fraud that a fitted pipeline gives each row."""
    calibration: Calibration = pipeline[-1].calibration
    return calibration.scores(log_odds(pipeline, table, card))


def _settle(step: Any) -> None:
    """Round what was learned through sums of products to what every processor agrees on."""
    for name in ("coef_", "intercept_", "mean_", "var_", "scale_"):
        learned = vars(step).get(name)
        if isinstance(learned, np.ndarray) and learned.dtype == np.float64:
            setattr(step, name, _to_digits(learned, LEARNED_DIGITS))


def _to_digits(values: Scores, digits: int) -> Scores:
    """Round to so many significant digits."""
    known = np.where(values == 0, 1.0, np.abs(values))
    # Below 1e-292 fewer digits are kept: a larger unit would be beyond what a float holds.
    unit = 10.0 ** np.minimum(digits - 1 - np.floor(np.log10(known)), 300)
    rounded: Scores = np.round(values * unit) / unit
    return rounded


def _fewer_neighbours(pipeline: Any, frauds: int) -> None:
    """A sampler between neighbours needs fewer neighbours than there are frauds."""
    if "sampler" not in pipeline.named_steps:
        return
    sampler = pipeline.named_steps["sampler"]
    settings = {
        key: value
        for key, value in sampler.get_params().items()
        if key.rpartition("__")[2] in ("k_neighbors", "n_neighbors") and isinstance(value, int)
    }
    if settings and frauds < 2:
        raise TrainingError(
            f"the training rows hold {frauds} fraud, too few to measure neighbours among: "
            "bring more rows, or drop that sampler from samplers in params.yaml"
        )
    sampler.set_params(**{key: min(value, frauds - 1) for key, value in settings.items()})


def _refusal(name: str, error: Exception) -> ParamsError:
    # XGBoost tells where in its source it stopped, and how it came there: neither helps here.
    said = re.sub(r"^\[[\d:]+\] \S+: ", "", str(error).partition("Stack trace:")[0])
    reason = " ".join(said.split())
    return ParamsError(f"candidate {name} cannot be fitted ({reason}): change it in params.yaml")
