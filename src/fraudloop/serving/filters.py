"""The query of GET /decisions → which decisions, in which order, from where on."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from fraudloop.errors import DataError

if TYPE_CHECKING:
    from fraudloop.ledger.records import FieldTest, Filters, Order

Pairs = list[tuple[str, str]]

MOST, USUAL = 200, 50
MOST_TESTS = 10
LONGEST = 500
LONGEST_KEY = 4_096
ORDERS = ("newest", "riskiest")
YES_OR_NO = {"yes": True, "no": False}
FIELD, FIELD_DOT = "field", "field."

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_TEST = re.compile(r"([^<>=!]{1,200})(!=|<=|>=|=|<|>)(.*)", re.DOTALL)


class Wanted(NamedTuple):
    """A page of decisions, as it was asked for."""

    filters: Filters
    after: str | None
    limit: int
    order: Order


def wanted(pairs: Pairs) -> Wanted:
    """What a query asks for, or one sentence on what it cannot mean."""
    from fraudloop.ledger.records import Filters

    asked: dict[str, Any] = {}
    tests: list[FieldTest] = []
    for name, text in pairs:
        if "\0" in text or "\0" in name:
            raise DataError("the query holds a NUL character, which no text here has: remove it")
        if name == FIELD or name.startswith(FIELD_DOT):
            tests.append(_test(name, text))
            continue
        if name not in READ:
            raise DataError(
                f"the query has an unknown filter {name[:80]!r}: take {', '.join(READ)} or field"
            )
        field, read = READ[name]
        if field in asked:
            raise DataError(f"the query has {name!r} twice: keep one of the two")
        asked[field] = read(name, text)
    if len(tests) > MOST_TESTS:
        raise DataError(f"the query tests {len(tests)} fields: test {MOST_TESTS} at most")
    after, limit = asked.pop("after", None), asked.pop("limit", USUAL)
    order = asked.pop("order", ORDERS[0])
    return Wanted(Filters(**asked, fields=tuple(tests)), after, limit, order)


def number(name: str, text: str) -> float:
    """A number of a query."""
    value = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise DataError(f"{name} is {text[:80]!r}: give a number")
    return value


def whole(name: str, text: str, most: int) -> int:
    """A whole number of a query, from 1 to the most there may be."""
    if _WHOLE.fullmatch(text) is None or not 0 < int(text) <= most:
        raise DataError(f"{name} is {text[:80]!r}: give a whole number from 1 to {most:,}")
    return int(text)


def moment(name: str, text: str) -> datetime:
    """A date or a time of a query; without a zone it is UTC.

    >>> moment("from", "2026-11-30"), moment("to", "2026-11-30T12:00:00+01:00")
    (datetime.datetime(2026, 11, 30, 0, 0, tzinfo=datetime.timezone.utc), \
datetime.datetime(2026, 11, 30, 11, 0, tzinfo=datetime.timezone.utc))
    """
    # A + that was not percent-encoded arrives as a blank.
    written = text.replace(" ", "+") if "T" in text.upper() else text
    try:
        found = datetime.fromisoformat(written.upper())
        zoned = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
        return zoned.astimezone(UTC)
    except (ValueError, OverflowError):
        raise DataError(
            f"{name} is {text[:80]!r}: give a date or a time as 2026-11-30 or 2026-11-30T08:30:00Z"
        ) from None


def _test(name: str, text: str) -> FieldTest:
    """`field=Amount>=100`; or `field.Amount>=100`, which a query splits at its first `=`."""
    from fraudloop.ledger.records import FieldTest

    written = text
    if name != FIELD:
        # Without any `=`, as in field.Amount>100, all of it is the name.
        rest = name.removeprefix(FIELD_DOT)
        written = f"{rest}={text}" if text else rest
    found = _TEST.fullmatch(written)
    if found is None or len(written) > LONGEST or (found[2][0] in "<>" and not found[3]):
        raise DataError(
            f"field is {written[:80]!r}: write a field, one of = != < <= > >=, and a value, as in "
            "field=Amount>=100"
        )
    column, operator, value = found.groups()
    if '"' in column:
        raise DataError(f"{column[:40]!r} cannot be asked for as a field: correct its name")
    compared: float | str = value
    if NUMBER.fullmatch(value):
        compared = number(f"field {column[:40]!r}", value)
    elif len(value) > 1 and value[0] == value[-1] == '"':
        compared = value[1:-1]  # a text that reads like a number
    return FieldTest(column, cast("Any", operator), compared)


def _text(name: str, text: str) -> str:
    if not 0 < len(text) <= LONGEST:
        raise DataError(f"{name} is {len(text):,} characters long: give 1 to {LONGEST}")
    return text


def _share(name: str, text: str) -> float:
    value = number(name, text)
    if not 0 <= value <= 1:
        raise DataError(f"{name} is {text[:80]!r}: a score is from 0 to 1")
    return value


def _one_of(values: dict[str, Any]) -> Callable[[str, str], Any]:
    def read(name: str, text: str) -> Any:
        if text not in values:
            raise DataError(f"{name} is {text[:80]!r}: take {' or '.join(values)}")
        return values[text]

    return read


def _key(name: str, text: str) -> str:
    if not 0 < len(text) <= LONGEST_KEY:
        raise DataError(f"{name} is no key of ours: take `next` of the page before as it came")
    return text


_BINARY = _one_of({"0": 0, "1": 1})
# By the name in a query: what it is in Filters, and how it is read.
READ: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "from": ("since", moment),
    "to": ("until", moment),
    "prediction": ("prediction", _BINARY),
    "min_score": ("least_score", _share),
    "max_score": ("most_score", _share),
    "model_version": ("model_version", _text),
    "verdict": ("judged", _one_of(YES_OR_NO)),
    "true_value": ("true_value", _BINARY),
    "source": ("source", _one_of({name: name for name in ("stream", "online", "batch")})),
    "card": ("card", _text),
    "order": ("order", _one_of({name: name for name in ORDERS})),
    "after": ("after", _key),
    "limit": ("limit", lambda name, text: whole(name, text, MOST)),
}
