"""The columns of a governed table as a migration writes them, and the indexes that row-level security looks up."""

from typing import Protocol

import sqlalchemy as sa


class IndexOperations(Protocol):
    """The part of `alembic.op` we use."""

    def create_index(self, index_name: str, table_name: str, columns: list[str]) -> None: ...


def governed_columns() -> list[sa.Column[object]]:
    """Identity, version, times, charter, parties and visibility: what `Governed` has in the models."""
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


def index_parties(op: IndexOperations, table: str) -> None:
    """An index on the charter and on each party, by which callers' rows are looked up."""
    for column in ("charter_id", "customer_org_id", "provider_org_id"):
        op.create_index(f"ix_{table}_{column}", table, [column])
