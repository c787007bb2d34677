"""The decisions that the ledger keeps, and the verdicts of people on them."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import Response
from pydantic import Field
from starlette.exceptions import HTTPException

from fraudloop.documents import Document
from fraudloop.errors import NoDecisionError
from fraudloop.serving import described, filters
from fraudloop.serving.bodies import ClientGone, as_document, body_of
from fraudloop.serving.dialects import pairs_of
from fraudloop.serving.filters import Wanted
from fraudloop.serving.replies import NOTE, encode
from fraudloop.serving.scoring import Desk

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger
    from fraudloop.ledger.records import Kept, Verdict

LONGEST_WHY = 4_000
VERDICT = "/verdict"


class Judged(Document):
    """What a verdict is given with."""

    true_value: Annotated[int, Field(strict=True, ge=0, le=1)]
    why: Annotated[str, Field(min_length=1, max_length=LONGEST_WHY, pattern=r"\S")]


def add(app: FastAPI, desk: Desk) -> None:
    """Add the routes to an application."""

    @app.get("/decisions", tags=["ledger"], openapi_extra=described.DECISIONS)
    async def page(request: Request) -> Response:
        """Decisions that pass all filters, the newest or the riskiest first."""
        wanted = filters.wanted(pairs_of(request.scope["query_string"]))
        return _json(await desk.ledger.ask(partial(_page, wanted)))

    @app.post(
        "/decisions/{id:path}/verdict", tags=["ledger"], openapi_extra=described.verdict(Judged)
    )
    async def judge(request: Request) -> Response:
        """Say what a decision should have been; verdicts before this one stay."""
        try:
            body = await body_of(request.scope, request.receive, desk.limits, desk.settings)
        except ClientGone:
            return Response()
        given, by = as_document(Judged, body), request.scope[NOTE]["user"]
        return _json(await desk.ledger.ask(partial(_judge, request.path_params["id"], given, by)))

    @app.get("/decisions/{id:path}", tags=["ledger"], openapi_extra=described.DECISION)
    async def one(request: Request) -> Response:
        """A decision with all verdicts on it, the oldest first."""
        id: str = request.path_params["id"]
        if id.endswith(VERDICT):
            raise HTTPException(405, headers={"Allow": "POST"})
        return _json(await desk.ledger.ask(partial(_one, id)))


def _page(wanted: Wanted, ledger: Ledger) -> bytes:
    found = ledger.page(wanted.filters, wanted.after, wanted.limit, wanted.order)
    return encode({"decisions": [_shown(each) for each in found.decisions], "next": found.next_key})


def _one(id: str, ledger: Ledger) -> bytes:
    found = ledger.find(id)
    if found is None:
        raise NoDecisionError(f"there is no decision {id[:80]!r} in the ledger: check its id")
    return encode(_shown(found) | {"verdicts": [_said(each) for each in found.history]})


def _judge(id: str, given: Judged, by: str, ledger: Ledger) -> bytes:
    made = ledger.judge(id, given.true_value, by, given.why, datetime.now(UTC))
    return encode({"id": id, "verdict": _said(made)})


def _shown(kept: Kept) -> dict[str, Any]:
    of = kept.decision
    return {
        "id": of.id,
        "card": kept.card,
        "source": of.source,
        "decided_at": of.decided_at,
        "score": of.score,
        "prediction": of.prediction,
        "model_version": of.model_version,
        "transaction": of.transaction,
        "reasons": of.reasons,
        "verdict": None if kept.verdict is None else _said(kept.verdict),
    }


def _said(verdict: Verdict) -> dict[str, Any]:
    return {
        "true_value": verdict.true_value,
        "by": verdict.by,
        "why": verdict.why,
        "at": verdict.at,
    }


def _json(content: bytes) -> Response:
    return Response(content, media_type="application/json")
