"""Every figure is scikit-learn's where it has it, and a number worked by hand where it hasn't."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    matthews_corrcoef,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)

from fraudloop.errors import TrainingError
from fraudloop.training.figures import (
    ABOUT,
    EDGES,
    FIGURES,
    Cells,
    Interval,
    Judgement,
    figures,
    judge,
    rounded,
)
from fraudloop.training.scored import Policy, Scored

Row = tuple[int, float, float]  # label, score, amount

TIED = st.sampled_from([0.0, 0.0005, 0.1, 0.3, 0.5, float(np.nextafter(0.5, 1)), 0.9, 1.0])
SCORES = st.one_of(TIED, st.floats(0, 1))
ROWS = st.lists(
    st.tuples(st.integers(0, 1), SCORES, st.sampled_from([0.0, 0.5, 20.0, 1e6])), max_size=60
)
POLICY = Policy(review_cost=5.0, lost_share=0.8, alert_share=0.25)


def scored(*rows: Row) -> Scored:
    labels, scores, amounts = zip(*rows, strict=True)
    return Scored(np.array(labels, np.int8), np.array(scores, float), np.array(amounts, float))


def of_scikit_learn(rows: Scored, threshold: float) -> dict[str, float]:
    predictions = (rows.scores >= threshold).astype(int)
    precision, recall, _ = precision_recall_curve(rows.labels, rows.scores)
    return {
        "average_precision": average_precision_score(rows.labels, rows.scores),
        "roc_auc": roc_auc_score(rows.labels, rows.scores),
        "precision": precision_score(rows.labels, predictions, zero_division=0),
        "recall": recall_score(rows.labels, predictions),
        "f1": f1_score(rows.labels, predictions),
        "matthews": matthews_corrcoef(rows.labels, predictions),
        "brier": brier_score_loss(rows.labels, rows.scores),
        "recall_at_90_precision": recall[precision >= 0.9].max(),
    }


def one_by_one(rows: Scored, threshold: float, policy: Policy) -> dict[str, float]:
    """The figures that scikit-learn hasn't, row by row and as slowly as they read."""
    table = list(
        zip(rows.labels.tolist(), rows.scores.tolist(), rows.amounts.tolist(), strict=True)
    )
    deviations: dict[int, float] = {}
    for label, score, _ in table:
        edge = min(int((score >= EDGES).sum()), len(EDGES) - 1)
        deviations[edge] = deviations.get(edge, 0.0) + score - label
    left, hits = max(1.0, policy.alert_share * len(table)), 0.0
    capacity = left
    for height in sorted({score for _, score, _ in table}, reverse=True):
        tied = [label for label, score, _ in table if score == height]
        taken = min(left, len(tied))
        hits, left = hits + taken * sum(tied) / len(tied), left - taken
    all_money = sum(amount for label, _, amount in table if label)
    lost = sum(amount for label, score, amount in table if label and score < threshold)
    alerts = sum(score >= threshold for _, score, _ in table)
    cost = policy.review_cost * alerts + policy.lost_share * lost
    return {
        "calibration_error": sum(map(abs, deviations.values())) / len(table),
        "precision_at_capacity": hits / capacity,
        "money_caught": 1 - lost / all_money,
        "cost": 1000 * cost / len(table),
        "saved_against_no_model": 1 - cost / (policy.lost_share * all_money),
        "saved_against_reviewing_all": 1 - cost / (policy.review_cost * len(table)),
    }


@given(ROWS, SCORES)
def test_every_figure_is_scikit_learns(rows: list[Row], threshold: float) -> None:
    made = scored(*rows, (1, 0.5, 30.0), (0, 0.3, 1.0))
    found = figures(made, threshold, POLICY)
    assert tuple(found) == FIGURES == tuple(ABOUT)
    expected = of_scikit_learn(made, threshold)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


@given(ROWS, SCORES, st.sampled_from([0.0, 0.01, 0.1, 0.37, 1.0, 2.5]))
def test_the_other_figures_are_what_counting_row_by_row_gives(
    rows: list[Row], threshold: float, share: float
) -> None:
    made = scored(*rows, (1, 0.5, 30.0), (0, 0.3, 1.0))
    policy = Policy(review_cost=5.0, lost_share=0.8, alert_share=min(share, 1.0))
    expected = one_by_one(made, threshold, policy)
    assert set(expected) | set(of_scikit_learn(made, threshold)) == set(FIGURES)
    found = figures(made, threshold, Policy(5.0, 0.8, share))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-12, abs=1e-12)


@given(ROWS, SCORES, st.randoms(use_true_random=False))
def test_the_order_of_the_rows_changes_nothing(
    rows: list[Row], threshold: float, mix: object
) -> None:
    rows = [*rows, (1, 0.5, 30.0), (0, 0.3, 1.0)]
    mixed = list(rows)
    mix.shuffle(mixed)  # type: ignore[attr-defined]  # Hypothesis does not say that it is a Random
    one, two = (
        judge(
            scored(*each),
            threshold,
            POLICY,
            resamples=5,
            confidence=0.9,
            rng=np.random.default_rng(1),
        ).as_json()
        for each in (rows, mixed)
    )
    assert json.dumps(one) == json.dumps(two)


# Ten transactions: frauds of 100, 40 and 10; at 0.5 there are four alerts, two of them right.
TEN = scored(
    (1, 0.9, 100.0),
    (0, 0.8, 7.0),
    (1, 0.6, 40.0),
    (0, 0.5, 7.0),
    (0, 0.4, 7.0),
    (1, 0.05, 10.0),
    (0, 0.05, 7.0),
    (0, 0.002, 7.0),
    (0, 0.0, 7.0),
    (0, 0.0, 7.0),
)


def test_money_and_costs_worked_by_hand() -> None:
    found = figures(TEN, 0.5, POLICY)
    assert found["money_caught"] == pytest.approx(140 / 150)
    assert found["cost"] == pytest.approx((4 * 5 + 0.8 * 10) / 10 * 1000)
    assert found["saved_against_no_model"] == pytest.approx(1 - 28 / 120)
    assert found["saved_against_reviewing_all"] == pytest.approx(1 - 28 / 50)


def test_calibration_error_worked_by_hand() -> None:
    # By bin: 0.9 with a fraud; 0.8; 0.6 with one; 0.5; 0.4; 0.05 twice with one; 0.002; 0 twice.
    by_bin = [0.1, 0.8, 0.4, 0.5, 0.4, 0.9, 0.002, 0.0]
    assert figures(TEN, 0.5, POLICY)["calibration_error"] == pytest.approx(sum(by_bin) / 10)


def test_rows_on_two_sides_of_a_threshold_or_an_edge_never_share_a_cell() -> None:
    rows = scored((1, 0.15, 1.0), (0, 0.1002, 1.0), (0, 0.1001, 1.0), (0, 0.0999, 1.0))
    assert figures(rows, 0.10015, POLICY)["precision"] == 1 / 2
    by_bin = [1 - 0.15 - 0.1002 - 0.1001, 0.0999]
    assert figures(rows, 0.5, POLICY)["calibration_error"] == pytest.approx(sum(by_bin) / 4)


def test_calibration_error_sees_what_happens_below_one_in_a_hundred() -> None:
    rows = scored(*[(0, 0.002, 1.0)] * 598, (1, 0.002, 1.0), *[(0, 0.0002, 1.0)] * 600)
    calibrated = figures(rows, 0.5, POLICY)["calibration_error"]
    assert calibrated == pytest.approx((599 * 0.002 - 1 + 600 * 0.0002) / 1199)
    turned = rows.by(np.where(rows.scores == 0.002, 0.0002, 0.002))
    assert figures(turned, 0.5, POLICY)["calibration_error"] > 5 * calibrated


@pytest.mark.parametrize(
    ("share", "precision"),
    [
        (0.1, 1.0),
        (0.2, 1 / 2),
        (0.3, 2 / 3),
        (0.6, (2 + 1 / 2) / 6),  # the two at 0.05 are tied, and one of them is a fraud
        (0.25, (1 + 1 / 2) / 2.5),  # the third row is looked at by half
        (0.01, 1.0),  # one row at least
        (1.0, 0.3),
        (3.0, 0.3),  # and no more than there are
    ],
)
def test_precision_at_capacity_shares_out_what_is_tied(share: float, precision: float) -> None:
    found = figures(TEN, 0.5, Policy(5.0, 0.8, alert_share=share))
    assert found["precision_at_capacity"] == pytest.approx(precision)


@pytest.mark.parametrize(
    ("legitimate", "others", "recall"),
    [
        ([0.95], [], 1.0),  # nine frauds of ten alerts are exactly enough
        ([0.95], [0.1], 1.0),  # and ten of eleven too
        ([0.95, 0.2, 0.2], [0.2], 9 / 10),  # but not ten of thirteen
        ([0.855], [0.1], 1.0),  # though halfway, at 0.855, only five of six are right
        ([0.95, 0.94], [], 0.0),
    ],
)
def test_recall_at_90_precision_worked_by_hand(
    legitimate: list[float], others: list[float], recall: float
) -> None:
    frauds = [*(0.9 - place / 100 for place in range(9)), *others]
    rows = scored(
        *((1, score, 1.0) for score in frauds), *((0, score, 1.0) for score in legitimate)
    )
    assert figures(rows, 0.5, POLICY)["recall_at_90_precision"] == pytest.approx(recall)


def test_no_alert_at_all_catches_nothing_and_costs_what_no_model_costs() -> None:
    found = figures(TEN, 1.0, POLICY)
    for name in ("precision", "recall", "f1", "matthews", "money_caught", "saved_against_no_model"):
        assert found[name] == 0, name
    assert found["cost"] == pytest.approx(0.8 * 150 / 10 * 1000)
    assert found["average_precision"] == figures(TEN, 0.5, POLICY)["average_precision"]


def test_alerting_everything_costs_what_reviewing_everything_costs() -> None:
    found = figures(TEN, 0.0, POLICY)
    assert found["recall"] == found["money_caught"] == 1
    assert found["precision"] == pytest.approx(0.3)
    assert found["matthews"] == found["saved_against_reviewing_all"] == 0
    assert found["cost"] == pytest.approx(5000)


def test_equal_scores_rank_nothing() -> None:
    found = figures(TEN.by(np.full(10, 0.3)), 0.5, Policy(5.0, 0.8, alert_share=0.37))
    assert found["roc_auc"] == 0.5
    assert found["average_precision"] == pytest.approx(0.3)
    assert found["precision_at_capacity"] == pytest.approx(0.3)
    assert found["calibration_error"] == pytest.approx(0, abs=1e-15)
    assert found["brier"] == pytest.approx(0.21)


def test_one_fraud_among_certain_scores() -> None:
    found = figures(scored((1, 1.0, 0.0), *[(0, 0.0, 9.0)] * 600), 0.5, POLICY)
    assert found["average_precision"] == found["matthews"] == found["f1"] == 1
    assert found["brier"] == found["calibration_error"] == 0
    assert math.isnan(found["money_caught"])  # nothing was at stake
    assert math.isnan(found["saved_against_no_model"])
    assert found["cost"] == pytest.approx(5000 / 601)


@given(ROWS)
def test_without_any_fraud_nothing_is_said_of_finding_frauds(rows: list[Row]) -> None:
    made = scored(*((0, score, amount) for _, score, amount in rows), (0, 0.2, 1.0))
    text = json.dumps(
        judge(
            made, 0.5, POLICY, resamples=20, confidence=0.9, rng=np.random.default_rng(2)
        ).as_json(),
        allow_nan=False,
    )
    found = json.loads(text)
    unknown = {name for name in FIGURES if found[name] is None}
    assert unknown == {
        *("average_precision", "roc_auc", "recall", "f1", "recall_at_90_precision"),
        *("money_caught", "saved_against_no_model"),
    }
    for name in FIGURES:
        assert (found["interval"][name]["low"] is None) == (name in unknown)
    assert found["precision"] == found["matthews"] == found["precision_at_capacity"] == 0


def test_frauds_alone_leave_only_the_roc_auc_unknown() -> None:
    found = figures(scored((1, 0.9, 5.0), (1, 0.2, 3.0)), 0.5, POLICY)
    assert [name for name in FIGURES if math.isnan(found[name])] == ["roc_auc"]
    assert (found["average_precision"], found["precision"], found["recall"]) == (1, 1, 0.5)


def drawn(rng: np.random.Generator, rows: int, frauds: int) -> Scored:
    labels = (rng.permutation(rows) < frauds).astype(np.int8)
    return Scored(labels, rng.random(rows), rng.lognormal(3, 1, rows))


def test_the_oracle_gets_the_best_there_is_in_every_figure() -> None:
    rows = drawn(np.random.default_rng(3), 5000, 50)
    found = figures(rows.by(rows.labels.astype(float)), 0.5, Policy(5.0, 1.0, alert_share=0.01))
    money = rows.amounts[rows.labels == 1].sum()
    best: dict[str, float] = {name: float(ABOUT[name].higher_is_better) for name in FIGURES}
    best["cost"] = 1000 * 50 * 5 / 5000
    best["saved_against_no_model"] = 1 - 50 * 5 / money
    best["saved_against_reviewing_all"] = 1 - 50 / 5000
    assert found == pytest.approx(best, abs=1e-12)
    twice = figures(rows.by(rows.labels.astype(float)), 0.5, Policy(5.0, 1.0, alert_share=0.02))
    assert twice["precision_at_capacity"] == pytest.approx(0.5)  # there are no more to find


def test_always_legitimate_is_the_floor() -> None:
    rows = drawn(np.random.default_rng(4), 5000, 50)
    found = figures(rows.by(np.zeros(5000)), 0.5, POLICY)
    for name in ("average_precision", "precision_at_capacity", "brier", "calibration_error"):
        assert found.pop(name) == pytest.approx(0.01), name
    assert found.pop("roc_auc") == 0.5
    money = rows.amounts[rows.labels == 1].sum()
    assert found.pop("cost") == pytest.approx(0.8 * money / 5)
    assert found.pop("saved_against_reviewing_all") == pytest.approx(1 - 0.8 * money / 25_000)
    assert found == dict.fromkeys(found, 0.0)


def test_random_scores_are_worth_what_chance_is() -> None:
    rows = drawn(np.random.default_rng(5), 40_000, 800)
    found = figures(rows, 0.5, POLICY)
    for name in ("average_precision", "precision", "precision_at_capacity"):
        assert found[name] == pytest.approx(0.02, abs=0.004), name
    for name in ("roc_auc", "recall", "money_caught"):
        assert found[name] == pytest.approx(0.5, abs=0.06), name
    assert found["matthews"] == pytest.approx(0, abs=0.02)
    assert found["brier"] == pytest.approx(1 / 3, abs=0.01)
    assert found["calibration_error"] == pytest.approx(0.5 - 0.02, abs=0.01)
    assert found["recall_at_90_precision"] < 0.01
    assert found["saved_against_reviewing_all"] < 0.5


@given(ROWS, SCORES)
def test_cells_hold_every_row_and_are_few(rows: list[Row], threshold: float) -> None:
    made = scored(*rows, (1, 0.5, 30.0), (0, 0.3, 1.0))
    cells = Cells.of(made, threshold)
    assert cells.rows.sum() == len(made)
    assert cells.rows[cells.ranking.frauds].sum() == made.frauds
    assert cells.rows[: cells.alerts].sum() == (made.scores >= threshold).sum()
    many = Cells.of(drawn(np.random.default_rng(6), 50_000, 60), threshold)
    assert len(many.rows) < 60 + 60 + 350


@pytest.mark.parametrize("bad", [math.nan, -1e-9, 1.0000001, math.inf])
def test_what_is_no_probability_is_refused(bad: float) -> None:
    with pytest.raises(TrainingError, match="no probabilities: calibrate them"):
        figures(scored((1, 0.5, 1.0), (0, bad, 1.0)), 0.5, POLICY)


def test_no_rows_at_all_are_refused() -> None:
    nothing = TEN.only(np.zeros(10, dtype=bool))
    with pytest.raises(TrainingError, match="no rows to judge"):
        figures(nothing, 0.5, POLICY)


def test_a_judgement_is_plain_json_of_six_decimals() -> None:
    intervals = dict.fromkeys(("recall", "cost"), Interval(0.12345678, math.nan))
    made = Judgement({"recall": 2 / 3, "cost": -math.inf}, intervals, math.inf, rows=9, frauds=3)
    interval = {"low": 0.123457, "high": None}
    assert made.as_json() == {
        "recall": 0.666667,
        "cost": None,
        "interval": {"recall": interval, "cost": interval},
        "threshold": None,
        "rows": 9,
        "frauds": 3,
    }
    assert made.only("recall") == {"recall": 0.666667, "interval": {"recall": interval}}
    assert rounded({"a": math.nan, "b": 1.0}) == {"a": None, "b": 1.0}
