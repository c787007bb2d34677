"""A difference is called real when it is, and seldom when it is not."""

from __future__ import annotations

import json
import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from fraudloop.errors import TrainingError
from fraudloop.training.compare import Difference, compare, holm, paired
from fraudloop.training.figures import Interval

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]

SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1.0]), st.floats(-20, 20))
P_VALUES = st.lists(st.floats(0, 1), max_size=12)


def drawn(rng: np.random.Generator, rows: int, frauds: int) -> tuple[Labels, Scores]:
    """Labels, and what can be seen of them: the better a scorer, the less noise it adds."""
    labels = (np.arange(rows) < frauds).astype(np.int8)
    return labels, rng.normal(2.0 * labels, 1.0)


def noisy(rng: np.random.Generator, seen: Scores, noise: float) -> Scores:
    return seen + rng.normal(0, noise, len(seen))


def differing(
    labels: Labels, a: Scores, b: Scores, seed: int = 1, resamples: int = 400
) -> Difference:
    rng = np.random.default_rng(seed)
    return paired(labels, a, b, resamples=resamples, confidence=0.95, rng=rng)


@given(st.lists(st.tuples(st.integers(0, 1), SCORES, SCORES), max_size=60))
def test_the_difference_is_that_of_scikit_learn(rows: list[tuple[int, float, float]]) -> None:
    rows = [*rows, (1, 0.5, 0.25), (0, 0.25, 0.5)]
    labels, a, b = (np.array(column) for column in zip(*rows, strict=True))
    expected = average_precision_score(labels, a) - average_precision_score(labels, b)
    assert differing(labels, a, b, resamples=3).value == pytest.approx(expected, abs=2e-12)
    assert differing(labels, b, a, resamples=3).value == pytest.approx(-expected, abs=2e-12)


def test_both_of_a_pair_are_judged_on_the_same_resampled_rows() -> None:
    rng = np.random.default_rng(2)
    labels, seen = drawn(rng, 400, 40)
    a, b = np.round(noisy(rng, seen, 0.3), 1), np.round(noisy(rng, seen, 0.6), 1)
    by_rows = []
    for _ in range(1500):
        row = rng.integers(0, 400, 400)
        a_and_b = (average_precision_score(labels[row], each[row]) for each in (a, b))
        by_rows.append(next(a_and_b) - next(a_and_b))
    found, expected = differing(labels, a, b, resamples=4000), Interval.of(np.array(by_rows), 0.95)
    close = (expected.high - expected.low) / 12
    assert found.interval.low == pytest.approx(expected.low, abs=close)
    assert found.interval.high == pytest.approx(expected.high, abs=close)
    turned = min((np.array(by_rows) <= 0).mean(), (np.array(by_rows) >= 0).mean())
    assert found.p_value == pytest.approx(2 * turned, abs=0.08)  # three standard errors


def test_a_model_does_not_differ_from_its_copy() -> None:
    labels, seen = drawn(np.random.default_rng(3), 2000, 40)
    copies = {"copy": seen.copy(), "rising": np.exp(seen / 3), "champion": seen}
    found = compare(
        labels, copies, "champion", resamples=100, confidence=0.95, rng=np.random.default_rng(4)
    )
    nothing = Difference(0.0, Interval(0.0, 0.0), p_value=1.0)
    assert {name: each.difference for name, each in found.items()} == {
        "copy": nothing,
        "rising": nothing,
    }
    assert not any(each.real for each in found.values())


def test_equal_scorers_are_seldom_called_different() -> None:
    rng = np.random.default_rng(5)
    called = 0
    for seed in range(400):
        labels, seen = drawn(rng, 500, 50)
        a, b = noisy(rng, seen, 1.0), noisy(rng, seen, 1.0)
        called += differing(labels, a, b, seed, resamples=200).p_value <= 0.05
    assert 0.01 <= called / 400 <= 0.09


def test_in_a_family_of_equal_scorers_seldom_any_is_called_different() -> None:
    rng = np.random.default_rng(6)
    called = alone = 0
    for _ in range(60):
        labels, seen = drawn(rng, 400, 40)
        scores = {str(name): noisy(rng, seen, 1.0) for name in range(7)}
        found = compare(labels, scores, "0", resamples=300, confidence=0.95, rng=rng)
        called += any(each.real for each in found.values())
        alone += any(each.difference.p_value <= 0.05 for each in found.values())
    assert called / 60 <= 0.1 < alone / 60  # which is what the correction is there for


def test_a_clearly_better_model_is_found_and_a_worse_one_too() -> None:
    rng = np.random.default_rng(7)
    labels, seen = drawn(rng, 3000, 90)
    scores = {"a": noisy(rng, seen, 0.1), "best": seen + labels, "noise": rng.random(3000)}
    found = compare(labels, scores, "a", resamples=300, confidence=0.95, rng=rng)
    assert list(found) == ["best", "noise"]
    assert found["best"].real
    assert found["best"].difference.interval.high < 0
    assert found["noise"].real
    assert found["noise"].difference.interval.low > 0.2
    assert found["noise"].difference.p_value == pytest.approx(2 / 301)


def test_pairing_sees_what_two_intervals_apart_would_not() -> None:
    rng = np.random.default_rng(8)
    labels, seen = drawn(rng, 3000, 60)
    worse = noisy(rng, seen, 0.4)
    together = differing(labels, seen, worse).interval
    apart = differing(labels, seen, rng.random(3000)).interval  # as good as that of one alone
    assert together.high - together.low < (apart.high - apart.low) / 1.5


@given(P_VALUES)
def test_holms_correction_is_its_definition(p_values: list[float]) -> None:
    for level in (0.01, 0.05, 0.2):
        rejected, left = set(), sorted(range(len(p_values)), key=lambda each: p_values[each])
        while left and p_values[left[0]] * len(left) <= level:
            rejected.add(left.pop(0))
        assert {at for at, value in enumerate(holm(p_values)) if value <= level} == rejected


def test_few_resamples_of_many_candidates_can_still_find_a_difference() -> None:
    rng = np.random.default_rng(9)
    labels, seen = drawn(rng, 1000, 40)
    scores = {"a": seen + labels, **{f"noise-{name:02d}": rng.random(1000) for name in range(25)}}
    found = compare(labels, scores, "a", resamples=100, confidence=0.95, rng=rng)
    assert all(each.real for each in found.values())


def test_a_comparison_depends_on_no_other_candidate_and_on_no_order() -> None:
    rng = np.random.default_rng(10)
    labels, seen = drawn(rng, 1000, 40)
    scores = {name: noisy(rng, seen, 0.5) for name in "dbca"}
    mixed = rng.permutation(1000)
    all_four, two = (
        compare(y, each, "c", resamples=200, confidence=0.95, rng=np.random.default_rng(11))
        for y, each in (
            (labels, scores),
            (labels[mixed], {name: scores[name][mixed] for name in "dc"}),
        )
    )
    assert list(all_four) == ["a", "b", "d"]
    assert all_four["d"].difference == two["d"].difference
    assert two["d"].corrected == two["d"].difference.p_value


def test_without_any_fraud_nothing_differs() -> None:
    labels = np.zeros(20, np.int8)
    scores = {"a": np.linspace(0, 1, 20), "b": np.linspace(1, 0, 20)}
    rng = np.random.default_rng(12)
    found = compare(labels, scores, "a", resamples=100, confidence=0.95, rng=rng)
    assert json.loads(json.dumps(found["b"].as_json(), allow_nan=False)) == {
        "difference": None,
        "interval": {"low": None, "high": None},
        "p_value": 1.0,
        "corrected": 1.0,
        "real": False,
    }


def test_an_unknown_champion_and_a_score_that_is_none_are_refused() -> None:
    labels, seen = drawn(np.random.default_rng(13), 20, 4)
    with pytest.raises(TrainingError, match="'c' is none of the candidates a, b"):
        compare(
            labels,
            {"b": seen, "a": seen},
            "c",
            resamples=100,
            confidence=0.95,
            rng=np.random.default_rng(14),
        )
    seen[3] = math.nan
    with pytest.raises(TrainingError, match="a score is not a number"):
        differing(labels, np.arange(20.0), seen)


def test_eight_comparisons_of_a_validation_set_take_a_second_or_two() -> None:
    rng = np.random.default_rng(15)
    labels, seen = drawn(rng, 57_000, 100)
    scores = {str(name): noisy(rng, seen + labels, 0.3) for name in range(9)}
    started = time.process_time()
    compare(labels, scores, "0", resamples=1000, confidence=0.95, rng=rng)
    assert time.process_time() - started < 4
