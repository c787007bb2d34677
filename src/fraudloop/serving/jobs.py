"""The routes that ask for a training, and follow it: the server records, and trains nothing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field, ValidationError

from fraudloop.documents import Document, first_fault
from fraudloop.lifecycle import asking
from fraudloop.serving import json_text
from fraudloop.serving.bodies import ClientGone, body_of
from fraudloop.serving.options import Options
from fraudloop.serving.refusals import RequestError
from fraudloop.serving.replies import NOTE
from fraudloop.serving.scoring import Desk

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


def add(app: FastAPI, desk: Desk, options: Options) -> None:
    """Add the routes to an application."""
    office = _Office(desk, options)

    @app.post("/retrain", status_code=202, tags=["jobs"], openapi_extra=_BODY)
    async def retrain(request: Request) -> Response:
        """Ask for a training on what people have judged since."""
        return await office.ask(request, asking.RETRAIN)

    @app.post("/initialtrain", status_code=202, tags=["jobs"], openapi_extra=_BODY)
    async def initial(request: Request) -> Response:
        """Ask for a first training, whose result decides if nothing does yet."""
        return await office.ask(request, asking.INITIAL)

    @app.get("/jobs", tags=["jobs"])
    async def listed() -> dict[str, Any]:
        """The trainings that were last asked for, and whether anybody runs them."""
        return await asyncio.to_thread(office.listed, MOST_LISTED)

    @app.get("/jobs/{id}", tags=["jobs"], responses=_UNKNOWN)
    async def one(id: str) -> dict[str, Any]:
        """A training: how far it is, or what came of it."""
        return await asyncio.to_thread(office.one, id)


class _Office:
    """Writes jobs down, and reads what became of them."""

    def __init__(self, desk: Desk, options: Options) -> None:
        self._desk = desk
        self._ledger = options.ledger

    async def ask(self, request: Request, kind: asking.Kind) -> Response:
        """Write a job down, for the card of the model that decides here."""
        try:
            body = await body_of(
                request.scope, request.receive, self._desk.limits, self._desk.settings
            )
        except ClientGone:
            return Response()
        asked = _read(body)
        by = request.scope[NOTE]["user"]
        answer = await asyncio.to_thread(self._asked, kind, by, asked.reason)
        return JSONResponse(answer, 202, {"Location": f"/jobs/{answer['id']}"})

    def _asked(self, kind: asking.Kind, by: str, why: str) -> dict[str, Any]:
        from fraudloop.ledger.ledger import Ledger

        card, now = self._card, datetime.now(UTC)
        with Ledger.open(self._ledger) as ledger:
            made = asking.as_json(asking.ask(ledger, card, kind, by=by, why=why, at=now))
            watched = asking.is_watched(ledger, card, now)
        return {**made, "watched": watched, "message": "" if watched else NOBODY}

    def listed(self, limit: int) -> dict[str, Any]:
        """The card's last jobs."""
        from fraudloop.ledger.ledger import Ledger

        with Ledger.open(self._ledger) as ledger:
            found = asking.trainings(ledger, self._card, limit)
            watched = asking.is_watched(ledger, self._card, datetime.now(UTC))
        return {"jobs": [asking.as_json(job) for job in found], "watched": watched}

    def one(self, id: str) -> dict[str, Any]:
        """A job by its id."""
        from fraudloop.ledger.ledger import Ledger

        with Ledger.open(self._ledger) as ledger:
            found = ledger.jobs.find(id)
        if found is None or found.lane != asking.training_lane(self._card):
            raise RequestError(404, "there is no job of this id: see GET /jobs")
        return asking.as_json(found)

    @property
    def _card(self) -> str:
        return self._desk.live.snapshot.bundle.manifest.card.id


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
