"""Decisions, verdicts, users."""

from __future__ import annotations

from alembic import op
from sqlalchemy import CheckConstraint, Column, ForeignKey, PrimaryKeyConstraint, text
from sqlalchemy.schema import SchemaItem

from fraudloop.ledger.migrations.columns import ID, JSON, MOMENT, NUMBER, REAL, SMALL, TEXT

revision = "0001"
down_revision: str | None = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    postgres = op.get_bind().dialect.name == "postgresql"
    _decisions(postgres)
    op.create_table(
        "verdicts",
        Column("number", NUMBER, primary_key=True, autoincrement=True),
        Column(
            "decision_id",
            ID,
            ForeignKey("decision_ids.id" if postgres else "decisions.id"),
            nullable=False,
        ),
        Column("true_value", SMALL, CheckConstraint("true_value IN (0, 1)"), nullable=False),
        Column("given_by", TEXT, nullable=False),
        Column("why", TEXT, nullable=False),
        Column("given_at", MOMENT, nullable=False),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index("verdicts_of_a_decision", "verdicts", ["decision_id"])
    op.create_table(
        "judged",
        Column("decision_id", ID, primary_key=True),
        Column("decided_at", MOMENT, nullable=False),
        Column("number", NUMBER, nullable=False),
        Column("true_value", SMALL, nullable=False),
        Column("given_at", MOMENT, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("judged_newest", "judged", ["decided_at", "decision_id"])
    op.create_table(
        "users",
        Column("name", ID, primary_key=True),
        Column("password_hash", TEXT, nullable=False),
        Column("roles", JSON, nullable=False),
        sqlite_strict=True,
    )


def _decisions(postgres: bool) -> None:
    columns: list[SchemaItem] = [
        Column("id", ID, nullable=False),
        Column("card", TEXT, nullable=False),
        Column("transaction", JSON, nullable=False, quote=True),
        Column("score", REAL, nullable=False),
        Column("prediction", SMALL, nullable=False),
        Column("model_version", TEXT, nullable=False),
        Column("decided_at", MOMENT, nullable=False),
        Column("source", TEXT, nullable=False),
        Column("reasons", JSON),
    ]
    if postgres:
        op.create_table(
            "decisions",
            *columns,
            PrimaryKeyConstraint("decided_at", "id"),
            postgresql_partition_by="RANGE (decided_at)",
        )
        op.create_table(
            "decision_ids",
            Column("id", ID, primary_key=True),
            Column("decided_at", MOMENT, nullable=False),
        )
        # Versions follow each other, so a few pages' smallest and greatest say where one is.
        op.create_index(
            "decisions_by_version", "decisions", ["model_version"], postgresql_using="brin"
        )
    else:
        op.create_table("decisions", *columns, PrimaryKeyConstraint("id"), sqlite_strict=True)
        op.create_index("decisions_newest", "decisions", ["decided_at", "id"])
        op.create_index("decisions_by_version", "decisions", ["model_version", "decided_at", "id"])
    op.create_index(
        "decisions_frauds",
        "decisions",
        ["decided_at", "id"],
        postgresql_where=text("prediction = 1"),
        sqlite_where=text("prediction = 1"),
    )
    # Nearly all scores are smaller; an index of them all would take a sixth of the time to keep.
    op.create_index(
        "decisions_riskiest",
        "decisions",
        ["score", "id"],
        postgresql_where=text("score >= 0.01"),
        sqlite_where=text("score >= 0.01"),
    )


def downgrade() -> None:
    """Take the tables away, with all that is in them."""
    for name in ("users", "judged", "verdicts"):
        op.drop_table(name)
    if op.get_bind().dialect.name == "postgresql":
        op.drop_table("decision_ids")
    op.drop_table("decisions")
