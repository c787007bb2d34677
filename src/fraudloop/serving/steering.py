"""The routes that change which version decides, at once and for a reason."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from fraudloop.documents import Document
from fraudloop.errors import BundleError
from fraudloop.lifecycle import steering
from fraudloop.lifecycle.following import RegistrySource
from fraudloop.lifecycle.registry import CHALLENGER, CHAMPION, LONGEST_REASON, Changed
from fraudloop.serving.bodies import ClientGone, as_document, body_of
from fraudloop.serving.options import Options
from fraudloop.serving.refusals import RequestError
from fraudloop.serving.replies import NOTE
from fraudloop.serving.scoring import Desk
from fraudloop.serving.watch import Watch

EVERYBODY_WITHIN = 4.0  # seconds, for all workers of this server to decide with it

Reason = Annotated[str, Field(min_length=1, max_length=LONGEST_REASON, pattern=r"\S")]


class Back(Document):
    """What a rollback is asked with."""

    reason: Reason


class Forth(Back):
    """What a promotion is asked with: a version's number or name, or an alias."""

    version: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[0-9a-z]+$")] = CHALLENGER


def add(app: FastAPI, desk: Desk, watched: Watch, options: Options) -> None:
    """Add the routes to an application."""
    steer = _Steer(desk, watched, options)

    @app.post("/model/promote", tags=["model"], openapi_extra=_body_of(Forth, CHALLENGER))
    async def promote(request: Request) -> Response:
        """Let another version decide, on every server that follows the registry."""
        return await steer.answer(request, Forth)

    @app.post("/model/rollback", tags=["model"], openapi_extra=_body_of(Back))
    @app.post("/switch_model_ver", tags=["model"], openapi_extra=_body_of(Back))
    async def rollback(request: Request) -> Response:
        """Let the version that decided before decide again."""
        return await steer.answer(request, Back)


class _Steer:
    """Changes the champion, and waits until this server decides with it."""

    def __init__(self, desk: Desk, watched: Watch, options: Options) -> None:
        self._desk = desk
        self._watched = watched
        self._workers = options.workers
        self._record = steering.in_ledger(options.ledger)

    async def answer(self, request: Request, kind: type[Back]) -> Response:
        """Do what one request asks, and say which version decides."""
        try:
            body = await body_of(
                request.scope, request.receive, self._desk.limits, self._desk.settings
            )
        except ClientGone:
            return Response()
        asked = as_document(kind, body)
        by = request.scope[NOTE]["user"]
        # A thread of its own: rolling back must not wait behind long bodies.
        made = await asyncio.to_thread(self._made, asked, by)
        return JSONResponse(made)

    def _made(self, asked: Back, by: str) -> dict[str, Any]:
        source = self._source()
        if isinstance(asked, Forth):
            changed = _proven(
                lambda: steering.promote(
                    source, asked.version, by=by, why=asked.reason, record=self._record
                )
            )
        else:
            changed = _proven(
                lambda: steering.rollback(source, by=by, why=asked.reason, record=self._record)
            )
        self._watched.reload()
        self._wait_for_others(changed.version.name)
        step = changed.step
        return {
            "version": self._watched.version,
            "number": step.after,
            "number_before": step.before,
            "by": step.by,
            "reason": step.why,
            "message": "; ".join(
                (f"version {step.after} decides now", *changed.said, *self._desk.live.remarks)
            ),
        }

    def _source(self) -> RegistrySource:
        source = self._desk.live.source
        if not isinstance(source, RegistrySource) or source.where.which != CHAMPION:
            raise RequestError(
                409,
                "this server does not follow the registry: start it with "
                "`--bundle registry:champion`, or write another bundle into its folder",
            )
        return source

    def _wait_for_others(self, version: str) -> None:
        until = time.monotonic() + EVERYBODY_WITHIN
        while self._desk.metrics.deciding(version) < self._workers and time.monotonic() < until:
            time.sleep(0.05)


def _proven(change: Callable[[], Changed]) -> Changed:
    try:
        return change()
    except BundleError as error:  # ours goes on: the other is no good
        raise RequestError(409, str(error)) from error


def _body_of(kind: type[Back], version: str | None = None) -> dict[str, Any]:
    example = {"reason": "precision fell since Monday"} | ({"version": version} if version else {})
    content = {"schema": kind.model_json_schema(), "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}
