"""Statements of lists for a screen that looks often: see `store.recent`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from waitctl.domain.counts import CAP
from waitctl.domain.filters import WaitFilter, meant_instant
from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.schema import deliveries, events, listeners, waits
from waitctl.infrastructure.sql_batch import named, statement
from waitctl.infrastructure.store.statements.completion import ACTIVE, SCHEDULED
from waitctl.infrastructure.store.statements.deliveries import in_status
from waitctl.infrastructure.store.statements.filters import list_statement

_SOME = sa.literal_column(str(CAP), sa.Integer)

_INDEXED = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RUNNING, DeliveryStatus.DEAD})
"""Statuses that an index finds."""


@statement
def _look_back(table: str, goes_on: bool) -> sa.Select[Any]:
    """How far back a look goes: the id that so many newer ones come before."""
    column = {"waits": waits, "events": events, "deliveries": deliveries}[table].c.id
    found = sa.select(column).order_by(column.desc()).offset(_SOME).limit(sa.literal_column("1", sa.Integer))
    return found.where(column < sa.bindparam("after", type_=column.type)) if goes_on else found


def recent_waits(wanted: WaitFilter, *, now: datetime, after: str | None, floor: str | None) -> sa.Select[Any]:
    """The waits that are meant, newest first, between these places; of what is due, what has to end first."""
    found = list_statement(wanted, now=now)
    if after is not None:
        found = found.where(waits.c.id < after)
    due = due_by(wanted, now)
    if due is not None:
        found = found.where(waits.c.id.in_(_next_due(due)))
    return found if floor is None else found.where(waits.c.id >= floor)


def due_by(wanted: WaitFilter, now: datetime) -> datetime | None:
    """Before when what is meant is due, if that is said."""
    ends = [now] if wanted.overdue else []
    if wanted.due_before is not None:
        ends.append(meant_instant(wanted.due_before, now))
    return min(ends, default=None)


def _next_due(until: datetime) -> sa.CompoundSelect[Any]:
    """The waits that end until then: those that have to first, `CAP` of each kind at most."""
    scheduled = sa.select(waits.c.id).where(SCHEDULED, waits.c.scheduled_at <= until).order_by(waits.c.scheduled_at)
    expiring = sa.select(listeners.c.wait_id).where(ACTIVE, listeners.c.expires_at <= until)
    some = (scheduled.limit(_SOME).subquery(), expiring.order_by(listeners.c.expires_at).limit(_SOME).subquery())
    return sa.union(*(sa.select(*each.c) for each in some))


def recent_events(
    held: Sequence[sa.ColumnElement[bool]], *, after: str | None, floor: str | None, limit: int
) -> sa.Select[Any]:
    """The events for which all of that holds, newest first, between these places."""
    found = sa.select(events).where(*held).order_by(events.c.id.desc()).limit(limit)
    if after is not None:
        found = found.where(events.c.id < after)
    return named("list_recent_events", found if floor is None else found.where(events.c.id >= floor))


def are_indexed(statuses: Sequence[DeliveryStatus]) -> bool:
    """Whether an index finds deliveries by these statuses."""
    return bool(statuses) and set(statuses) <= _INDEXED


def recent_deliveries(
    statuses: Sequence[DeliveryStatus], *, handler: str | None, after: str | None, floor: str | None, limit: int
) -> sa.Select[Any]:
    """Deliveries, newest first, between these places; of statuses that an index has, among the first that it gives."""
    held = [in_status(*statuses)] + ([] if handler is None else [deliveries.c.handler == handler])
    if are_indexed(statuses):
        # By what the index is sorted by: or a database may think that it finds enough of them without it.
        some = sa.select(deliveries.c.id).where(*held).order_by(deliveries.c.handler).limit(_SOME)
        held = [deliveries.c.id.in_(sa.select(some.subquery().c.id))]
    elif floor is not None:
        held.append(deliveries.c.id >= floor)
    if after is not None:
        held.append(deliveries.c.id < after)
    found = sa.select(deliveries).where(*held).order_by(deliveries.c.id.desc()).limit(limit)
    return named("list_recent_deliveries", found)
