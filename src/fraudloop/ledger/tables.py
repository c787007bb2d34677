"""The ledger's tables as its code speaks of them; the migrations make them.

Moments are `timestamptz` in PostgreSQL and microseconds since 1970 in SQLite, documents are JSON:
as they came, not JSONB, which takes three times as long to write and forgets -0.0.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import (
    Column,
    DateTime,
    Dialect,
    Double,
    Integer,
    MetaData,
    SmallInteger,
    Table,
    Text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeDecorator, TypeEngine

# The migrations there are, oldest first: what `alembic_version` says is held against them.
REVISIONS = ("0001", "0002", "0003")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Moment(TypeDecorator[datetime]):
    """An aware point in time, to the microsecond."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """How the database has it."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sqlite.INTEGER())
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """To the database."""
        return microseconds(value) if value is not None and dialect.name == "sqlite" else value

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        """From the database, always in UTC."""
        if value is None:
            return None
        if dialect.name == "sqlite":
            return _EPOCH + int(value) * _MICROSECOND
        moment: datetime = value.astimezone(UTC)
        return moment


class Json(TypeDecorator[Any]):
    """A document, None being NULL."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """How the database has it."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sqlite.TEXT())
        return dialect.type_descriptor(postgresql.JSON(none_as_null=True))

    def process_bind_param(self, value: Any, dialect: Dialect) -> Any:
        """To the database: PostgreSQL's own type writes it itself."""
        if value is None or dialect.name != "sqlite":
            return value
        return to_json(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """From the database."""
        return from_json(value) if isinstance(value, str) and dialect.name == "sqlite" else value


def microseconds(moment: datetime) -> int:
    """Since 1970, exactly: a float of seconds would lose the last digit."""
    return (moment - _EPOCH) // _MICROSECOND


def to_json(value: Any) -> str:
    """A document as text."""
    return msgspec.json.encode(value).decode()


def from_json(text: str | bytes) -> Any:
    """The document in a text."""
    return msgspec.json.decode(text)


class Real(TypeDecorator[float]):
    """A double; a strict table of SQLite has but one word for it."""

    impl = Double
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """How the database has it."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(sqlite.REAL())
        return dialect.type_descriptor(postgresql.DOUBLE_PRECISION())

    def process_result_value(self, value: float | None, dialect: Dialect) -> float | None:
        """From the database: SQLite's RETURNING gives a whole number as one."""
        return None if value is None else float(value)


# Ids sort by their bytes in both databases, whatever the language of the server.
Id = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
Small = Integer().with_variant(SmallInteger(), "postgresql")
Number = Integer().with_variant(postgresql.BIGINT(), "postgresql")

metadata = MetaData()

decisions = Table(
    "decisions",
    metadata,
    Column("id", Id, primary_key=True),
    Column("card", Text, nullable=False),
    Column("transaction", Json, nullable=False, quote=True),
    Column("score", Real, nullable=False),
    Column("prediction", Small, nullable=False),
    Column("model_version", Text, nullable=False),
    Column("decided_at", Moment, nullable=False),
    Column("source", Text, nullable=False),
    Column("reasons", Json),
)

# PostgreSQL alone: its partitions by day cannot hold an id unique over all days.
decision_ids = Table(
    "decision_ids",
    metadata,
    Column("id", Id, primary_key=True),
    Column("decided_at", Moment, nullable=False),
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("decision_id", Id, nullable=False),
    Column("true_value", Small, nullable=False),
    Column("given_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("given_at", Moment, nullable=False),
)

# The newest verdict of each decision, with the decision's own time for pages by key.
judged = Table(
    "judged",
    metadata,
    Column("decision_id", Id, primary_key=True),
    Column("decided_at", Moment, nullable=False),
    Column("number", Number, nullable=False),
    Column("true_value", Small, nullable=False),
    Column("given_at", Moment, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("name", Id, primary_key=True),
    Column("password_hash", Text, nullable=False),
    Column("roles", Json, nullable=False),
)

audit = Table(
    "audit",
    metadata,
    Column("number", Number, primary_key=True, autoincrement=True),
    Column("at", Moment, nullable=False),
    Column("by_whom", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("detail", Json, nullable=False),
)

drift_reports = Table(
    "drift_reports",
    metadata,
    Column("id", Id, primary_key=True),
    Column("card", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
    Column("found", Small, nullable=False),
    Column("report", Json, nullable=False),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", Id, primary_key=True),
    Column("lane", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("asked_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("created_at", Moment, nullable=False),
    Column("seen_at", Moment),
    Column("finished_at", Moment),
    Column("progress", Real, nullable=False),
    Column("message", Text, nullable=False),
    Column("detail", Json, nullable=False),
)

alerts_owed = Table(
    "alerts_owed",
    metadata,
    Column("decision_id", Id, primary_key=True),
    Column("decided_at", Moment, nullable=False),
    Column("score", Real, nullable=False),
    Column("held_until", Moment),
    Column("told_at", Moment),
    Column("told_how", Text),
    Column("held_by", Text),
)

alert_messages = Table(
    "alert_messages",
    metadata,
    Column("id", Id, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("sent_at", Moment, nullable=False),
    Column("listed", Number, nullable=False),
    Column("counted", Number, nullable=False),
)
