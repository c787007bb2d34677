"""The threshold is the best there is, and lies between scores, not on one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraudloop.training.operating_point import best_f_beta

Scores = NDArray[np.float64]
Labels = NDArray[np.int8]

LEAST = float(np.nextafter(0, 1))
NEAR_HALF = [0.5, float(np.nextafter(0.5, 1)), float(np.nextafter(0.5, 0))]
# Few values, so that there are ties; ends and neighbours, so that there is no room between them.
VALUES = st.one_of(
    st.sampled_from([0.0, 1.0, 0.1, 0.25, 0.9, LEAST, float(np.nextafter(1, 0)), *NEAR_HALF]),
    st.floats(0, 1),
)
ROWS = st.lists(st.tuples(st.integers(0, 1), VALUES), min_size=1, max_size=40)
BETAS = st.sampled_from([0.5, 1.0, 2.0])


def f_beta(labels: Labels, scores: Scores, threshold: float, beta: float) -> float:
    """By its definition; 0 where nothing is caught."""
    alerts = scores >= threshold
    caught = int((labels[alerts] == 1).sum())
    if caught == 0:
        return 0.0
    precision, recall = caught / int(alerts.sum()), caught / int(labels.sum())
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def arrays(rows: list[tuple[int, float]]) -> tuple[Labels, Scores]:
    labels = np.array([label for label, _ in rows], dtype=np.int8)
    labels[0] = 1  # the pipeline refuses a split without fraud before it comes to this
    return labels, np.array([score for _, score in rows], dtype=np.float64)


@given(ROWS, BETAS)
@example([(1, 0.3), (0, 0.3), (1, 0.3)], 1.0)
@example([(1, 0.0), (0, 0.0)], 1.0)
@example([(1, 1.0), (0, 0.0)], 1.0)
@example([(1, NEAR_HALF[1]), (0, 0.5)], 1.0)
def test_no_threshold_is_better(rows: list[tuple[int, float]], beta: float) -> None:
    labels, scores = arrays(rows)
    point = best_f_beta(labels, scores, beta)
    by_cut = {cut: f_beta(labels, scores, cut, beta) for cut in np.unique(scores)}
    assert f_beta(labels, scores, point.threshold, beta) == pytest.approx(max(by_cut.values()))
    assert point.f_beta == pytest.approx(max(by_cut.values()))
    # Of equals the highest: whatever alerts on fewer rows is worse.
    fewer = [
        value for cut, value in by_cut.items() if cut > scores[scores >= point.threshold].min()
    ]
    assert all(value < point.f_beta for value in fewer)


@given(ROWS, BETAS)
@example([(1, 0.0), (0, 0.0)], 1.0)
@example([(1, LEAST), (0, 0.0)], 1.0)
@example([(1, NEAR_HALF[1]), (0, 0.5)], 1.0)
@example([(1, 0.5), (0, NEAR_HALF[2])], 1.0)
def test_the_threshold_is_a_score_only_where_no_float_is_between(
    rows: list[tuple[int, float]], beta: float
) -> None:
    labels, scores = arrays(rows)
    threshold = best_f_beta(labels, scores, beta).threshold
    assert 0 <= threshold <= 1
    if threshold in scores:
        below = max([0.0, *scores[scores < threshold]])
        assert threshold in {0.0, float(np.nextafter(below, 1))}


@given(st.lists(st.integers(0, 1), min_size=1, max_size=20), st.sampled_from([1.0, 0.7, LEAST]))
def test_scores_that_are_all_the_same_alert_on_everything(labels: list[int], value: float) -> None:
    labels[0] = 1
    scores = np.full(len(labels), value)
    point = best_f_beta(np.array(labels, np.int8), scores, beta=1.0)
    assert (scores >= point.threshold).all()
    assert 0 < point.threshold <= value
    assert point.threshold < value or value == LEAST


def test_it_lies_midway_so_that_rounding_a_score_moves_no_decision() -> None:
    labels = np.array([1, 1, 0, 0], dtype=np.int8)
    point = best_f_beta(labels, np.array([0.9, 0.6, 0.4, 0.2]), beta=1.0)
    assert point.threshold == pytest.approx(0.5)
    assert point.f_beta == 1.0


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 2, 300).astype(np.int8), rng.integers(0, 30, 300) / 30
    order = rng.permutation(300)
    assert best_f_beta(labels[order], scores[order], 1.0) == best_f_beta(labels, scores, 1.0)


def test_beta_says_what_a_missed_fraud_weighs() -> None:
    labels = np.array([1, 0, 0, 1, 0, 0, 0, 0], dtype=np.int8)
    scores = np.linspace(0.9, 0.1, 8)
    sure, wide = (best_f_beta(labels, scores, beta).threshold for beta in (0.2, 4.0))
    assert (scores >= sure).sum() == 1
    assert (scores >= wide).sum() == 4
