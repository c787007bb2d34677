"""Figures are scikit-learn's, their intervals cover, and the bounds show that both work."""

from __future__ import annotations

import json
import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from fraudloop.errors import TrainingError
from fraudloop.training import evaluate
from fraudloop.training.evaluate import FIGURES, Judgement, Ranking, bounds, confusion, judge

Labels = NDArray[np.int8]
Scores = NDArray[np.float64]

TIED = st.sampled_from([0.0, 0.1, 0.3, 0.5, float(np.nextafter(0.5, 1)), 0.9, 1.0])
ROWS = st.lists(st.tuples(st.integers(0, 1), st.one_of(TIED, st.floats(0, 1))), max_size=60)


def arrays(rows: list[tuple[int, float]]) -> tuple[Labels, Scores]:
    """With a row of each label more, so that every figure is defined."""
    rows = [*rows, (1, 0.5), (0, 0.3)]
    return (
        np.array([label for label, _ in rows], dtype=np.int8),
        np.array([score for _, score in rows], dtype=np.float64),
    )


def of_scikit_learn(labels: Labels, scores: Scores, threshold: float) -> dict[str, float]:
    predictions = (scores >= threshold).astype(int)
    return {
        "average_precision": average_precision_score(labels, scores),
        "roc_auc": roc_auc_score(labels, scores),
        "precision": precision_score(labels, predictions, zero_division=0),
        "recall": recall_score(labels, predictions, zero_division=0),
        "f1": f1_score(labels, predictions, zero_division=0),
    }


def drawn(rng: np.random.Generator, frauds: int, legitimate: int) -> tuple[Labels, Scores]:
    """Normal scores, those of frauds two deviations higher."""
    labels = np.repeat(np.array([1, 0], np.int8), [frauds, legitimate])
    return labels, rng.normal(2.0 * labels, 1.0)


@given(ROWS, st.one_of(TIED, st.floats(0, 1)))
def test_every_figure_is_scikit_learns(rows: list[tuple[int, float]], threshold: float) -> None:
    labels, scores = arrays(rows)
    found = Ranking.of(labels, scores, threshold).figures()
    assert tuple(found) == FIGURES
    assert found == pytest.approx(of_scikit_learn(labels, scores, threshold), abs=1e-12)


@given(ROWS, TIED)
def test_cells_hold_every_row_and_are_no_more_than_frauds_need(
    rows: list[tuple[int, float]], threshold: float
) -> None:
    labels, scores = arrays(rows)
    ranking = Ranking.of(labels, scores, threshold)
    assert ranking.frauds.sum() == (labels == 1).sum()
    assert ranking.legitimate.sum() == (labels == 0).sum()
    above = slice(0, ranking.alerts)
    assert ranking.frauds[above].sum() == ((scores >= threshold) & (labels == 1)).sum()
    assert ranking.legitimate[above].sum() == ((scores >= threshold) & (labels == 0)).sum()
    assert len(ranking.frauds) <= 2 * (labels == 1).sum() + 2


def test_resampling_cells_is_resampling_rows() -> None:
    rng = np.random.default_rng(1)
    labels, scores = drawn(rng, 60, 600)
    scores = np.round(scores, 1)
    ranking = Ranking.of(labels, scores, 1.5)
    assert len(ranking.frauds) < 150
    by_cells = ranking.intervals(resamples=4000, confidence=0.9, rng=rng)
    by_rows: dict[str, list[float]] = {name: [] for name in FIGURES}
    for _ in range(1000):
        row = rng.integers(0, len(labels), len(labels))
        for name, value in Ranking.of(labels[row], scores[row], 1.5).figures().items():
            by_rows[name].append(value)
    for name, values in by_rows.items():
        low, high = np.quantile(values, [0.05, 0.95])
        width = high - low
        assert by_cells[name].low == pytest.approx(low, abs=width / 8)
        assert by_cells[name].high == pytest.approx(high, abs=width / 8)


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 0.9, 0.99]))
def test_an_interval_holds_its_figure(seed: int, confidence: float) -> None:
    rng = np.random.default_rng(seed)
    labels, scores = drawn(rng, 100, 1000)
    made = judge(labels, scores, 1.0, resamples=300, confidence=confidence, rng=rng)
    for name, figure in made.figures.items():
        assert made.intervals[name].low <= figure <= made.intervals[name].high


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    recall = 1 - NormalDist(mu=2).cdf(1.0)
    false_alarms = 1 - NormalDist().cdf(1.0)
    truth = {
        "recall": recall,
        "precision": recall * 100 / (recall * 100 + false_alarms * 1000),
        "roc_auc": NormalDist().cdf(2 / math.sqrt(2)),
    }
    covered = dict.fromkeys(truth, 0)
    for _ in range(300):
        labels, scores = drawn(rng, *(rng.multinomial(1100, [1 / 11, 10 / 11])))
        intervals = Ranking.of(labels, scores, 1.0).intervals(
            resamples=200, confidence=0.9, rng=rng
        )
        for name, value in truth.items():
            covered[name] += intervals[name].low <= value <= intervals[name].high
    for name, count in covered.items():
        assert 0.84 <= count / 300 <= 0.96, name


def test_more_confidence_is_a_wider_interval() -> None:
    labels, scores = drawn(np.random.default_rng(3), 50, 500)
    ranking = Ranking.of(labels, scores, 1.0)
    narrow, wide = (
        ranking.intervals(resamples=500, confidence=level, rng=np.random.default_rng(4))
        for level in (0.5, 0.99)
    )
    for name in FIGURES:
        assert wide[name].low < narrow[name].low < narrow[name].high < wide[name].high


def test_the_same_seed_gives_the_same_judgement() -> None:
    labels, scores = drawn(np.random.default_rng(5), 20, 200)
    one, two = (
        judge(labels, scores, 1.0, resamples=200, confidence=0.9, rng=np.random.default_rng(6))
        for _ in range(2)
    )
    assert one == two


def test_a_resample_without_any_fraud_does_not_count() -> None:
    labels, scores = np.array([1, *[0] * 50], np.int8), np.linspace(1, 0, 51)
    intervals = Ranking.of(labels, scores, 0.99).intervals(
        resamples=400, confidence=0.95, rng=np.random.default_rng(7)
    )
    assert intervals["recall"] == evaluate.Interval(1.0, 1.0)
    assert all(math.isfinite(each.low + each.high) for each in intervals.values())


def test_no_alert_at_all_has_precision_zero() -> None:
    figures = Ranking.of(np.array([1, 0], np.int8), np.array([0.2, 0.1]), 0.9).figures()
    assert (figures["precision"], figures["recall"], figures["f1"]) == (0, 0, 0)
    assert figures["average_precision"] == figures["roc_auc"] == 1


@given(ROWS)
def test_the_oracle_is_perfect_and_the_floor_is_the_base_rate(
    rows: list[tuple[int, float]],
) -> None:
    labels, _ = arrays(rows)
    found = bounds(labels, np.random.default_rng(8))
    assert found["oracle"] == dict.fromkeys(FIGURES, 1.0)
    floor = found["floor"]["always_legitimate"]
    assert floor["average_precision"] == pytest.approx(labels.mean(), abs=1e-6)
    assert floor["roc_auc"] == 0.5
    assert floor["precision"] == floor["recall"] == floor["f1"] == 0


def test_random_scores_are_near_the_base_rate() -> None:
    labels = np.repeat(np.array([1, 0], np.int8), [400, 19_600])
    floor = bounds(labels, np.random.default_rng(9))["floor"]["random"]
    assert floor["average_precision"] == pytest.approx(0.02, abs=0.005)
    assert floor["precision"] == pytest.approx(0.02, abs=0.005)
    assert floor["roc_auc"] == pytest.approx(0.5, abs=0.04)
    assert floor["recall"] == pytest.approx(0.5, abs=0.08)


@given(ROWS, TIED)
def test_the_four_outcomes_add_up(rows: list[tuple[int, float]], threshold: float) -> None:
    labels, scores = arrays(rows)
    counts = confusion(labels, scores, threshold)
    assert sum(counts.values()) == len(labels)
    assert counts[1, 1] + counts[1, 0] == labels.sum()
    assert counts[1, 1] + counts[0, 1] == (scores >= threshold).sum()
    assert counts[1, 1] == ((scores >= threshold) & (labels == 1)).sum()


def judged(average_precision: float, others: float = 0.5) -> Judgement:
    figures = dict.fromkeys(FIGURES, others) | {"average_precision": average_precision}
    intervals = dict.fromkeys(FIGURES, evaluate.Interval(0.1, 0.9))
    return Judgement(figures, intervals, threshold=0.5, rows=10, frauds=2)


def test_the_champion_has_the_highest_average_precision() -> None:
    judgements = {"a": judged(0.4, 0.9), "b": judged(0.8, 0.1), "c": judged(0.7, 1.0)}
    assert evaluate.champion(judgements) == "b"


@pytest.mark.parametrize("names", ["abc", "cba", "bca"])
def test_of_equal_candidates_the_first_named_is_champion(names: str) -> None:
    judgements = {name: judged(0.8) for name in names} | {"z": judged(0.2)}
    assert evaluate.champion(judgements) == names[0]


def test_without_candidates_there_is_no_champion() -> None:
    with pytest.raises(TrainingError, match="no candidate was trained: run `dvc repro`"):
        evaluate.champion({})


def test_metrics_hold_what_is_promised_as_plain_json() -> None:
    labels, scores = drawn(np.random.default_rng(10), 30, 300)
    test = judge(labels, scores, 1.0, resamples=200, confidence=0.9, rng=np.random.default_rng(11))
    between = bounds(labels, np.random.default_rng(12))
    about = {"id": "a-card", "split": "temporal", "synthetic": True}
    made = evaluate.summary(about, "b", test, {"b": judged(0.8), "a": judged(0.4)}, between)
    made = json.loads(json.dumps(made, allow_nan=False))
    assert made["dataset"] == about
    assert made["champion"] == "b"
    assert {*FIGURES, "threshold", "rows", "frauds", "interval"} == set(made["test"])
    assert set(made["test"]["interval"]) == set(FIGURES)
    assert (made["test"]["threshold"], made["test"]["rows"], made["test"]["frauds"]) == (1, 330, 30)
    assert list(made["candidates"]) == ["a", "b"]
    assert made["candidates"]["b"]["validation"]["average_precision"] == 0.8
    assert set(made) >= {"oracle", "floor"}
    for name in FIGURES:
        assert made["test"][name] == round(made["test"][name], 6)
