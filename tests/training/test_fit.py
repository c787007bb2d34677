"""A fit sees the training rows alone, and gives the same bytes wherever it runs."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import cross_val_score
from threadpoolctl import threadpool_limits

from fraudloop.errors import ParamsError, TrainingError
from fraudloop.model.calibration import Calibration
from fraudloop.params import Candidate
from fraudloop.training import calibrate, candidates
from fraudloop.training import fit as fitting
from fraudloop.training.candidates import Entry
from fraudloop.training.fit import calibrated, fit, fit_and_calibrate, log_odds, score
from tests.fitted import (
    FAMILIES,
    PARAMS,
    card,
    features,
    features_of,
    fitted,
    labels,
    refit,
    start_python,
    table,
    told,
)
from tests.training.spies import SpySampler


def with_frauds(count: int, rows: int = 2000) -> pd.DataFrame:
    """Some rows, so many of them frauds."""
    fraud = labels() == 1
    some: pd.DataFrame = pd.concat([table()[~fraud].head(rows - count), table()[fraud].head(count)])
    return some


def fit_some(sampler: str, estimator: str, candidate: Candidate, rows: pd.DataFrame) -> Any:
    return fit(rows, card(), sampler, estimator, candidate, seed=1, threads=1)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> type[SpySampler]:
    monkeypatch.setitem(candidates.SAMPLERS, "spy", Entry("tests.training.spies:SpySampler"))
    monkeypatch.setattr(SpySampler, "seen", [])
    monkeypatch.setattr(SpySampler, "blas_threads", [])
    return SpySampler


@pytest.mark.parametrize("estimator", FAMILIES)
def test_the_sampler_sees_the_training_rows_and_no_other(
    estimator: str, spy: type[SpySampler]
) -> None:
    training = table().head(9000)
    few = {} if estimator == "logistic_regression" else {"n_estimators": 3}
    pipeline = fit_some("spy", estimator, Candidate(estimator=few), training)
    (seen,) = spy.seen
    np.testing.assert_array_equal(seen, features()[:9000])
    pipeline.predict_proba(table())
    score(pipeline, table(), card())
    assert len(spy.seen) == 1


def test_in_cross_validation_each_fold_resamples_its_own_training_rows(
    spy: type[SpySampler],
) -> None:
    some = with_frauds(6, 600)
    pipeline = candidates.build(
        "spy", "logistic_regression", Candidate(), card(), seed=1, threads=1
    )
    order = np.arange(len(some))
    folds = [(order[order % 3 != fold], order[order % 3 == fold]) for fold in range(3)]
    fraud = some[card().label.column].to_numpy()
    cross_val_score(pipeline, some[list(card().columns)], fraud, cv=folds, scoring="roc_auc")
    for (training, _), seen in zip(folds, spy.seen, strict=True):
        np.testing.assert_array_equal(seen, features_of(some.iloc[training]))


@pytest.mark.parametrize("sampler", ["none", "smote", "undersample"])
def test_the_scaler_learns_from_the_resampled_training_rows_alone(sampler: str) -> None:
    training = table().head(9000)
    pipeline = refit("logistic_regression", sampler, training)
    rows, fraud = features_of(training).astype(np.float64), labels()[:9000]
    if sampler != "none":
        rows, _ = pipeline["sampler"].fit_resample(rows, fraud)
    np.testing.assert_allclose(pipeline["scaler"].mean_, rows.mean(axis=0), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(pipeline["scaler"].scale_, rows.std(axis=0), rtol=1e-9)


@pytest.mark.parametrize("estimator", FAMILIES)
def test_smote_works_with_three_frauds(estimator: str) -> None:
    candidate = Candidate(sampler={"sampling_strategy": 0.05, "k_neighbors": 5})
    pipeline = fit_some("smote", estimator, candidate, with_frauds(3))
    assert pipeline["sampler"].sampler.k_neighbors == 2
    assert score(pipeline, table().head(10), card()).shape == (10,)


def test_smote_keeps_its_neighbours_where_there_are_enough_frauds() -> None:
    assert fitted("random_forest", "smote")["sampler"].sampler.k_neighbors == 5


@pytest.mark.parametrize("sampler", ["borderline_smote", "adasyn", "smote_tomek", "nearmiss"])
def test_every_sampler_between_neighbours_works_with_three_frauds(sampler: str) -> None:
    pipeline = fit_some(sampler, "decision_tree", Candidate(), with_frauds(3))
    assert score(pipeline, table().head(10), card()).shape == (10,)


@pytest.mark.parametrize("frauds", [0, 1])
def test_smote_with_one_fraud_is_refused_by_what_is_wrong(frauds: int) -> None:
    with pytest.raises(TrainingError, match=f"hold {frauds} fraud, too few to measure"):
        fit_some("smote", "logistic_regression", Candidate(), with_frauds(frauds))


@pytest.mark.parametrize(
    ("sampler", "estimator", "candidate"),
    [
        ("none", "logistic_regression", Candidate(estimator={"C": -1})),
        ("none", "random_forest", Candidate(estimator={"max_depth": "deep"})),
        ("none", "boosted_trees", Candidate(estimator={"objective": "nothing:known"})),
        ("none", "boosted_trees", Candidate(estimator={"n_estimators": "many"})),
        ("smote", "random_forest", Candidate(sampler={"sampling_strategy": 1e-9})),
        ("undersample", "random_forest", Candidate(sampler={"sampling_strategy": 7.0})),
    ],
)
def test_settings_that_cannot_be_fitted_are_one_sentence(
    sampler: str, estimator: str, candidate: Candidate
) -> None:
    with pytest.raises(ParamsError, match=f"^candidate {sampler}-{estimator} cannot be fit") as e:
        fit_some(sampler, estimator, candidate, with_frauds(8))
    message = str(e.value)
    assert message.endswith("): change it in params.yaml")
    assert "\n" not in message
    assert "Stack trace" not in message
    assert "/src/" not in message


@pytest.mark.parametrize("estimator", FAMILIES)
def test_weighing_frauds_raises_their_scores(estimator: str) -> None:
    fraud = labels() == 1
    candidate = PARAMS.candidates["none"][estimator]
    weighed = fit_some("none", estimator, candidate, table())
    same: dict[str, Any] = {"class_weight": None, "scale_pos_weight": 1}
    plain = {key: same.get(key, value) for key, value in candidate.estimator.items()}
    assert plain != candidate.estimator
    unweighed = fit_some("none", estimator, Candidate(estimator=plain), table())
    assert score(weighed, table(), card())[fraud].mean() > (
        score(unweighed, table(), card())[fraud].mean()
    )


@pytest.mark.parametrize("sampler", ["none", "smote", "undersample"])
@pytest.mark.parametrize("estimator", FAMILIES)
def test_what_is_handed_over_uses_one_thread(estimator: str, sampler: str) -> None:
    assert fitted(estimator, sampler)[-1].estimator_.n_jobs == 1
    assert fitted(estimator, sampler)[-1].estimator.n_jobs == 1


@pytest.mark.parametrize("estimator", FAMILIES)
def test_a_fitted_pipeline_takes_a_frame_or_an_array_in_the_cards_order(estimator: str) -> None:
    frame = table()[list(card().columns)].tail(3000)
    of_frame = fitted(estimator).predict_proba(frame)
    of_array = fitted(estimator).predict_proba(frame.to_numpy())
    np.testing.assert_array_equal(of_frame, of_array)
    np.testing.assert_array_equal(of_frame, fitted(estimator).predict_proba(frame.iloc[:, ::-1]))
    assert of_frame.min() >= 0
    assert of_frame.max() <= 1


def test_the_same_bytes_in_processes_with_other_hash_seeds_and_thread_counts() -> None:
    code = (
        "import sys; from tests import fitted\n"
        "for name in sys.argv[1:]: print(name, fitted.md5_of_dump(fitted.refit(*name.split())))"
    )
    names = [*FAMILIES, "logistic_regression smote", "boosted_trees undersample"]
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    one = start_python(code, *names, PYTHONHASHSEED="1", **dict.fromkeys(threads, "1"))
    two = start_python(code, *names, PYTHONHASHSEED="2", **dict.fromkeys(threads, "2"))
    three = start_python(code, *names)  # as many threads as there are cores, a seed by chance
    told_by_one = told(one)
    assert len(told_by_one.splitlines()) == len(names)
    assert told_by_one == told(two) == told(three)


def test_calibration_sees_the_validation_rows_and_never_those_of_the_fit() -> None:
    training, validation = table().head(9000), table().tail(3000)
    settings = PARAMS.candidates["none"]["boosted_trees"]
    pipeline, odds = fit_and_calibrate(
        training, validation, card(), "none", "boosted_trees", settings, seed=1, threads=1
    )
    alone = fit_some("none", "boosted_trees", settings, training)
    assert alone[-1].calibration == Calibration()
    np.testing.assert_array_equal(odds, log_odds(alone, validation, card()))
    assert pipeline[-1].calibration == calibrate.fit(labels()[9000:], odds)
    assert pipeline[-1].calibration != calibrate.fit(
        labels()[:9000], log_odds(alone, training, card())
    )


@pytest.mark.parametrize("estimator", FAMILIES)
def test_a_calibrated_pipeline_gives_the_calibrated_score(estimator: str) -> None:
    pipeline = calibrated(clone_of(estimator), Calibration(slope=0.5, offset=-2.0))
    odds = log_odds(pipeline, table(), card())
    expected = 1 / (1 + np.exp(-(0.5 * odds - 2)))
    np.testing.assert_allclose(score(pipeline, table(), card()), expected, rtol=1e-12)
    rows = table()[list(card().columns)]
    np.testing.assert_allclose(pipeline.predict_proba(rows)[:, 1], expected, rtol=1e-6)


def clone_of(estimator: str) -> Any:
    """A fitted candidate that a test may change."""
    return copy.deepcopy(fitted(estimator))


def test_a_fit_adds_up_in_one_thread_on_every_machine(spy: type[SpySampler]) -> None:
    with threadpool_limits(limits=2, user_api="blas"):
        fit_some("spy", "logistic_regression", Candidate(), with_frauds(8))
    assert spy.blas_threads
    assert set(spy.blas_threads) == {1}


@pytest.mark.parametrize("digits", [8, 12])
def test_rounding_keeps_so_many_digits_of_any_float(digits: int) -> None:
    tiny, least = float(np.finfo(float).tiny), float(np.nextafter(0, 1))
    values = np.array([0.0, 1.0, -2 / 3, 1 / 3, 1e-30 / 3, 1e30 / 3, tiny, least, 1 - 1e-16])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rounded = fitting._to_digits(values, digits)
    assert np.isfinite(rounded).all()
    np.testing.assert_allclose(rounded, values, rtol=10.0 ** (1 - digits), atol=1e-299)
    np.testing.assert_array_equal(fitting._to_digits(rounded, digits), rounded)
    np.testing.assert_array_equal(rounded[:2], values[:2])


def test_a_score_beyond_what_floats_tell_apart_is_still_a_number() -> None:
    extreme = table().head(50).copy()
    extreme[[name for name in card().columns if name != card().time]] = 1e4
    for sign in (1, -1):
        found = score(fitted("logistic_regression"), extreme * sign, card())
        assert ((found >= 0) & (found <= 1)).all()
