"""Totals by the month beside those by the day; and the waits whose deliveries are dead, for what is counted of them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

REST = "workflow_id, wait_type, step_id, handler, source, outcome, bucket"
KEY = f"measure, day, {REST}"
INDEX = "ix_wait_executions_error"
IN_ERROR = sa.text("status = 'error'")


def upgrade() -> None:
    op.create_index(
        INDEX, "workflow_wait_executions", ["status", "resolved_at"], postgresql_where=IN_ERROR, sqlite_where=IN_ERROR
    )
    op.execute(
        f"""
        INSERT INTO waitctl_rollups ({KEY}, count, total)
        SELECT measure, 'm' || substr(day, 1, 7), {REST}, sum(count), sum(total) FROM waitctl_rollups
        WHERE measure IN ('ended', 'late', 'to_event', 'attempt') AND day <> ''
        GROUP BY 1, 2, {REST}
        """
    )


def downgrade() -> None:
    op.execute("DELETE FROM waitctl_rollups WHERE day LIKE 'm%'")
    op.drop_index(INDEX, "workflow_wait_executions")
