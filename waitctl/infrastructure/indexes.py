"""The indexes, and the metadata that has them: what the migrations are compared with.

Apart from the tables, because naming a dialect's option makes SQLAlchemy import that dialect: PostgreSQL's costs a
twentieth of a second, which `create` on SQLite would pay for nothing.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Index, func, text

from waitctl.infrastructure.schema import (
    OPEN,
    deliveries,
    events,
    listeners,
    matches,
    metadata,
    plans,
    quarantine,
    recurrences,
    ticks,
    tombstones,
    transitions,
    waits,
    webhook_tokens,
)

__all__ = ["metadata"]


def where(condition: str) -> dict[str, Any]:
    """Index only the rows of this condition."""
    return {"postgresql_where": text(condition), "sqlite_where": text(condition)}


# With the id, since many may be due at one instant: a claim begins where the last one has ended.
Index("ix_wait_executions_scheduled", waits.c.scheduled_at, waits.c.id, **where("status = 'scheduled'"))
# For what is counted and pruned by when it ended. Its entries come in the order of their keys, at the index's end.
Index("ix_wait_executions_resolved", waits.c.resolved_at, **where("resolved_at IS NOT NULL"))
# The few whose deliveries are dead, for analytics; no wait that ends otherwise writes here. With the status, or SQLite
# would rather read all that have ended.
Index("ix_wait_executions_error", waits.c.status, waits.c.resolved_at, **where("status = 'error'"))
# Few waits may do anything but fire when they are late; a tick looks them up without reading the others that are due.
Index(
    "ix_wait_executions_late",
    waits.c.scheduled_at,
    waits.c.id,
    **where("status = 'scheduled' AND late_policy IS NOT NULL"),
)
Index("uq_wait_executions_open", waits.c.workflow_execution_id, waits.c.step_id, unique=True, **where(OPEN))
Index(
    "uq_wait_executions_key",
    func.coalesce(waits.c.workflow_id, text("''")),
    waits.c.idempotency_key,
    unique=True,
    **where("idempotency_key IS NOT NULL"),
)
# For `status --execution`. The first line of each audit trail names the execution: an index on the waits themselves
# would cost every tick a tenth, since a wait that ends writes a new entry into each of its indexes.
Index(
    "ix_wait_transitions_execution", transitions.c.workflow_execution_id, **where("workflow_execution_id IS NOT NULL")
)
Index("ix_event_listeners_lookup", listeners.c.contact_id, listeners.c.event_type, **where("status = 'active'"))
Index("ix_event_listeners_expires", listeners.c.expires_at, listeners.c.id, **where("status = 'active'"))
Index("ix_event_listeners_wait", listeners.c.wait_id)
Index("ix_event_listeners_event", listeners.c.matched_event_id, **where("matched_event_id IS NOT NULL"))
Index(
    "uq_listener_matches_distinct",
    matches.c.wait_id,
    matches.c.group_no,
    matches.c.distinct_value,
    unique=True,
    **where("distinct_value IS NOT NULL"),
)
Index("ix_listener_matches_event", matches.c.event_id)
Index("uq_events_external", events.c.source, events.c.external_id, unique=True, **where("external_id IS NOT NULL"))
Index("ix_events_topic", events.c.contact_id, events.c.event_type, events.c.received_at)
Index("ix_events_uncorrelated", events.c.received_at, **where("correlated_at IS NULL"))
Index("ix_event_quarantine_received", quarantine.c.received_at)
Index("ix_wait_deliveries_wait", deliveries.c.wait_id)
Index("ix_wait_deliveries_pending", deliveries.c.handler, deliveries.c.next_attempt_at, **where("status = 'pending'"))
Index("ix_wait_deliveries_running", deliveries.c.handler, deliveries.c.lease_expires_at, **where("status = 'running'"))
Index("ix_wait_deliveries_dead", deliveries.c.handler, **where("status = 'dead'"))
Index(
    "uq_recurrences_open",
    recurrences.c.workflow_execution_id,
    recurrences.c.step_id,
    unique=True,
    **where("status IN ('active', 'paused')"),
)
Index("uq_recurrences_wait", recurrences.c.wait_id, unique=True, **where("wait_id IS NOT NULL"))
Index("uq_recurrences_stop", recurrences.c.stop_wait_id, unique=True, **where("stop_wait_id IS NOT NULL"))
Index("ix_recurrences_next", recurrences.c.next_at, **where("status = 'active'"))
Index("ix_ticks_started", ticks.c.started_at)
Index("ix_ticks_finished", ticks.c.finished_at)
Index("ix_tombstones_created", tombstones.c.created_at)
Index("ix_webhook_tokens_seen", webhook_tokens.c.seen_at)
Index("ix_wait_plans_expires", plans.c.expires_at)
