"""What could not be taken in goes to a quarantine; an event may expire."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_CALENDAR = "BETWEEN TIMESTAMPTZ '1000-01-01 00:00:00Z' AND TIMESTAMPTZ '9899-12-31 23:59:59Z'"


def is_postgresql() -> bool:
    return bool(op.get_context().dialect.name == "postgresql")


def upgrade() -> None:
    op.add_column("workflow_events", sa.Column("expires_at", INSTANT, nullable=True))
    if is_postgresql():
        # SQLite cannot add a constraint to a table; there an instant that is none is read as none.
        op.create_check_constraint(
            op.f("ck_workflow_events_expires_on_the_calendar"), "workflow_events", f"expires_at {_CALENDAR}"
        )
    op.create_table(
        "workflow_event_quarantine",
        sa.Column("id", ID, nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("headers", JSON, nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("verified", sa.Boolean(), nullable=False),
        sa.Column("received_at", INSTANT, nullable=False),
        sa.Column("replayed_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workflow_event_quarantine")),
    )
    op.create_index("ix_event_quarantine_received", "workflow_event_quarantine", ["received_at"])


def downgrade() -> None:
    op.drop_table("workflow_event_quarantine")
    if is_postgresql():
        op.drop_constraint(op.f("ck_workflow_events_expires_on_the_calendar"), "workflow_events")
    op.drop_column("workflow_events", "expires_at")
