"""What handlers have said: the end of a command's output, or of an answer's body, beside its delivery.

In a table of its own, so that the outbox stays as narrow as it is: most deliveries say nothing.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

OUTPUTS = "workflow_delivery_outputs"


def upgrade() -> None:
    identifier = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
    op.create_table(
        OUTPUTS,
        sa.Column("delivery_id", identifier, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("delivery_id", name=f"pk_{OUTPUTS}"),
        sa.ForeignKeyConstraint(
            ["delivery_id"],
            ["workflow_wait_deliveries.id"],
            name=f"fk_{OUTPUTS}_delivery_id",
            ondelete="CASCADE",
        ),
    )


def downgrade() -> None:
    op.drop_table(OUTPUTS)
