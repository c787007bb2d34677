"""The ledger keeps reports by day, and counts what decisions there were."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fraudloop.ledger import migrate
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision
from fraudloop.monitoring import kept
from fraudloop.monitoring.judging import rules_of
from fraudloop.monitoring.report import About, report_of
from tests.fitted import PARAMS
from tests.fitted import card as default_card
from tests.monitoring.cups import compared, cups

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
RULES = rules_of(PARAMS)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate.migrate(url, migrate.NEWEST)
    with Ledger.open(url) as opened:
        yield opened


def report(made_at: str, seed: int = 2) -> dict[str, Any]:
    about = About(made_at, "then.csv", "now.csv", synthetic=False)
    return report_of(compared(cups(300, 1), cups(300, seed)), about)


def test_a_report_is_kept_whole_and_found_by_its_day(ledger: Ledger) -> None:
    monday, tuesday = report("2026-11-30T02:00:00+00:00"), report("2026-12-01T02:00:00+00:00")
    ids = [kept.keep(ledger, each) for each in (monday, tuesday)]
    assert kept.one(ledger, ids[0]) == {"id": ids[0], **monday}
    assert [each["day"] for each in kept.listed(ledger)["days"]] == ["2026-12-01", "2026-11-30"]
    (day,) = kept.listed(ledger, day=date(2026, 11, 30))["days"]
    assert day["reports"] == [
        {
            "id": ids[0],
            "verdict": monday["verdict"],
            "drift": False,
            "drifted": [],
            "card": "cups",
            "synthetic": False,
            "made_at": "2026-11-30T02:00:00+00:00",
            "model_version": None,
        }
    ]
    assert kept.listed(ledger, day=date(2026, 11, 29)) == {"days": []}
    assert kept.listed(ledger, card="another") == {"days": []}


def test_the_same_report_kept_twice_is_one(ledger: Ledger) -> None:
    made = report("2026-11-30T02:00:00+00:00")
    assert kept.keep(ledger, made) == kept.keep(ledger, made)
    other = report("2026-11-30T02:00:00+00:00", seed=3)
    assert kept.keep(ledger, other) != kept.keep(ledger, made)
    (day,) = kept.listed(ledger)["days"]
    assert len(day["reports"]) == 2


def test_a_report_that_is_not_there_is_none(ledger: Ledger) -> None:
    assert kept.one(ledger, "20261130T020000-00000000") is None


def decided(ledger: Ledger, days_ago: int, count: int, alerts: int, version: str = "v1") -> None:
    at = NOW - timedelta(days=days_ago)
    ledger.keep(
        [
            Decision(
                id=f"{version}-{days_ago}-{number}",
                transaction={"Amount": 20.0 + number},
                score=0.9 if number < alerts else 0.1,
                prediction=int(number < alerts),
                model_version=version,
                decided_at=at - timedelta(seconds=number),
                source="online",
            )
            for number in range(count)
        ],
        card=default_card().id,
    )


def outcomes(ledger: Ledger, weeks: int = 8) -> dict[str, Any]:
    return kept.outcomes(ledger, default_card(), {}, RULES, now=NOW, weeks=weeks)


def test_decisions_are_counted_by_week_and_version_judged_or_not(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "AT_ONCE", 7)  # so that verdicts come on several pages
    decided(ledger, days_ago=0, count=40, alerts=10)
    decided(ledger, days_ago=3, count=50, alerts=5)
    decided(ledger, days_ago=4, count=50, alerts=5)
    decided(ledger, days_ago=3, count=9, alerts=9, version="v2")
    decided(ledger, days_ago=80, count=9, alerts=9)
    for number in range(20):
        ledger.judge(f"v1-3-{number}", int(number < 4), "ann", "seen", NOW)
    made = outcomes(ledger)
    found = {
        (week["week"], week["model_version"]): (week["alerts"], week["others"], week["frauds"])
        for week in made["weeks"]
    }
    nothing = {"judged": 0, "judged_share": 0.0}
    assert found == {
        ("2026-W48", "v1"): (
            {"decisions": 10, "judged": 5, "judged_share": 0.5},
            {"decisions": 90, "judged": 15, "judged_share": 0.166667},
            4,
        ),
        ("2026-W48", "v2"): (
            {"decisions": 9, **nothing},
            {"decisions": 0, "judged": 0, "judged_share": None},
            0,
        ),
        ("2026-W49", "v1"): ({"decisions": 10, **nothing}, {"decisions": 30, **nothing}, 0),
    }
    assert made["card"] == default_card().id


def test_the_newest_verdict_counts_and_amounts_are_the_transactions(ledger: Ledger) -> None:
    decided(ledger, days_ago=0, count=2, alerts=1)
    for true_value, hour in ((0, 1), (1, 2)):
        at = NOW + timedelta(hours=hour)
        ledger.judge("v1-0-0", true_value, "ann", "seen again", at)
        ledger.judge("v1-0-1", true_value, "ann", "seen again", at)
    (week,) = outcomes(ledger)["weeks"]
    assert week["frauds"] == 2
    assert week["figures"]["money_caught"] == pytest.approx(20 / 41, abs=1e-6)


def test_only_the_weeks_that_are_asked_for_count(ledger: Ledger) -> None:
    decided(ledger, days_ago=0, count=3, alerts=1)
    decided(ledger, days_ago=1, count=4, alerts=1)  # a Sunday
    assert [week["week"] for week in outcomes(ledger, weeks=1)["weeks"]] == ["2026-W49"]
    assert len(outcomes(ledger, weeks=2)["weeks"]) == 2
