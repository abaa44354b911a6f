"""A handler per outcome, inline commands, notices of dead deliveries, pauses, and which handlers a tick knew."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

WAITS = "workflow_wait_executions"
DELIVERIES = "workflow_wait_deliveries"
TICKS = "waitctl_ticks"
PAUSES = "waitctl_pauses"


def upgrade() -> None:
    op.add_column(WAITS, sa.Column("handlers", JSON, nullable=True))
    op.add_column(WAITS, sa.Column("command", JSON, nullable=True))
    op.add_column(DELIVERIES, sa.Column("dead_delivery_id", ID, nullable=True))
    op.add_column(TICKS, sa.Column("handlers", JSON, nullable=True))
    op.create_table(
        PAUSES,
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("paused_at", INSTANT, nullable=False),
        sa.CheckConstraint("kind IN ('all', 'handler', 'workflow')", name=op.f("ck_waitctl_pauses_kind")),
        sa.PrimaryKeyConstraint("kind", "name", name=op.f("pk_waitctl_pauses")),
    )


def downgrade() -> None:
    op.drop_table(PAUSES)
    op.drop_column(TICKS, "handlers")
    op.drop_column(DELIVERIES, "dead_delivery_id")
    for column in ("command", "handlers"):
        op.drop_column(WAITS, column)
