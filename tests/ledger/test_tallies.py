"""Decisions are counted by day, version and prediction, in either database."""

from __future__ import annotations

from datetime import date, timedelta

from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.tallies import Tally
from tests.ledger.given import CARD, NOON, decision

pytest_plugins = ("tests.databases",)


def test_decisions_are_counted_where_they_are(ledger: Ledger) -> None:
    midnight = NOON.replace(hour=0)
    last = midnight - timedelta(microseconds=1)
    kinds = [
        *(("a", midnight, 0, "v1"), ("b", midnight, 0, "v1"), ("c", NOON, 1, "v1")),
        *(("d", NOON, 0, "v2"), ("e", last, 0, "v1"), ("f", NOON + timedelta(days=1), 1, "v1")),
    ]
    ledger.keep(
        [
            decision(id, decided_at=at, prediction=prediction, model_version=version)
            for id, at, prediction, version in kinds
        ],
        card=CARD,
    )
    ledger.keep([decision("other")], card="another")
    found = ledger.tallies(CARD, last, NOON + timedelta(days=1))
    assert found == (
        Tally(date(2026, 11, 2), "v1", 0, 1),
        Tally(date(2026, 11, 3), "v1", 0, 2),
        Tally(date(2026, 11, 3), "v1", 1, 1),
        Tally(date(2026, 11, 3), "v2", 0, 1),
    )
