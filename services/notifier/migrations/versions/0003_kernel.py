"""People show once their organization acts on a charter; an organization's own affairs are an audit chain; deliveries by alert."""

from alembic import op

from shared.data.migrations import kernel_v2

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kernel_v2(op)
    op.drop_index("ix_delivery_alert_id", "delivery")
    op.create_index("ix_delivery_alert", "delivery", ["alert_id", "endpoint_id"])
