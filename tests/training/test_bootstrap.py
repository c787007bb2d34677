"""Intervals are those of resampled rows, cover the truth, and take neither time nor memory."""

from __future__ import annotations

import json
import math
import time
import tracemalloc
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fraudloop.training import figures as module
from fraudloop.training.figures import FIGURES, Cells, Interval, draws, figures, judge
from fraudloop.training.scored import Policy, Scored

Floats = NDArray[np.float64]

POLICY = Policy(review_cost=5.0, lost_share=1.0, alert_share=0.03)
APART = 2.0  # deviations between the means of the log-odds of frauds and of others
SHARE = 0.1  # of frauds
AMOUNT = 40.0  # the mean
THRESHOLD = 0.3


def drawn(rng: np.random.Generator, rows: int, share: float = SHARE) -> Scored:
    """Scores whose log-odds are normal for both labels: what is true of them is known."""
    labels = (rng.random(rows) < share).astype(np.int8)
    log_odds = rng.normal(APART * labels, 1.0) - 2.0
    return Scored(labels, 1 / (1 + np.exp(-log_odds)), rng.uniform(1, 2 * AMOUNT - 1, rows))


def truth() -> dict[str, float]:
    """The figures of infinitely many of the rows that `drawn` draws."""
    frauds, others = NormalDist(APART - 2.0), NormalDist(-2.0)
    log_odds = np.linspace(-12, 12, 48_001)
    score = 1 / (1 + np.exp(-log_odds))

    def above(of: NormalDist, at: float) -> float:
        return 1 - of.cdf(at)

    def mean(values: Floats, of: NormalDist) -> float:
        density = np.array([of.pdf(each) for each in log_odds])
        return float((values * density).sum() / density.sum())

    caught = SHARE * np.array([above(frauds, each) for each in log_odds])
    false_alarms = (1 - SHARE) * np.array([above(others, each) for each in log_odds])
    at = math.log(THRESHOLD / (1 - THRESHOLD))
    recall, alarms = above(frauds, at), above(others, at)
    alerts = SHARE * recall + (1 - SHARE) * alarms
    cost = POLICY.review_cost * alerts + AMOUNT * SHARE * (1 - recall)
    return {
        "average_precision": mean(caught / np.maximum(caught + false_alarms, 1e-300), frauds),
        "roc_auc": NormalDist().cdf(APART / math.sqrt(2)),
        "precision": SHARE * recall / alerts,
        "recall": recall,
        "f1": 2 * SHARE * recall / (alerts + SHARE),
        "matthews": SHARE
        * (recall - alerts)
        / math.sqrt(alerts * (1 - alerts) * SHARE * (1 - SHARE)),
        "brier": SHARE * mean((1 - score) ** 2, frauds) + (1 - SHARE) * mean(score**2, others),
        "money_caught": recall,
        "cost": 1000 * cost,
        "saved_against_no_model": 1 - cost / (AMOUNT * SHARE),
        "saved_against_reviewing_all": 1 - cost / POLICY.review_cost,
    }


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng, true, simulations = np.random.default_rng(1), truth(), 400
    covered = dict.fromkeys(true, 0)
    for _ in range(simulations):
        made = Cells.of(drawn(rng, 1500), THRESHOLD).intervals(
            POLICY, resamples=250, confidence=0.95, rng=rng
        )
        for name, value in true.items():
            covered[name] += made[name].low <= value <= made[name].high
    for name, count in covered.items():
        assert 0.90 <= count / simulations <= 0.98, (name, count / simulations)


@pytest.mark.parametrize("decimals", [2, 9])
def test_resampling_cells_is_resampling_rows(decimals: int) -> None:
    rng = np.random.default_rng(3)
    rows = drawn(rng, 900, share=0.06)
    rows = rows.by(np.round(rows.scores, decimals))
    cells = Cells.of(rows, THRESHOLD)
    assert len(cells.rows) < 250
    by_cells = [cells.figures(counts, POLICY) for counts in draws(cells.rows, 4000, rng)]
    by_rows = [
        figures(rows.only(rng.integers(0, len(rows), len(rows))), THRESHOLD, POLICY)
        for _ in range(1500)
    ]
    for name in FIGURES:
        many = np.concatenate([each[name] for each in by_cells])
        plain = np.array([each[name] for each in by_rows])
        assert many.std() == pytest.approx(plain.std(), rel=0.08), name
        found, expected = Interval.of(many, 0.9), Interval.of(plain, 0.9)
        close = (expected.high - expected.low) / 10
        assert found.low == pytest.approx(expected.low, abs=close), name
        assert found.high == pytest.approx(expected.high, abs=close), name


def test_a_step_of_log_odds_takes_next_to_nothing_from_how_scores_vary() -> None:
    """Two thirds of all rows share cells here; the variance of their sums is known exactly."""
    rng = np.random.default_rng(4)
    rows = drawn(rng, 20_000, share=0.002)
    cells = Cells.of(rows, THRESHOLD)
    squares = (rows.scores - rows.labels) ** 2
    for values, means in ((squares, cells.squared), (rows.scores - rows.labels, cells.excess)):
        of_cells = (
            np.average(means**2, weights=cells.rows) - np.average(means, weights=cells.rows) ** 2
        )
        assert np.average(means, weights=cells.rows) == pytest.approx(values.mean(), rel=1e-12)
        assert 0.995 < of_cells / values.var() <= 1


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.8, 0.9, 0.99]))
def test_an_interval_holds_its_figure(seed: int, confidence: float) -> None:
    """But for a maximum and a sum of distances, which chance only adds to: see the next."""
    rng = np.random.default_rng(seed)
    made = judge(drawn(rng, 1500), 0.3, POLICY, resamples=300, confidence=confidence, rng=rng)
    for name, figure in made.figures.items():
        if name not in ("calibration_error", "recall_at_90_precision"):
            assert made.intervals[name].low <= figure <= made.intervals[name].high, name


def test_resampling_makes_well_calibrated_scores_look_a_little_worse() -> None:
    """Chance adds to a sum of distances: that interval is cautious, and no truth's."""
    rng = np.random.default_rng(5)
    scores = rng.uniform(0, 0.2, 20_000)
    rows = Scored((rng.random(20_000) < scores).astype(np.int8), scores, np.ones(20_000))
    made = judge(rows, 0.1, POLICY, resamples=300, confidence=0.95, rng=rng)
    low, high = made.intervals["calibration_error"].low, made.intervals["calibration_error"].high
    assert 0 < low < high < 0.01
    assert low + high > 2 * made.figures["calibration_error"]


def test_more_confidence_is_a_wider_interval() -> None:
    cells = Cells.of(drawn(np.random.default_rng(6), 600), THRESHOLD)
    narrow, wide = (
        cells.intervals(POLICY, resamples=500, confidence=level, rng=np.random.default_rng(7))
        for level in (0.5, 0.99)
    )
    for name in FIGURES:
        assert wide[name].low < narrow[name].low < narrow[name].high < wide[name].high, name


def judged(rows: Scored, resamples: int = 200) -> str:
    rng = np.random.default_rng(8)
    made = judge(rows, THRESHOLD, POLICY, resamples=resamples, confidence=0.9, rng=rng)
    return json.dumps(made.as_json(), allow_nan=False)


def test_the_same_seed_gives_the_same_bytes_however_many_are_drawn_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = drawn(np.random.default_rng(9), 2000)
    once = judged(rows)
    assert judged(rows) == once
    monkeypatch.setattr(module, "DRAWN_AT_ONCE", 1000)
    assert judged(rows) == once


def test_a_resample_without_any_fraud_does_not_count() -> None:
    rows = Scored(np.array([1, *[0] * 50], np.int8), np.linspace(1, 0, 51), np.ones(51))
    rng = np.random.default_rng(10)
    intervals = Cells.of(rows, 0.99).intervals(POLICY, resamples=400, confidence=0.95, rng=rng)
    for name in ("recall", "average_precision", "roc_auc", "f1", "money_caught"):
        assert intervals[name] == Interval(1.0, 1.0)
    assert all(math.isfinite(each.low + each.high) for each in intervals.values())
    assert Interval.of(np.array([math.nan, 1.0, 2.0, math.nan, 3.0]), 0.5) == Interval(1.5, 2.5)


def test_a_thousand_resamples_of_a_test_set_take_far_less_than_a_second() -> None:
    rows = drawn(np.random.default_rng(11), 57_000, share=100 / 57_000)
    started = time.process_time()
    judged(rows, resamples=1000)
    assert time.process_time() - started < 0.5


def test_memory_does_not_grow_with_the_resamples() -> None:
    rows = drawn(np.random.default_rng(12), 20_000, share=0.05)

    def peak(resamples: int) -> int:
        tracemalloc.start()
        judged(rows, resamples)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    assert peak(4000) < peak(500) + 2_000_000 < 30_000_000
