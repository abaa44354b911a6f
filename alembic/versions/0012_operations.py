"""Totals that outlive what is pruned, marks of how far upkeep has come, and the indexes that it goes by."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0009"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

ROLLUPS = "waitctl_rollups"
UPKEEP = "waitctl_upkeep"
WAITS = "workflow_wait_executions"
TICKS = "waitctl_ticks"

TEXTS = ("day", "measure", "workflow_id", "wait_type", "step_id", "handler", "source", "outcome")
ENDED = sa.text("resolved_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        ROLLUPS,
        *(sa.Column(name, sa.Text(), nullable=False) for name in TEXTS),
        sa.Column("bucket", BIG, nullable=False),
        sa.Column("count", BIG, nullable=False),
        sa.Column("total", BIG, nullable=False),
        sa.PrimaryKeyConstraint(*TEXTS, "bucket", name=op.f("pk_waitctl_rollups")),
    )
    op.create_table(
        UPKEEP,
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("until_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_waitctl_upkeep")),
    )
    epoch = "'1970-01-01 00:00:00.000000'"
    if op.get_bind().dialect.name == "postgresql":
        epoch = "timestamptz '1970-01-01 00:00:00Z'"
    for name in ("waits", "events", "prune"):
        op.execute(f"INSERT INTO {UPKEEP} (name, until_at) VALUES ('{name}', {epoch})")
    op.create_index("ix_wait_executions_resolved", WAITS, ["resolved_at"], postgresql_where=ENDED, sqlite_where=ENDED)
    op.create_index("ix_ticks_started", TICKS, ["started_at"])
    op.create_index("ix_ticks_finished", TICKS, ["finished_at"])
    op.create_index("ix_tombstones_created", "waitctl_tombstones", ["created_at"])
    op.create_index("ix_webhook_tokens_seen", "waitctl_webhook_tokens", ["seen_at"])


def downgrade() -> None:
    op.drop_index("ix_webhook_tokens_seen", "waitctl_webhook_tokens")
    op.drop_index("ix_tombstones_created", "waitctl_tombstones")
    op.drop_index("ix_ticks_finished", TICKS)
    op.drop_index("ix_ticks_started", TICKS)
    op.drop_index("ix_wait_executions_resolved", WAITS)
    op.drop_table(UPKEEP)
    op.drop_table(ROLLUPS)
