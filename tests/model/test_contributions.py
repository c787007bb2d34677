"""Contributions: terms that add up to the raw output, and of trees are the Shapley values."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.pipeline import Pipeline
from numpy.typing import NDArray
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.tree import DecisionTreeClassifier
from xgboost import DMatrix, XGBClassifier

from fraudloop.model import contributions as module
from fraudloop.model.contributions import as_booster, contributions
from fraudloop.training.steps import Calibrated, KernelSVM
from tests.fitted import Features, features, fitted

Floats = NDArray[np.float64]


def after_features(pipeline: Any) -> Any:
    """What the estimator itself is given."""
    rows = features().astype(pipeline.named_steps["features"].dtype)
    steps = pipeline.named_steps
    return steps["scaler"].transform(rows) if "scaler" in steps else rows


@cache
def small(rows: int = 300) -> tuple[Features, NDArray[np.int8]]:
    """Four features of which the third decides nothing; values repeat, as thresholds then do."""
    rng = np.random.default_rng(5)
    matrix = (rng.integers(-4, 5, (rows, 4)) / 3).astype(np.float32)
    risk = matrix[:, 0] * matrix[:, 1] + matrix[:, 3] + rng.normal(0, 0.4, rows)
    return matrix, (risk > 0.8).astype(np.int8)


def pipeline_of(estimator: Any) -> Any:
    return Pipeline([("estimator", Calibrated(estimator))]).fit(*small())


def expected(tree: Any, row: Features, known: frozenset[int], node: int = 0) -> float:
    """The share of frauds where a row ends of which only some features are known.

    At a feature that is not known both ways are taken, as often as training rows took them.
    """
    if tree.children_left[node] < 0:
        counts = tree.value[node, 0]
        return float(counts[1] / counts.sum())
    ways = int(tree.children_left[node]), int(tree.children_right[node])
    if tree.feature[node] in known:
        left = row[tree.feature[node]] <= tree.threshold[node]
        return expected(tree, row, known, ways[0] if left else ways[1])
    rows = tree.weighted_n_node_samples
    return sum(float(rows[way] / rows[node]) * expected(tree, row, known, way) for way in ways)


def shapley(value: Callable[[frozenset[int]], float], players: int) -> list[float]:
    """Shapley's own formula, over every coalition."""
    found = []
    for player in range(players):
        others = [each for each in range(players) if each != player]
        total = 0.0
        for size in range(players):
            weight = 1 / (players * math.comb(players - 1, size))
            for chosen in combinations(others, size):
                without = frozenset(chosen)
                total += weight * (value(without | {player}) - value(without))
        found.append(total)
    return found


@pytest.mark.parametrize(
    "estimator",
    [
        DecisionTreeClassifier(max_depth=4, class_weight="balanced", random_state=0),
        RandomForestClassifier(n_estimators=3, max_depth=4, max_samples=0.5, random_state=0),
    ],
    ids=["tree", "forest"],
)
def test_terms_of_trees_are_their_shapley_values(estimator: Any) -> None:
    pipeline = pipeline_of(estimator)
    model = pipeline[-1].estimator_
    trees = [each.tree_ for each in getattr(model, "estimators_", [model])]
    rows = small()[0][:25]
    found = contributions(pipeline, rows)
    assert found is not None
    assert found.unit == "share"

    def share(row: Features) -> Callable[[frozenset[int]], float]:
        return lambda known: float(np.mean([expected(tree, row, known) for tree in trees]))

    assert found.base == pytest.approx(share(rows[0])(frozenset()), abs=1e-6)
    for row, terms in zip(rows, found.terms, strict=True):
        assert terms == pytest.approx(shapley(share(row), 4), abs=1e-6)


@pytest.mark.parametrize("family", ["random_forest", "balanced_forest", "decision_tree"])
def test_terms_of_a_forest_add_up_to_its_mean_share(family: str) -> None:
    pipeline = fitted(family)
    found = contributions(pipeline, features()[:2000])
    assert found is not None
    shares = pipeline[-1].estimator_.predict_proba(features()[:2000])[:, 1]
    assert np.abs(found.terms.sum(axis=1) + found.base - shares).max() < 1e-6


@pytest.mark.parametrize("family", ["logistic_regression", "linear_svm"])
@pytest.mark.parametrize("sampler", ["none", "smote"])
def test_terms_of_a_linear_model_add_up_to_its_log_odds(family: str, sampler: str) -> None:
    pipeline = fitted(family, sampler)
    found = contributions(pipeline, features())
    assert found is not None
    assert found.unit == "log-odds"
    raw = pipeline[-1].log_odds(after_features(pipeline))
    assert np.abs(found.terms.sum(axis=1) + found.base - raw).max() < 1e-9


def test_a_linear_models_terms_are_zero_at_the_training_mean() -> None:
    pipeline = fitted("logistic_regression")
    mean = pipeline.named_steps["scaler"].mean_.astype(np.float32)
    found = contributions(pipeline, mean[None, :])
    assert found is not None
    assert found.terms == pytest.approx(np.zeros_like(found.terms), abs=1e-6)
    assert found.base == pipeline[-1].estimator_.intercept_[0]


def test_terms_of_boosted_trees_add_up_to_their_log_odds() -> None:
    pipeline = fitted("boosted_trees")
    found = contributions(pipeline, features()[:2000])
    assert found is not None
    raw = pipeline[-1].log_odds(features()[:2000])
    assert np.abs(found.terms.sum(axis=1) + found.base - raw).max() < 2e-5


@pytest.mark.parametrize("family", ["random_forest", "balanced_forest", "decision_tree"])
def test_a_forest_as_a_booster_takes_the_same_branch_even_next_to_a_threshold(family: str) -> None:
    model = fitted(family)[-1].estimator_
    trees = [each.tree_ for each in getattr(model, "estimators_", [model])]
    rows: list[Features] = []
    for tree in trees[:10]:
        for node in np.flatnonzero(tree.children_left >= 0):
            nearest = np.float32(tree.threshold[node])
            for value in (np.nextafter(nearest, -np.inf), nearest, np.nextafter(nearest, np.inf)):
                row = features()[len(rows)].copy()
                row[tree.feature[node]] = np.float32(value)
                rows.append(row)
    for tree, single in zip(trees[:10], getattr(model, "estimators_", [model])[:10], strict=True):
        shares = single.predict_proba(np.array(rows))[:, 1]
        assert as_booster([tree]).predict(DMatrix(np.array(rows))) == pytest.approx(
            shares, abs=1e-6
        )


@given(
    st.floats(-1e30, 1e30),
    st.integers(-2, 2),
    st.floats(width=32, allow_nan=False, allow_infinity=False),
)
def test_no_float32_is_on_another_side_of_a_rewritten_threshold(
    threshold: float, steps: int, elsewhere: float
) -> None:
    (rewritten,) = module._next_above(np.array([threshold]))
    near = np.float32(threshold)
    for _ in range(abs(steps)):
        near = np.nextafter(near, np.float32(math.copysign(np.inf, steps)))
    for value in (near, np.float32(elsewhere)):
        assert (value < rewritten) == (float(value) <= threshold)


def test_a_feature_that_is_not_used_has_no_term() -> None:
    matrix, fraud = small()
    only_first = np.where(np.arange(4) == 0, matrix, 0).astype(np.float32)
    for estimator in (
        XGBClassifier(n_estimators=5, max_depth=3, random_state=0),
        RandomForestClassifier(n_estimators=5, max_depth=3, random_state=0),
    ):
        pipeline = Pipeline([("estimator", Calibrated(estimator))]).fit(only_first, fraud)
        found = contributions(pipeline, matrix)
        assert found is not None
        assert np.abs(found.terms[:, 0]).max() > 0.01
        assert (found.terms[:, 1:] == 0).all()


@pytest.mark.parametrize(
    "estimator",
    [
        KernelSVM(n_components=20, random_state=0),
        KNeighborsClassifier(),
        MLPClassifier(4, solver="lbfgs", alpha=10, max_iter=2000, random_state=0),
        IsolationForest(n_estimators=5, random_state=0),
    ],
    ids=["kernel", "neighbours", "network", "isolation"],
)
def test_a_model_that_is_no_sum_of_terms_has_none(estimator: Any) -> None:
    assert contributions(pipeline_of(estimator), small()[0]) is None


@pytest.mark.parametrize("family", ["logistic_regression", "random_forest", "boosted_trees"])
def test_without_rows_there_are_no_terms_and_the_same_base(family: str) -> None:
    none = contributions(fitted(family), features()[:0])
    some = contributions(fitted(family), features()[:3])
    assert none is not None
    assert some is not None
    assert none.terms.shape == (0, features().shape[1])
    assert some.terms.shape == (3, features().shape[1])
    assert none.base == some.base
