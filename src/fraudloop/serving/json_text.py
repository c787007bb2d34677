"""JSON as a hostile client may send it → plain values, or one sentence on what is wrong."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from fraudloop.errors import DataError
from fraudloop.serving.refusals import RequestError

# Longer whole numbers are out of every range; Python would refuse to read much longer ones.
LONGEST_INTEGER = 300


def parse(body: bytes | bytearray) -> Any:
    """The value that a body holds; NaN and infinities pass, to be refused by their field."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError(
            400, f"the body is not UTF-8 ({error.reason} at byte {error.start}): send JSON in UTF-8"
        ) from error
    try:
        value = json.loads(text, object_pairs_hook=_each_once, parse_int=_whole)
    except RecursionError as error:
        raise RequestError(
            400, "the body is nested too deeply: send one level of fields"
        ) from error
    except ValueError as error:
        raise RequestError(400, f"the body is not JSON ({error}): correct it") from error
    if "\\ud" in text or "\\uD" in text:
        _require_whole_characters(value)
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's members; JSON would let the last of two equal names win in silence."""
    members = dict(pairs)
    if len(members) < len(pairs):
        names = Counter(name for name, _ in pairs)
        twice = next(name for name, count in names.items() if count > 1)
        shown = twice[:80].encode(errors="replace").decode()  # half a character cannot be sent
        raise DataError(
            f"{shown!r} stands twice in one object: keep one of the two",
            detail=[{"row": None, "field": shown}],
        )
    return members


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= LONGEST_INTEGER else float(digits)


def _require_whole_characters(value: Any) -> None:
    """Half a character cannot be written back in an answer, as an id or in a sentence."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise RequestError(
            400, "the body holds half of a surrogate pair (\\ud800 to \\udfff alone): correct it"
        ) from error
