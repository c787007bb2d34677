"""What every request passes first and last: who sent it, the clock, the log, the metrics."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from time import perf_counter
from typing import Any

from fraudloop.serving.auth import (
    Gate,
    refuse_other_hosts,
    refuse_other_sites,
    require,
    require_any,
)
from fraudloop.serving.log import Log
from fraudloop.serving.metrics import Metrics
from fraudloop.serving.refusals import RequestError
from fraudloop.serving.replies import HEADERS, NOTE, Message, Receive, Scope, Send, refuse
from fraudloop.users import Role

App = Callable[[Scope, Receive, Send], Awaitable[None]]

# Whoever runs the server asks these without a password: they tell nothing of what it decides.
PROBES = frozenset({"/ping", "/health", "/health-check/liveness", "/ready"})
SCORING = frozenset({"/predict", "/predict_fraud", "/invocations"})
FOR_USERS = frozenset({"/hello"})
# What changes anything wants a user with this role, on an open server too.
CHANGING = {
    ("POST", path): Role.OPERATOR
    for path in (
        *("/model/promote", "/model/rollback", "/switch_model_ver"),
        *("/retrain", "/initialtrain"),
    )
} | {("POST", "/decisions/{id}/verdict"): Role.ANALYST}
# What shows people's transactions, or what became of them. Without a user it is shown on loopback
# alone, where the server was started without a word on users.
READING = frozenset({"/decisions", "/decisions/{id}", "/drift", "/drift/{id}", "/outcomes"})
READERS = (Role.ANALYST, Role.OPERATOR)
# Where a path goes on with an id, and with what after it.
WITH_ID = ("/decisions/", "/drift/", "/jobs/")
AFTER_ID = {"/decisions/": "/verdict"}
METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"})
OTHER = "other"
CLIENT_GONE = 499  # as nginx counts those who hung up before their answer

FAILED = RequestError(500, "the server failed at this: its log has the reason, by the request's id")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class Front:
    """Wraps the whole application.

    `direct` are applications by method and path that need nothing of the framework's: it would take
    half of their time. `gate` checks users; `open_house` lets everybody in but where a user is
    asked for by name, and `at_home` lets them read, too.
    """

    def __init__(
        self,
        app: App,
        *,
        direct: Mapping[tuple[str, str], App],
        routes: frozenset[str],
        gate: Gate,
        open_house: bool,
        at_home: bool,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._app = app
        self._ids = secrets.token_hex(6).encode()
        self._numbers = itertools.count(1)
        self._direct = direct
        self._routes = routes
        self._gate = gate
        self._open_house = open_house
        self._at_home = at_home
        self._metrics = metrics
        self._log = log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and note how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = perf_counter()
        named = scope[HEADERS] = dict(scope["headers"])
        given = named.get(b"x-request-id")
        own = given if given and _REQUEST_ID.fullmatch(given) else self._next_id()
        note: dict[str, Any] = {}
        scope[NOTE] = note
        status = CLIENT_GONE

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"].append((b"x-request-id", own))
            await send(message)

        path: str = scope["path"]
        route = path if path in self._routes else route_of(path)
        try:
            await self._admit(scope, route, note)
            app = self._direct.get((scope["method"], path), self._app)
            await app(scope, receive, sent)
        except RequestError as error:
            await refuse(sent, error)
        except Exception:
            if status == CLIENT_GONE:  # nothing was sent yet
                await refuse(sent, FAILED)
            raise  # to uvicorn, which logs it
        finally:
            seconds = perf_counter() - started
            route = route if route in self._routes else OTHER
            method = scope["method"] if scope["method"] in METHODS else OTHER
            self._metrics.answered(route, method, status, seconds)
            client = scope.get("client")
            self._log.later(
                "request",
                request_id=own.decode(),
                method=method,
                route=route,
                status=status,
                ms=round(seconds * 1000, 3),
                client=client[0] if client else None,
                **note,
            )

    def _next_id(self) -> bytes:
        """An id that no other request has, of this process or another."""
        return b"%s-%x" % (self._ids, next(self._numbers))

    async def _admit(self, scope: Scope, path: str, note: dict[str, Any]) -> None:
        changing = CHANGING.get((scope["method"], path))
        reading = path in READING
        asked_for = changing is not None or path in FOR_USERS or (reading and not self._at_home)
        if path in PROBES or (self._open_house and not asked_for):
            if reading:
                refuse_other_hosts(scope[HEADERS])
            return
        client = scope.get("client")
        origin = client[0] if client else "a socket"
        user = await self._gate.admit(scope[HEADERS].get(b"authorization"), origin)
        note["user"] = user.name
        if path in SCORING:
            require(user, Role.SCORER)
        if reading:
            require_any(user, READERS)
        if changing is not None:
            require(user, changing)
            refuse_other_sites(scope[HEADERS])


def route_of(path: str) -> str:
    """The route of a path that ends with an id; any other path is its own.

    >>> route_of("/decisions/2026/17"), route_of("/decisions/17/verdict"), route_of("/ping")
    ('/decisions/{id}', '/decisions/{id}/verdict', '/ping')
    """
    for start in WITH_ID:
        if path.startswith(start):
            end = AFTER_ID.get(start)
            return f"{start}{{id}}{end if end and path.endswith(end) else ''}"
    return path
