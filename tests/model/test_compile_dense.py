"""Sums of products in double: linear models, networks and machines with a kernel."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fraudloop.model.compile_dense import ROUNDING
from tests.fitted import features, features_of, fitted, labels, table, unseen
from tests.model.compiled import (
    by_graph,
    by_steps,
    compiled,
    fitted_as,
    require_agreement,
    rows_far_out,
    standardised,
)


@pytest.mark.parametrize("family", ["logistic_regression", "linear_svm"])
@pytest.mark.parametrize("intercept", [True, False])
def test_a_linear_model_is_one_product_and_one_sum(family: str, intercept: bool) -> None:
    pipeline = fitted_as(family, fit_intercept=intercept)
    native = compiled(pipeline).native
    assert native is not None
    numbers = json.loads(native.content)
    rows = features_of(unseen())
    by_hand = rows.astype(np.float64) @ numbers["weights"] + numbers["intercept"]
    np.testing.assert_allclose(by_hand, by_steps(pipeline, rows), rtol=1e-9, atol=1e-10)
    require_agreement(pipeline, rows)


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_layer_sizes": (6, 4)},
        {"hidden_layer_sizes": 5, "activation": "tanh"},
        {"hidden_layer_sizes": (3, 3), "activation": "logistic"},
        {"hidden_layer_sizes": 2, "activation": "identity"},
    ],
    ids=str,
)
def test_networks_of_any_layers_agree(settings: dict[str, Any]) -> None:
    pipeline = fitted_as("neural_network", tol=0.1, **settings)
    require_agreement(pipeline, np.vstack([features_of(unseen()), rows_far_out(features())]))


def test_a_network_that_is_all_too_sure_loses_the_same_digits() -> None:
    pipeline = fitted("neural_network")
    frauds = features()[labels() == 1]
    rows = np.vstack([frauds * scale for scale in np.linspace(1, 8, 60, dtype=np.float32)])
    found = by_graph(pipeline, rows)
    furthest = np.log(1 - ROUNDING) - np.log(ROUNDING)
    assert found.max() == pytest.approx(furthest, abs=1e-2)
    assert found.min() == pytest.approx(-furthest, abs=1e-2)
    assert ((found > 25) & (found < 34)).sum() > 50
    require_agreement(pipeline, rows)


@pytest.mark.parametrize(
    "settings",
    [
        {"n_components": 40, "gamma": 0.01},
        {"n_components": 40, "gamma": 5.0},
        {"n_components": 9999, "gamma": None},
        {"n_components": 1},
    ],
    ids=str,
)
def test_kernel_machines_agree(settings: dict[str, Any]) -> None:
    pipeline = fitted_as("rbf_svm", table().head(700), **settings)
    rows = [features_of(unseen()), rows_far_out(features()), features()[:700]]
    require_agreement(pipeline, np.vstack(rows))


def test_far_from_every_landmark_a_kernel_machine_says_what_it_says_of_nothing() -> None:
    pipeline = fitted("rbf_svm")
    machine = pipeline[-1].estimator_.machine_
    far = np.full((1, features().shape[1]), 1e30, dtype=np.float32)
    assert by_graph(pipeline, far)[0] == machine.intercept_[0]


def test_likeness_to_a_landmark_itself_is_1() -> None:
    pipeline = fitted_as("rbf_svm", table().head(700), n_components=1)
    model = pipeline[-1].estimator_
    (place,) = model.kernel_.component_indices_
    weight = (model.kernel_.normalization_.T @ model.machine_.coef_[0])[0]
    row = features()[place : place + 1]
    np.testing.assert_allclose(standardised(pipeline, row), model.kernel_.components_)
    assert by_graph(pipeline, row)[0] == pytest.approx(weight + model.machine_.intercept_[0])
