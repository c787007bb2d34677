"""Decisions → rows: refused if the ledger could not give them back as they were."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from math import isfinite
from reprlib import repr as shortened
from typing import Any

import msgspec

from fraudloop.errors import DataError
from fraudloop.ledger.records import LONGEST_ID, SOURCES, Decision

CHUNK = 256  # decisions: while the server reads one chunk, the next is written
FIRST_YEAR, LAST_YEAR = 1970, 2199
_LONGEST_NAME = 200
_ESCAPED = {ord("\\"): "\\\\", ord("\t"): "\\t", ord("\n"): "\\n", ord("\r"): "\\r"}


def once(decisions: Iterable[Decision]) -> list[Decision]:
    """Each id once, the first decision counting, ordered as the indices are, all of them checked.

    In order they cost less to index, and two processes with the same ids wait for each other
    instead of for ever.
    """
    found: dict[str, Decision] = {}
    for decision in decisions:
        if decision.id not in found:
            _check(decision)
            found[decision.id] = decision
    return sorted(found.values(), key=lambda decision: (decision.decided_at, decision.id))


def by_day(decisions: Iterable[Decision]) -> dict[date, list[Decision]]:
    """The decisions of each day (UTC)."""
    days: dict[date, list[Decision]] = {}
    for decision in decisions:
        moment = decision.decided_at
        day = (moment if moment.tzinfo is UTC else moment.astimezone(UTC)).date()
        days.setdefault(day, []).append(decision)
    return days


def document(decision: Decision) -> bytes:
    """The transaction as JSON."""
    return _encoded(decision, decision.transaction)


def reasons(decision: Decision) -> bytes | None:
    """The reasons as JSON, None if there are none."""
    return None if decision.reasons is None else _encoded(decision, decision.reasons)


def id_lines(decisions: Iterable[Decision]) -> bytes:
    """COPY's lines of `decision_ids`: id, decided_at."""
    said = _Moments()
    return "".join([f"{_field(each.id)}\t{said[each.decided_at]}\n" for each in decisions]).encode()


def lines(decisions: Sequence[Decision], card: str) -> Iterator[bytes]:
    """COPY's lines of `decisions`, in chunks, in the order of COLUMNS."""
    said = _Moments()
    own = _field(card)
    for start in range(0, len(decisions), CHUNK):
        some = decisions[start : start + CHUNK]
        yield "".join([_line(each, own, said[each.decided_at]) for each in some]).encode()


COLUMNS = (
    *("id", "card", "transaction", "score", "prediction"),
    *("model_version", "decided_at", "source", "reasons"),
)


class _Moments(dict[datetime, str]):
    """How moments are written, each once: a batch is decided in one or a few."""

    def __missing__(self, moment: datetime) -> str:
        self[moment] = moment.isoformat()
        return self[moment]


def _line(decision: Decision, card: str, moment: str) -> str:
    # JSON has neither tabs nor line ends, but backslashes, which COPY wants twice.
    told = "\\N" if decision.reasons is None else _twice(reasons(decision) or b"")
    transaction = _twice(document(decision))
    return (
        f"{_field(decision.id)}\t{card}\t{transaction}\t{decision.score!r}\t{decision.prediction}"
        f"\t{_field(decision.model_version)}\t{moment}\t{decision.source}\t{told}\n"
    )


def _twice(document: bytes) -> str:
    return document.replace(b"\\", b"\\\\").decode()


def _field(text: str) -> str:
    # Hardly any text is written otherwise: to look is cheaper than to translate.
    plain = text.isprintable() and "\\" not in text
    return text if plain else text.translate(_ESCAPED)


def _check(decision: Decision) -> None:
    id, moment = decision.id, decision.decided_at
    if not isinstance(id, str) or not can_be_an_id(id):
        raise _unfit(decision, f"has no id of 1 to {LONGEST_ID} bytes of text without NUL")
    if moment.tzinfo is None or not FIRST_YEAR < moment.year < LAST_YEAR:
        raise _unfit(decision, f"was decided at {moment.isoformat()}: give a time with its zone")
    if not 0 <= decision.score <= 1:
        raise _unfit(decision, f"has the score {decision.score!r}, which is not from 0 to 1")
    if decision.prediction not in (0, 1):
        raise _unfit(decision, f"has the prediction {decision.prediction!r}, neither 0 nor 1")
    if decision.source not in SOURCES:
        raise _unfit(decision, f"comes from {decision.source!r}, none of {', '.join(SOURCES)}")
    check_name(decision.model_version, "a model version")
    if not isinstance(decision.transaction, Mapping):
        raise _unfit(decision, "is no object of fields and values")


def check_name(name: str, what: str) -> None:
    """Refuse what cannot be a name in the ledger."""
    if not 0 < len(name) <= _LONGEST_NAME or "\0" in name or not name.isprintable():
        raise DataError(f"{name[:40]!r} cannot be {what}: take 1 to {_LONGEST_NAME} characters")


def _encoded(decision: Decision, value: Any) -> bytes:
    try:
        encoded = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        reason = " ".join(str(error).split())
        raise _unfit(decision, f"cannot be written as JSON ({reason})") from error
    # The only ways to lose something on the way; both look for what is rare in any text first.
    if b"null" in encoded and _has_what_is_no_number(value):
        raise _unfit(decision, "holds NaN or an infinite number")
    if b"\\" in encoded and b"\\u0000" in encoded and _has_nul(value):
        raise _unfit(decision, "holds a NUL character, which no database keeps in a text")
    return encoded


def _has_what_is_no_number(value: Any) -> bool:
    return any(isinstance(leaf, float) and not isfinite(leaf) for leaf in _leaves(value))


def _has_nul(value: Any) -> bool:
    return any(isinstance(leaf, str) and "\0" in leaf for leaf in _leaves(value))


def _leaves(value: Any) -> Iterator[Any]:
    """All names and values in a document."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield name
            yield from _leaves(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _leaves(each)
    else:
        yield value


def _unfit(decision: Decision, problem: str) -> DataError:
    sentence = f"decision {shortened(decision.id)} {problem}: correct it before it is kept"
    row = decision.id[:_LONGEST_NAME] if isinstance(decision.id, str) else None
    return DataError(sentence, [{"row": row, "error": sentence}])


def check_moment(value: datetime, what: str) -> None:
    """Refuse a time without its zone, or one of another age."""
    if value.tzinfo is None or not FIRST_YEAR < value.year < LAST_YEAR:
        raise DataError(f"{what} is {value.isoformat()}: give a time with its zone")


def is_text(value: str) -> bool:
    """Whether it can be written at all: half of a surrogate pair cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def can_be_an_id(id: str) -> bool:
    """Whether a decision may be called this."""
    if not 0 < len(id) <= LONGEST_ID or "\0" in id:
        return False
    return id.isascii() or (is_text(id) and len(id.encode()) <= LONGEST_ID)
