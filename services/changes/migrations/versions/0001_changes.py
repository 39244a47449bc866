"""The change-request log, and what the bodies decide: matters, positions, concurrences, decisions, escalations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.data.migrations import govern, governed_columns, index_parties, write_once

revision = "changes_0001"
down_revision = None
branch_labels = ("changes",)
depends_on = "kernel_0001"

HASH_OF_SUBJECT = "subject_text IS NULL OR subject_hash = encode(sha256(subject_text), 'hex')"
GOVERNED = ("change_request", "matter", "position", "concurrence", "decision", "escalation")


def upgrade() -> None:
    _create_change_request()
    _create_matter()
    _create_position()
    _create_concurrence()
    _create_decision()
    _create_escalation()
    for table in GOVERNED:
        index_parties(op, table)
        govern(op, table)
    write_once(op, "decision")


def _create_change_request() -> None:
    op.create_table(
        "change_request",
        *governed_columns(),
        _text("number"),
        _text("title"),
        _text("type"),
        _text("category"),
        _text("description"),
        _text("justification"),
        _text("consequence_of_not_doing"),
        _text("back_out_plan"),
        _text("priority_impact"),
        _text("priority_urgency"),
        _text("severity"),
        _text("origin"),
        sa.Column("requester_id", sa.Uuid, nullable=False),
        _text("requester_name"),
        sa.Column("charter_version", sa.Integer, nullable=False),
        sa.Column("impact", JSONB, nullable=False),
        _text("requested_body", nullable=True),
        _text("reason_code", nullable=True),
        _text("state"),
        sa.Column("required_missing", ARRAY(sa.Text), nullable=False),
        sa.Column("matter_id", sa.Uuid),
        sa.PrimaryKeyConstraint("id", name="pk_change_request"),
        sa.UniqueConstraint("charter_id", "number", name="uq_change_request_charter_id_number"),
    )
    op.create_index("ix_change_request_updated_at", "change_request", ["updated_at"])


def _create_matter() -> None:
    op.create_table(
        "matter",
        *governed_columns(),
        _text("subject_kind"),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        _text("subject_number"),
        _text("subject_hash"),
        *_subject_text("matter"),
        _text("title"),
        _text("decision_class"),
        _text("question"),
        _text("origin", nullable=True),
        sa.Column("requester_id", sa.Uuid),
        _text("requester_name"),
        sa.Column("charter_version", sa.Integer, nullable=False),
        sa.Column("impact", JSONB, nullable=False),
        _text("severity", nullable=True),
        _text("requested_body", nullable=True),
        _text("reason_code", nullable=True),
        _text("state"),
        _text("body", nullable=True),
        _text("body_name", nullable=True),
        sa.Column("tier", sa.Integer),
        _text("computed_body", nullable=True),
        sa.Column("explanation", JSONB, nullable=False),
        sa.Column("entry", sa.Integer, nullable=False),
        _instant("clock_starts_at"),
        _instant("clock_warns_at"),
        _instant("clock_ends_at"),
        sa.Column("clock_rule", JSONB),
        _instant("clock_warned_at"),
        _instant("clock_expired_at"),
        sa.Column("escalation_id", sa.Uuid),
        sa.Column("decision_id", sa.Uuid),
        _instant("decided_at"),
        sa.PrimaryKeyConstraint("id", name="pk_matter"),
    )
    op.create_index("ix_matter_subject_id", "matter", ["subject_id"])
    op.create_index("ix_matter_updated_at", "matter", ["updated_at"])
    op.create_index(
        "uq_matter_open",
        "matter",
        ["subject_id", "decision_class"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )


def _create_position() -> None:
    op.create_table(
        "position",
        *governed_columns(),
        sa.Column("matter_id", sa.Uuid, nullable=False),
        sa.Column("entry", sa.Integer, nullable=False),
        _text("body"),
        _text("seat"),
        _text("party"),
        _text("role"),
        sa.Column("member_id", sa.Uuid, nullable=False),
        _text("member_name"),
        sa.Column("member_roles", ARRAY(sa.Text), nullable=False),
        _text("vote"),
        _text("rationale"),
        _text("conditions"),
        _text("dissent"),
        _text("status"),
        sa.PrimaryKeyConstraint("id", name="pk_position"),
        sa.ForeignKeyConstraint(["matter_id"], ["matter.id"], name="fk_position_matter_id"),
    )
    op.create_index("ix_position_matter_id", "position", ["matter_id"])
    op.create_index(
        "uq_position_standing",
        "position",
        ["matter_id", "party"],
        unique=True,
        postgresql_where=sa.text("status = 'standing'"),
    )


def _create_concurrence() -> None:
    op.create_table(
        "concurrence",
        *governed_columns(),
        sa.Column("matter_id", sa.Uuid, nullable=False),
        sa.Column("entry", sa.Integer, nullable=False),
        _text("party"),
        _text("role"),
        sa.Column("member_id", sa.Uuid, nullable=False),
        _text("member_name"),
        sa.Column("concurs", sa.Boolean, nullable=False),
        _text("reason"),
        _text("status"),
        sa.PrimaryKeyConstraint("id", name="pk_concurrence"),
        sa.ForeignKeyConstraint(["matter_id"], ["matter.id"], name="fk_concurrence_matter_id"),
    )
    op.create_index("ix_concurrence_matter_id", "concurrence", ["matter_id"])
    op.create_index(
        "uq_concurrence_standing",
        "concurrence",
        ["matter_id", "party", "role"],
        unique=True,
        postgresql_where=sa.text("status = 'standing'"),
    )


def _create_decision() -> None:
    op.create_table(
        "decision",
        *governed_columns(),
        _text("number"),
        sa.Column("matter_id", sa.Uuid, nullable=False),
        _text("decision_class"),
        _text("subject_kind"),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        _text("subject_number"),
        _text("question"),
        _text("outcome"),
        _text("conditions"),
        _text("rationale"),
        _text("dissent"),
        sa.Column("votes", JSONB, nullable=False),
        _text("body"),
        _text("body_name"),
        sa.Column("tier", sa.Integer, nullable=False),
        sa.Column("charter_version", sa.Integer, nullable=False),
        _text("charter_content_hash"),
        sa.Column("rules", JSONB, nullable=False),
        sa.Column("subject_snapshot", JSONB, nullable=False),
        _text("subject_hash"),
        *_subject_text("decision"),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
        sa.ForeignKeyConstraint(["matter_id"], ["matter.id"], name="fk_decision_matter_id"),
        sa.UniqueConstraint("charter_id", "number", name="uq_decision_charter_id_number"),
    )
    op.create_index("ix_decision_matter_id", "decision", ["matter_id"])
    op.create_index("ix_decision_subject_id", "decision", ["subject_id"])


def _create_escalation() -> None:
    op.create_table(
        "escalation",
        *governed_columns(),
        _text("number"),
        sa.Column("matter_id", sa.Uuid, nullable=False),
        _text("subject_kind"),
        sa.Column("subject_id", sa.Uuid, nullable=False),
        _text("subject_number"),
        _text("title"),
        _text("severity"),
        _text("state"),
        _text("from_body"),
        _text("body"),
        _text("cause"),
        _text("reason_code"),
        _instant("clock_ends_at"),
        _text("outcome", nullable=True),
        _instant("closed_at"),
        sa.PrimaryKeyConstraint("id", name="pk_escalation"),
        sa.ForeignKeyConstraint(["matter_id"], ["matter.id"], name="fk_escalation_matter_id"),
        sa.UniqueConstraint("charter_id", "number", name="uq_escalation_charter_id_number"),
    )
    op.create_index("ix_escalation_subject_id", "escalation", ["subject_id"])
    op.create_index(
        "uq_escalation_open",
        "escalation",
        ["matter_id"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )


def _subject_text(table: str) -> list[sa.schema.SchemaItem]:
    """What is decided upon, byte for byte."""
    return [
        sa.Column("subject_text", sa.LargeBinary),
        sa.Column("text_format", sa.Integer),
        sa.CheckConstraint(HASH_OF_SUBJECT, name=op.f(f"ck_{table}_subject_hash")),
    ]


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _instant(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))
