"""Plans of bulk changes, and the waits that each of them means."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")

PLANS = "workflow_wait_plans"
ENTRIES = "workflow_wait_plan_entries"
STATUSES = ("waiting", "scheduled", "resumed", "timeout", "cancelled", "error")
MOVED = (
    ("due", INSTANT),
    ("expires", INSTANT),
    ("config", JSON),
    ("late_policy", sa.Text()),
    ("timezone", sa.Text()),
    ("gated", sa.Boolean()),
)


def upgrade() -> None:
    status = sa.Enum(*STATUSES, name="workflow_wait_status", create_constraint=True)
    if op.get_bind().dialect.name == "postgresql":  # the type is there
        status = postgresql.ENUM(*STATUSES, name="workflow_wait_status", create_type=False)
    op.create_table(
        PLANS,
        sa.Column("id", ID, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("options", JSON, nullable=False),
        sa.Column("said_reason", sa.Text()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=False),
        sa.Column("matched", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", INSTANT),
        sa.Column("applied_at", INSTANT),
        sa.Column("undone_at", INSTANT),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_wait_plans")),
        sa.CheckConstraint(
            "kind IN ('cancel', 'resume', 'reschedule', 'retry', 'replan')", name=op.f("ck_workflow_wait_plans_kind")
        ),
        sa.CheckConstraint(
            "status IN ('planning', 'planned', 'applying', 'applied', 'undoing', 'undone')",
            name=op.f("ck_workflow_wait_plans_status"),
        ),
    )
    op.create_table(
        ENTRIES,
        sa.Column("plan_id", ID, nullable=False),
        sa.Column("wait_id", ID, nullable=False),
        sa.Column("from_status", status, nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.Column("last_line", sa.BigInteger(), nullable=False),
        *(sa.Column(f"{name}_{side}", kind) for side in ("before", "after") for name, kind in MOVED),
        sa.Column("fate", sa.Text()),
        sa.Column("undone_fate", sa.Text()),
        sa.Column("note", sa.Text()),
        sa.PrimaryKeyConstraint("plan_id", "wait_id", name=op.f("pk_workflow_wait_plan_entries")),
    )
    if op.get_bind().dialect.name == "postgresql":  # each row is written again, twice at most: with room beside it
        op.execute(f"ALTER TABLE {ENTRIES} SET (fillfactor = 60)")
    op.create_index("ix_wait_plans_expires", PLANS, ["expires_at"])


def downgrade() -> None:
    op.drop_index("ix_wait_plans_expires", PLANS)
    op.drop_table(ENTRIES)
    op.drop_table(PLANS)
