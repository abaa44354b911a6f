"""A register of contacts with their zones, and waits that come again."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")

CONTACTS = "waitctl_contacts"
RECURRENCES = "workflow_recurrences"


def where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    op.create_table(
        CONTACTS,
        sa.Column("contact_id", sa.Text(), nullable=False),
        sa.Column("timezone", sa.Text()),
        sa.Column("data", JSON),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("contact_id", name=op.f("pk_waitctl_contacts")),
    )
    op.create_table(
        RECURRENCES,
        sa.Column("id", ID, nullable=False),
        sa.Column("workflow_id", sa.Text()),
        sa.Column("workflow_execution_id", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Text()),
        sa.Column("rule", JSON, nullable=False),
        sa.Column("rules", JSON, nullable=False),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("context", JSON),
        sa.Column("handler", sa.Text()),
        sa.Column("handlers", JSON),
        sa.Column("stop_on", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("status_reason", sa.Text()),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("occurrence", sa.Integer(), nullable=False),
        sa.Column("anchor_at", INSTANT, nullable=False),
        sa.Column("next_at", INSTANT),
        sa.Column("wait_id", ID),
        sa.Column("stop_wait_id", ID),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_recurrences")),
        sa.CheckConstraint(
            "status IN ('active', 'paused', 'stopped', 'finished')", name=op.f("ck_workflow_recurrences_status")
        ),
        sa.CheckConstraint(
            "(status = 'active') = (wait_id IS NOT NULL AND next_at IS NOT NULL)",
            name=op.f("ck_workflow_recurrences_active_has_a_wait"),
        ),
    )
    op.create_index(
        "uq_recurrences_open",
        RECURRENCES,
        ["workflow_execution_id", "step_id"],
        unique=True,
        **where("status IN ('active', 'paused')"),
    )
    op.create_index("uq_recurrences_wait", RECURRENCES, ["wait_id"], unique=True, **where("wait_id IS NOT NULL"))
    op.create_index(
        "uq_recurrences_stop", RECURRENCES, ["stop_wait_id"], unique=True, **where("stop_wait_id IS NOT NULL")
    )
    op.create_index("ix_recurrences_next", RECURRENCES, ["next_at"], **where("status = 'active'"))


def downgrade() -> None:
    op.drop_table(RECURRENCES)
    op.drop_table(CONTACTS)
