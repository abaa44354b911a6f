"""Waits that ended before the mark of the totals, as a clock that was pretended or wrong had it: to be counted yet."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")

UNCOUNTED = "waitctl_uncounted"
UPKEEP = "waitctl_upkeep"


def upgrade() -> None:
    op.create_table(
        UNCOUNTED,
        sa.Column("wait_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("wait_id", name=op.f("pk_waitctl_uncounted")),
    )
    op.execute(f"INSERT INTO {UPKEEP} (name, until_at) SELECT 'uncounted', until_at FROM {UPKEEP} WHERE name = 'waits'")


def downgrade() -> None:
    op.execute(f"DELETE FROM {UPKEEP} WHERE name = 'uncounted'")
    op.drop_table(UNCOUNTED)
