"""Listeners that want a human, that belong to a group, or whose condition had trouble; and what groups have counted."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")

LISTENERS = "workflow_event_listeners"
MATCHES = "workflow_listener_matches"


def upgrade() -> None:
    op.add_column(LISTENERS, sa.Column("human", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column(LISTENERS, sa.Column("group_no", sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.add_column(LISTENERS, sa.Column("needed", sa.Integer(), server_default=sa.text("1"), nullable=False))
    op.add_column(LISTENERS, sa.Column("distinct", sa.Text(), nullable=True))
    op.add_column(LISTENERS, sa.Column("diagnostic", sa.Text(), nullable=True))
    op.create_table(
        MATCHES,
        sa.Column("wait_id", ID, nullable=False),
        sa.Column("listener_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("group_no", sa.Integer(), nullable=False),
        sa.Column("distinct_value", sa.Text(), nullable=True),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("matched_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["wait_id"],
            ["workflow_wait_executions.id"],
            name="fk_workflow_listener_matches_wait_id",
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("wait_id", "event_id", name="pk_workflow_listener_matches"),
    )
    distinct = sa.text("distinct_value IS NOT NULL")
    op.create_index(
        "uq_listener_matches_distinct",
        MATCHES,
        ["wait_id", "group_no", "distinct_value"],
        unique=True,
        postgresql_where=distinct,
        sqlite_where=distinct,
    )
    op.create_index("ix_listener_matches_event", MATCHES, ["event_id"])


def downgrade() -> None:
    op.drop_table(MATCHES)
    for column in ("diagnostic", "distinct", "needed", "group_no", "human"):
        op.drop_column(LISTENERS, column)
