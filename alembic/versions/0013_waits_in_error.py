"""The waits whose deliveries are dead, for what is counted of them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

INDEX = "ix_wait_executions_error"
IN_ERROR = sa.text("status = 'error'")


def upgrade() -> None:
    op.create_index(
        INDEX, "workflow_wait_executions", ["resolved_at"], postgresql_where=IN_ERROR, sqlite_where=IN_ERROR
    )


def downgrade() -> None:
    op.drop_index(INDEX, "workflow_wait_executions")
