"""A request's body: of the right type, not too large, and here in time, or refused."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from pydantic import ValidationError

from fraudloop.documents import Kind, first_fault
from fraudloop.serving import json_text
from fraudloop.serving.limits import Limits
from fraudloop.serving.refusals import RequestError
from fraudloop.serving.replies import HEADERS, Message, Receive, Scope
from fraudloop.settings import Serving

# In a scope: the request was whole when it was handed on.
WHOLE = "fraudloop.whole"
UTF8 = {"utf-8", "utf8", "us-ascii", "ascii"}


class ClientGone(Exception):  # noqa: N818  # no error: nobody is there to be told
    """The client hung up before its request was whole."""


async def body_of(
    scope: Scope, receive: Receive, limits: Limits, settings: Serving
) -> bytes | bytearray:
    """The whole body of a request."""
    headers: Mapping[bytes, bytes] = scope[HEADERS]
    _require_json(headers)
    most = settings.max_body_bytes
    declared = headers.get(b"content-length")
    if declared is not None and int(declared) > most:
        raise _too_large(most)
    if scope.get(WHOLE):
        return _part(await receive(), 0, most)
    held = 0
    try:
        async with asyncio.timeout(settings.body_seconds):
            whole, more = bytearray(), True
            while more:
                message = await receive()
                part = _part(message, len(whole), most)
                limits.hold(len(part))
                held += len(part)
                whole += part
                more = message.get("more_body", False)
            return whole
    except TimeoutError as error:
        raise RequestError(
            408, f"the body was not here after {settings.body_seconds:g} s: send it faster"
        ) from error
    finally:
        limits.release(held)


def as_document(kind: type[Kind], body: bytes | bytearray) -> Kind:
    """The object that a body must be, or one sentence on what is wrong with it."""
    value = json_text.parse(body)
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        fields = " and ".join(kind.model_fields)
        raise RequestError(422, f"{first_fault(error)}: send a JSON object of {fields}") from error


def _part(message: Message, before: int, most: int) -> bytes:
    """What a message brings of a body, after so many bytes of at most so many."""
    if message["type"] == "http.disconnect":
        raise ClientGone
    part: bytes = message.get("body", b"")
    if before + len(part) > most:
        raise _too_large(most)
    return part


def _too_large(most: int) -> RequestError:
    return RequestError(413, f"the body is larger than {most:,} bytes: send it in parts")


def _require_json(headers: Mapping[bytes, bytes]) -> None:
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() != b"identity":
        raise RequestError(415, "the body is compressed: send it as plain JSON")
    given = headers.get(b"content-type")
    if given is None or given == b"application/json":
        return
    kind, *parameters = given.decode("latin-1").lower().split(";")
    kind = kind.strip()
    if kind != "application/json" and not (
        kind.startswith("application/") and kind[-5:] == "+json"
    ):
        raise RequestError(
            415, f"the body is sent as {kind[:80]!r}: send Content-Type: application/json"
        )
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "charset" and value.strip().strip('"') not in UTF8:
            raise RequestError(415, f"the body's charset is {value.strip()[:40]!r}: send UTF-8")
