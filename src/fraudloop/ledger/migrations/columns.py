"""The kinds of columns that revisions are written with, frozen apart from the code's tables."""

from __future__ import annotations

from sqlalchemy import Integer, SmallInteger, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.types import TypeEngine

ID = Text().with_variant(postgresql.TEXT(collation="C"), "postgresql")
TEXT = Text()
SMALL = Integer().with_variant(SmallInteger(), "postgresql")
NUMBER = Integer().with_variant(postgresql.BIGINT(), "postgresql")
REAL: TypeEngine[float] = postgresql.DOUBLE_PRECISION().with_variant(sqlite.REAL(), "sqlite")
MOMENT = postgresql.TIMESTAMP(timezone=True).with_variant(sqlite.INTEGER(), "sqlite")
JSON = postgresql.JSON().with_variant(sqlite.TEXT(), "sqlite")
