"""`POST /predict?store=true`: decisions that are answered once the ledger has them.

An id is decided once. Whoever sends a transaction again, for want of an answer, is told what was
decided the first time; another transaction under the same id is refused, and with it its body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fraudloop.serving.answers import answer, message_of, strongest
from fraudloop.serving.asked import Asked
from fraudloop.serving.live import Snapshot
from fraudloop.serving.refusals import RequestError

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.ledger.records import Decision, Kept

MOST = 1_000  # decisions of one request
LARGEST = 100_000  # bytes of one transaction as JSON
MOST_REASONS = 8  # of a fraud, the strongest

Answer = dict[str, Any]


def decided(
    snapshot: Snapshot, body: bytes | bytearray, *, explain: bool, top: int | None
) -> tuple[Asked, Answer, list[Decision]]:
    """Decide a body's transactions: what was asked, the answer so far, and what is to be kept."""
    from fraudloop.ledger.records import Decision

    asked, transactions = snapshot.read_to_keep(body)
    if len(transactions) > MOST:
        raise RequestError(
            413,
            f"{len(transactions):,} transactions were sent to be kept, and {MOST:,} at once are "
            "the most: send them in parts",
        )
    if len(body) > LARGEST:
        _require_small(transactions)
    made = answer(snapshot.scorer, asked, explain=explain, top=top)
    reasons = made["reasons"] if explain else _of_frauds(snapshot, asked, made["predictions"])
    now = datetime.now(UTC)
    return (
        asked,
        made,
        [
            Decision(
                id=id,
                transaction=fields,
                score=made["scores"][place],
                prediction=made["predictions"][place],
                model_version=made["model_version"],
                decided_at=now,
                source="online",
                reasons=None if reasons is None else reasons[place],
            )
            for place, (id, fields) in enumerate(transactions)
        ],
    )


def keep(snapshot: Snapshot, made: Answer, decisions: Sequence[Decision], ledger: Ledger) -> Answer:
    """Keep decisions, all or none, and answer with those that count: the first of each id."""
    card = snapshot.bundle.manifest.card.id
    known = _known(ledger, decisions, card)
    new = [each for each in decisions if each.id not in known]
    if new and ledger.keep(new, card=card) < len(new):  # somebody was first, just now
        known |= {
            id: each
            for id, each in _known(ledger, new, card).items()
            if each.decision.decided_at != new[0].decided_at
        }
    counting = [known[each.id].decision if each.id in known else each for each in decisions]
    predictions = [each.prediction for each in counting]
    answered = made | {
        "predictions": predictions,
        "scores": [each.score for each in counting],
        "message": message_of(snapshot.bundle.manifest, predictions),
        "stored": [
            {
                "id": each.id,
                "new": each.id not in known,
                "decided_at": each.decided_at,
                "model_version": each.model_version,
            }
            for each in counting
        ],
    }
    if "prediction" in made:
        answered["prediction"] = predictions[0]
    if made.get("reasons") is not None:
        answered["reasons"] = [each.reasons or [] for each in counting]
    return answered


def _known(ledger: Ledger, decisions: Sequence[Decision], card: str) -> dict[str, Kept]:
    known = ledger.known([each.id for each in decisions])
    for each in decisions:
        kept = known.get(each.id)
        if kept is not None and (kept.card, kept.decision.transaction) != (card, each.transaction):
            raise RequestError(
                409,
                f"the ledger has decided another transaction of the id {each.id[:80]!r}: "
                "give this one its own",
            )
    return known


def _require_small(transactions: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
    for id, fields in transactions:
        if len(msgspec.json.encode(fields)) > LARGEST:
            raise RequestError(
                413,
                f"transaction {id[:80]!r} is larger than {LARGEST:,} bytes, too large to be kept: "
                "leave out what nobody needs",
            )


def _of_frauds(
    snapshot: Snapshot, asked: Asked, predictions: Sequence[int]
) -> list[list[dict[str, Any]] | None] | None:
    """The strongest reasons of each fraud: whoever judges it wants to see them."""
    frauds = np.flatnonzero(predictions)
    found = snapshot.scorer.reasons(asked.features[frauds]) if len(frauds) else None
    if found is None:
        return None
    told = iter(strongest(snapshot.bundle.manifest, found, MOST_REASONS))
    return [next(told) if each else None for each in predictions]
