"""Agreements, SLAs, observations, performance reports and yearly reviews."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from shared.data.migrations import govern, governed_columns, index_parties
from shared.reviews.tables import create_reviews

revision = "sla_0001"
down_revision = None
branch_labels = ("sla",)
depends_on = "kernel_0001"

GOVERNED = ("agreement", "sla", "report", "report_result")


def upgrade() -> None:
    _agreement()
    _sla()
    _observation()
    _report()
    _report_result()
    for table in GOVERNED:
        index_parties(op, table)
        govern(op, table)
    govern(op, "observation")
    create_reviews(op)


def _agreement() -> None:
    op.create_table(
        "agreement",
        *governed_columns(),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("gtc_number", sa.Text),
        sa.Column("modification_number", sa.Integer, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("start_date", sa.Date, nullable=False),
        sa.Column("end_date", sa.Date, nullable=False),
        sa.Column("total_amount", sa.Numeric),
        sa.Column("termination_days", sa.Integer, nullable=False),
        sa.Column("next_review_due", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_agreement"),
        sa.UniqueConstraint("charter_id", "number", name="uq_agreement_charter_id_number"),
        sa.UniqueConstraint("customer_org_id", "gtc_number", name="uq_agreement_customer_org_id_gtc_number"),
    )


def _sla() -> None:
    op.create_table(
        "sla",
        *governed_columns(),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("agreement_id", sa.Uuid, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("effective_date", sa.Date, nullable=False),
        sa.Column("end_date", sa.Date, nullable=False),
        sa.Column("remediation_policy", sa.Text, nullable=False),
        sa.Column("calendar", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("due_business_day", sa.Integer, nullable=False),
        sa.Column("acknowledge_within_business_days", sa.Integer, nullable=False),
        sa.Column("metrics", JSONB, nullable=False),
        sa.Column("next_review_due", sa.Date, nullable=False),
        sa.Column("next_period_start", sa.Date),
        sa.Column("next_report_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_sla"),
        sa.UniqueConstraint("charter_id", "number", name="uq_sla_charter_id_number"),
        sa.ForeignKeyConstraint(["agreement_id"], ["agreement.id"], name="fk_sla_agreement_id"),
    )
    op.create_index("ix_sla_agreement_id", "sla", ["agreement_id"])


def _observation() -> None:
    op.create_table(
        "observation",
        sa.Column("sla_id", sa.Uuid, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("source_id", sa.Text, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True)),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
        sa.Column("value", sa.Numeric),
        sa.Column("good", sa.Boolean),
        sa.Column("attributes", JSONB, nullable=False),
        sa.Column("pauses", JSONB, nullable=False),
        sa.Column("deleted", sa.Boolean, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("received_by", sa.Uuid, nullable=False),
        sa.Column("charter_id", sa.Uuid, nullable=False),
        sa.Column("customer_org_id", sa.Uuid, nullable=False),
        sa.Column("provider_org_id", sa.Uuid, nullable=False),
        sa.Column("visibility", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("sla_id", "source", "source_id", "version", name="pk_observation"),
        sa.ForeignKeyConstraint(["sla_id"], ["sla.id"], name="fk_observation_sla_id"),
        sa.CheckConstraint(
            "deleted OR (occurred_at IS NOT NULL AND service <> '')", name="ck_observation_complete"
        ),
    )
    by_time = ["sla_id", "service", "occurred_at"]
    in_effect, lasting = sa.text("NOT deleted"), sa.text("NOT deleted AND kind <> 'probe'")
    op.create_index("ix_observation_in_time", "observation", by_time, postgresql_where=in_effect)
    op.create_index("ix_observation_lasting", "observation", by_time, postgresql_where=lasting)


def _report() -> None:
    op.create_table(
        "report",
        *governed_columns(),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("sla_id", sa.Uuid, nullable=False),
        sa.Column("sla_number", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        sa.Column("period_start", sa.Date, nullable=False),
        sa.Column("period_end", sa.Date, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("due_rule", sa.Text, nullable=False),
        sa.Column("calendar", sa.Text, nullable=False),
        sa.Column("calendar_version", sa.Integer, nullable=False),
        sa.Column("charter_version", sa.Integer, nullable=False),
        sa.Column("zone", sa.Text, nullable=False),
        sa.Column("overdue_at", sa.DateTime(timezone=True)),
        sa.Column("drafted_at", sa.DateTime(timezone=True)),
        sa.Column("observation_hash", sa.Text),
        sa.Column("result_text", sa.LargeBinary),
        sa.Column("result_format", sa.Integer),
        sa.Column("result_hash", sa.Text),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("attestation", sa.Text),
        sa.Column("published_at", sa.DateTime(timezone=True)),
        sa.Column("published_by", sa.Uuid),
        sa.Column("publisher_name", sa.Text),
        sa.Column("acknowledge_due", sa.DateTime(timezone=True)),
        sa.Column("ack_overdue_at", sa.DateTime(timezone=True)),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True)),
        sa.Column("acknowledged_by", sa.Uuid),
        sa.Column("acknowledger_name", sa.Text),
        sa.Column("remarks", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_report"),
        sa.CheckConstraint(
            "result_hash = encode(sha256(result_text), 'hex')", name=op.f("ck_report_result_hash")
        ),
        sa.UniqueConstraint("charter_id", "number", name="uq_report_charter_id_number"),
        sa.UniqueConstraint("sla_id", "period", name="uq_report_sla_id_period"),
        sa.ForeignKeyConstraint(["sla_id"], ["sla.id"], name="fk_report_sla_id"),
    )
    op.create_index("ix_report_sla_id", "report", ["sla_id"])


def _report_result() -> None:
    op.create_table(
        "report_result",
        *governed_columns(),
        sa.Column("report_id", sa.Uuid, nullable=False),
        sa.Column("position", sa.Integer, nullable=False),
        sa.Column("metric_key", sa.Text, nullable=False),
        sa.Column("metric_name", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("aggregation", sa.Text, nullable=False),
        sa.Column("definition", JSONB, nullable=False),
        sa.Column("comparator", sa.Text, nullable=False),
        sa.Column("expected", sa.Numeric, nullable=False),
        sa.Column("minimum", sa.Numeric),
        sa.Column("unit", sa.Text, nullable=False),
        sa.Column("window_label", sa.Text, nullable=False),
        sa.Column("window_start", sa.DateTime(timezone=True), nullable=False),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("value", sa.Numeric),
        sa.Column("value_exact", sa.Text),
        sa.Column("numerator_exact", sa.Text),
        sa.Column("denominator_exact", sa.Text),
        sa.Column("gross", sa.Numeric),
        sa.Column("gross_exact", sa.Text),
        sa.Column("coverage", sa.Numeric),
        sa.Column("coverage_exact", sa.Text),
        sa.Column("display", sa.Text, nullable=False),
        sa.Column("flags", ARRAY(sa.Text), nullable=False),
        sa.Column("excluded", JSONB, nullable=False),
        sa.Column("calendar_version", sa.Integer, nullable=False),
        sa.Column("observation_hash", sa.Text, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_report_result"),
        sa.UniqueConstraint("report_id", "metric_key", name="uq_report_result_report_id_metric_key"),
        sa.ForeignKeyConstraint(["report_id"], ["report.id"], name="fk_report_result_report_id"),
    )
    op.create_index("ix_report_result_report_id", "report_result", ["report_id"])
