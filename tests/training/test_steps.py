"""The pipeline's own steps: features by the card, and neighbours by standardised distance."""

from __future__ import annotations

import copy
import pickle
from typing import Any, Self

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.under_sampling import NearMiss
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, clone
from sklearn.metrics.pairwise import rbf_kernel

from fraudloop.params import Candidate
from fraudloop.training.candidates import ESTIMATORS
from fraudloop.training.fit import fit, log_odds
from fraudloop.training.steps import CardFeatures, KernelSVM, SmoteTomek, Standardised
from tests.fitted import card, features, fitted, labels, table

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
    for other in (clone(step), pickle.loads(pickle.dumps(step))):
        assert other.get_params() == step.get_params()
        np.testing.assert_array_equal(other.transform(table()), step.transform(table()))


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


def test_a_sampler_that_leaves_rows_out_gives_back_what_it_was_given() -> None:
    given = features().astype(np.float64)
    sampler = Standardised(NearMiss(version=2, sampling_strategy=0.05))
    rows, resampled = sampler.fit_resample(given, labels())
    np.testing.assert_array_equal(rows, given[sampler.sampler_.sample_indices_])
    np.testing.assert_array_equal(resampled, labels()[sampler.sampler_.sample_indices_])
    assert (resampled == 1).sum() == labels().sum()
    assert len(rows) == pytest.approx(21 * labels().sum(), abs=20)


def test_a_sampler_that_adds_rows_and_leaves_out_others_keeps_both_apart() -> None:
    given = features().astype(np.float64)[-3000:]
    fraud = labels()[-3000:]
    # Two legitimate rows between frauds: pairs of nearest neighbours that are to be dropped.
    given[:2] = given[fraud == 1][:2] + 1e-6
    sampler = Standardised(SmoteTomek(sampling_strategy=0.05, k_neighbors=2, random_state=1))
    rows, resampled = sampler.fit_resample(given, fraud)
    came_from = sampler.sampler_.sample_indices_
    kept = came_from < len(given)
    assert 0 < kept.sum() < len(given)
    np.testing.assert_array_equal(rows[kept], given[came_from[kept]])
    np.testing.assert_array_equal(resampled[kept], fraud[came_from[kept]])
    assert set(resampled[~kept]) == {1}


def test_a_kernel_machine_is_exact_where_every_row_is_a_landmark() -> None:
    rows, fraud = features().astype(np.float64)[:300, :3], np.arange(300) % 7 == 0
    machine = KernelSVM(n_components=5000, gamma=0.5, C=10.0, random_state=1).fit(rows, fraud)
    likeness = machine.kernel_.transform(rows)
    np.testing.assert_allclose(likeness @ likeness.T, rbf_kernel(rows, gamma=0.5), atol=1e-6)


def test_a_kernel_machine_tells_a_ring_from_its_middle() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(0, 1, (2000, 2))
    inside = (rows**2).sum(axis=1) < 1
    machine = KernelSVM(n_components=50, gamma=0.5, random_state=1).fit(rows, inside)
    assert (machine.predict(rows) == inside).mean() > 0.95


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_log_odds_rank_as_the_estimator_does_and_are_finite(estimator: str) -> None:
    few = {"neural_network": {"max_iter": 3}, "rbf_svm": {"n_components": 20}}.get(estimator, {})
    pipeline = fit(
        table().tail(4000),
        card(),
        "smote",
        estimator,
        Candidate(estimator=few),
        seed=1,
        threads=1,
    )
    rows = table()[list(card().columns)].head(2000)
    found = log_odds(pipeline, table().head(2000), card())
    assert np.isfinite(found).all()
    inner, given = pipeline[-1].estimator_, rows
    for name, step in pipeline.steps[:-1]:
        given = step.transform(given) if name != "sampler" else given
    own = (
        -inner.score_samples(given)
        if estimator == "isolation_forest"
        else inner.predict_proba(given)[:, 1]
        if hasattr(inner, "predict_proba")
        else inner.decision_function(given)
    )
    assert spearmanr(found, own).statistic > 0.999
    np.testing.assert_array_equal(
        pipeline.predict(rows), (pipeline.predict_proba(rows)[:, 1] > 0.5)
    )


def test_without_calibration_a_probability_stays_what_it_was() -> None:
    for family in ("logistic_regression", "boosted_trees", "random_forest"):
        pipeline = copy.deepcopy(fitted(family)).set_params(
            estimator__slope=1.0, estimator__offset=0.0
        )
        rows = pipeline[:-1].transform(table()[list(card().columns)])
        own = pipeline[-1].estimator_.predict_proba(rows)[:, 1]
        np.testing.assert_allclose(pipeline[-1].predict_proba(rows)[:, 1], own, atol=1.1e-4)
