"""Waits that a tick looks at when they are late, and listeners whose events may come outside a window."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workflow_wait_executions", sa.Column("late_policy", sa.Text(), nullable=True))
    op.add_column(
        "workflow_event_listeners", sa.Column("gated", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    condition = sa.text("status = 'scheduled' AND late_policy IS NOT NULL")
    op.create_index(
        "ix_wait_executions_late",
        "workflow_wait_executions",
        ["scheduled_at"],
        postgresql_where=condition,
        sqlite_where=condition,
    )


def downgrade() -> None:
    op.drop_index("ix_wait_executions_late", "workflow_wait_executions")
    op.drop_column("workflow_event_listeners", "gated")
    op.drop_column("workflow_wait_executions", "late_policy")
