"""What the ledger keeps of watching: drift reports by day, and the outcomes of its decisions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fraudloop.dataset.card import Card
from fraudloop.monitoring.outcomes import Rules, Tally, Verdict, outcomes_of, week_of

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

MOST_LISTED = 100
AT_ONCE = 1_000  # decisions of a page
LISTED = ("verdict", "drift", "drifted", "card", "synthetic", "made_at", "model_version")


def keep(ledger: Ledger, report: Mapping[str, Any]) -> str:
    """Keep a drift report, and give the id by which it is found again."""
    from fraudloop.ledger.records import DriftReport

    made_at = datetime.fromisoformat(report["made_at"])
    content = json.dumps(report, sort_keys=True).encode()
    id = f"{made_at:%Y%m%dT%H%M%S}-{hashlib.sha256(content).hexdigest()[:8]}"
    if ledger.drift.get(id) is None:  # the same report, kept twice, is one
        found = bool(report["drift"])
        ledger.drift.put(DriftReport(id, report["card"], made_at, found, dict(report)))
    return id


def listed(
    ledger: Ledger, *, day: date | None = None, card: str | None = None, limit: int = MOST_LISTED
) -> dict[str, Any]:
    """The newest reports, or those of a day (UTC), in short and by the day they were made."""
    reports = (
        ledger.drift.newest(limit, card=card)
        if day is None
        else ledger.drift.of_day(day, card)[:limit]
    )
    days: dict[str, list[dict[str, Any]]] = {}
    for each in reports:
        short = {"id": each.id, **{name: each.report.get(name) for name in LISTED}}
        days.setdefault(each.made_at.date().isoformat(), []).append(short)
    return {"days": [{"day": name, "reports": found} for name, found in days.items()]}


def one(ledger: Ledger, id: str) -> dict[str, Any] | None:
    """A whole report with its id; None where there is no such report."""
    found = ledger.drift.get(id)
    return None if found is None else {"id": found.id, **found.report}


def outcomes(
    ledger: Ledger,
    card: Card,
    promised: Mapping[str, Mapping[str, float]],
    rules: Rules,
    *,
    now: datetime,
    weeks: int = 8,
) -> dict[str, Any]:
    """What became of the decisions of this week and those before it, `weeks` in all.

    `promised` has, by model version, the figures that were measured at training.
    """
    monday = now - timedelta(days=now.weekday(), weeks=weeks - 1)
    since = monday.replace(hour=0, minute=0, second=0, microsecond=0)
    until = now + timedelta(microseconds=1)
    tallies: dict[tuple[str, str], Tally] = {}
    for each in ledger.tallies(card.id, since, until):
        key = (week_of(each.day), each.model_version)
        so_far = tallies.get(key, Tally(*key, alerts=0, others=0))
        tallies[key] = (
            replace(so_far, alerts=so_far.alerts + each.decisions)
            if each.prediction
            else replace(so_far, others=so_far.others + each.decisions)
        )
    judged = list(_judged(ledger, card, since, until, rules.operating_point.fraud_amount))
    made = outcomes_of(judged, list(tallies.values()), promised, rules)
    return {"card": card.id, "made_at": now.isoformat(timespec="seconds"), **made}


def _judged(
    ledger: Ledger, card: Card, since: datetime, until: datetime, amount: float
) -> Iterator[Verdict]:
    from fraudloop.ledger.records import Filters

    filters = Filters(since=since, until=until, card=card.id, judged=True)
    key: str | None = None
    while True:
        page = ledger.page(filters, key, AT_ONCE)
        for kept in page.decisions:
            decision = kept.decision
            if kept.verdict is not None:
                yield Verdict(
                    decided_at=decision.decided_at,
                    model_version=decision.model_version,
                    score=decision.score,
                    prediction=decision.prediction,
                    fraud=kept.verdict.true_value == 1,
                    amount=_amount(decision.transaction, card, amount),
                )
        if page.next_key is None:
            return
        key = page.next_key


def _amount(transaction: Mapping[str, Any], card: Card, otherwise: float) -> float:
    value = None if card.amount is None else transaction.get(card.amount)
    return float(value) if isinstance(value, int | float) and value >= 0 else otherwise
