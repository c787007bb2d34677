"""Calibration makes scores probabilities, and never changes who ranks higher."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from fraudloop.training import calibrate

ODDS = st.floats(-40, 40)


@pytest.mark.parametrize(("slope", "offset"), [(1.0, 0.0), (0.6, -3.0), (2.5, 1.0)])
def test_what_distorted_true_probabilities_is_found_again(slope: float, offset: float) -> None:
    rng = np.random.default_rng(0)
    truth = rng.normal(-5, 2.5, 300_000)
    labels = (rng.random(len(truth)) < expit(truth)).astype(np.int8)
    found = calibrate.fit(labels, (truth - offset) / slope)
    assert found.slope == pytest.approx(slope, rel=0.05)
    assert found.offset == pytest.approx(offset, abs=0.2)
    scores = found.scores((truth - offset) / slope)
    assert scores.mean() == pytest.approx(labels.mean(), rel=1e-3)


def test_with_many_frauds_it_is_an_unpenalised_logistic_regression() -> None:
    rng = np.random.default_rng(1)
    odds = rng.normal(0, 2, 50_000)
    labels = (rng.random(len(odds)) < expit(0.7 * odds - 1)).astype(np.int8)
    exact = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(odds[:, None], labels)
    found = calibrate.fit(labels, odds)
    assert found.slope == pytest.approx(exact.coef_[0, 0], rel=1e-3)
    assert found.offset == pytest.approx(exact.intercept_[0], rel=1e-3)


@given(st.lists(st.tuples(st.integers(0, 1), ODDS), min_size=2, max_size=60))
def test_it_rises_whatever_it_is_fitted_on(rows: list[tuple[int, float]]) -> None:
    labels = np.array([label for label, _ in rows], np.int8)
    labels[0] = 1
    odds = np.array([each for _, each in rows])
    found = calibrate.fit(labels, odds)
    assert calibrate.SLOPES[0] <= found.slope <= calibrate.SLOPES[1]
    assert calibrate.OFFSETS[0] <= found.offset <= calibrate.OFFSETS[1]
    scores = found.scores(np.sort(odds))
    assert ((scores >= 0) & (scores <= 1)).all()
    assert (np.diff(scores) >= 0).all()


def test_labels_that_are_told_apart_perfectly_ask_for_no_certainty() -> None:
    odds = np.concatenate([np.full(1000, -3.0), np.full(5, 3.0)])
    labels = np.repeat([0, 1], [1000, 5]).astype(np.int8)
    scores = calibrate.fit(labels, odds).scores(odds)
    assert scores[-1] == pytest.approx(6 / 7, abs=1e-3)
    assert scores[0] == pytest.approx(1 / 1002, abs=1e-4)


def test_a_model_that_ranks_the_wrong_way_round_is_flattened_not_turned() -> None:
    rng = np.random.default_rng(2)
    labels = (rng.random(2000) < 0.05).astype(np.int8)
    found = calibrate.fit(labels, rng.normal(0, 1, 2000) - 4 * labels)
    assert found.slope == calibrate.SLOPES[0]


def test_the_order_of_rows_does_not_matter() -> None:
    rng = np.random.default_rng(3)
    odds = rng.normal(-4, 3, 20_000)
    labels = (rng.random(len(odds)) < expit(odds)).astype(np.int8)
    order = rng.permutation(len(odds))
    assert calibrate.fit(labels, odds) == calibrate.fit(labels[order], odds[order])
