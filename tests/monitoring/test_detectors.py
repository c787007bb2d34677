"""Each test says what scipy and statsmodels say, to 1e-9, and far beyond where they are used."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_effectsize, proportions_ztest

from fraudloop.monitoring.detectors import (
    AT_ONCE,
    CHI_SQUARE,
    MANN_WHITNEY,
    PROPORTIONS,
    WELCH,
    Moments,
    both_tails_of_t,
    both_tails_of_z,
    corrected,
    upper_tail_of_chi_square,
)

CLOSE = 1e-9
# Many random inputs, and the same ones each time.
many = settings(derandomize=True, max_examples=100)
NUMBERS = st.lists(
    st.one_of(st.floats(-1e6, 1e6), st.integers(-3, 3).map(float)), min_size=2, max_size=60
)
COUNTS = st.lists(st.integers(0, 10_000), min_size=2, max_size=12)


def close(found: float, wanted: float) -> bool:
    return math.isclose(found, wanted, rel_tol=CLOSE, abs_tol=1e-300)


@many
@given(NUMBERS, NUMBERS)
def test_welch_is_scipys(first: list[float], second: list[float]) -> None:
    before, now = np.array(first), np.array(second)
    # Where hardly anything is left of the variance, scipy itself warns that it has lost digits.
    for each in (before, now):
        spread = each.std()
        assume(spread == 0 or spread > 1e-3 * np.abs(each).max())
    assume(before.std() + now.std() > 0)
    found = WELCH.test(Moments.of(before), Moments.of(now))
    with warnings.catch_warnings(action="ignore"):
        wanted = stats.ttest_ind(now, before, equal_var=False)
    assert math.isclose(found.statistic, wanted.statistic, rel_tol=CLOSE, abs_tol=CLOSE)
    assert close(found.p, wanted.pvalue)


@many
@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 5000))
def test_proportions_are_statsmodels(hits: int, misses: int, now: int, without: int) -> None:
    first, second = (hits, hits + misses), (now, now + without)
    assume(hits + now > 0)
    found = PROPORTIONS.test(first, second)
    z, p = proportions_ztest([second[0], first[0]], [second[1], first[1]])
    assert math.isclose(found.statistic, z, rel_tol=CLOSE, abs_tol=CLOSE)
    assert close(found.p, p) or abs(found.p - p) < 1e-12
    h = proportion_effectsize(second[0] / second[1], first[0] / first[1])
    assert math.isclose(found.effect, h, rel_tol=CLOSE, abs_tol=CLOSE)


@many
@given(st.data())
def test_chi_square_is_scipys(data: st.DataObject) -> None:
    before = np.array(data.draw(COUNTS))
    now = np.array(
        data.draw(st.lists(st.integers(0, 10_000), min_size=len(before), max_size=len(before)))
    )
    there = before + now > 0
    assume(there.sum() > 1 and before.sum() > 0 and now.sum() > 0)
    found = CHI_SQUARE.test(before, now)
    wanted = stats.chi2_contingency([before[there], now[there]], correction=False)
    assert math.isclose(found.statistic, wanted.statistic, rel_tol=CLOSE, abs_tol=1e-9)
    assert close(found.p, wanted.pvalue) or abs(found.p - wanted.pvalue) < 1e-12


@many
@given(st.data())
def test_mann_whitney_is_scipys_without_sorting_anything(data: st.DataObject) -> None:
    counts = st.lists(st.integers(0, 60), min_size=5, max_size=5)
    before, now = np.array(data.draw(counts)), np.array(data.draw(counts))
    assume(before.sum() > 0 and now.sum() > 0 and (before + now > 0).sum() > 1)
    first, second = (np.repeat(np.arange(5), each) for each in (before, now))
    wanted = stats.mannwhitneyu(second, first, method="asymptotic")
    found = MANN_WHITNEY.test(before, now)
    assert found.statistic == wanted.statistic
    # scipy takes half a step off even where both stand level, and clips what is then above 1.
    assert close(found.p, wanted.pvalue) or found.p == 1.0 <= wanted.pvalue + 1e-12
    rank_biserial = 2 * wanted.statistic / (len(first) * len(second)) - 1
    assert math.isclose(found.effect, rank_biserial, abs_tol=CLOSE)


@pytest.mark.parametrize(
    ("t", "freedom", "wanted"),  # by mpmath 1.3, to 40 digits
    [
        (1e-12, 1.0, 0.999999999999363),
        (1e-3, 2.5, 0.999276382720785),
        (0.7, 30.0, 0.489320443499672),
        (1.0, 998.0, 0.317552902753185),
        (4.0, 12345.6, 6.37118169859196e-5),
        (25.0, 1e5, 1.62177655520706e-137),
        (30.0, 12345.6, 6.34356617838238e-191),
        (37.0, 998.0, 2.30174269520139e-189),
        (37.0, 1e5, 1.19746282434247e-297),
        (500.0, 30.0, 2.22188930153151e-60),
        (1e8, 2.5, 1.43867943816634e-20),
        (1e8, 30.0, 2.07290693051232e-219),
    ],
)
def test_students_tail_is_right_however_far_out(t: float, freedom: float, wanted: float) -> None:
    assert math.isclose(both_tails_of_t(t, freedom), wanted, rel_tol=CLOSE)
    assert both_tails_of_t(-t, freedom) == both_tails_of_t(t, freedom)


@pytest.mark.parametrize("t", [0.01, 2.0, 8.0, 30.0, 37.0])
def test_with_a_million_rows_students_tail_is_nearly_the_normal_one(t: float) -> None:
    assert math.isclose(both_tails_of_t(t, 1e12), both_tails_of_z(t), rel_tol=1e-6)
    assert math.isclose(both_tails_of_t(t, 2e6), 2 * stats.t.sf(t, 2e6), rel_tol=CLOSE)


@pytest.mark.parametrize(
    ("statistic", "freedom", "wanted"),
    [
        (0.0, 1, 1.0),
        (1e-9, 3, 0.999999999999992),
        (1400.0, 2, 9.85967654375977e-305),
        (900.0, 99, 2.28975044087994e-129),
    ],
)
def test_the_tail_of_chi_square_is_right_however_far_out(
    statistic: float, freedom: int, wanted: float
) -> None:
    assert math.isclose(upper_tail_of_chi_square(statistic, freedom), wanted, rel_tol=CLOSE)


def test_numbers_far_from_zero_lose_nothing_of_their_variance() -> None:
    values = 1e9 + np.arange(3.0 * AT_ONCE)
    found = Moments.of(values)
    assert math.isclose(found.mean, 1e9 + (len(values) - 1) / 2, rel_tol=1e-15)
    assert math.isclose(found.variance, len(values) * (len(values) + 1) / 12, rel_tol=1e-12)


@pytest.mark.parametrize("value", [0.1, 1e9 + 0.3, -3.0])
def test_equal_numbers_have_no_variance_at_all(value: float) -> None:
    assert Moments.of(np.full(10_001, value)) == Moments(10_001, value, 0.0)


def test_two_constants_differ_beyond_doubt_or_not_at_all() -> None:
    two, three = Moments.of(np.full(60, 2.0)), Moments.of(np.full(60, 3.0))
    found = WELCH.test(two, three)
    assert (found.p, found.effect) == (0.0, math.inf)
    assert WELCH.test(two, two).p == 1.0


def test_how_many_rows_came_does_not_move_an_effect() -> None:
    before, now = np.array([60, 30, 10]), np.array([40, 30, 30])
    effects = [CHI_SQUARE.test(before * times, now).effect for times in (1, 10, 1000)]
    assert effects == pytest.approx([effects[0]] * 3)
    assert CHI_SQUARE.test(np.array([9, 0]), np.array([0, 5])).effect == 1.0


@many
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.sampled_from(["bonferroni", "holm"]))
def test_corrections_are_those_of_statsmodels(p: list[float], method: str) -> None:
    wanted: Any = multipletests(p, method=method)[1]
    assert corrected(p, method) == pytest.approx(list(wanted), rel=1e-12, abs=1e-300)
