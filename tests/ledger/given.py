"""Decisions to keep, as tests want them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from fraudloop.ledger.ledger import Ledger
from fraudloop.ledger.records import Decision, Filters, Kept, Order

NOON = datetime(2026, 11, 3, 12, tzinfo=UTC)
CARD = "market"


def decision(id: str = "t-1", **changes: Any) -> Decision:
    """A decision like many."""
    of: dict[str, Any] = {
        "transaction": {"price": 2.5, "stall": "fish"},
        "score": 0.25,
        "prediction": 0,
        "model_version": "v1",
        "decided_at": NOON,
        "source": "stream",
        "reasons": None,
    }
    return Decision(id=id, **of | changes)


def many(count: int, **changes: Any) -> list[Decision]:
    """Decisions a second apart, each riskier than the one before, the last fifth of them frauds."""
    return [
        decision(
            f"t-{number:06}",
            **{
                "transaction": {"price": float(number), "stall": "fish" if number % 2 else "NA"},
                "score": number / count,
                "prediction": int(number >= count * 4 // 5),
                "decided_at": NOON + timedelta(seconds=number),
            }
            | changes,
        )
        for number in range(count)
    ]


def all_pages(
    ledger: Ledger, filters: Filters | None = None, limit: int = 7, order: Order = "newest"
) -> list[Kept]:
    """What all pages hold, one after the other."""
    found: list[Kept] = []
    key: str | None = None
    while True:
        page = ledger.page(filters or Filters(), key, limit, order)
        assert len(page.decisions) <= limit
        found += page.decisions
        if page.next_key is None:
            return found
        key = page.next_key


def ids(kept: list[Kept]) -> list[str]:
    """Their ids."""
    return [each.decision.id for each in kept]
