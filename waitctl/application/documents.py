"""The JSON documents that scripts, cron and handlers rely on: every key always there, null where empty."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from waitctl.domain.instants import format_instant
from waitctl.domain.traces import trace_links
from waitctl.domain.waits import ENUMERATIONS, INSTANTS, WaitStepExecution

if TYPE_CHECKING:
    from waitctl.domain.deliveries import Backlog, Delivery
    from waitctl.domain.events import Event
    from waitctl.domain.listeners import EventListener
    from waitctl.domain.pauses import Pause
    from waitctl.domain.quarantine import Quarantined
    from waitctl.domain.text import JsonObject

WAIT_FIELDS = (
    *("id", "workflow_id", "workflow_execution_id", "step_id", "contact_id", "wait_type", "status", "scheduled_at"),
    *("timeout_at", "timezone", "wait_config", "context", "handler", "handlers", "command", "idempotency_key"),
    *("created_at", "updated_at", "resolved_at", "resolution", "resolution_event_id", "late_seconds"),
)
"""What a wait's document holds of the wait itself, in its order: the names of attributes and of columns."""


DELIVERY_FIELDS = (
    *("delivery_id", "wait_id", "handler", "outcome", "status", "attempt", "max_attempts", "next_attempt_at"),
    *("lease_expires_at", "last_error", "created_at", "delivered_at", "dead_delivery_id"),
)
"""The keys of `delivery_document`."""

EVENT_FIELDS = ("event_id", "type", "contact", "source", "id", "data", "occurred_at", "received_at", "matched")
"""The keys of `event_document`."""

BACKLOG_FIELDS = ("handler", "known", "pending", "due", "failing", "running", "dead", "oldest_due_at")
"""The keys of `backlog_document`."""

QUARANTINED_FIELDS = (
    *("quarantine_id", "source", "format", "code", "message", "received_at", "replayed_at", "verified", "size", "cut"),
)
"""The keys of `quarantined_document` in a list."""


def instant(at: datetime | None) -> str | None:
    """RFC 3339 in UTC with ``Z``."""
    return None if at is None else format_instant(at)


def wait_document(wait: WaitStepExecution) -> JsonObject:
    """A wait, with its listeners and deliveries."""
    fields = {name: getattr(wait, name) for name in WAIT_FIELDS}
    for name in ENUMERATIONS:
        fields[name] = fields[name] and fields[name].value
    for name in INSTANTS:
        fields[name] = instant(fields[name])
    return complete_document(fields, wait.listeners, wait.deliveries)


def complete_document(
    fields: JsonObject, listeners: Sequence[EventListener], deliveries: Sequence[Delivery]
) -> JsonObject:
    """A wait's document from its `WAIT_FIELDS`, all as the document has them: these fields, made into it."""
    fields["listeners"] = [listener_document(listener) for listener in listeners]
    fields["deliveries"] = [delivery_document(delivery) for delivery in deliveries]
    return fields


def listener_document(listener: EventListener) -> JsonObject:
    """What an event wait listens to."""
    return {
        "event_type": listener.event_type,
        "contact_id": listener.contact_id,
        "match": listener.match,
        "match_json": listener.match_json,
        "where": listener.where,
        "human": listener.human,
        "exclusive": listener.exclusive,
        "group": listener.group_no,
        "needed": listener.needed,
        "distinct": listener.distinct,
        "matched_count": listener.matched_count,
        "diagnostic": listener.diagnostic,
        "expires_at": instant(listener.expires_at),
        "status": listener.status.value,
        "matched_event_id": listener.matched_event_id,
        "matched_at": instant(listener.matched_at),
    }


def delivery_document(delivery: Delivery) -> JsonObject:
    """A delivery as `delivery show` and a wait's `deliveries` give it."""
    return {
        "delivery_id": delivery.id,
        "wait_id": delivery.wait_id,
        "handler": delivery.handler,
        "outcome": delivery.outcome.value,
        "status": delivery.status.value,
        "attempt": delivery.attempt,
        "max_attempts": delivery.max_attempts,
        "next_attempt_at": instant(delivery.next_attempt_at),
        "lease_expires_at": instant(delivery.lease_expires_at),
        "last_error": delivery.last_error,
        "created_at": instant(delivery.created_at),
        "delivered_at": instant(delivery.delivered_at),
        "dead_delivery_id": delivery.dead_delivery_id,
    }


def pause_document(pause: Pause) -> JsonObject:
    """A pause; ``name`` is null when everything is paused."""
    return {
        "kind": pause.kind.value,
        "name": pause.name or None,
        "reason": pause.reason,
        "actor": pause.actor,
        "paused_at": instant(pause.paused_at),
    }


def backlog_document(backlog: Backlog, *, known: bool) -> JsonObject:
    """A handler as `delivery handlers` gives it. ``known``: by the config of this host."""
    return {
        "handler": backlog.handler,
        "known": known,
        "pending": backlog.pending,
        "due": backlog.due,
        "failing": backlog.failing,
        "running": backlog.running,
        "dead": backlog.dead,
        "oldest_due_at": instant(backlog.oldest_due_at),
    }


def event_document(event: Event) -> JsonObject:
    """An event; ``id`` is its sender's."""
    return {
        "event_id": event.id,
        "type": event.event_type,
        "contact": event.contact_id,
        "source": event.source,
        "id": event.external_id,
        "data": event.data,
        "occurred_at": instant(event.occurred_at),
        "received_at": instant(event.received_at),
        "matched": list(event.matched),
    }


def quarantined_document(row: Quarantined, *, whole: bool = False) -> JsonObject:
    """A payload in quarantine; ``whole``: with headers and body, as text too where it is UTF-8."""
    from base64 import b64encode

    document = {
        "quarantine_id": row.id,
        "source": row.source,
        "format": row.format,
        "code": row.code,
        "message": row.message,
        "received_at": instant(row.received_at),
        "replayed_at": instant(row.replayed_at),
        "verified": row.verified,
        "size": row.size,
        "cut": row.is_cut,
    }
    if not whole:
        return document
    try:
        text = row.body.decode()
    except UnicodeDecodeError:
        text = None
    return document | {
        "headers": dict(row.headers),
        "url": row.url,
        "body_base64": b64encode(row.body).decode(),
        "body_text": text,
    }


def payload_document(
    delivery: Delivery, wait: JsonObject, deliveries: Sequence[Delivery], event: Event | None, data: JsonObject | None
) -> JsonObject:
    """What a handler gets. ``data`` is what `resume --data` gave, ``dead`` what an ``on_dead`` handler is told of."""
    dead = delivery.dead_delivery_id and next(each for each in deliveries if each.id == delivery.dead_delivery_id)
    return {
        "delivery_id": delivery.id,
        "attempt": delivery.attempt,
        "outcome": delivery.outcome.value,
        "event": None if event is None else event_document(event),
        "data": data,
        "dead": delivery_document(dead) if dead else None,
        "late_seconds": wait["late_seconds"],
        "trace_links": trace_links(wait["wait_config"], None if event is None else event.data),
        "wait": wait,
    }
