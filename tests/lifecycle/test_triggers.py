"""When a model is trained anew: for one reason, once, and not again too soon."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fraudloop.errors import OpenJobError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision, DriftReport
from fraudloop.lifecycle import asking, facts, watching
from fraudloop.lifecycle.triggers import Facts, answer
from fraudloop.settings import RegistrySettings
from tests.fitted import PARAMS, bundle_of, card, table
from tests.ledger.given import decision
from tests.lifecycle.small_project import site_in
from tests.lifecycle.stores import saved

pytest_plugins = ("tests.databases",)

NOW = datetime(2026, 11, 16, 12, tzinfo=UTC)
RULES = PARAMS.retraining
CALM = Facts(NOW, trained_at=NOW - timedelta(days=2), over_at=NOW - timedelta(days=2))
CARD = card().id


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"broken": "recall fell"}, "outcomes: recall fell"),
        ({"drifted": "price moved"}, "drift: price moved"),
        ({"new_verdicts": RULES.new_verdicts}, "500 new verdicts"),
        (
            {"trained_at": NOW - timedelta(days=RULES.every_days)},
            "the last training is 30 days ago",
        ),
    ],
)
def test_each_trigger_fires_with_its_reason(changes: dict[str, Any], why: str) -> None:
    found = answer(replace(CALM, **changes), RULES)
    assert (found.due, found.why) == (True, why)


def test_without_a_reason_nothing_fires_and_it_is_said_what_is_missing() -> None:
    found = answer(replace(CALM, new_verdicts=RULES.new_verdicts - 1), RULES)
    assert not found.due
    assert "499 of 500 new verdicts" in found.why
    assert not answer(Facts(NOW), RULES).due  # nothing decides: a first training is asked for


@pytest.mark.parametrize("ended", [timedelta(0), timedelta(hours=RULES.cooldown_hours - 0.01)])
def test_nothing_fires_while_the_last_training_cools_down(ended: timedelta) -> None:
    hot = replace(CALM, drifted="moved", broken="fell", over_at=NOW - ended)
    found = answer(hot, RULES)
    assert not found.due
    assert "the next may begin at 2026-1" in found.why


def test_ten_triggers_at_once_are_one_training(ledger: Ledger) -> None:
    together = threading.Barrier(10)

    def trigger(number: int) -> str:
        together.wait(60)
        try:
            made = asking.ask(ledger, CARD, asking.RETRAIN, by=f"{number}", why="drift", at=NOW)
        except OpenJobError as error:
            return error.job
        return made.id

    with ThreadPoolExecutor(10) as pool:
        told = set(pool.map(trigger, range(10)))
    (job,) = asking.trainings(ledger, CARD, 20)
    assert told == {job.id}  # the nine others were told which one it is


def test_another_card_has_trainings_of_its_own(ledger: Ledger) -> None:
    asking.ask(ledger, CARD, asking.RETRAIN, by="ana", why="drift", at=NOW)
    asking.ask(ledger, "cups", asking.RETRAIN, by="ana", why="drift", at=NOW)
    assert len(asking.trainings(ledger, CARD, 20)) == 1


def test_a_job_whose_process_is_gone_is_taken_over_once(ledger: Ledger) -> None:
    asking.ask(ledger, CARD, asking.RETRAIN, by="ana", why="drift", at=NOW)
    gone = ledger.jobs.claim(asking.training_lane(CARD), NOW)
    assert gone is not None
    later = NOW + timedelta(minutes=5)
    assert ledger.jobs.take_over(gone, later) is not None
    assert ledger.jobs.take_over(gone, later) is None


def test_only_the_verdicts_since_count(ledger: Ledger) -> None:
    ledger.keep([decision(f"t-{number}") for number in range(4)], card=CARD)
    ledger.keep([decision("other")], card="cups")
    for number, minutes in ((0, -5), (1, 0), (2, 5)):
        ledger.judge(f"t-{number}", 1, "ana", "called", NOW + timedelta(minutes=minutes))
    ledger.judge("other", 1, "ana", "called", NOW)
    assert ledger.judged_since(CARD, NOW) == 2
    ledger.judge("t-0", 0, "ben", "called again", NOW + timedelta(minutes=9))
    assert ledger.judged_since(CARD, NOW) == 3


def test_a_watcher_is_there_while_it_is_heard_of(ledger: Ledger) -> None:
    assert not asking.is_watched(ledger, CARD, NOW)
    ledger.jobs.create(asking.watching_lane(CARD), "watch", "watch", "watching", NOW)
    ledger.jobs.claim(asking.watching_lane(CARD), NOW)
    assert asking.is_watched(ledger, CARD, NOW + asking.SILENT / 2)
    assert not asking.is_watched(ledger, CARD, NOW + asking.SILENT)
    assert asking.trainings(ledger, CARD, 20) == ()  # it is no training


def made(many: int, at: datetime, first: int = 0, shift: float = 0.0) -> list[Decision]:
    """Decisions on rows like those that the bundle of the tests was trained on."""
    rows = table()[list(card().columns)].iloc[first : first + many] + shift
    return [
        decision(f"d-{first + number}", transaction=row, decided_at=at)
        for number, row in enumerate(rows.to_dict("records"))
    ]


def test_drift_is_looked_for_after_so_many_new_rows_and_fires_once(
    sqlite_url: str, tmp_path: Path
) -> None:
    before = datetime.now(UTC) - timedelta(hours=3)  # reports are made at the real time
    passed = [timedelta(0)]
    registry = RegistrySettings(uri=f"sqlite:///{tmp_path}/none.db", cache=tmp_path / "cache")
    (tmp_path / "params.yaml").write_bytes((Path(__file__).parents[2] / "params.yaml").read_bytes())
    site = replace(
        site_in(tmp_path, sqlite_url, registry), clock=lambda: datetime.now(UTC) + passed[0]
    )
    paths = site.params.paths
    (tmp_path / paths.card).parent.mkdir(parents=True)
    (tmp_path / paths.card).write_bytes((Path(__file__).parents[2] / paths.card).read_bytes())
    bundle = bundle_of("logistic_regression")
    saved(tmp_path / paths.output, bundle)
    train = tmp_path / paths.prepared / site.params.split.use / "train.parquet"
    train.parent.mkdir(parents=True)
    table().to_parquet(train)
    with Ledger.open(sqlite_url) as ledger:
        ledger.keep(made(999, before), card=CARD)
        ledger.drift.put(DriftReport("old", CARD, before - timedelta(hours=1), True, {}))
        # Younger than a day is the last look, and fewer than 1,000 are new.
        assert facts.look_for_drift(site, ledger, bundle, before - timedelta(hours=2)) is None
        ledger.keep(made(1_001, before, first=999, shift=3.0), card=CARD)
        said = watching.look(site, ledger)
        assert "was asked for (drift: " in said
        (job,) = asking.trainings(ledger, CARD, 20)
        assert watching.look(site, ledger) == (
            f"no training besides: job {job.id} (retrain) is still queued: wait for it"
        )
        ledger.jobs.claim(job.lane, job.created_at)
        ledger.jobs.finish(job.id, done=True, message="", detail={}, at=datetime.now(UTC))
        assert "the next may begin at" in watching.look(site, ledger)
        passed[0] = timedelta(hours=RULES.cooldown_hours, minutes=1)
        assert watching.look(site, ledger).startswith("no training: no drift")
