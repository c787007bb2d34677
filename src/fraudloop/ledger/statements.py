"""Which decisions, in which order, from where on → one statement for both databases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from math import isfinite
from typing import Any

import msgspec
from sqlalchemy import (
    ColumnElement,
    Numeric,
    Select,
    Text,
    and_,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)

from fraudloop.errors import DataError
from fraudloop.ledger.records import NEWEST, Decision, FieldTest, Filters, Kept, Order, Verdict
from fraudloop.ledger.tables import Real, decisions, judged, verdicts

_LONGEST_FIELD = 200
_NUMBERS = {"sqlite": ("integer", "real"), "postgresql": ("number",)}


# What the index of scores holds: said in the statement itself, so that the index is seen to fit.
RISKY = literal_column("0.01", Real)


def page(
    filters: Filters,
    order: Order,
    after: str | None,
    limit: int,
    dialect: str,
    *,
    risky: bool = False,
) -> Select[Any]:
    """A page of decisions, each with its newest verdict where it has one; or the `risky` alone."""
    where = _conditions(filters, dialect)
    if risky:
        where.append(decisions.c.score >= RISKY)
    # By the judged ones' own index, where only they are asked for: there are few of them.
    only_judged = filters.judged is True or filters.true_value is not None
    if order == NEWEST and only_judged:
        key: tuple[Any, Any] = (judged.c.decided_at, judged.c.decision_id)
    elif order == NEWEST:
        key = (decisions.c.decided_at, decisions.c.id)
    else:
        key = (decisions.c.score, decisions.c.id)
    if after is not None:
        where.append(beyond(key, _parsed(after, order)))
    wanted = with_verdict(inner=only_judged).where(*where)
    return wanted.order_by(key[0].desc(), key[1].desc()).limit(limit)


def with_verdict(*, inner: bool = False) -> Select[Any]:
    """Decisions beside their newest verdict; with `inner`, only those that have one."""
    match = and_(
        judged.c.decision_id == decisions.c.id, judged.c.decided_at == decisions.c.decided_at
    )
    joined = decisions.join(judged, match, isouter=not inner)
    joined = joined.join(verdicts, verdicts.c.number == judged.c.number, isouter=not inner)
    return select(decisions, *verdicts.c).select_from(joined)


def confirmed(card: str) -> Select[Any]:
    """The judged decisions of a card, the oldest first."""
    wanted = with_verdict(inner=True).where(decisions.c.card == card)
    return wanted.order_by(judged.c.decided_at, judged.c.decision_id)


def key_text(order: Order, value: datetime | float, id: str) -> str:
    """Where a page ends, as text that a client sends back."""
    first = value.isoformat() if isinstance(value, datetime) else value
    return msgspec.json.encode([order, first, id]).hex()


def _parsed(key: str, order: Order) -> tuple[datetime | float, str]:
    try:
        said, first, id = msgspec.json.decode(bytes.fromhex(key), type=tuple[str, str | float, str])
        moment = datetime.fromisoformat(first) if isinstance(first, str) else first
        if said != order or isinstance(moment, datetime) != (order == NEWEST) or "\0" in id:
            raise ValueError
        if isinstance(moment, datetime) and moment.tzinfo is None:
            raise ValueError
    except (ValueError, msgspec.MsgspecError):
        raise DataError("the key of the next page is none of ours: take it as it came") from None
    return moment, id


def beyond(key: tuple[Any, Any], last: tuple[datetime | float, str]) -> ColumnElement[bool]:
    """What comes after `last`, in falling order of two columns."""
    bound = [literal(value, column.type) for column, value in zip(key, last, strict=True)]
    smaller: ColumnElement[bool] = tuple_(*key) < tuple_(*bound)
    return smaller


def _conditions(filters: Filters, dialect: str) -> list[ColumnElement[bool]]:
    of = decisions.c
    asked: list[tuple[Any, Any]] = [
        (filters.since, lambda value: of.decided_at >= value),
        (filters.until, lambda value: of.decided_at < value),
        (filters.prediction, lambda value: of.prediction == _literal(value)),
        (filters.least_score, lambda value: of.score >= value),
        (filters.most_score, lambda value: of.score <= value),
        (filters.model_version, lambda value: of.model_version == value),
        (filters.source, lambda value: of.source == value),
        (filters.card, lambda value: of.card == value),
        (filters.true_value, lambda value: judged.c.true_value == value),
    ]
    made = [condition(value) for value, condition in asked if value is not None]
    if filters.judged is False:
        made.append(judged.c.decision_id.is_(None))
    return made + [_field(test, dialect) for test in filters.fields]


def _literal(value: int) -> ColumnElement[int]:
    """A value that the statement itself holds, so that a partial index is seen to fit."""
    return literal_column("1" if value else "0")


def _field(test: FieldTest, dialect: str) -> ColumnElement[bool]:
    """A test of a field; a row whose value is of another kind does not pass, and breaks nothing."""
    if not 0 < len(test.name) <= _LONGEST_FIELD or '"' in test.name or "\0" in test.name:
        raise DataError(f"{test.name[:40]!r} cannot be asked for as a field: correct its name")
    document = decisions.c.transaction
    if dialect == "sqlite":
        path = f'$."{test.name}"'
        kind, value = func.json_type(document, path), func.json_extract(document, path)
    else:
        name = literal(test.name, Text)
        kind = func.json_typeof(func.json_extract_path(document, name))
        value = func.json_extract_path_text(document, name)
    compare = _COMPARED[test.operator]
    if isinstance(test.value, str):
        return compare(cast(value, Text), test.value)
    if not isfinite(test.value):
        raise DataError(f"field {test.name!r} cannot be compared with {test.value}: give a number")
    # PostgreSQL refuses a number too large for a double, and with it the whole statement.
    exact = Real if dialect == "sqlite" else Numeric
    number = case((or_(*(kind == word for word in _NUMBERS[dialect])), cast(value, exact)))
    other = float(test.value) if dialect == "sqlite" else Decimal(repr(test.value))
    return compare(number, literal(other, exact))


_COMPARED: dict[str, Callable[[Any, Any], ColumnElement[bool]]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def kept(row: Any, history: tuple[Verdict, ...] = ()) -> Kept:
    """The decision in a row of `with_verdict`."""
    transaction: Mapping[str, Any] = row.transaction
    decision = Decision(
        row.id,
        transaction,
        row.score,
        row.prediction,
        row.model_version,
        row.decided_at,
        row.source,
        row.reasons,
    )
    newest = None if row.number is None else verdict(row)
    return Kept(decision, row.card, newest, history)


def verdict(row: Any) -> Verdict:
    """The verdict in a row that has its table's columns."""
    return Verdict(row.number, row.decision_id, row.true_value, row.given_by, row.why, row.given_at)
