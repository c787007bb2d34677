"""Calibration turns any log-odds into a probability, rises with them, and is one function."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import DTypeLike
from pydantic import ValidationError

from fraudloop.model.calibration import Calibration
from fraudloop.training.calibrate import OFFSETS, SLOPES
from tests.dataset.tables import thorough

# Whatever the fit can give, and whatever a manifest may say.
fitted = st.builds(Calibration, slope=st.floats(*SLOPES), offset=st.floats(*OFFSETS))
allowed = st.builds(
    Calibration,
    slope=st.floats(0, 1e6, exclude_min=True),
    offset=st.floats(-1e300, 1e300),
)
log_odds = st.floats(-1e300, 1e300) | st.floats(-100, 100)


@thorough
@given(fitted | allowed, st.lists(log_odds, min_size=1, max_size=9))
def test_every_log_odds_gets_a_probability(calibration: Calibration, odds: list[float]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = calibration.scores(np.array(odds))
        alone = [calibration.score(each) for each in odds]
    assert ((scores >= 0) & (scores <= 1)).all()
    assert all(0 <= score <= 1 for score in alone)


@thorough
@given(fitted | allowed, st.lists(log_odds, min_size=1, max_size=9))
def test_one_and_many_get_the_same_score(calibration: Calibration, odds: list[float]) -> None:
    alone = np.array([calibration.score(each) for each in odds])
    np.testing.assert_allclose(calibration.scores(np.array(odds)), alone, rtol=1e-13, atol=1e-300)
    np.testing.assert_allclose(calibration.scores(np.array(odds)), alone, rtol=0, atol=1e-15)


@thorough
@given(fitted | allowed, log_odds, log_odds)
def test_more_log_odds_never_get_less(calibration: Calibration, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert calibration.score(low) <= calibration.score(high)
    scores = calibration.scores(np.array([low, high]))
    assert scores[0] <= scores[1]


@thorough
@given(fitted, st.floats(-300, 300), st.floats(1e-6, 10))
def test_more_log_odds_get_more_as_far_as_floats_tell(
    calibration: Calibration, low: float, more: float
) -> None:
    high = low + more
    ends = [calibration.slope * each + calibration.offset for each in (low, high)]
    scores = calibration.scores(np.array([low, high]))
    # Above 15 a probability is so near to 1 that a millionth more is within its last digits; and
    # below -700 it is within what is left of a float.
    if ends[1] < 15 and ends[0] > -700:
        assert scores[0] < scores[1]
        assert calibration.score(low) < calibration.score(high)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_score_is_the_logistic_function_of_a_line(dtype: DTypeLike) -> None:
    calibration = Calibration(slope=0.5, offset=-1.0)
    odds = np.array([2.0, 2 + 2 * math.log(3), -40.0]).astype(dtype)
    expected = [0.5, 0.75, 1 / (1 + math.exp(21))]
    found = calibration.scores(odds)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-7)
    assert calibration.score(2.0) == 0.5


def test_without_calibration_a_probability_comes_back() -> None:
    shares = [Fraction(1, 1000), Fraction(1, 3), Fraction(999, 1000)]
    odds = np.array([math.log(share / (1 - share)) for share in shares])
    np.testing.assert_allclose(Calibration().scores(odds), [float(s) for s in shares], rtol=1e-14)


@pytest.mark.parametrize(
    "numbers",
    [
        {"slope": 0.0}, {"slope": -1.0}, {"slope": math.inf}, {"slope": math.nan},
        {"offset": math.nan}, {"offset": -math.inf}, {"slope": "steep"}, {"shift": 1.0},
    ],
)  # fmt: skip
def test_what_would_turn_the_ranking_around_or_is_no_number_is_refused(
    numbers: dict[str, float],
) -> None:
    with pytest.raises(ValidationError):
        Calibration.model_validate(numbers)
