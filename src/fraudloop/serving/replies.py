"""How an answer or a refusal goes out, where no framework stands between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

import msgspec

from fraudloop.serving.refusals import RequestError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

encode = msgspec.json.Encoder().encode
# In a scope: its headers by their names in lower case.
HEADERS = "fraudloop.headers"
# In a scope: what the log is to say of it beside the usual.
NOTE = "fraudloop.note"
JSON = (b"content-type", b"application/json")


async def reply(
    send: Send, content: bytes, status: int = 200, headers: Mapping[str, str] | None = None
) -> None:
    """Send JSON."""
    sent = [JSON, (b"content-length", b"%d" % len(content))]
    if headers:
        sent += [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": content})


def refusal(error: RequestError) -> bytes:
    """What a client is told of a refusal."""
    return encode({"error": str(error), "detail": error.detail})


async def refuse(send: Send, error: RequestError) -> None:
    """Send a refusal."""
    await reply(send, refusal(error), error.status, error.headers)
