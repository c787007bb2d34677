"""The routes that ask for a training, and follow it: the server records, and trains nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field, ValidationError

from fraudloop.documents import Document, first_fault
from fraudloop.lifecycle import asking
from fraudloop.serving import json_text
from fraudloop.serving.bodies import ClientGone, body_of
from fraudloop.serving.refusals import RequestError
from fraudloop.serving.replies import NOTE
from fraudloop.serving.scoring import Desk

if TYPE_CHECKING:
    from fraudloop.ledger.ledger import Ledger

MOST_LISTED = 50
NOBODY = (
    "nobody is there to run it: start `fraudloop watch` in the project, or run `fraudloop retrain` "
    "there once"
)


class Asked(Document):
    """What a training may be asked with."""

    reason: Annotated[str, Field(min_length=1, max_length=asking.LONGEST_REASON, pattern=r"\S")] = (
        "asked for over HTTP"
    )


def add(app: FastAPI, desk: Desk) -> None:
    """Add the routes to an application."""

    @app.post("/retrain", status_code=202, tags=["jobs"], openapi_extra=_BODY)
    async def retrain(request: Request) -> Response:
        """Ask for a training on what people have judged since."""
        return await _ask(desk, request, asking.RETRAIN)

    @app.post("/initialtrain", status_code=202, tags=["jobs"], openapi_extra=_BODY)
    async def initial(request: Request) -> Response:
        """Ask for a first training, whose result decides if nothing does yet."""
        return await _ask(desk, request, asking.INITIAL)

    @app.get("/jobs", tags=["jobs"])
    async def listed() -> dict[str, Any]:
        """The trainings that were last asked for, and whether anybody runs them."""
        return await desk.ledger.ask(partial(_listed, _card(desk)))

    @app.get("/jobs/{id}", tags=["jobs"], responses=_UNKNOWN)
    async def one(id: str) -> dict[str, Any]:
        """A training: how far it is, or what came of it."""
        return await desk.ledger.ask(partial(_one, _card(desk), id))


async def _ask(desk: Desk, request: Request, kind: asking.Kind) -> Response:
    """Write a job down, for the card of the model that decides here."""
    try:
        body = await body_of(request.scope, request.receive, desk.limits, desk.settings)
    except ClientGone:
        return Response()
    by, why = request.scope[NOTE]["user"], _read(body).reason
    answer = await desk.ledger.ask(partial(_asked, _card(desk), kind, by, why))
    return JSONResponse(answer, 202, {"Location": f"/jobs/{answer['id']}"})


def _card(desk: Desk) -> str:
    return desk.live.snapshot.bundle.manifest.card.id


def _asked(card: str, kind: asking.Kind, by: str, why: str, ledger: Ledger) -> dict[str, Any]:
    now = datetime.now(UTC)
    made = asking.as_json(asking.ask(ledger, card, kind, by=by, why=why, at=now))
    watched = asking.is_watched(ledger, card, now)
    return {**made, "watched": watched, "message": "" if watched else NOBODY}


def _listed(card: str, ledger: Ledger) -> dict[str, Any]:
    found = asking.trainings(ledger, card, MOST_LISTED)
    watched = asking.is_watched(ledger, card, datetime.now(UTC))
    return {"jobs": [asking.as_json(job) for job in found], "watched": watched}


def _one(card: str, id: str, ledger: Ledger) -> dict[str, Any]:
    found = ledger.jobs.find(id)
    if found is None or found.lane != asking.training_lane(card):
        raise RequestError(404, "there is no job of this id: see GET /jobs")
    return asking.as_json(found)


def _read(body: bytes | bytearray) -> Asked:
    value = json_text.parse(body) if body.strip() else {}
    try:
        return Asked.model_validate(value)
    except ValidationError as error:
        raise RequestError(
            422, f"{first_fault(error)}: send a JSON object with a reason, or nothing"
        ) from error


_BODY: dict[str, Any] = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": Asked.model_json_schema(),
                "example": {"reason": "the drift report of Monday"},
            }
        }
    }
}
_UNKNOWN: dict[int | str, dict[str, Any]] = {
    404: {
        "description": "There is no such job.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
    }
}
