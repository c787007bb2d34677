"""Rows of plots: worked by hand where that is short, and scikit-learn's where it has them."""

from __future__ import annotations

import csv
import io
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score

from fraudloop.training import curves
from fraudloop.training.curves import MOST_ROWS, Measured, Outcome, Rows, column
from fraudloop.training.figures import figures
from fraudloop.training.importance import Importance, Importances
from fraudloop.training.scored import Policy, Scored

POLICY = Policy(review_cost=2.0, lost_share=0.5, alert_share=0.01)


def of(labels: list[int], scores: list[float], amounts: list[float] | None = None) -> Scored:
    money = np.ones(len(labels)) if amounts is None else np.array(amounts)
    return Scored(np.array(labels, np.int8), np.array(scores), money)


@cache
def many(rows: int = 30_000) -> Scored:
    rng = np.random.default_rng(0)
    labels = (rng.random(rows) < 0.01).astype(np.int8)
    labels[:2] = (0, 1)
    scores = 1 / (1 + np.exp(-rng.normal(5.0 * labels - 4, 1.0)))
    return Scored(labels, scores, np.round(rng.lognormal(3, 1, rows), 2))


FOUR = of([0, 1, 0, 1], [0.1, 0.9, 0.9, 0.4], [10.0, 30.0, 5.0, 10.0])


def test_a_short_precision_recall_curve_is_kept_whole_and_begins_at_the_axis() -> None:
    assert curves.precision_recall(FOUR) == [
        {"recall": 0.0, "precision": 0.5, "threshold": 0.9},
        {"recall": 0.5, "precision": 0.5, "threshold": 0.9},
        {"recall": 1.0, "precision": 0.666667, "threshold": 0.4},
        {"recall": 1.0, "precision": 0.5, "threshold": 0.1},
    ]


def test_a_short_roc_is_kept_whole_from_nothing_to_everything() -> None:
    assert [tuple(row.values()) for row in curves.roc(FOUR)] == [
        (0.0, 0.0), (0.5, 0.5), (0.5, 1.0), (1.0, 1.0)
    ]  # fmt: skip


@pytest.mark.parametrize("decimals", [2, 12], ids=["with ties", "without"])
def test_the_area_under_a_curve_is_scikit_learns(decimals: int) -> None:
    rng = np.random.default_rng(1)
    labels = (np.arange(300) % 9 == 0).astype(np.int8)
    rows = Scored(labels, np.round(rng.beta(1 + labels, 3), decimals), np.ones(300))
    roc = curves.roc(rows)
    area = np.trapezoid(column(roc, "true_positive_rate"), column(roc, "false_positive_rate"))
    assert area == pytest.approx(roc_auc_score(labels, rows.scores), abs=1e-5)
    curve = curves.precision_recall(rows)
    steps = np.diff(column(curve, "recall")) @ column(curve, "precision")[1:]
    assert steps == pytest.approx(average_precision_score(labels, rows.scores), abs=1e-5)


def test_points_of_a_thinned_curve_are_points_of_the_curve() -> None:
    curve = curves.precision_recall(many())
    assert 100 < len(curve) <= MOST_ROWS
    for row in curve[1::25]:
        at = Outcome.at(many(), float(row["threshold"] or 0) - 1e-6)
        assert at.recall == pytest.approx(row["recall"], abs=0.005)
        assert at.precision == pytest.approx(row["precision"], abs=0.005)


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=1), st.floats(0, 1))
def test_the_four_outcomes_add_up(rows: list[tuple[int, float]], threshold: float) -> None:
    labels = np.array([label for label, _ in rows], np.int8)
    scores = np.array([score for _, score in rows])
    made = curves.confusion(labels, scores, threshold)
    counts = {(row["actual"], row["predicted"]): int(str(row["count"])) for row in made}
    assert sum(counts.values()) == len(rows)
    assert counts["fraud", "fraud"] + counts["fraud", "legitimate"] == labels.sum()
    alerts = scores >= threshold
    assert counts["fraud", "fraud"] + counts["legitimate", "fraud"] == alerts.sum()
    assert counts["fraud", "fraud"] == (alerts & (labels == 1)).sum()


def test_the_confusion_matrix_counts_every_row_once() -> None:
    assert [tuple(row.values()) for row in curves.confusion(FOUR.labels, FOUR.scores, 0.9)] == [
        ("legitimate", "legitimate", 1, 0.5),
        ("legitimate", "fraud", 1, 0.5),
        ("fraud", "legitimate", 1, 0.5),
        ("fraud", "fraud", 1, 0.5),
    ]


def test_a_score_at_the_threshold_is_an_alert() -> None:
    at = Outcome.at(FOUR, 0.9)
    assert (at.alerts, at.caught, at.recall, at.precision, at.lost) == (2, 1, 0.5, 0.5, 10.0)
    assert at.false_alarm_rate == 0.5
    assert Outcome.at(FOUR, 0.91).alerts == 0


@pytest.mark.parametrize(("hits", "of"), [(0, 10), (10, 10), (3, 10), (1, 60_000), (1, 1)])
def test_wilsons_interval_is_scipys(hits: int, of: int) -> None:
    exact = binomtest(hits, of).proportion_ci(confidence_level=0.95, method="wilson")
    assert curves.wilson(hits, of) == pytest.approx((exact.low, exact.high), abs=1e-7)


def test_reliability_counts_each_row_in_one_bin_before_and_after() -> None:
    rows, squeezed = many(), many().scores / 2
    found = curves.calibration(rows.labels, {"before": squeezed, "after": rows.scores})
    for when, scores in (("before", squeezed), ("after", rows.scores)):
        mine = [row for row in found if row["calibration"] == when]
        assert column(mine, "rows").sum() == len(rows)
        assert column(mine, "frauds").sum() == rows.frauds
        means = column(mine, "mean_score")
        assert (np.diff(means) > 0).all()
        assert means @ column(mine, "rows") == pytest.approx(scores.sum(), rel=1e-5)
        for row in mine:
            exact = binomtest(int(row["frauds"] or 0), int(row["rows"] or 0))
            low, high = exact.proportion_ci(confidence_level=0.95, method="wilson")
            assert (row["low"], row["high"]) == pytest.approx((low, high), rel=1e-4, abs=1e-6)


def test_a_bin_of_reliability_holds_its_lower_edge() -> None:
    found = curves.calibration(np.array([0, 1, 1], np.int8), {"after": np.array([0.05, 0.1, 1.0])})
    assert [(row["mean_score"], row["rows"]) for row in found] == [(0.05, 1), (0.1, 1), (1.0, 1)]


def test_the_distribution_of_scores_is_a_whole_for_each_class_however_rare() -> None:
    found = curves.score_distribution(many().labels, many().scores)
    for label, name in enumerate(("legitimate", "fraud")):
        mine = [row for row in found if row["class"] == name]
        assert column(mine, "share").sum() == pytest.approx(1, abs=1e-4)
        assert column(mine, "rows").sum() == (many().labels == label).sum()
        highest = max(mine, key=lambda row: int(row["rows"] or 0))
        assert highest["log_odds"] == pytest.approx(5 * label - 4, abs=1)


def test_scores_beyond_the_last_step_count_there() -> None:
    found = curves.score_distribution(np.array([0, 0, 1], np.int8), np.array([0.0, 0.5, 1.0]))
    held = {(row["class"], row["log_odds"]) for row in found if row["rows"]}
    assert held == {("legitimate", -13.75), ("legitimate", 0.25), ("fraud", 9.75)}


def test_candidates_are_ranked_best_first_with_the_champion_at_the_top() -> None:
    def figure(value: float, real: bool | None) -> dict[str, Any]:
        return {"average_precision": value, "low": value - 0.1, "high": value + 0.1, "real": real}

    found = curves.candidates(
        {
            "a": figure(0.5, True),
            "b": figure(0.8, False),
            "c": figure(0.8, None),
            "d": figure(0.6, False),
        }
    )
    assert [(row["candidate"], row["difference"]) for row in found] == [
        ("c", "champion"),
        ("b", "no real difference"),
        ("d", "no real difference"),
        ("a", "worse than the champion"),
    ]
    assert (found[3]["average_precision"], found[3]["low"], found[3]["high"]) == (0.5, 0.4, 0.6)


def test_the_cost_of_each_threshold_can_be_worked_by_hand() -> None:
    # Reviews at 2 each, and half of the amounts of missed frauds, for four transactions.
    found = curves.cost(FOUR, POLICY)
    assert [(row["threshold"], row["cost"]) for row in found] == [
        (1.0, 250 * 20.0),
        (0.9, 250 * (2 * 2 + 5)),
        (0.4, 250 * 3 * 2),
        (0.1, 250 * 4 * 2),
    ]
    assert {(row["no_model"], row["review_everything"]) for row in found} == {(5000.0, 2000.0)}
    assert found[2]["log_odds"] == pytest.approx(np.log(0.4 / 0.6), abs=1e-5)


def test_the_cost_at_a_threshold_is_the_figure_that_is_reported() -> None:
    for threshold in (0.0, 0.01, 0.3, 0.9, 1.0):
        reported = figures(many(), threshold, POLICY)
        at = Outcome.at(many(), threshold)
        assert at.cost(POLICY) == pytest.approx(reported["cost"])
        assert at.recall == pytest.approx(reported["recall"])
        assert at.precision == pytest.approx(reported["precision"])
    for row in curves.cost(many(), POLICY)[1::40]:
        nearby = figures(many(), float(row["threshold"] or 0) * (1 - 1e-6), POLICY)["cost"]
        assert row["cost"] == pytest.approx(nearby, rel=0.02)


def test_what_the_top_rows_hold_can_be_worked_by_hand() -> None:
    rows = of([1, 0, 1, 0], [0.9, 0.6, 0.4, 0.1], [30.0, 5.0, 10.0, 5.0])
    assert [tuple(row.values()) for row in curves.gain(rows)] == [
        (0.25, 0.5, 0.75),
        (0.5, 0.5, 0.75),
        (0.75, 1.0, 1.0),
        (1.0, 1.0, 1.0),
    ]
    assert [tuple(row.values()) for row in curves.capacity(rows, transactions_per_day=200)] == [
        (50.0, 1.0, 0.5),
        (100.0, 0.5, 0.5),
        (150.0, 0.666667, 1.0),
        (200.0, 0.5, 1.0),
    ]
    found = curves.precision_at_k(rows)
    assert [row["k"] for row in found] == [1, 2, 3, 4]
    assert column(found, "precision").tolist() == [1.0, 0.5, 0.666667, 0.5]
    assert (column(found, "low") <= column(found, "precision")).all()
    assert (column(found, "high") >= column(found, "precision")).all()


def test_among_equal_scores_the_top_rows_hold_what_chance_gives() -> None:
    rows = of([1, 0, 0, 0, 0], [0.5] * 5, [8.0, 1.0, 1.0, 1.0, 1.0])
    assert column(curves.precision_at_k(rows), "precision").tolist() == [0.2] * 5
    gain = curves.gain(rows)
    assert column(gain, "frauds").tolist() == column(gain, "reviewed").tolist()
    assert column(gain, "money").tolist() == column(gain, "reviewed").tolist()


def test_money_is_caught_at_once_where_frauds_take_none() -> None:
    assert column(curves.gain(of([1, 0], [0.9, 0.1], [0.0, 0.0])), "money").tolist() == [1.0, 1.0]


def test_slices_without_a_fraud_are_left_out() -> None:
    def described(label: str, frauds: int) -> dict[str, Any]:
        value, low, high = (0.5, 0.25, 0.75) if frauds else (None, None, None)
        names = ("recall", "average_precision")
        return {
            "label": label,
            "rows": 9,
            "frauds": frauds,
            **dict.fromkeys(names, value),
            "interval": {name: {"low": low, "high": high} for name in names},
        }

    found = curves.slices(
        {"day": [described("day 1", 2)], "amount": [described("below 5", 1), described("more", 0)]}
    )
    assert [(row["slice"], row["frauds"]) for row in found] == [("amount below 5", 1), ("day 1", 2)]
    assert (found[0]["recall"], found[0]["recall_low"], found[0]["recall_high"]) == (
        0.5, 0.25, 0.75
    )  # fmt: skip


def test_importances_come_as_they_are_ranked_with_contributions_where_there_are_any() -> None:
    ranked = (Importance("b", 0.2, 0.01, 1.5), Importance("a", 0.1, 0.02, 0.5))
    assert curves.importance(Importances(0.8, "share", ranked)) == [
        {"feature": "b", "drop": 0.2, "spread": 0.01, "contribution": 1.5},
        {"feature": "a", "drop": 0.1, "spread": 0.02, "contribution": 0.5},
    ]
    without = (Importance("b", 0.2, 0.01, None),)
    assert "contribution" not in curves.importance(Importances(0.8, None, without))[0]


def test_a_csv_has_one_line_a_row_and_nothing_where_nothing_is_known() -> None:
    written = curves.to_csv([{"a": 0.5, "b": "x, y"}, {"a": None, "b": "z"}])
    assert list(csv.reader(io.StringIO(written.decode()))) == [
        ["a", "b"],
        ["0.5", "x, y"],
        ["", "z"],
    ]


def measured(rows: Scored) -> Measured:
    return Measured(
        rows, rows.scores, {"cost": 0.5}, "cost", POLICY, 1000.0, candidates={}, slices={}
    )


@given(
    st.lists(
        st.tuples(st.booleans(), st.sampled_from([0.0, 1e-9, 0.2, 0.5, 1.0]), st.floats(0, 1e6)),
        max_size=40,
    )
)
def test_every_plot_of_any_rows_holds_finite_numbers_and_shares_are_shares(
    drawn: list[tuple[bool, float, float]],
) -> None:
    labels, scores, amounts = zip((True, 0.5, 3.0), *drawn, strict=True)
    found = curves.all_rows(measured(of([int(each) for each in labels], [*scores], [*amounts])))
    assert "candidates" not in found
    assert "slices" not in found
    for rows in found.values():
        assert_sound(rows)


def test_as_many_scores_as_rows_are_kept_are_thinned_too_where_a_curve_starts_before_them() -> None:
    rows = of([0, 1] * (MOST_ROWS // 2), np.linspace(0, 1, MOST_ROWS).tolist())
    assert {
        name for name, each in curves.all_rows(measured(rows)).items() if len(each) > 400
    } == set()


def test_every_plot_of_many_rows_is_thinned() -> None:
    found = curves.all_rows(measured(many()))
    for rows in found.values():
        assert len(rows) <= MOST_ROWS
        assert_sound(rows)
    assert found["precision-at-k"][-1]["k"] == len(many())
    assert found["gain"][-1] == {"reviewed": 1.0, "frauds": 1.0, "money": 1.0}


def assert_sound(rows: Rows) -> None:
    unbounded = {"k", "rows", "frauds", "log_odds", "cost", "no_model", "review_everything"}
    unbounded |= {"alerts_per_day", "count"}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, float | int):
                assert np.isfinite(value)
                if name not in unbounded or (name == "frauds" and "reviewed" in row):
                    assert 0 <= value <= 1
                assert float(f"{value:.6g}") == value or name in {"rows", "frauds", "count"}
