"""What stands around decisions: audit rows, drift reports, jobs, alerts that are owed."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, text

from fraudloop.ledger.migrations.columns import ID, JSON, MOMENT, NUMBER, REAL, SMALL, TEXT

revision = "0002"
down_revision: str | None = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audit",
        Column("number", NUMBER, primary_key=True, autoincrement=True),
        Column("at", MOMENT, nullable=False),
        Column("by_whom", TEXT, nullable=False),
        Column("action", TEXT, nullable=False),
        Column("subject", TEXT, nullable=False),
        Column("detail", JSON, nullable=False),
        sqlite_strict=True,
        sqlite_autoincrement=True,
    )
    op.create_index("audit_of_an_action", "audit", ["action", "number"])
    op.create_table(
        "drift_reports",
        Column("id", ID, primary_key=True),
        Column("card", TEXT, nullable=False),
        Column("made_at", MOMENT, nullable=False),
        Column("found", SMALL, nullable=False),
        Column("report", JSON, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("drift_reports_newest", "drift_reports", ["made_at", "id"])
    _jobs()
    _alerts()


def _jobs() -> None:
    op.create_table(
        "jobs",
        Column("id", ID, primary_key=True),
        Column("lane", TEXT, nullable=False),
        Column("kind", TEXT, nullable=False),
        Column("state", TEXT, nullable=False),
        Column("asked_by", TEXT, nullable=False),
        Column("why", TEXT, nullable=False),
        Column("created_at", MOMENT, nullable=False),
        Column("seen_at", MOMENT),
        Column("finished_at", MOMENT),
        Column("progress", REAL, nullable=False),
        Column("message", TEXT, nullable=False),
        Column("detail", JSON, nullable=False),
        sqlite_strict=True,
    )
    # One open job in a lane: the database says so, whichever process asks.
    op.create_index(
        "jobs_open",
        "jobs",
        ["lane"],
        unique=True,
        postgresql_where=text("finished_at IS NULL"),
        sqlite_where=text("finished_at IS NULL"),
    )
    op.create_index("jobs_newest", "jobs", ["created_at", "id"])


def _alerts() -> None:
    op.create_table(
        "alerts_owed",
        Column("decision_id", ID, primary_key=True),
        Column("decided_at", MOMENT, nullable=False),
        Column("score", REAL, nullable=False),
        Column("held_until", MOMENT),
        Column("told_at", MOMENT),
        Column("told_how", TEXT),
        sqlite_strict=True,
    )
    op.create_index(
        "alerts_still_owed",
        "alerts_owed",
        ["score"],
        postgresql_where=text("told_at IS NULL"),
        sqlite_where=text("told_at IS NULL"),
    )
    op.create_index("alerts_told", "alerts_owed", ["told_at"])


def downgrade() -> None:
    """Take the tables away, with all that is in them."""
    for name in ("alerts_owed", "jobs", "drift_reports", "audit"):
        op.drop_table(name)
