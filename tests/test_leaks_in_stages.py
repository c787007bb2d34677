"""Who sees which rows: spies sit where rows are learned from, while the stages run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from sklearn.preprocessing import StandardScaler

from fraudloop import evaluation, stages
from fraudloop.params import Params
from fraudloop.progress import Silent
from fraudloop.settings import Settings
from fraudloop.training import calibrate, operating_point
from fraudloop.training.scored import Policy, Scored
from tests.fitted import card, features_of
from tests.small_run import params_in

Rows = set[bytes]
WAYS = ("temporal", "stratified")


class Seen:
    """The rows that were shown to whoever learns from rows."""

    def __init__(self) -> None:
        self.scaled: list[Rows] = []
        self.resampled: list[Rows] = []
        self.calibrated: list[int] = []
        self.decided: list[Scored] = []


def as_set(rows: Any) -> Rows:
    """Each row by its bytes, to float32 as features are."""
    return {row.tobytes() for row in np.asarray(rows, dtype=np.float32)}


@contextmanager
def spied() -> Iterator[Seen]:
    """Remember who sees what, and let them go on as ever."""
    seen = Seen()
    scale, resample, fit_calibration = StandardScaler.fit, SMOTE.fit_resample, calibrate.fit

    def spying_scale(self: Any, X: Any, y: Any = None, **more: Any) -> Any:
        seen.scaled.append(as_set(X))
        return scale(self, X, y, **more)

    def spying_resample(self: Any, X: Any, y: Any, **more: Any) -> Any:
        seen.resampled.append(as_set(X))
        return resample(self, X, y, **more)

    def spying_calibration(labels: Any, log_odds: Any) -> Any:
        seen.calibrated.append(len(labels))
        return fit_calibration(labels, log_odds)

    def spying_way(choose: Any) -> Any:
        def chosen(rows: Scored, policy: Policy) -> float:
            seen.decided.append(rows)
            return float(choose(rows, policy))

        return chosen

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StandardScaler, "fit", spying_scale)
        patch.setattr(SMOTE, "fit_resample", spying_resample)
        patch.setattr(calibrate, "fit", spying_calibration)
        for name, choose in operating_point.WAYS.items():
            patch.setitem(operating_point.WAYS, name, spying_way(choose))
        yield seen


def part(params: Params, name: str, way: str) -> pd.DataFrame:
    return pd.read_parquet(params.paths.prepared / way / f"{name}.parquet")


def rows_of(params: Params, name: str, way: str) -> Rows:
    return as_set(features_of(part(params, name, way)))


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Params:
    """Data, divided; samplers that look at neighbours and an estimator that is scaled."""
    params = params_in(tmp_path_factory.mktemp("spied")).model_copy(
        update={"samplers": ("smote",), "estimators": ("logistic_regression",)}
    )
    stages.get_data(params, Settings.read({}), lambda _: None, Silent())
    stages.preprocess(params)
    return params


def test_in_train_samplers_and_scalers_see_training_rows_and_calibration_validation_rows(
    prepared: Params,
) -> None:
    with spied() as seen:
        stages.train(prepared, "smote", "logistic_regression")
    training, validation, test = (
        rows_of(prepared, name, "temporal") for name in ("train", "validation", "test")
    )
    # The sampler's own scaler sees the rows as they are; what it gives on has frauds made of them.
    before, after = seen.scaled
    assert before == training
    assert after >= training
    assert len(seen.resampled) == 1
    for rows in (before, after):
        assert not rows & ((validation | test) - training)
    assert seen.calibrated == [len(part(prepared, "validation", "temporal"))]
    assert seen.decided == []


def test_in_evaluate_nothing_is_learned_from_a_test_row(prepared: Params) -> None:
    """Duplicates apart: a payment that is booked twice may stand on both sides of a moment."""
    stages.train(prepared, "smote", "logistic_regression")
    with spied() as seen:
        evaluation.evaluate(prepared)
    allowed = {
        way: rows_of(prepared, "train", way) | rows_of(prepared, "validation", way) for way in WAYS
    }
    test = {way: rows_of(prepared, "test", way) - allowed[way] for way in WAYS}
    assert len(seen.scaled) >= 4  # the recipe on the other split, and the study
    for rows in seen.scaled:
        assert any(not rows & test[way] and rows & allowed[way] for way in WAYS)
    validation = {way: part(prepared, "validation", way) for way in WAYS}
    assert seen.calibrated == [len(validation["stratified"])]
    assert [len(rows) for rows in seen.decided] == [
        len(validation[way]) for way in WAYS for _ in operating_point.WAYS
    ]
    for decided, way in zip(seen.decided[::2], WAYS, strict=True):
        np.testing.assert_array_equal(decided.amounts, validation[way][card().amount])
        np.testing.assert_array_equal(decided.labels, validation[way][card().label.column])
