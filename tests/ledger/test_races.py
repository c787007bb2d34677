"""Several processes at once: each its own connections, as two opened ledgers have."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from fraudloop.errors import OpenJobError
from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision, Told
from tests.ledger.given import CARD, NOON, all_pages, ids, many

pytest_plugins = ("tests.databases",)

PATIENCE = 120


@pytest.fixture
def several(ledger_url: str) -> Iterator[list[Ledger]]:
    """The same ledger, opened four times."""
    with ExitStack() as stack:
        yield [stack.enter_context(Ledger.open(ledger_url)) for _ in range(4)]


def at_once(*works: Callable[[], Any]) -> list[Any]:
    """What each gives, all begun at the same moment; what one raises is its answer."""
    start = threading.Barrier(len(works))
    answers: list[Any] = [None] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        start.wait(PATIENCE)
        try:
            answers[number] = work()
        except Exception as error:  # whatever it is, the test looks at it
            answers[number] = error

    threads = [
        threading.Thread(target=run, args=(number, work), daemon=True)
        for number, work in enumerate(works)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
        assert not thread.is_alive()
    return answers


def keeping(ledger: Ledger, batch: list[Decision]) -> Callable[[], int]:
    return lambda: ledger.keep(batch, card=CARD, owe_alerts=True)


def test_the_same_decisions_sent_at_once_are_kept_once(several: list[Ledger]) -> None:
    for day in range(3):
        batch = renamed(many(400, decided_at=NOON + timedelta(days=day)), f"{day}")
        orders = [batch, batch[::-1], batch[200:] + batch[:200], batch[100:300]]
        new = at_once(*(keeping(*each) for each in zip(several, orders, strict=True)))
        assert sum(new) == 400, new
    counted = Counter(ids(all_pages(several[0], limit=1_000)))
    assert set(counted.values()) == {1}
    assert len(counted) == 1_200
    assert several[0].alerts.waiting() == 240


def test_a_new_day_begins_for_all_at_once(several: list[Ledger]) -> None:
    for day in range(5):
        begun = many(20, decided_at=NOON + timedelta(days=day))
        parts = [renamed(begun, f"{day}-{who}") for who in range(4)]
        new = at_once(*(keeping(*each) for each in zip(several, parts, strict=True)))
        assert new == [20] * 4
    assert len(all_pages(several[0], limit=1_000)) == 400


def renamed(batch: list[Decision], prefix: str) -> list[Decision]:
    return [replace(each, id=f"{prefix}-{each.id}") for each in batch]


def test_analysts_at_once_are_all_heard_and_the_newest_counts(several: list[Ledger]) -> None:
    several[0].keep(many(3), card=CARD)
    given = at_once(
        *(
            lambda ledger=ledger, n=n: ledger.judge(
                "t-000001", n % 2, f"analyst {n}", "seen", NOON + timedelta(seconds=(n * 3) % 4)
            )
            for n, ledger in enumerate(several)
        )
    )
    found = several[0].find("t-000001")
    assert found is not None
    assert {each.number for each in found.history} == {each.number for each in given}
    newest = max(given, key=lambda each: (each.at, each.number))
    assert found.verdict == newest == found.history[-1]
    assert several[1].page().decisions[1].verdict == newest


def test_of_those_who_want_a_job_one_gets_it(several: list[Ledger]) -> None:
    asked = at_once(
        *(
            lambda ledger=ledger: ledger.jobs.create("training", "retrain", "ana", "drift", NOON)
            for ledger in several
        )
    )
    job = next(each for each in asked if not isinstance(each, Exception))
    others = [each for each in asked if each is not job]
    assert [type(each) for each in others] == [OpenJobError] * 3
    assert {each.job for each in others} == {job.id}
    claimed = at_once(
        *(lambda ledger=ledger: ledger.jobs.claim("training", NOON) for ledger in several)
    )
    assert sorted(each is None for each in claimed) == [False, True, True, True]


def test_an_alert_is_taken_by_one_sender_and_told_once(several: list[Ledger]) -> None:
    several[0].keep(many(100), card=CARD, owe_alerts=True)
    hold = timedelta(minutes=5)

    def tell(ledger: Ledger) -> int:
        held = ledger.alerts.take("mail", NOON, hold)
        return 0 if held is None else ledger.alerts.told(held, 5, NOON, ["mail"])

    told = at_once(*(lambda each=each: tell(each) for each in several))
    assert sorted(told) == [0, 0, 0, 20]
    assert several[0].alerts.told_since("mail", NOON) == Told(5, 20, NOON)
