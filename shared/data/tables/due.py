"""The table of what waits for a moment: deadlines, reminders, things that take effect on their day."""

from sqlalchemy import Column, DateTime, Index, Integer, MetaData, Table, Text, UniqueConstraint, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

INSTANT = DateTime(timezone=True)


def due_table(metadata: MetaData) -> None:
    """Declare the table in a service's metadata; `shared.runtime.due` reads and writes it."""
    Table(
        "due",
        metadata,
        Column("id", Uuid, primary_key=True),
        Column("kind", Text, nullable=False),
        Column("subject_type", Text, nullable=False),
        Column("subject_id", Uuid, nullable=False),
        # Whose it is, as the subject says; an organization's own affair has no charter, and that organization twice.
        Column("charter_id", Uuid),
        Column("customer_org_id", Uuid, nullable=False),
        Column("provider_org_id", Uuid, nullable=False),
        Column("visibility", Text, nullable=False),
        Column("due_at", INSTANT, nullable=False),
        # Those still to come, as [{name, at}], earliest first.
        Column("steps", JSONB, nullable=False),
        Column("wakes_at", INSTANT, nullable=False),
        Column("attempts", Integer, nullable=False, server_default=text("0")),
        Column("last_error", Text),
        UniqueConstraint("kind", "subject_id"),
        Index("ix_due_wakes_at", "wakes_at"),
        Index("ix_due_postponed", "id", postgresql_where=text("attempts > 0")),
    )
