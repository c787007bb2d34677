"""The pipeline's own steps: features by the card, and neighbours by standardised distance."""

from __future__ import annotations

import pickle
from typing import Any, Self

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from fraudloop.training.steps import CardFeatures, Standardised
from tests.fitted import card, features, labels, table

TEXT = card().model_dump_json()


def test_a_frame_and_an_array_in_the_cards_order_give_the_same_features() -> None:
    step = CardFeatures(TEXT)
    frame = table().head(1000)
    array = frame[list(card().columns)].to_numpy()
    for given in (frame, frame[frame.columns[::-1]], array, array.tolist()):
        np.testing.assert_array_equal(step.fit(given).transform(given), features()[:1000])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_values_are_rounded_to_float32_in_either_precision(dtype: str) -> None:
    found = CardFeatures(TEXT, dtype).transform(table())
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, features())


def test_features_are_named_as_on_the_card() -> None:
    assert tuple(CardFeatures(TEXT).get_feature_names_out()) == card().feature_names


def test_features_clone_and_pickle_without_being_fitted() -> None:
    step = CardFeatures(TEXT, "float64")
    for copy in (clone(step), pickle.loads(pickle.dumps(step))):
        assert copy.get_params() == step.get_params()
        np.testing.assert_array_equal(copy.transform(table()), step.transform(table()))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_were_there_stay_as_they_were(dtype: str) -> None:
    given = features().astype(dtype)
    sampler = Standardised(SMOTE(sampling_strategy=0.05, random_state=1))
    rows, resampled = sampler.fit_resample(given, labels())
    assert rows.dtype == dtype
    np.testing.assert_array_equal(rows[: len(given)], given)
    np.testing.assert_array_equal(resampled[: len(given)], labels())
    assert len(rows) == len(resampled) > len(given)
    assert set(resampled[len(given) :]) == {1}


def test_added_rows_lie_between_frauds_in_the_columns_own_scale() -> None:
    sampler = Standardised(SMOTE(sampling_strategy=0.05, random_state=1))
    rows, _ = sampler.fit_resample(features().astype(np.float64), labels())
    frauds, added = features()[labels() == 1], rows[len(features()) :]
    slack = 1e-6 * np.abs(frauds).max(axis=0)
    assert (added >= frauds.min(axis=0) - slack).all()
    assert (added <= frauds.max(axis=0) + slack).all()


class SeenSampler(BaseEstimator):  # type: ignore[misc]  # untyped library
    """Keeps what it was shown, and adds its first row once more."""

    def fit_resample(self, X: NDArray[Any], y: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        self.seen = X
        return np.vstack([X, X[:1]]), np.concatenate([y, y[:1]])

    def fit(self, X: NDArray[Any], y: NDArray[Any]) -> Self:
        return self


def test_the_sampler_sees_columns_of_mean_zero_and_deviation_one() -> None:
    given = features().astype(np.float64) * 1000 + 5
    step = Standardised(SeenSampler())
    rows, _ = step.fit_resample(given, labels())
    np.testing.assert_allclose(step.sampler_.seen.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(step.sampler_.seen.std(axis=0), 1, atol=1e-9)
    np.testing.assert_allclose(rows[-1], given[0], rtol=1e-9)


def test_neighbours_are_near_by_standardised_distance() -> None:
    """Two pairs of frauds: near in the narrow column, or near in the wide one, not in both."""
    rng = np.random.default_rng(0)
    legitimate = np.column_stack([rng.normal(0, 1, 2000), rng.normal(0, 1000, 2000)])
    # The partner that is 3 deviations away in the narrow column is 3 units away without scaling.
    frauds = np.array([[0.0, 0.0], [0.0, 500.0], [3.0, 0.0], [3.0, 500.0]])
    rows = np.vstack([legitimate, frauds])
    fraud = np.repeat([0, 1], [len(legitimate), len(frauds)])
    sampler = SMOTE(sampling_strategy=0.1, k_neighbors=1, random_state=0)
    scaled, _ = Standardised(sampler).fit_resample(rows, fraud)
    added = scaled[len(rows) :]
    assert len(added) > 100
    assert np.isclose(added[:, 0], 0, atol=1e-9).sum() > 20
    assert (np.isclose(added[:, 0], 0, atol=1e-9) | np.isclose(added[:, 0], 3)).all()
    unscaled, _ = clone(sampler).fit_resample(rows, fraud)
    assert ((unscaled[len(rows) :, 0] > 0.1) & (unscaled[len(rows) :, 0] < 2.9)).any()


def test_it_clones_with_the_sampler_inside() -> None:
    step = Standardised(SMOTE(k_neighbors=3))
    assert clone(step).sampler.k_neighbors == 3
    assert clone(step).set_params(sampler__k_neighbors=2).sampler.k_neighbors == 2
    assert step.sampler.k_neighbors == 3
