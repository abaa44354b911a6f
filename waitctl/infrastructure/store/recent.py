"""Lists for a screen that looks often: newest first, and of what no index finds only so far back as is said.

A filter that few rows pass would else read all of them, a million for an empty page. What is left is asked for from the
place where the look ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import starmap
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.counts import CAP
from waitctl.domain.deliveries import Delivery, DeliveryStatus
from waitctl.domain.events import Event
from waitctl.domain.filters import WaitFilter, instant_of
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.schema import deliveries, events, listeners, waits
from waitctl.infrastructure.sql_batch import named
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store.completion import ACTIVE, SCHEDULED
from waitctl.infrastructure.store.deliveries import in_status
from waitctl.infrastructure.store.filters import list_statement
from waitctl.infrastructure.store.waits import load

_SOME = sa.literal_column(str(CAP), sa.Integer)

_INDEXED = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RUNNING, DeliveryStatus.DEAD})
"""Statuses that an index finds."""


def list_recent_waits(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int, after: str | None
) -> tuple[list[WaitStepExecution], str | None]:
    """Waits that are meant, newest first, older than ``after``; and from where to go on, if there may be more.

    Of an execution, and of what is due, an index knows all that matter; of others the next `CAP` are looked at.
    """
    found = list_statement(wanted, now=now).limit(limit + 1)
    if after is not None:
        found = found.where(waits.c.id < after)
    due = _due_by(wanted, now)
    floor = None
    if due is not None:
        found = found.where(waits.c.id.in_(_next_due(due)))
    elif wanted.execution_id is None and not wanted.is_empty:
        floor = _place(connection, waits.c.id, after)
    rows = load(connection, found if floor is None else found.where(waits.c.id >= floor))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else floor


def _due_by(wanted: WaitFilter, now: datetime) -> datetime | None:
    """Before when what is meant is due, if that is said."""
    ends = [now] if wanted.overdue else []
    if wanted.due_before is not None:
        ends.append(instant_of(wanted.due_before, now))
    return min(ends, default=None)


def _next_due(until: datetime) -> sa.CompoundSelect[Any]:
    """The waits that end until then: those that have to first, `CAP` of each kind at most."""
    scheduled = sa.select(waits.c.id).where(SCHEDULED, waits.c.scheduled_at <= until).order_by(waits.c.scheduled_at)
    expiring = sa.select(listeners.c.wait_id).where(ACTIVE, listeners.c.expires_at <= until)
    some = (scheduled.limit(_SOME).subquery(), expiring.order_by(listeners.c.expires_at).limit(_SOME).subquery())
    return sa.union(*(sa.select(*each.c) for each in some))


def _place(connection: Connection, column: sa.Column[Any], after: str | None) -> str | None:
    """How far back a look goes: the id that so many newer ones come before; ``None`` when all are looked at."""
    found = sa.select(column).order_by(column.desc()).offset(_SOME).limit(sa.literal_column("1", sa.Integer))
    place: str | None = connection.execute(found if after is None else found.where(column < after)).scalar()
    return place


def list_recent_events(
    connection: Connection,
    *,
    event_type: str | None,
    contact_id: str | None,
    since: datetime | None,
    unmatched: bool,
    limit: int,
    after: str | None,
) -> tuple[list[Event], str | None]:
    """Events in the order in which they were recorded, newest first; and from where to go on, if there may be more.

    Of a contact an index knows all of them; of others the next `CAP` are looked at.
    """
    held = event_store.meant(event_type=event_type, contact_id=contact_id, since=since, unmatched=unmatched)
    if after is not None:
        held.append(events.c.id < after)
    floor = _place(connection, events.c.id, after) if held and contact_id is None else None
    if floor is not None:
        held.append(events.c.id >= floor)
    found = named("list_recent_events", sa.select(events).where(*held).order_by(events.c.id.desc()).limit(limit + 1))
    rows = event_store.load_events(connection, found)
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else floor


def list_recent_deliveries(
    connection: Connection, statuses: Sequence[DeliveryStatus], *, handler: str | None, limit: int
) -> list[Delivery]:
    """Deliveries, newest first, among the `CAP` that an index gives first, or of others among the newest."""
    held = [in_status(*statuses)] + ([] if handler is None else [deliveries.c.handler == handler])
    if set(statuses) <= _INDEXED:
        some = sa.select(deliveries.c.id).where(*held).limit(_SOME)
        held = [deliveries.c.id.in_(sa.select(some.subquery().c.id))]
    elif (floor := _place(connection, deliveries.c.id, None)) is not None:
        held.append(deliveries.c.id >= floor)
    found = sa.select(deliveries).where(*held).order_by(deliveries.c.id.desc()).limit(limit)
    return list(starmap(Delivery, connection.execute(named("list_recent_deliveries", found)).all()))
