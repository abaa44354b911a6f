"""A webhook's one-time token is remembered whatever becomes of its event."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "waitctl_webhook_tokens",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("token", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("seen_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("source", "token", name=op.f("pk_waitctl_webhook_tokens")),
    )


def downgrade() -> None:
    op.drop_table("waitctl_webhook_tokens")
