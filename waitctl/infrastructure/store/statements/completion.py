"""How waits end: due, event, timeout, by hand, cancelled. Every ending goes through `ending_steps`.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.statuses import DeliveryStatus, ListenerStatus, Outcome, Resolution, WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime, new_id, real_now
from waitctl.infrastructure.dialects import JsonRows, insert_new, insert_numbered, seconds_between
from waitctl.infrastructure.schema import deliveries, events, listeners, transitions, uncounted, upkeep, waits
from waitctl.infrastructure.sql_batch import Claimed, RowsByName, statement
from waitctl.infrastructure.store.statements.waits import IsClaimed, literal

NOW: sa.BindParameter[datetime] = sa.bindparam("now", type_=UtcDateTime)
LIMIT = sa.bindparam("limit", type_=sa.Integer)

ID = waits.c.id.type
ACTIVE = listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
WAITING = waits.c.status == literal(WaitExecutionStatus.WAITING, waits.c.status)
SCHEDULED = waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status)


# -- the low-water mark ------------------------------------------------------------------------------------------------


def beyond(at: sa.Column[Any], key: sa.Column[Any], name: str = "low") -> sa.ColumnElement[bool]:
    """Whether a row lies beyond the mark that `mark_parameters` makes parameters of; by an index on both columns.

    With the id, since many may be due at one instant.
    """
    mark = sa.tuple_(sa.bindparam(f"{name}_at", type_=UtcDateTime), sa.bindparam(f"{name}_id", type_=ID))
    return sa.tuple_(at, key) > mark


# -- what ending means -------------------------------------------------------------------------------------------------


def ending_steps(claimed: FromClause, resolution: Resolution) -> dict[str, UpdateBase]:
    """End the claimed waits: status, audit, listeners that are left, outbox. Each expects the claimed status.

    Parameters: ``now``, ``reason``, ``actor``, ``data``. Columns of ``claimed``: see `Claimed.COLUMNS`.
    """
    status = literal(resolution.status, waits.c.status)
    changed: dict[str, Any] = {
        "status": status,
        "resolution": resolved(claimed, resolution, waits.c.resolution),
        "resolved_at": NOW,
        "updated_at": NOW,
    }
    if resolution in {Resolution.DUE, Resolution.TIMEOUT}:
        changed["late_seconds"] = seconds_between(claimed.c.due_at, NOW)
    if resolution is Resolution.EVENT:
        changed["resolution_event_id"] = claimed.c.event_id
    is_claimed: sa.ColumnElement[bool] = waits.c.id == claimed.c.id
    if resolution is Resolution.DUE:  # others are claimed by ids, so that PostgreSQL knows that they are few
        is_claimed = sa.and_(is_claimed, IsClaimed(waits.c.id, claimed))
    end = sa.update(waits).values(changed).where(is_claimed, waits.c.status == claimed.c.from_status)
    steps: dict[str, UpdateBase] = {"ended": end, "audited": audit(claimed, status), "uncounted": _uncounted(claimed)}
    if resolution is not Resolution.DUE:
        steps["closed"] = close_listeners(claimed, resolution)
    if resolution is not Resolution.CANCELLED:
        steps["sent"] = _outbox(claimed, resolution)
    return steps


_SOON = sa.literal_column("60", sa.Integer)
"""Seconds within which a transaction commits: the mark of the totals keeps twice as far behind the clock."""


def _uncounted(claimed: FromClause) -> UpdateBase:
    """Note what ends before the mark of the totals, or what that may have passed until this is committed.

    By a clock that is pretended, or one that was ahead when the mark was moved: what ends now ends behind it.
    """
    mark = sa.select(upkeep.c.until_at).where(upkeep.c.name == sa.literal_column("'waits'", sa.Text)).scalar_subquery()
    is_past = sa.or_(NOW < mark, seconds_between(NOW, real_now()) > _SOON)
    # A select of its own, which is asked once: the clock is another for each wait.
    asked = sa.select(is_past).scalar_subquery()
    return insert_new(uncounted).from_select(["wait_id"], sa.select(claimed.c.id).where(asked))


def audit(claimed: FromClause, status: sa.ColumnElement[Any]) -> UpdateBase:
    """Write the audit trail of the claimed waits, which go to ``status``."""
    reason: sa.ColumnElement[Any] = sa.bindparam("reason", type_=sa.Text)
    if "reason" in claimed.c:
        reason = claimed.c.reason
    elif "listener_id" in claimed.c:
        reason = reason + sa.cast(claimed.c.event_id, sa.Text)
    columns = {
        transitions.c.wait_id: claimed.c.id,
        transitions.c.at: NOW,
        transitions.c.from_status: claimed.c.from_status,
        transitions.c.to_status: status,
        transitions.c.reason: reason,
        transitions.c.actor: sa.bindparam("actor", type_=sa.Text),
        transitions.c.data: sa.bindparam("data", type_=transitions.c.data.type),
    }
    return insert_numbered(columns, transitions.c.id)


def resolved(claimed: FromClause, resolution: Resolution, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The resolution; a wait that is due because an event scheduled it for an opening ends by that event."""
    due = literal(resolution.value, column)
    if resolution is not Resolution.DUE:
        return due
    return sa.cast(
        sa.case((claimed.c.event_id.is_(None), due), else_=literal(Resolution.EVENT.value, column)), column.type
    )


def close_listeners(claimed: FromClause, resolution: Resolution) -> UpdateBase:
    closed = ListenerStatus.EXPIRED if resolution is Resolution.TIMEOUT else ListenerStatus.CANCELLED
    values: dict[str, Any] = {"status": literal(closed, listeners.c.status)}
    if resolution is Resolution.EVENT:
        won = listeners.c.id == claimed.c.listener_id
        matched = literal(ListenerStatus.MATCHED, listeners.c.status)
        values = {
            "status": sa.cast(sa.case((won, matched), else_=values["status"]), listeners.c.status.type),
            "matched_event_id": sa.case((won, claimed.c.event_id)),
            "matched_at": sa.case((won, NOW)),
        }
    return sa.update(listeners).values(values).where(listeners.c.wait_id == claimed.c.id, ACTIVE)


def _outbox(claimed: FromClause, resolution: Resolution) -> UpdateBase:
    columns: dict[str, sa.ColumnElement[Any]] = {
        "id": new_id(),
        "wait_id": claimed.c.id,
        "handler": claimed.c.handler,
        "outcome": resolved(claimed, resolution, deliveries.c.outcome),
        "status": literal(DeliveryStatus.PENDING, deliveries.c.status),
        "attempt": sa.literal_column("0"),
        "next_attempt_at": NOW,
        "created_at": NOW,
    }
    rows = sa.select(*columns.values()).select_from(claimed).where(claimed.c.handler.is_not(None))
    return sa.insert(deliveries).from_select(list(columns), rows)


def handler_of(outcome: Outcome) -> sa.Label[Any]:
    """The handler that hears when a wait ends by ``outcome``; one that an event parked ends by that event."""
    routed: sa.ColumnElement[Any] = waits.c.handlers[outcome.value].as_string()
    if outcome is Outcome.DUE:
        parked = waits.c.handlers[Outcome.EVENT.value].as_string()
        routed = sa.case((waits.c.resolution_event_id.is_(None), routed), else_=parked)
    return sa.func.coalesce(routed, waits.c.handler).label("handler")


def count(claimed: FromClause, _: RowsByName) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(claimed)


def claimed_ids(claimed: FromClause, _: RowsByName) -> sa.Select[Any]:
    return sa.select(claimed.c.id)


# -- expired -----------------------------------------------------------------------------------------------------------

_LISTENED = waits.join(listeners, listeners.c.wait_id == waits.c.id)
_heard = listeners.alias("heard")


def _door_is_empty(wait_id: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Whether the inbox table holds no event for any listener of the wait that nobody has correlated yet.

    It may have come in time: the deadline decides, not the sweeper.
    """
    topic = sa.and_(events.c.contact_id == _heard.c.contact_id, events.c.event_type == _heard.c.event_type)
    waiting: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(_heard.join(events, topic))
    return ~sa.exists(waiting.where(_heard.c.wait_id == wait_id, events.c.correlated_at.is_(None)))


_DOOR_IS_EMPTY = _door_is_empty(waits.c.id)
_EXPIRED = sa.and_(ACTIVE, listeners.c.expires_at <= NOW, WAITING, _DOOR_IS_EMPTY)


@statement
def _find_expired() -> sa.Select[Any]:
    """The listeners of the waits that expired first. Locks nothing: their topics come first."""
    # Of a grouped wait some may have matched already: the first one that still listens.
    listens = _heard.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
    first = ~sa.exists().where(_heard.c.wait_id == waits.c.id, listens, _heard.c.id < listeners.c.id)
    place = (listeners.c.expires_at, listeners.c.id)
    page = (
        sa.select(waits.c.id, listeners.c.expires_at, listeners.c.id.label("listener_id"))
        .select_from(_LISTENED)
        .where(_EXPIRED, beyond(*place), first)
        .order_by(*place)
        .limit(LIMIT)
        .subquery("page")
    )
    topic = (listeners.c.wait_id, listeners.c.event_type, listeners.c.contact_id)
    found = sa.select(*topic, page.c.expires_at, page.c.listener_id)
    return found.join(page, page.c.id == listeners.c.wait_id)


@statement
def _time_out_expired() -> Claimed:
    """End those of the wanted waits that have expired. Locks the waits by id, past the locked ones."""
    wanted = JsonRows("wanted", {"id": ID})
    expired = sa.exists().where(listeners.c.wait_id == waits.c.id, ACTIVE, listeners.c.expires_at <= NOW)
    claim = (
        sa.select(
            waits.c.id,
            waits.c.status.label("from_status"),
            handler_of(Outcome.TIMEOUT),
            waits.c.timeout_at.label("due_at"),
        )
        .where(waits.c.id.in_(sa.select(wanted.c.id)), WAITING, expired, _DOOR_IS_EMPTY)
        .order_by(waits.c.id)
        .with_for_update(skip_locked=True)
    )
    return Claimed(claim, lambda claimed: ending_steps(claimed, Resolution.TIMEOUT), count)


@statement
def _count_remaining() -> sa.Select[Any]:
    """How many waits are due, and how many have expired."""
    is_due = sa.and_(SCHEDULED, waits.c.scheduled_at <= NOW, beyond(waits.c.scheduled_at, waits.c.id, "due"))
    due = sa.select(sa.func.count()).select_from(waits).where(is_due)
    # The wait's status by a sub-select: a join may be made from the waits, all of which may be dead.
    status = sa.select(waits.c.status).where(waits.c.id == listeners.c.wait_id).scalar_subquery()
    is_waiting = status == literal(WaitExecutionStatus.WAITING, waits.c.status)
    has_expired = sa.and_(ACTIVE, listeners.c.expires_at <= NOW, is_waiting, _door_is_empty(listeners.c.wait_id))
    expires_beyond = beyond(listeners.c.expires_at, listeners.c.id, "expires")
    expired = sa.select(sa.func.count(listeners.c.wait_id.distinct())).where(has_expired, expires_beyond)
    return sa.select(due.scalar_subquery(), expired.scalar_subquery())


@statement
def _look_ahead() -> sa.Select[Any]:
    """The next instants that end a wait, and whether an event of the inbox table is yet to be correlated."""
    first = [
        sa.select(at).where(condition, beyond(at, key, name)).order_by(at, key).limit(1).scalar_subquery()
        for at, key, condition, name in (
            (waits.c.scheduled_at, waits.c.id, SCHEDULED, "due"),
            (listeners.c.expires_at, listeners.c.id, ACTIVE, "expires"),
        )
    ]
    inbox = sa.exists(sa.select(sa.literal_column("1")).select_from(events).where(events.c.correlated_at.is_(None)))
    looks: list[Any] = [inbox, *(sa.type_coerce(at, UtcDateTime) for at in first)]
    return sa.select(*looks)


@statement
def _end_by_hand(resolution: Resolution) -> Claimed:
    """Resume or cancel the wanted waits that are open. Locks the waits by id, then their listeners."""
    wanted = JsonRows("wanted", {"id": ID})
    claim = (
        sa.select(waits.c.id, waits.c.status.label("from_status"), handler_of(Outcome.MANUAL))
        .where(waits.c.id.in_(sa.select(wanted.c.id)), sa.or_(WAITING, SCHEDULED))
        .order_by(waits.c.id)
        .with_for_update()
    )
    return Claimed(claim, lambda claimed: ending_steps(claimed, resolution), claimed_ids)
