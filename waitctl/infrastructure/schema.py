"""The tables; their indexes are in indexes.py. Alembic's migrations make the same ones; a test compares.

Hot tables are lean on purpose: a foreign key on the audit or the outbox nearly halves a tick, so they carry the wait's
id without one and are written in the same transaction.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Identity,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    false,
    text,
)

from waitctl.domain.statuses import DeliveryStatus, ListenerStatus, Outcome, Resolution, WaitExecutionStatus, WaitType
from waitctl.infrastructure.column_types import Json, UtcDateTime, enum_of, id_type, new_id, real_now

_big = BigInteger().with_variant(Integer, "sqlite")

wait_status = enum_of(WaitExecutionStatus, "workflow_wait_status")
resolution = enum_of(Resolution, "workflow_wait_resolution")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

OPEN = "status IN ('waiting', 'scheduled')"

waits = Table(
    "workflow_wait_executions",
    metadata,
    Column("id", id_type(), primary_key=True),
    Column("workflow_id", Text),
    Column("workflow_execution_id", Text, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("contact_id", Text),
    Column("wait_type", enum_of(WaitType, "workflow_wait_type"), nullable=False),
    Column("status", wait_status, nullable=False),
    Column("scheduled_at", UtcDateTime),
    Column("timeout_at", UtcDateTime),
    Column("timezone", Text, nullable=False),
    Column("wait_config", Json, nullable=False),
    Column("context", Json),
    Column("handler", Text),
    Column("idempotency_key", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("resolved_at", UtcDateTime),
    Column("resolution", resolution),
    Column("resolution_event_id", id_type()),
    Column("late_seconds", BigInteger),
    Column("late_policy", Text),  # what else than fire a tick may do when it is late
    Column("handlers", Json),  # by outcome; for the others there is `handler`
    Column("command", Json),  # what runs inline, for the handler of that name
    CheckConstraint(f"(resolved_at IS NULL) = ({OPEN})", name="resolved_when_final"),
    CheckConstraint("(resolution IS NULL) = (resolved_at IS NULL)", name="resolution_when_resolved"),
    CheckConstraint("status <> 'scheduled' OR scheduled_at IS NOT NULL", name="scheduled_has_instant"),
)

listeners = Table(
    "workflow_event_listeners",
    metadata,
    Column("id", id_type(), primary_key=True),
    Column("wait_id", id_type(), ForeignKey(waits.c.id, ondelete="CASCADE"), nullable=False),
    Column("event_type", Text, nullable=False),
    Column("contact_id", Text, nullable=False),
    Column("match", Json),
    Column("match_json", Json),
    Column("where", Text),
    Column("exclusive", Boolean, nullable=False),
    Column("gated", Boolean, nullable=False, server_default=false()),
    Column("human", Boolean, nullable=False, server_default=false()),
    Column("group_no", Integer, nullable=False, server_default=text("0")),  # 0: its one event ends the wait
    Column("needed", Integer, nullable=False, server_default=text("1")),
    Column("distinct", Text),
    Column("diagnostic", Text),
    Column("status", enum_of(ListenerStatus, "workflow_listener_status"), nullable=False),
    Column("since_at", UtcDateTime, nullable=False),
    Column("timeout_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("matched_event_id", id_type()),
    Column("matched_at", UtcDateTime),
    CheckConstraint("(matched_event_id IS NULL) = (matched_at IS NULL)", name="matched_by_an_event"),
)

# What groups have counted so far. Waits that one event ends write nothing here.
matches = Table(
    "workflow_listener_matches",
    metadata,
    Column("wait_id", id_type(), ForeignKey(waits.c.id, ondelete="CASCADE"), nullable=False),
    Column("listener_id", id_type(), nullable=False),
    Column("event_id", id_type(), nullable=False),
    Column("group_no", Integer, nullable=False),
    Column("distinct_value", Text),  # a long text by its digest: an index holds no long ones
    Column("received_at", UtcDateTime, nullable=False),
    Column("matched_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("wait_id", "event_id"),
)

DOOR_COLUMNS = ("id", "event_type", "contact_id", "data", "source", "external_id", "occurred_at", "received_at")
FIRST_INSTANT, LAST_INSTANT = "TIMESTAMPTZ '1000-01-01 00:00:00Z'", "TIMESTAMPTZ '9899-12-31 23:59:59Z'"

events = Table(
    "workflow_events",
    metadata,
    Column("id", id_type(), primary_key=True, server_default=new_id()),
    Column("event_type", Text, nullable=False),
    Column("contact_id", Text, nullable=False),
    Column("data", Json, nullable=False, server_default=text("'{}'")),
    Column("source", Text, nullable=False, server_default=text("'sql'")),
    Column("external_id", Text),
    Column("occurred_at", UtcDateTime),
    Column("received_at", UtcDateTime, nullable=False, server_default=real_now()),
    Column("correlated_at", UtcDateTime),
    Column("expires_at", UtcDateTime),  # from then on it matches nothing any more
    CheckConstraint("event_type <> '' AND contact_id <> ''", name="names_a_topic"),
    CheckConstraint("json_valid(data)", name="data_is_json").ddl_if(dialect="sqlite"),
    # The inbox table stands open to any system: what no program could read again must stop there, not every tick.
    CheckConstraint(" AND ".join(f"typeof({name}) <> 'blob'" for name in DOOR_COLUMNS), name="holds_no_bytes").ddl_if(
        dialect="sqlite"
    ),
    CheckConstraint(
        " AND ".join(f"{name} BETWEEN {FIRST_INSTANT} AND {LAST_INSTANT}" for name in ("occurred_at", "received_at")),
        name="is_on_the_calendar",
    ).ddl_if(dialect="postgresql"),
    CheckConstraint(f"expires_at BETWEEN {FIRST_INSTANT} AND {LAST_INSTANT}", name="expires_on_the_calendar").ddl_if(
        dialect="postgresql"
    ),
)

# What a provider's format could not take in, with all that it takes to try again. A body over the cap is cut: then
# `size` is larger than what is left of it.
quarantine = Table(
    "workflow_event_quarantine",
    metadata,
    Column("id", id_type(), primary_key=True),
    Column("source", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("headers", Json, nullable=False),
    Column("url", Text),
    Column("body", LargeBinary, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("verified", Boolean, nullable=False),
    Column("received_at", UtcDateTime, nullable=False),
    Column("replayed_at", UtcDateTime),
)

# What a webhook's signature lets through once, whatever becomes of its event: nothing else may come under its name.
webhook_tokens = Table(
    "waitctl_webhook_tokens",
    metadata,
    Column("source", Text, nullable=False),
    Column("token", Text, nullable=False),
    Column("content", Text, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("source", "token"),
)

event_types = Table(
    "workflow_event_types",
    metadata,
    Column("name", Text, primary_key=True),
    Column("description", Text, nullable=False, server_default=text("''")),
    Column("builtin", Boolean, nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=real_now()),
)

# One index instead of two: the key's first column serves `history`, and a tick writes a row per wait here.
transitions = Table(
    "workflow_wait_transitions",
    metadata,
    Column("wait_id", id_type(), nullable=False),
    Column("id", BigInteger, Identity(always=True), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("from_status", wait_status),
    Column("to_status", wait_status, nullable=False),
    Column("reason", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("data", Json),
    Column("workflow_execution_id", Text),  # only on the first line of a trail
    PrimaryKeyConstraint("wait_id", "id"),
)

deliveries = Table(
    "workflow_wait_deliveries",
    metadata,
    Column("id", id_type(), primary_key=True),
    Column("wait_id", id_type(), nullable=False),
    Column("handler", Text, nullable=False),
    Column("outcome", enum_of(Outcome, "workflow_delivery_outcome"), nullable=False),
    Column("status", enum_of(DeliveryStatus, "workflow_delivery_status"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("max_attempts", Integer),
    Column("next_attempt_at", UtcDateTime, nullable=False),
    Column("lease_expires_at", UtcDateTime),
    Column("last_error", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("delivered_at", UtcDateTime),
    Column("dead_delivery_id", id_type()),  # the dead delivery that this one tells of
    Column("claims", Integer, nullable=False, server_default=text("0")),  # how often it was leased: the fence
    CheckConstraint("(status = 'running') = (lease_expires_at IS NOT NULL)", name="leased_while_running"),
    CheckConstraint("(status = 'delivered') = (delivered_at IS NOT NULL)", name="delivered_at_when_delivered"),
)

# The end of what handlers have said, for as long as there is the delivery. Few say anything, and a tick reads none.
outputs = Table(
    "workflow_delivery_outputs",
    metadata,
    Column("delivery_id", id_type(), ForeignKey(deliveries.c.id, ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, nullable=False),
    Column("output", Text, nullable=False),
)

tombstones = Table(
    "waitctl_tombstones",
    metadata,
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("wait_id", id_type()),
    Column("fingerprint", Text),
    Column("resolution", resolution),
    Column("resolved_at", UtcDateTime),
    Column("created_at", UtcDateTime, nullable=False, server_default=real_now()),
    PrimaryKeyConstraint("kind", "scope", "key"),
    CheckConstraint("kind IN ('wait_key', 'event_id')", name="kind"),
)

ticks = Table(
    "waitctl_ticks",
    metadata,
    Column("id", _big, Identity(always=True), primary_key=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("as_of", UtcDateTime),
    Column("report", Json),
    Column("handlers", Json),  # the names that its host's config knew
)

pauses = Table(
    "waitctl_pauses",
    metadata,
    Column("kind", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("reason", Text),
    Column("actor", Text, nullable=False),
    Column("paused_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("kind", "name"),
    CheckConstraint("kind IN ('all', 'handler', 'workflow')", name="kind"),
)

contacts = Table(
    "waitctl_contacts",
    metadata,
    Column("contact_id", Text, primary_key=True),
    Column("timezone", Text),
    Column("data", Json),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
)

# Waits that come again: what each of them is made of, and the one that is open. No column bears the name of a batch's
# parameter (reason, actor, data): an UPDATE in a batch would take it.
recurrences = Table(
    "workflow_recurrences",
    metadata,
    Column("id", id_type(), primary_key=True),
    Column("workflow_id", Text),
    Column("workflow_execution_id", Text, nullable=False),
    Column("step_id", Text, nullable=False),
    Column("contact_id", Text),
    Column("rule", Json, nullable=False),
    Column("rules", Json, nullable=False),
    Column("timezone", Text, nullable=False),
    Column("context", Json),
    Column("handler", Text),
    Column("handlers", Json),
    Column("stop_on", Text),
    Column("status", Text, nullable=False),
    Column("status_reason", Text),
    Column("created_by", Text, nullable=False),
    Column("occurrence", Integer, nullable=False),  # the number of the open wait, or of the last one
    Column("anchor_at", UtcDateTime, nullable=False),  # what the rule counts from
    Column("next_at", UtcDateTime),  # when the open wait is due: how a tick knows that a batch may hold one
    Column("wait_id", id_type()),
    Column("stop_wait_id", id_type()),  # the wait for the event that stops it
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("status IN ('active', 'paused', 'stopped', 'finished')", name="status"),
    CheckConstraint("(status = 'active') = (wait_id IS NOT NULL AND next_at IS NOT NULL)", name="active_has_a_wait"),
)

# Waits that are asked for by name. A version stays as it was saved; one that is removed keeps its number.
templates = Table(
    "waitctl_templates",
    metadata,
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("fields", Json, nullable=False),  # pairs, in their order
    Column("examples", Json, nullable=False),
    Column("actor", Text, nullable=False),
    Column("saved_at", UtcDateTime, nullable=False),
    Column("removed_at", UtcDateTime),
    PrimaryKeyConstraint("name", "version"),
    CheckConstraint("version > 0", name="version_counts_from_one"),
)

# What has come to an end, by the day in UTC (and by the month, as in m2026-03, so that few rows answer for a year) and
# by what it was: totals and histograms that outlive the rows. `bucket`
# is an upper bound in seconds (see `domain/histograms.py`), `total` the sum of what is counted in it. What a measure
# has no use for is an empty text, so that one key says all; so is the day of what is counted over all days and groups.
rollups = Table(
    "waitctl_rollups",
    metadata,
    *(
        Column(name, Text, nullable=False)
        for name in ("measure", "day", "workflow_id", "wait_type", "step_id", "handler", "source", "outcome")
    ),
    Column("bucket", _big, nullable=False),
    Column("count", _big, nullable=False),
    Column("total", _big, nullable=False),
    PrimaryKeyConstraint(
        *("measure", "day", "workflow_id", "wait_type", "step_id", "handler", "source", "outcome", "bucket")
    ),
)

# Up to which instant upkeep has come. A row that somebody has locked is work that somebody does.
upkeep = Table(
    "waitctl_upkeep",
    metadata,
    Column("name", Text, nullable=False),
    Column("until_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("name"),
)

# Waits that are in no total yet though the mark is past the instant at which they ended: by a pretended clock, or by
# one that was right again.
uncounted = Table(
    "waitctl_uncounted",
    metadata,
    Column("wait_id", id_type(), primary_key=True),
)

# What is to become of many waits at once, kept for a month; `run` is the fence of whoever works at it.
plans = Table(
    "workflow_wait_plans",
    metadata,
    Column("id", id_type(), primary_key=True),
    Column("kind", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("options", Json, nullable=False),
    Column("said_reason", Text),
    Column("created_by", Text, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("matched", Integer, nullable=False),
    Column("run", Integer, nullable=False),
    Column("lease_expires_at", UtcDateTime),
    Column("applied_at", UtcDateTime),
    Column("undone_at", UtcDateTime),
    CheckConstraint("kind IN ('cancel', 'resume', 'reschedule', 'retry', 'replan')", name="kind"),
    CheckConstraint("status IN ('planning', 'planned', 'applying', 'applied', 'undoing', 'undone')", name="status"),
)

# A wait of a plan as it was seen: a change since is known by `seen_at`, when it had last changed, and by `last_line`,
# where its audit trail ended. Once the plan has changed it, `seen_at` is when. Without foreign keys, as all that is
# written in bulk.
plan_entries = Table(
    "workflow_wait_plan_entries",
    metadata,
    Column("plan_id", id_type(), nullable=False),
    Column("wait_id", id_type(), nullable=False),
    Column("from_status", wait_status, nullable=False),
    Column("seen_at", UtcDateTime, nullable=False),
    Column("last_line", BigInteger, nullable=False),
    *(
        Column(f"{name}_{side}", kind)
        for side in ("before", "after")
        for name, kind in (
            ("due", UtcDateTime),
            ("expires", UtcDateTime),
            ("config", Json),
            ("late_policy", Text),
            ("timezone", Text),
            ("gated", Boolean),
        )
    ),
    Column("fate", Text),
    Column("undone_fate", Text),
    Column("note", Text),
    PrimaryKeyConstraint("plan_id", "wait_id"),
)
