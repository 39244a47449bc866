"""Charters, their ratified versions, signatures and yearly reviews."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

from shared.data.migrations import govern, governed_columns, index_parties
from shared.data.tables.kernel import HASH_OF_TEXT
from shared.reviews.tables import create_reviews

revision = "charter_0001"
down_revision = None
branch_labels = ("charter",)
depends_on = "kernel_0001"

PARTAKEN = """
    EXISTS (SELECT FROM charter c WHERE c.id = charter_id AND app_org() IN (c.customer_org_id, c.provider_org_id))
"""
GOVERNED = (
    "charter",
    "charter_version",
    "charter_service",
    "signature",
)


def upgrade() -> None:
    _charter()
    _charter_version()
    _charter_service()
    _signature()
    for table in GOVERNED:
        index_parties(op, table)
        govern(op, table)
    create_reviews(op)
    _let_parties_be_named()


def _let_parties_be_named() -> None:
    """Here callers draft charters: they name the parties of their own, and let their own people be seen."""
    op.execute(f"CREATE POLICY drafting ON charter_party FOR INSERT WITH CHECK ({PARTAKEN} AND NOT joined)")
    op.execute(
        "CREATE POLICY joining ON charter_party FOR UPDATE USING (org_id = app_org())"
        f" WITH CHECK ({PARTAKEN} AND org_id = app_org() AND side <> 'observer')"
    )


def _hashed(table: str) -> sa.CheckConstraint:
    """A text is its bytes: no hash but theirs is stored beside them."""
    return sa.CheckConstraint(HASH_OF_TEXT, name=op.f(f"ck_{table}_content_hash"))


def _charter() -> None:
    op.create_table(
        "charter",
        *governed_columns(),
        sa.Column("number", sa.Text, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("charter_version", sa.Integer, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.Column("text_format", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("findings_count", sa.Integer, nullable=False),
        sa.Column("effective_date", sa.Date, nullable=False),
        sa.Column("next_review_due", sa.Date, nullable=False),
        sa.Column("observer_org_ids", ARRAY(sa.Uuid), nullable=False),
        sa.Column("activates_at", sa.DateTime(timezone=True)),
        sa.Column("activated_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_charter"),
        _hashed("charter"),
        sa.UniqueConstraint("number", name="uq_charter_number"),
    )


def _charter_version() -> None:
    op.create_table(
        "charter_version",
        *governed_columns(),
        sa.Column("charter_version", sa.Integer, nullable=False),
        sa.Column("text", sa.LargeBinary, nullable=False),
        sa.Column("text_format", sa.Integer, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_charter_version"),
        _hashed("charter_version"),
        sa.UniqueConstraint(
            "charter_id", "charter_version", name="uq_charter_version_charter_id_charter_version"
        ),
    )


def _charter_service() -> None:
    op.create_table(
        "charter_service",
        *governed_columns(),
        sa.Column("service", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_charter_service"),
        sa.UniqueConstraint(
            "customer_org_id",
            "provider_org_id",
            "service",
            name="uq_charter_service_customer_org_id_provider_org_id_service",
        ),
    )


def _signature() -> None:
    op.create_table(
        "signature",
        *governed_columns(),
        sa.Column("charter_version", sa.Integer, nullable=False),
        sa.Column("party", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("member_id", sa.Uuid, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("content_hash", sa.Text, nullable=False),
        sa.Column("voided_at", sa.DateTime(timezone=True)),
        sa.PrimaryKeyConstraint("id", name="pk_signature"),
    )
    valid = sa.text("voided_at IS NULL")
    for name, columns in (
        ("uq_signature_member", ["charter_id", "charter_version", "member_id"]),
        ("uq_signature_role", ["charter_id", "charter_version", "party", "role"]),
    ):
        op.create_index(name, "signature", columns, unique=True, postgresql_where=valid)
