"""The first schema: waits, listeners, events, the audit trail, the outbox, tombstones and the heartbeat."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

ID = sa.Uuid(as_uuid=False).with_variant(sa.String(36), "sqlite")
INSTANT = sa.DateTime(timezone=True).with_variant(sa.Text(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

ENUMS = {
    "workflow_wait_type": ("fixed_time", "until_date", "until_time", "for_event"),
    "workflow_wait_status": ("waiting", "scheduled", "resumed", "timeout", "cancelled", "error"),
    "workflow_wait_resolution": ("due", "event", "manual", "timeout", "cancelled"),
    "workflow_listener_status": ("active", "matched", "expired", "cancelled"),
    "workflow_delivery_outcome": ("due", "event", "timeout", "manual"),
    "workflow_delivery_status": ("pending", "running", "delivered", "dead", "dropped"),
}

EVENT_TYPES = (
    ("email_open", "an e-mail was opened"),
    ("email_click", "a link in an e-mail was clicked"),
    ("sms_reply", "a text message was answered"),
    ("form_submit", "a form was submitted"),
    ("page_visit", "a page was visited"),
    ("appointment_booked", "an appointment was booked"),
)

# PostgreSQL 18 has uuidv7(); before it, this is one: RFC 9562, section 5.7, the milliseconds over a random UUID.
UUIDV7 = """
CREATE FUNCTION waitctl_uuidv7() RETURNS uuid LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
  SELECT encode(
    set_bit(set_bit(
      overlay(uuid_send(gen_random_uuid())
              PLACING substring(int8send((extract(epoch FROM clock_timestamp()) * 1000)::bigint) FROM 3)
              FROM 1 FOR 6),
      52, 1), 53, 1),
    'hex')::uuid
$$
"""
_MILLIS = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
SQLITE_UUIDV7 = (
    f"printf('%08x-%04x-7%03x-%04x-%012x', {_MILLIS} >> 16, {_MILLIS} & 65535, abs(random() % 4096), "
    "32768 + abs(random() % 16384), abs(random() % 281474976710656))"
)

# The inbox table stands open to any system: what no program could read again must stop there, not every tick.
_DOOR = ("id", "event_type", "contact_id", "data", "source", "external_id", "occurred_at", "received_at")
_CALENDAR = "BETWEEN TIMESTAMPTZ '1000-01-01 00:00:00Z' AND TIMESTAMPTZ '9899-12-31 23:59:59Z'"


def is_postgresql() -> bool:
    return bool(op.get_context().dialect.name == "postgresql")


def door_checks() -> list[sa.CheckConstraint]:
    if is_postgresql():
        return [
            sa.CheckConstraint(
                f"occurred_at {_CALENDAR} AND received_at {_CALENDAR}",
                name=op.f("ck_workflow_events_is_on_the_calendar"),
            )
        ]
    return [
        sa.CheckConstraint("json_valid(data)", name=op.f("ck_workflow_events_data_is_json")),
        sa.CheckConstraint(
            " AND ".join(f"typeof({name}) <> 'blob'" for name in _DOOR), name=op.f("ck_workflow_events_holds_no_bytes")
        ),
    ]


def new_id() -> sa.TextClause:
    """A UUIDv7 made by the database."""
    return sa.text("waitctl_uuidv7()" if is_postgresql() else f"({SQLITE_UUIDV7})")


def real_now() -> sa.TextClause:
    """The database's own clock at this moment: ``now()`` would be the transaction's start."""
    return sa.text("clock_timestamp()" if is_postgresql() else "(strftime('%Y-%m-%d %H:%M:%f000', 'now'))")


def enum(name: str) -> Any:
    """A native type on PostgreSQL, text with a CHECK on SQLite."""
    if is_postgresql():
        return postgresql.ENUM(*ENUMS[name], name=name, create_type=False)
    return sa.Enum(*ENUMS[name], name=name, create_constraint=True)


def where(condition: str) -> dict[str, Any]:
    return {"postgresql_where": sa.text(condition), "sqlite_where": sa.text(condition)}


def upgrade() -> None:
    if is_postgresql():
        op.execute(UUIDV7)
        for name, values in ENUMS.items():
            op.execute(f"CREATE TYPE {name} AS ENUM ({', '.join(map(repr, values))})")
    create_waits()
    create_events()
    create_outbox()
    create_operations()


def create_waits() -> None:
    op.create_table(
        "workflow_wait_executions",
        sa.Column("id", ID, nullable=False),
        sa.Column("workflow_id", sa.Text(), nullable=True),
        sa.Column("workflow_execution_id", sa.Text(), nullable=False),
        sa.Column("step_id", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Text(), nullable=True),
        sa.Column("wait_type", enum("workflow_wait_type"), nullable=False),
        sa.Column("status", enum("workflow_wait_status"), nullable=False),
        sa.Column("scheduled_at", INSTANT, nullable=True),
        sa.Column("timeout_at", INSTANT, nullable=True),
        sa.Column("timezone", sa.Text(), nullable=False),
        sa.Column("wait_config", JSON, nullable=False),
        sa.Column("context", JSON, nullable=True),
        sa.Column("handler", sa.Text(), nullable=True),
        sa.Column("idempotency_key", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.Column("resolution", enum("workflow_wait_resolution"), nullable=True),
        sa.Column("resolution_event_id", ID, nullable=True),
        sa.Column("late_seconds", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "(resolved_at IS NULL) = (status IN ('waiting', 'scheduled'))",
            name=op.f("ck_workflow_wait_executions_resolved_when_final"),
        ),
        sa.CheckConstraint(
            "status <> 'scheduled' OR scheduled_at IS NOT NULL",
            name=op.f("ck_workflow_wait_executions_scheduled_has_instant"),
        ),
        sa.CheckConstraint(
            "(resolution IS NULL) = (resolved_at IS NULL)",
            name=op.f("ck_workflow_wait_executions_resolution_when_resolved"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_wait_executions"),
    )
    op.create_index(
        "ix_wait_executions_scheduled", "workflow_wait_executions", ["scheduled_at"], **where("status = 'scheduled'")
    )
    op.create_index(
        "uq_wait_executions_key",
        "workflow_wait_executions",
        [sa.literal_column("coalesce(workflow_id, '')"), "idempotency_key"],
        unique=True,
        **where("idempotency_key IS NOT NULL"),
    )
    op.create_index(
        "uq_wait_executions_open",
        "workflow_wait_executions",
        ["workflow_execution_id", "step_id"],
        unique=True,
        **where("status IN ('waiting', 'scheduled')"),
    )
    op.create_table(
        "workflow_event_listeners",
        sa.Column("id", ID, nullable=False),
        sa.Column("wait_id", ID, nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Text(), nullable=False),
        sa.Column("match", JSON, nullable=True),
        sa.Column("match_json", JSON, nullable=True),
        sa.Column("where", sa.Text(), nullable=True),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("status", enum("workflow_listener_status"), nullable=False),
        sa.Column("since_at", INSTANT, nullable=False),
        sa.Column("timeout_at", INSTANT, nullable=True),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("matched_event_id", ID, nullable=True),
        sa.Column("matched_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "(matched_event_id IS NULL) = (matched_at IS NULL)",
            name=op.f("ck_workflow_event_listeners_matched_by_an_event"),
        ),
        sa.ForeignKeyConstraint(
            ["wait_id"], ["workflow_wait_executions.id"], name="fk_workflow_event_listeners_wait_id", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_event_listeners"),
    )
    op.create_index(
        "ix_event_listeners_event",
        "workflow_event_listeners",
        ["matched_event_id"],
        **where("matched_event_id IS NOT NULL"),
    )
    op.create_index(
        "ix_event_listeners_expires", "workflow_event_listeners", ["expires_at"], **where("status = 'active'")
    )
    op.create_index(
        "ix_event_listeners_lookup",
        "workflow_event_listeners",
        ["contact_id", "event_type"],
        **where("status = 'active'"),
    )
    op.create_index("ix_event_listeners_wait", "workflow_event_listeners", ["wait_id"])
    op.create_table(
        "workflow_wait_transitions",
        sa.Column("wait_id", ID, nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("from_status", enum("workflow_wait_status"), nullable=True),
        sa.Column("to_status", enum("workflow_wait_status"), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("data", JSON, nullable=True),
        sa.Column("workflow_execution_id", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("wait_id", "id", name="pk_workflow_wait_transitions"),
    )
    op.create_index(
        "ix_wait_transitions_execution",
        "workflow_wait_transitions",
        ["workflow_execution_id"],
        **where("workflow_execution_id IS NOT NULL"),
    )


def create_events() -> None:
    op.create_table(
        "workflow_events",
        sa.Column("id", ID, server_default=new_id(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("contact_id", sa.Text(), nullable=False),
        sa.Column("data", JSON, server_default=sa.text("'{}'"), nullable=False),
        sa.Column("source", sa.Text(), server_default=sa.text("'sql'"), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=True),
        sa.Column("occurred_at", INSTANT, nullable=True),
        sa.Column("received_at", INSTANT, server_default=real_now(), nullable=False),
        sa.Column("correlated_at", INSTANT, nullable=True),
        sa.CheckConstraint("event_type <> '' AND contact_id <> ''", name=op.f("ck_workflow_events_names_a_topic")),
        *door_checks(),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_events"),
    )
    op.create_index("ix_events_topic", "workflow_events", ["contact_id", "event_type", "received_at"])
    op.create_index("ix_events_uncorrelated", "workflow_events", ["received_at"], **where("correlated_at IS NULL"))
    op.create_index(
        "uq_events_external",
        "workflow_events",
        ["source", "external_id"],
        unique=True,
        **where("external_id IS NOT NULL"),
    )
    op.create_table(
        "workflow_event_types",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("builtin", sa.Boolean(), nullable=False),
        sa.Column("created_at", INSTANT, server_default=real_now(), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_workflow_event_types"),
    )
    types = sa.table(
        "workflow_event_types",
        sa.column("name", sa.Text()),
        sa.column("description", sa.Text()),
        sa.column("builtin", sa.Boolean()),
    )
    op.bulk_insert(types, [{"name": name, "description": text, "builtin": True} for name, text in EVENT_TYPES])


def create_outbox() -> None:
    op.create_table(
        "workflow_wait_deliveries",
        sa.Column("id", ID, nullable=False),
        sa.Column("wait_id", ID, nullable=False),
        sa.Column("handler", sa.Text(), nullable=False),
        sa.Column("outcome", enum("workflow_delivery_outcome"), nullable=False),
        sa.Column("status", enum("workflow_delivery_status"), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=True),
        sa.Column("next_attempt_at", INSTANT, nullable=False),
        sa.Column("lease_expires_at", INSTANT, nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("delivered_at", INSTANT, nullable=True),
        sa.CheckConstraint(
            "(status = 'delivered') = (delivered_at IS NOT NULL)",
            name=op.f("ck_workflow_wait_deliveries_delivered_at_when_delivered"),
        ),
        sa.CheckConstraint(
            "(status = 'running') = (lease_expires_at IS NOT NULL)",
            name=op.f("ck_workflow_wait_deliveries_leased_while_running"),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_workflow_wait_deliveries"),
    )
    op.create_index("ix_wait_deliveries_dead", "workflow_wait_deliveries", ["handler"], **where("status = 'dead'"))
    op.create_index(
        "ix_wait_deliveries_pending",
        "workflow_wait_deliveries",
        ["handler", "next_attempt_at"],
        **where("status = 'pending'"),
    )
    op.create_index(
        "ix_wait_deliveries_running",
        "workflow_wait_deliveries",
        ["handler", "lease_expires_at"],
        **where("status = 'running'"),
    )
    op.create_index("ix_wait_deliveries_wait", "workflow_wait_deliveries", ["wait_id"])


def create_operations() -> None:
    op.create_table(
        "waitctl_tombstones",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("wait_id", ID, nullable=True),
        sa.Column("fingerprint", sa.Text(), nullable=True),
        sa.Column("resolution", enum("workflow_wait_resolution"), nullable=True),
        sa.Column("resolved_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, server_default=real_now(), nullable=False),
        sa.CheckConstraint("kind IN ('wait_key', 'event_id')", name=op.f("ck_waitctl_tombstones_kind")),
        sa.PrimaryKeyConstraint("kind", "scope", "key", name="pk_waitctl_tombstones"),
    )
    op.create_table(
        "waitctl_ticks",
        sa.Column("id", BIG, sa.Identity(always=True), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("as_of", INSTANT, nullable=True),
        sa.Column("report", JSON, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_waitctl_ticks"),
    )


def downgrade() -> None:
    for table in (
        "workflow_event_listeners",
        "workflow_wait_transitions",
        "workflow_wait_deliveries",
        "workflow_wait_executions",
        "workflow_events",
        "workflow_event_types",
        "waitctl_tombstones",
        "waitctl_ticks",
    ):
        op.drop_table(table)
    if is_postgresql():
        for name in ENUMS:
            op.execute(f"DROP TYPE {name}")
        op.execute("DROP FUNCTION waitctl_uuidv7()")
