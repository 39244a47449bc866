"""Alerts, endpoints and their secrets, deliveries and their attempts."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.data.migrations import org_scoped

revision = "notifier_0001"
down_revision = None
branch_labels = ("notifier",)
depends_on = "kernel_0001"

TABLES = ("alert", "endpoint", "endpoint_secret", "delivery", "delivery_attempt")


def upgrade() -> None:
    _alert()
    _endpoint()
    _endpoint_secret()
    _delivery()
    _delivery_attempt()
    for table in TABLES:
        org_scoped(op, table)


def _instant(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def _uuid(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Uuid, nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Text, nullable=nullable)


def _integer(name: str, *, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.Integer, nullable=nullable)


def _flag(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.Boolean, nullable=False)


def _owned() -> list[sa.Column[object]]:
    return [
        _uuid("id"),
        _integer("version"),
        _instant("created_at"),
        _instant("updated_at"),
        _uuid("org_id"),
    ]


def _alert() -> None:
    op.create_table(
        "alert",
        *_owned(),
        _uuid("charter_id", nullable=True),
        _uuid("customer_org_id", nullable=True),
        _uuid("provider_org_id", nullable=True),
        _text("rule"),
        _text("event_type"),
        _uuid("subject_id"),
        _text("dedup_key"),
        _text("title"),
        _text("priority"),
        _text("state"),
        sa.Column("roles", ARRAY(sa.Text), nullable=False),
        _flag("must_act"),
        _flag("ends_with_cause"),
        _integer("occurrences"),
        _instant("last_event_at"),
        _instant("acknowledged_at", nullable=True),
        _uuid("acknowledged_by", nullable=True),
        _instant("snoozed_until", nullable=True),
        _uuid("snoozed_by", nullable=True),
        _instant("resolved_at", nullable=True),
        _uuid("resolved_by", nullable=True),
        _text("resolution", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alert"),
    )
    op.create_index("ix_alert_org_id", "alert", ["org_id"])
    op.create_index("ix_alert_charter_id", "alert", ["charter_id"])
    unresolved = sa.text("state <> 'resolved'")
    op.create_index(
        "uq_alert_dedup_key", "alert", ["org_id", "dedup_key"], unique=True, postgresql_where=unresolved
    )
    op.create_index("ix_alert_unresolved", "alert", ["dedup_key"], postgresql_where=unresolved)


def _endpoint() -> None:
    op.create_table(
        "endpoint",
        *_owned(),
        _text("name"),
        _text("url"),
        _text("template"),
        sa.Column("template_options", JSONB, nullable=False),
        sa.Column("event_types", ARRAY(sa.Text), nullable=False),
        _text("least_priority"),
        _integer("max_in_flight"),
        _flag("enabled"),
        _instant("disabled_at", nullable=True),
        _text("disabled_reason", nullable=True),
        _instant("deleted_at", nullable=True),
        _instant("tested_at", nullable=True),
        _text("secret_last4"),
        _flag("has_authorization"),
        _text("circuit"),
        _instant("circuit_open_until", nullable=True),
        _instant("circuit_closed_at", nullable=True),
        _integer("circuit_trips"),
        _integer("failures_in_a_row"),
        _instant("failing_since", nullable=True),
        _integer("configuration_failures"),
        _instant("throttled_until", nullable=True),
        _instant("warned_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_endpoint"),
        sa.CheckConstraint("max_in_flight BETWEEN 1 AND 64", name=op.f("ck_endpoint_max_in_flight")),
    )
    op.create_index("ix_endpoint_org_id", "endpoint", ["org_id"])


def _endpoint_secret() -> None:
    op.create_table(
        "endpoint_secret",
        _uuid("id"),
        _uuid("endpoint_id"),
        _uuid("org_id"),
        _text("purpose"),
        _integer("secret_version"),
        _text("key_id"),
        sa.Column("nonce", sa.LargeBinary, nullable=False),
        sa.Column("ciphertext", sa.LargeBinary, nullable=False),
        _text("last4"),
        _instant("created_at"),
        _instant("expires_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_endpoint_secret"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name="fk_endpoint_secret_endpoint_id"),
        sa.UniqueConstraint(
            "endpoint_id",
            "purpose",
            "secret_version",
            name="uq_endpoint_secret_endpoint_id_purpose_secret_version",
        ),
    )


def _delivery() -> None:
    op.create_table(
        "delivery",
        *_owned(),
        _uuid("endpoint_id"),
        _uuid("alert_id", nullable=True),
        _uuid("event_id"),
        _text("event_type"),
        _text("change", nullable=True),
        _text("content_type"),
        _text("body"),
        _flag("is_test"),
        _text("state"),
        _integer("attempt"),
        _integer("round_start"),
        _instant("next_attempt_at", nullable=True),
        _uuid("lease_token", nullable=True),
        _instant("lease_until", nullable=True),
        _integer("last_status", nullable=True),
        _text("last_error", nullable=True),
        _instant("done_at", nullable=True),
        _text("traceparent", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_delivery"),
        sa.ForeignKeyConstraint(["endpoint_id"], ["endpoint.id"], name="fk_delivery_endpoint_id"),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name="fk_delivery_alert_id"),
        sa.UniqueConstraint(
            "endpoint_id", "event_id", "alert_id", name="uq_delivery_endpoint_id_event_id_alert_id"
        ),
    )
    _delivery_indexes()


def _delivery_indexes() -> None:
    pending, in_flight = sa.text("state = 'pending'"), sa.text("state = 'in_flight'")
    tests = sa.text("is_test AND state = 'pending'")
    op.create_index("ix_delivery_org_id", "delivery", ["org_id"])
    op.create_index("ix_delivery_alert", "delivery", ["alert_id", "endpoint_id"])
    op.create_index("ix_delivery_endpoint_created", "delivery", ["endpoint_id", "created_at"])
    op.create_index("ix_delivery_tests", "delivery", ["next_attempt_at"], postgresql_where=tests)
    op.create_index(
        "ix_delivery_due", "delivery", ["endpoint_id", "next_attempt_at", "id"], postgresql_where=pending
    )
    op.create_index(
        "ix_delivery_in_flight", "delivery", ["endpoint_id", "lease_until"], postgresql_where=in_flight
    )


def _delivery_attempt() -> None:
    op.create_table(
        "delivery_attempt",
        _uuid("id"),
        _uuid("delivery_id"),
        _uuid("endpoint_id"),
        _uuid("org_id"),
        _integer("number"),
        _instant("finished_at"),
        _integer("duration_ms"),
        _text("verdict"),
        _integer("status", nullable=True),
        _text("fault", nullable=True),
        _text("error"),
        _text("address", nullable=True),
        _text("excerpt"),
        sa.PrimaryKeyConstraint("id", name="pk_delivery_attempt"),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name="fk_delivery_attempt_delivery_id"),
        sa.UniqueConstraint("delivery_id", "number", name="uq_delivery_attempt_delivery_id_number"),
    )
    op.create_index("ix_delivery_attempt_endpoint_at", "delivery_attempt", ["endpoint_id", "finished_at"])
