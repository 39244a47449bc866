"""The change-request log: requests, ballots, decisions, escalations."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.data.migrations import govern, write_once

revision = "changes_0001"
down_revision = None
branch_labels = ("changes",)
depends_on = "kernel_0001"

GOVERNED = ("change_request", "ballot", "decision", "escalation")


def upgrade() -> None:
    _create_change_request()
    _create_ballot()
    _create_decision()
    _create_escalation()
    for table in GOVERNED:
        for column in ("charter_id", "customer_org_id", "provider_org_id"):
            op.create_index(f"ix_{table}_{column}", table, [column])
        govern(op, table)
    write_once(op, "decision")


def _create_change_request() -> None:
    op.create_table(
        "change_request",
        *_governed(),
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
        _text("body", nullable=True),
        _text("body_name", nullable=True),
        sa.Column("tier", sa.Integer),
        _text("computed_body", nullable=True),
        sa.Column("explanation", JSONB, nullable=False),
        sa.Column("rung", sa.Integer, nullable=False),
        _instant("clock_starts_at"),
        _instant("clock_warns_at"),
        _instant("clock_ends_at"),
        sa.Column("clock_rule", JSONB),
        _instant("clock_warned_at"),
        _instant("clock_expired_at"),
        sa.Column("escalation_id", sa.Uuid),
        sa.Column("decision_id", sa.Uuid),
        _instant("decided_at"),
        sa.PrimaryKeyConstraint("id", name="pk_change_request"),
        sa.UniqueConstraint("charter_id", "number", name="uq_change_request_charter_id_number"),
    )
    op.create_index(
        "ix_change_request_running_clock",
        "change_request",
        ["clock_ends_at", "clock_warns_at"],
        postgresql_where=sa.text("state = 'pending_decision'"),
    )
    op.create_index("ix_change_request_updated_at", "change_request", ["updated_at"])


def _create_ballot() -> None:
    op.create_table(
        "ballot",
        *_governed(),
        sa.Column("change_id", sa.Uuid, nullable=False),
        sa.Column("rung", sa.Integer, nullable=False),
        _text("body"),
        _text("party"),
        sa.Column("member_id", sa.Uuid, nullable=False),
        _text("member_name"),
        sa.Column("member_roles", ARRAY(sa.Text), nullable=False),
        _text("vote"),
        _text("rationale"),
        _text("conditions"),
        _text("dissent"),
        _text("status"),
        sa.PrimaryKeyConstraint("id", name="pk_ballot"),
        sa.ForeignKeyConstraint(["change_id"], ["change_request.id"], name="fk_ballot_change_id"),
    )
    op.create_index("ix_ballot_change_id", "ballot", ["change_id"])
    op.create_index(
        "uq_ballot_standing",
        "ballot",
        ["change_id", "party"],
        unique=True,
        postgresql_where=sa.text("status = 'standing'"),
    )


def _create_decision() -> None:
    op.create_table(
        "decision",
        *_governed(),
        _text("number"),
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
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
        sa.UniqueConstraint("charter_id", "number", name="uq_decision_charter_id_number"),
    )
    op.create_index("ix_decision_subject_id", "decision", ["subject_id"])


def _create_escalation() -> None:
    op.create_table(
        "escalation",
        *_governed(),
        _text("number"),
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
        sa.UniqueConstraint("charter_id", "number", name="uq_escalation_charter_id_number"),
    )
    op.create_index("ix_escalation_subject_id", "escalation", ["subject_id"])
    op.create_index(
        "uq_escalation_open",
        "escalation",
        ["subject_id"],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )


def _governed() -> list[sa.Column[object]]:
    """Identity, version and scope, as every governed table has them."""
    return [
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("charter_id", sa.Uuid, nullable=False),
        sa.Column("customer_org_id", sa.Uuid, nullable=False),
        sa.Column("provider_org_id", sa.Uuid, nullable=False),
        sa.Column("visibility", sa.Text, nullable=False),
    ]


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _instant(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True))
