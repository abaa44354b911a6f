"""The indexes that claims walk along name the row as well: a claim begins where the last one has ended.

Many waits may be due, and many listeners may expire, at one instant.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

WALKED = (
    ("ix_wait_executions_scheduled", "workflow_wait_executions", "scheduled_at", "status = 'scheduled'"),
    # Behind the one above: of two that serve it as well SQLite takes the younger.
    (
        "ix_wait_executions_late",
        "workflow_wait_executions",
        "scheduled_at",
        "status = 'scheduled' AND late_policy IS NOT NULL",
    ),
    ("ix_event_listeners_expires", "workflow_event_listeners", "expires_at", "status = 'active'"),
)


def make(*more: str) -> None:
    for name, table, column, condition in WALKED:
        op.drop_index(name, table)
        where = sa.text(condition)
        op.create_index(name, table, [column, *more], postgresql_where=where, sqlite_where=where)


def upgrade() -> None:
    make("id")


def downgrade() -> None:
    make()
