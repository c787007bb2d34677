"""Who holds an alert that is owed, and which messages told of how many."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column

from fraudloop.ledger.migrations.columns import ID, MOMENT, NUMBER, TEXT

revision = "0003"
down_revision: str | None = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table and the column."""
    op.add_column("alerts_owed", Column("held_by", TEXT))
    op.create_table(
        "alert_messages",
        Column("id", ID, primary_key=True),
        Column("channel", TEXT, nullable=False),
        Column("sent_at", MOMENT, nullable=False),
        Column("listed", NUMBER, nullable=False),
        Column("counted", NUMBER, nullable=False),
        sqlite_strict=True,
    )
    op.create_index("alert_messages_of_a_channel", "alert_messages", ["channel", "sent_at"])


def downgrade() -> None:
    """Take them away."""
    op.drop_table("alert_messages")
    op.drop_column("alerts_owed", "held_by")
