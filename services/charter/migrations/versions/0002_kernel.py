"""People show once their organization acts on a charter; an organization's own affairs are an audit chain."""

from alembic import op

from shared.data.migrations import kernel_v2

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PARTAKEN = """
    EXISTS (SELECT FROM charter c WHERE c.id = charter_id AND app_org() IN (c.customer_org_id, c.provider_org_id))
"""


def upgrade() -> None:
    """Here callers draft charters: they name the parties of their own, and let their own people be seen."""
    kernel_v2(op)
    op.execute(f"CREATE POLICY drafting ON charter_party FOR INSERT WITH CHECK ({PARTAKEN} AND NOT joined)")
    op.execute(
        "CREATE POLICY joining ON charter_party FOR UPDATE USING (org_id = app_org())"
        f" WITH CHECK ({PARTAKEN} AND org_id = app_org() AND side <> 'observer')"
    )
