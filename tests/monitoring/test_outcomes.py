"""What verdicts say of decisions, and what they cannot say."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from fraudloop.monitoring.judging import lines, rules_of
from fraudloop.monitoring.outcomes import SHOWN, Tally, Verdict, outcomes_of, sentence, week_of
from fraudloop.monitoring.pages import outcomes_page
from tests.fitted import PARAMS

MONDAY = datetime(2026, 11, 23, 12, tzinfo=UTC)
WEEK = "2026-W48"
RULES = rules_of(PARAMS)
RULES = replace(RULES, evaluation=RULES.evaluation.model_copy(update={"resamples": 200}))
PROMISED = {"v1": {"precision": 0.95, "recall": 0.9, "average_precision": 0.9}}


def verdicts(
    hits: int = 80,
    false_alerts: int = 10,
    missed: int = 5,
    right: int = 105,
    version: str = "v1",
    at: datetime = MONDAY,
) -> list[Verdict]:
    """Judged decisions; a fraud takes 100, a missed one 300, and scores say little more."""
    kinds = (
        [(0.9, 1, True, 100.0)] * hits
        + [(0.8, 1, False, 50.0)] * false_alerts
        + [(0.2, 0, True, 300.0)] * missed
        + [(0.05, 0, False, 50.0)] * right
    )
    return [Verdict(at, version, *each) for each in kinds]


def outcomes(judged: list[Verdict], *tallies: Tally, **changes: Any) -> dict[str, Any]:
    return outcomes_of(judged, tallies, PROMISED, replace(RULES, **changes))


def test_the_figures_are_those_of_the_judged_decisions() -> None:
    (week,) = outcomes(verdicts(), Tally(WEEK, "v1", 90, 10_000))["weeks"]
    assert (week["week"], week["begins"]) == (WEEK, "2026-11-23")
    assert week["figures"]["precision"] == pytest.approx(80 / 90, abs=1e-6)
    assert week["figures"]["recall"] == pytest.approx(80 / 85, abs=1e-6)
    assert week["figures"]["money_caught"] == pytest.approx(8000 / 9500, abs=1e-6)
    assert week["alerts"] == {"decisions": 90, "judged": 90, "judged_share": 1.0}
    assert week["others"] == {"decisions": 10_000, "judged": 110, "judged_share": 0.011}
    for name in SHOWN:
        interval = week["interval"][name]
        assert interval["low"] <= interval["high"]
    assert week["interval"]["recall"]["low"] < 80 / 85 < week["interval"]["recall"]["high"]


def test_weighted_each_judged_decision_counts_for_those_like_it() -> None:
    judged = verdicts(hits=80, false_alerts=10, missed=5, right=105)
    (week,) = outcomes(judged, Tally(WEEK, "v1", 180, 11_000), weighted=True)["weeks"]
    assert week["weighted"]
    frauds, missed = 80 * 2, 5 * 100
    assert week["figures"]["precision"] == pytest.approx(80 / 90, abs=1e-6)
    assert week["figures"]["recall"] == pytest.approx(frauds / (frauds + missed), abs=1e-4)
    money = frauds * 100, missed * 300
    assert week["figures"]["money_caught"] == pytest.approx(money[0] / sum(money), abs=1e-4)


def test_weights_undo_that_alerts_are_judged_more_often() -> None:
    """Of ten thousand decisions whose truth is known, nine alerts of ten and few others judged."""
    rng = np.random.default_rng(5)
    fraud = rng.random(10_000) < 0.1
    score = np.clip(np.where(fraud, rng.beta(3, 2, 10_000), rng.beta(1, 9, 10_000)), 0, 1)
    alert = score >= 0.5
    every = [
        Verdict(MONDAY, "v1", float(s), int(a), bool(f), 10.0)
        for s, a, f in zip(score, alert, fraud, strict=True)
    ]
    seen = rng.random(10_000) < np.where(alert, 0.9, 0.2)
    judged = [each for each, known in zip(every, seen, strict=True) if known]
    tally = Tally(WEEK, "v1", int(alert.sum()), int((~alert).sum()))
    truth = outcomes(every, tally)["weeks"][0]["figures"]
    plain = outcomes(judged, tally)["weeks"][0]["figures"]
    weighted = outcomes(judged, tally, weighted=True)["weeks"][0]["figures"]
    assert plain["recall"] > truth["recall"] + 0.1
    assert weighted["recall"] == pytest.approx(truth["recall"], abs=0.05)
    assert weighted["average_precision"] == pytest.approx(truth["average_precision"], abs=0.05)
    assert plain["calibration_error"] == weighted["calibration_error"]
    assert weighted["calibration_error"] == pytest.approx(truth["calibration_error"], abs=0.03)


def test_without_other_decisions_judged_nothing_is_said_of_what_was_missed() -> None:
    made = outcomes(verdicts(missed=0, right=0, false_alerts=40), Tally(WEEK, "v1", 120, 5_000))
    assert "not judged at all" in made["bias"]
    assert made["weeks"][0]["figures"]["calibration_error"] is None
    assert not outcomes(verdicts(missed=0, right=0), Tally(WEEK, "v1", 90, 5_000), weighted=True)[
        "weeks"
    ][0]["weighted"]


@pytest.mark.parametrize(
    ("others", "says"), [(10_000, "look better than they are"), (110, "fair to both")]
)
def test_how_the_judged_were_chosen_is_said(others: int, says: str) -> None:
    assert says in outcomes(verdicts(), Tally(WEEK, "v1", 90, others))["bias"]


def test_what_is_good_enough_breaks_no_bound_of_what_was_caught() -> None:
    made = outcomes(verdicts(), Tally(WEEK, "v1", 90, 110))
    faults = {fault["figure"] for fault in made["weeks"][0]["broken"]}
    assert faults <= {"calibration_error"}  # four scores are not calibrated to anything


def test_a_bound_is_broken_where_the_whole_interval_is_beyond() -> None:
    made = outcomes(verdicts(hits=20, false_alerts=80), Tally(WEEK, "v1", 100, 1000))
    assert made["alert"]
    fault = next(each for each in made["weeks"][0]["broken"] if each["figure"] == "precision")
    assert (fault["beyond"], fault["limit"]) == ("bound", 0.5)
    assert sentence(fault).startswith("precision 0.200 (0.")
    assert sentence(fault).endswith(") is below its bound 0.500")
    assert made["verdict"].startswith("Worse than it may be in 2026-W48 (model v1): precision")
    unsure = outcomes(verdicts(hits=48, false_alerts=52), Tally(WEEK, "v1", 100, 1000))
    assert "precision" not in [
        each["figure"] for each in unsure["weeks"][0]["broken"] if each["beyond"] == "bound"
    ]


def test_a_promise_is_broken_above_the_bound_too() -> None:
    made = outcomes(verdicts(hits=65, false_alerts=35), Tally(WEEK, "v1", 100, 1000))
    fault = next(each for each in made["weeks"][0]["broken"] if each["figure"] == "precision")
    assert (fault["beyond"], fault["limit"]) == ("promise", 0.85)
    other = outcomes(verdicts(hits=65, false_alerts=35, version="v0"), Tally(WEEK, "v0", 100, 99))
    assert "precision" not in [each["figure"] for each in other["weeks"][0]["broken"]]


def test_few_verdicts_are_shown_and_raise_no_alert() -> None:
    made = outcomes(verdicts(hits=5, false_alerts=45), Tally(WEEK, "v1", 50, 1000))
    assert made["weeks"][0]["enough"] is True  # 160 verdicts, 10 frauds
    made = outcomes(verdicts(hits=4, false_alerts=45), Tally(WEEK, "v1", 49, 1000))
    assert made["weeks"][0]["enough"] is False
    assert not made["alert"]
    assert made["verdict"] == (
        "Nothing can be said: no week has enough verdicts (the most are 159)."
    )


def test_late_verdicts_leave_the_last_week_with_enough_to_decide() -> None:
    before = verdicts(hits=20, false_alerts=80, at=MONDAY - timedelta(weeks=1))
    made = outcomes([*verdicts(hits=3, right=0), *before])
    assert [week["enough"] for week in made["weeks"]] == [True, False]
    assert made["alert"]
    assert "2026-W47" in made["verdict"]


def test_each_version_has_rows_and_a_promise_of_its_own() -> None:
    made = outcomes([*verdicts(), *verdicts(version="v2", hits=40)])
    assert [(week["week"], week["model_version"]) for week in made["weeks"]] == [
        (WEEK, "v1"),
        (WEEK, "v2"),
    ]


def test_weeks_without_verdicts_are_there_and_empty() -> None:
    made = outcomes([], Tally(WEEK, "v1", 3, 900))
    (week,) = made["weeks"]
    assert (week["figures"], week["interval"], week["broken"]) == ({}, {}, [])
    assert outcomes([])["verdict"] == "Nothing can be said: there are no decisions."


def test_a_week_without_any_alert_has_its_figures() -> None:
    judged = verdicts(hits=0, false_alerts=0, missed=20, right=180)
    (week,) = outcomes(judged, Tally(WEEK, "v1", 0, 200))["weeks"]
    assert week["figures"]["recall"] == 0.0
    assert math.isclose(week["figures"]["average_precision"], 1.0)
    assert {each["figure"] for each in week["broken"]} >= {"recall", "money_caught"}


def test_weeks_are_those_of_iso_8601() -> None:
    assert week_of(datetime(2027, 1, 1, tzinfo=UTC)) == "2026-W53"


def test_the_page_and_the_terminal_say_the_same() -> None:
    made = {
        "card": "cups",
        "made_at": "2026-11-30",
        "synthetic": True,
        **outcomes(verdicts(hits=20, false_alerts=80), Tally(WEEK, "v1", 100, 1000)),
    }
    page = outcomes_page(made)
    said = list(lines(made))
    assert said[0] == made["verdict"]
    for text in (made["verdict"], made["bias"], "Synthetic data", WEEK):
        assert text in page
    assert page.count("<svg") == len(SHOWN)
    assert "src=" not in page
    assert "href=" not in page
    empty = {**made, **outcomes([])}
    assert "there are no decisions" in outcomes_page(empty)
