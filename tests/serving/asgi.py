"""Asks an application in this process, as a server would: no socket stands between."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fraudloop.serving.front import App
from fraudloop.serving.replies import Message


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        """The content as JSON."""
        return json.loads(self.content)


def ask(
    app: App,
    path: str,
    body: Any = None,
    *,
    method: str | None = None,
    query: str = "",
    headers: Mapping[str, str] | None = None,
    parts: Iterable[bytes | None] | None = None,
    failing: tuple[type[Exception], ...] = (),
) -> Answered:
    """Ask once. `parts` is a body in pieces, of which None is one that never comes.

    An error of a kind in `failing` may go on to the server after the answer.
    """
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    pieces = iter([sent] if parts is None else parts)
    scope = _scope(
        path, method or ("GET" if body is None and parts is None else "POST"), query, headers or {}
    )
    answered: list[Message] = []

    async def receive() -> Message:
        piece = next(pieces, b"gone")
        if piece is None:
            await asyncio.Event().wait()
        if piece == b"gone":
            return {"type": "http.disconnect"}
        return {
            "type": "http.request",
            "body": piece,
            "more_body": parts is not None and piece != b"",
        }

    async def send(message: Message) -> None:
        answered.append(message)

    with suppress(*failing):
        asyncio.run(_within(app, scope, receive, send))
    if not answered:
        return Answered(0, {}, b"")
    start, *bodies = answered
    told = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answered(start["status"], told, b"".join(each["body"] for each in bodies))


def _scope(path: str, method: str, query: str, headers: Mapping[str, str]) -> dict[str, Any]:
    named = {"content-type": "application/json"} | dict(headers)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        "state": {},
        "headers": [
            (name.lower().encode(), value.encode("latin-1")) for name, value in named.items()
        ],
    }


async def _within(app: App, scope: Any, receive: Any, send: Any) -> None:
    await asyncio.wait_for(app(scope, receive, send), timeout=60)
