"""Waits that are asked for by name."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")

TEMPLATES = "waitctl_templates"


def upgrade() -> None:
    op.create_table(
        TEMPLATES,
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("fields", JSON, nullable=False),
        sa.Column("examples", JSON, nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("saved_at", INSTANT, nullable=False),
        sa.Column("removed_at", INSTANT),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_waitctl_templates")),
        sa.CheckConstraint("version > 0", name=op.f("ck_waitctl_templates_version_counts_from_one")),
    )


def downgrade() -> None:
    op.drop_table(TEMPLATES)
