"""People show once their organization acts on a charter; an organization's own affairs are an audit chain."""

from alembic import op

from shared.data.migrations import kernel_v2

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    kernel_v2(op)
