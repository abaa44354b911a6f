"""Deliveries count how often they were leased, apart from how often they were begun: their attempts.

What writes about a delivery is fenced by the claim. So one that was leased and not begun when its tick died keeps its
attempts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

DELIVERIES = "workflow_wait_deliveries"


def upgrade() -> None:
    op.add_column(DELIVERIES, sa.Column("claims", sa.Integer(), nullable=False, server_default=sa.text("0")))


def downgrade() -> None:
    op.drop_column(DELIVERIES, "claims")
