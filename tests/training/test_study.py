"""Resampling before the split flatters, and the study shows by how much."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score
from sklearn.model_selection import train_test_split

from fraudloop.params import Candidate
from fraudloop.training.fit import fit, log_odds
from fraudloop.training.study import FEWEST, learning_curve, right_and_wrong
from tests.fitted import card, labels, table

FEW_TREES = Candidate(estimator={"n_estimators": 20})


NOISE = table().assign(**{card().label.column: np.random.default_rng(0).permutation(labels())})


def study(sampler: str, rows: pd.DataFrame = NOISE) -> dict[str, Any]:
    return right_and_wrong(
        rows, card(), sampler, "random_forest", FEW_TREES, held_out=0.25, seed=1, threads=1
    )


@pytest.mark.parametrize(("sampler", "at_least"), [("smote", 0.5), ("undersample", 0.02)])
def test_resampled_first_even_labels_that_are_noise_seem_to_be_learned(
    sampler: str, at_least: float
) -> None:
    found = study(sampler)
    assert found["rightly"] < 0.005 < at_least < found["wrongly"]


def test_what_is_right_is_what_a_fit_on_the_other_rows_reaches() -> None:
    label = card().label.column
    training, judged = train_test_split(
        table(), test_size=0.25, stratify=table()[label], random_state=1
    )
    pipeline = fit(training, card(), "smote", "random_forest", FEW_TREES, seed=1, threads=1)
    expected = average_precision_score(judged[label], log_odds(pipeline, judged, card()))
    assert study("smote", table())["rightly"] == pytest.approx(expected, abs=1e-6)


def test_of_a_handful_of_frauds_nothing_is_held_out() -> None:
    frauds = table()[labels() == 1].head(FEWEST - 1)
    few = pd.concat([table()[labels() == 0].head(3000), frauds])
    assert study("smote", few) == {"rightly": None}


def test_without_a_sampler_there_is_nothing_to_do_wrongly() -> None:
    assert study("none", table()).keys() == {"rightly"}


def test_a_learning_curve_learns_from_more_and_more_of_the_same_rows() -> None:
    training, validation = table().head(9000), table().tail(3000)
    points = learning_curve(
        [1.0, 0.5, 0.5, 0.1],
        training,
        validation,
        card(),
        "none",
        "random_forest",
        FEW_TREES,
        seed=1,
        threads=1,
    )
    seen = [int(point["frauds"]) for point in points]
    frauds = int(labels()[:9000].sum())
    assert [point["share"] for point in points] == [0.1, 0.5, 1.0]
    assert seen == [max(1, round(share * frauds)) for share in (0.1, 0.5, 1.0)]
    assert points[-1]["rows"] == 9000
    odds = log_odds(
        fit(training, card(), "none", "random_forest", FEW_TREES, seed=1, threads=1),
        validation,
        card(),
    )
    whole = average_precision_score(validation[card().label.column], odds)
    assert points[-1]["validation"] == pytest.approx(whole, abs=1e-6)
