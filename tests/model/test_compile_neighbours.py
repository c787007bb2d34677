"""Neighbours in the graph: those of scikit-learn, and exact where its own distances are noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from fraudloop.errors import TrainingError
from tests.fitted import card, features, features_of, fitted, labels, table, unseen
from tests.model.compiled import (
    by_graph,
    by_steps,
    compiled,
    fitted_as,
    require_agreement,
    rows_far_out,
    standardised,
)

INWARDS = 1e-4


def share(log_odds: Any) -> Any:
    return (1 / (1 + np.exp(-log_odds)) - INWARDS) / (1 - 2 * INWARDS)


@pytest.mark.parametrize("weights", ["distance", "uniform"])
@pytest.mark.parametrize("neighbours", [1, 40])
@pytest.mark.parametrize("algorithm", ["brute", "kd_tree"])
def test_any_number_of_neighbours_agrees(weights: str, neighbours: int, algorithm: str) -> None:
    pipeline = fitted_as(
        "nearest_neighbours", weights=weights, n_neighbors=neighbours, algorithm=algorithm
    )
    require_agreement(pipeline, features_of(unseen()))


def test_a_frauds_neighbours_are_weighed_as_by_hand() -> None:
    pipeline = fitted_as("nearest_neighbours", n_neighbors=5)
    known = standardised(pipeline, features()[:4000])
    rows = features_of(unseen()[unseen()[card().label.column] == 1])
    expected = []
    for row in standardised(pipeline, rows):
        distances = np.sqrt(((known - row) ** 2).sum(axis=1))
        nearest = np.argsort(distances)[:5]
        weights = 1 / distances[nearest]
        expected.append((weights * labels()[:4000][nearest]).sum() / weights.sum())
    assert 0 < np.mean(expected) < 1
    np.testing.assert_allclose(share(by_graph(pipeline, rows)), expected, atol=1e-12)


def on_top_of_its_rows(rows: pd.DataFrame, neighbours: int) -> Any:
    """A pipeline that holds its training rows just as its scaler makes them."""
    pipeline = fitted_as("nearest_neighbours", rows, n_neighbors=neighbours)
    fraud = rows[card().label.column].to_numpy()
    pipeline[-1].estimator_.fit(standardised(pipeline, features_of(rows)), fraud)
    return pipeline


def test_a_training_row_is_its_own_only_neighbour() -> None:
    found = share(by_graph(on_top_of_its_rows(table(), 15), features()))
    np.testing.assert_allclose(found, labels(), rtol=0, atol=1e-14)


def test_a_training_row_is_next_to_itself_after_its_scaler_was_rounded() -> None:
    pipeline = fitted("nearest_neighbours")
    found = share(by_graph(pipeline, features()))
    np.testing.assert_allclose(found, labels(), rtol=0, atol=1e-10)
    # scikit-learn finds some of these rows at distance 1e-7 from themselves, and others at 0.
    np.testing.assert_allclose(share(by_steps(pipeline, features())), found, rtol=0, atol=1e-5)


def test_equal_training_rows_of_both_kinds_share_the_decision() -> None:
    honest, stolen = table().head(3000), table().head(2).assign(**{card().label.column: 1})
    pipeline = on_top_of_its_rows(pd.concat([honest, stolen, table().head(1)]), 7)
    found = share(by_graph(pipeline, features()[:3]))
    np.testing.assert_allclose(found, [1 / 3, 1 / 2, 0], rtol=0, atol=1e-14)


def test_so_far_out_that_no_row_is_nearer_than_another_there_is_still_a_score() -> None:
    found = by_graph(fitted("nearest_neighbours"), rows_far_out(features()))
    assert np.isfinite(found).all()
    assert (np.abs(found) <= np.log((1 - INWARDS) / INWARDS) + 1e-9).all()


def test_far_out_rows_agree_while_distances_are_told_apart() -> None:
    for scale in (10.0, 100.0, 1000.0):
        require_agreement(
            fitted("nearest_neighbours"), features_of(unseen().head(500)) * np.float32(scale)
        )


@pytest.mark.parametrize("settings", [{"p": 1}, {"metric": "manhattan"}, {"metric": "chebyshev"}])
def test_another_measure_of_distance_is_refused(settings: dict[str, Any]) -> None:
    pipeline = fitted_as("nearest_neighbours", **settings)
    with pytest.raises(TrainingError, match=r"neighbours by metric=.* have no compiled form"):
        compiled(pipeline)
