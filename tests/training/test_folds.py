"""Folds never train on the future, divide no moment, and keep what is alike together."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fraudloop.errors import TrainingError
from fraudloop.training.folds import FOLDS, divide, expanding, shuffled
from tests.fitted import card, labels, table

TIMES = st.lists(st.tuples(st.integers(0, 30), st.booleans()), min_size=20, max_size=80)


@given(TIMES)
def test_what_a_fold_is_fitted_on_came_before_all_that_it_is_judged_by(
    rows: list[tuple[int, bool]],
) -> None:
    time = np.array([float(moment) for moment, _ in rows])
    fraud = np.array([is_fraud for _, is_fraud in rows])
    for fold in expanding(time, fraud):
        if len(fold.fitted) and len(fold.judged):
            assert time[fold.fitted].max() < time[fold.judged].min()


@given(TIMES)
def test_every_later_row_is_judged_exactly_once(rows: list[tuple[int, bool]]) -> None:
    time = np.array([float(moment) for moment, _ in rows])
    fraud = np.array([is_fraud for _, is_fraud in rows])
    folds = expanding(time, fraud)
    judged = np.concatenate([fold.judged for fold in folds])
    later = np.setdiff1d(np.arange(len(time)), folds[0].fitted) if fraud.any() else judged
    np.testing.assert_array_equal(np.sort(judged), later)
    for fold, following in pairwise(folds):
        before = np.union1d(fold.fitted, fold.judged)
        np.testing.assert_array_equal(following.fitted, before)


def test_each_stretch_is_judged_by_as_many_frauds() -> None:
    time, fraud = np.arange(4000.0), np.arange(4000) % 20 == 0
    folds = expanding(time[::-1], fraud)
    assert [fraud[fold.judged].sum() for fold in folds] == [30, 30, 30, 30]
    assert [fraud[fold.fitted].sum() for fold in folds] == [80, 110, 140, 170]


@given(st.lists(st.integers(0, 40), min_size=30, max_size=90), st.integers(0, 5))
def test_at_random_each_row_is_judged_once_and_what_is_alike_stays_together(
    groups: list[int], seed: int
) -> None:
    group = np.array(groups)
    folds = shuffled(group, group % 3 == 0, seed=seed)
    judged = np.concatenate([fold.judged for fold in folds])
    np.testing.assert_array_equal(np.sort(judged), np.arange(len(group)))
    for fold in folds:
        np.testing.assert_array_equal(
            np.sort(np.concatenate([fold.fitted, fold.judged])), np.arange(len(group))
        )
        assert not set(group[fold.fitted]) & set(group[fold.judged])


def test_at_random_follows_the_seed_and_spreads_the_frauds() -> None:
    group, fraud = np.arange(2000), np.arange(2000) % 50 == 0
    first, same, other = (shuffled(group, fraud, seed=seed) for seed in (1, 1, 2))
    assert [fraud[fold.judged].sum() for fold in first] == [10] * FOLDS
    for one, two, three in zip(first, same, other, strict=True):
        np.testing.assert_array_equal(one.judged, two.judged)
        assert not np.array_equal(one.judged, three.judged)


def test_a_table_is_divided_by_its_cards_time_or_by_what_its_rows_say() -> None:
    time = card().time
    assert time is not None
    seconds = table()[time].to_numpy()
    for fold in divide(table(), card(), by_time=True, seed=1):
        assert seconds[fold.fitted].max() < seconds[fold.judged].min()
    twice = pd.concat([table(), table()], ignore_index=True)
    for fold in divide(twice, card(), by_time=False, seed=1):
        assert seconds[fold.fitted % len(table())].max() > seconds[fold.judged % len(table())].min()
        assert not set(fold.fitted % len(table())) & set(fold.judged % len(table()))


@pytest.mark.parametrize("by_time", [True, False])
@pytest.mark.parametrize("frauds", [0, 1, 3])
def test_too_few_frauds_for_the_folds_are_refused_by_their_number(
    frauds: int, by_time: bool
) -> None:
    legitimate = table()[labels() == 0].head(500)
    some = pd.concat([table()[labels() == 1].head(frauds), legitimate], ignore_index=True)
    with pytest.raises(TrainingError, match=f"holds {frauds} frauds, too few for {FOLDS} folds"):
        divide(some, card(), by_time=by_time, seed=1)
