"""Trees take the same branch in the graph, whatever lies next to a threshold, and add up alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from fraudloop.errors import TrainingError
from tests.fitted import features, features_of, fitted, table, unseen
from tests.model.compiled import (
    by_graph,
    by_steps,
    compiled,
    fitted_as,
    require_agreement,
    rows_at_thresholds,
    rows_far_out,
)

DEEP: dict[str, dict[str, Any]] = {
    "random_forest": {"n_estimators": 40, "max_depth": 12, "class_weight": "balanced"},
    "balanced_forest": {"n_estimators": 40, "max_depth": None},
    "decision_tree": {"max_depth": None, "min_samples_leaf": 1},
    "isolation_forest": {"n_estimators": 20, "max_features": 1.0},
    "boosted_trees": {"n_estimators": 100, "max_depth": 6, "scale_pos_weight": 30},
}


@pytest.mark.parametrize("family", DEEP)
def test_rows_on_and_next_to_every_threshold_take_the_same_branch(family: str) -> None:
    pipeline = fitted_as(family, table(), **DEEP[family])
    rows = rows_at_thresholds(pipeline[-1].estimator_, features())
    assert len(rows) > (60 if family == "decision_tree" else 500)
    require_agreement(pipeline, rows)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_estimators": 120, "max_depth": 5},
        {"n_estimators": 7, "num_parallel_tree": 3, "subsample": 0.5},
        {"n_estimators": 20, "base_score": 0.001},
        {"n_estimators": 20, "tree_method": "exact", "gamma": 2},
        {"n_estimators": 20, "grow_policy": "lossguide", "max_leaves": 5},
        {"n_estimators": 20, "scale_pos_weight": 500, "learning_rate": 1.0},
        {"n_estimators": 4, "learning_rate": 0.0},  # every leaf is 0
        {"n_estimators": 3, "gamma": 1e9},  # no tree splits
        {"n_estimators": 0},
    ],
    ids=str,
)
def test_boosted_trees_agree_to_the_last_bit(settings: dict[str, Any]) -> None:
    pipeline = fitted_as("boosted_trees", **settings)
    for rows in (features_of(unseen()), features()[:1], rows_far_out(features())):
        np.testing.assert_array_equal(by_graph(pipeline, rows), by_steps(pipeline, rows))


def test_boosted_trees_that_never_split_are_among_others_that_do() -> None:
    pipeline = fitted_as("boosted_trees", n_estimators=8, gamma=40, learning_rate=0.5)
    sizes = {text.count("leaf") for text in pipeline[-1].estimator_.get_booster().get_dump()}
    assert 1 in sizes
    assert max(sizes) > 1
    np.testing.assert_array_equal(by_graph(pipeline, features()), by_steps(pipeline, features()))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"booster": "dart"}, "booster=dart"),
        ({"booster": "gblinear"}, "booster=gblinear"),
        ({"objective": "binary:hinge"}, "objective=binary:hinge"),
        ({"missing": 0.0}, "missing=0.0"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")  # that some of its parameters are not used
def test_boosting_of_another_kind_is_refused(settings: dict[str, Any], named: str) -> None:
    pipeline = fitted_as("boosted_trees", n_estimators=2, **settings)
    with pytest.raises(TrainingError, match=rf"{named}.* no compiled form: leave these three out"):
        compiled(pipeline)


@pytest.mark.parametrize(
    "settings",
    [
        {"max_samples": 1},
        {"max_samples": 2},
        {"max_samples": 1.0},
        {"max_features": 0.4},
        {"max_features": 1},
        {"max_samples": 100, "bootstrap": True, "contamination": 0.01},
    ],
    ids=str,
)
def test_isolation_forests_of_any_size_agree(settings: dict[str, Any]) -> None:
    pipeline = fitted_as("isolation_forest", n_estimators=10, **settings)
    require_agreement(pipeline, np.vstack([features_of(unseen()), rows_far_out(features())]))


def test_an_isolation_forest_of_equal_rows_knows_nothing() -> None:
    alike = table().head(300).assign(**dict.fromkeys(table().columns[:-1], 1.0))
    pipeline = fitted_as("isolation_forest", alike, n_estimators=5, max_samples=256)
    np.testing.assert_allclose(by_graph(pipeline, features()[:9]), 0.0, atol=1e-12)


@pytest.mark.parametrize("family", ["random_forest", "decision_tree", "balanced_forest"])
def test_a_tree_of_one_leaf_gives_every_row_its_share(family: str) -> None:
    pipeline = fitted_as(family, min_samples_leaf=2001)
    found = by_graph(pipeline, features()[:9])
    assert np.ptp(found) < 1e-14
    require_agreement(pipeline, features()[:9])


@pytest.mark.parametrize("family", ["random_forest", "decision_tree", "balanced_forest"])
def test_a_leaf_that_is_certain_stays_short_of_certainty(family: str) -> None:
    found = by_graph(fitted(family), features())
    assert found.min() == pytest.approx(np.log(1e-4 / (1 - 1e-4)), abs=1e-2)
    assert np.isfinite(found).all()
