"""Statements of lists for a screen that looks often: see `store.recent`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from waitctl.domain.counts import CAP
from waitctl.domain.filters import WaitFilter, meant_instant
from waitctl.domain.statuses import DeliveryStatus
from waitctl.domain.values import replace
from waitctl.infrastructure.dialects import is_one_of
from waitctl.infrastructure.schema import deliveries, events, listeners, waits
from waitctl.infrastructure.sql_batch import named, statement
from waitctl.infrastructure.store.statements.completion import ACTIVE, SCHEDULED
from waitctl.infrastructure.store.statements.deliveries import in_status
from waitctl.infrastructure.store.statements.filters import list_statement
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT

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
    by = _due_by(wanted, now)
    # An array of them, and no other look at when each ends: a join may go through all that ended before them.
    found = list_statement(replace(wanted, overdue=False, due_before=None) if by else wanted, now=now)
    if by:
        found = found.where(OPEN_WAIT, is_one_of(waits.c.id, _next_due(by)))
    if after is not None:
        found = found.where(waits.c.id < after)
    return found if floor is None else found.where(waits.c.id >= floor)


def is_by_due(wanted: WaitFilter) -> bool:
    """Whether it is said before when what is meant is due."""
    return wanted.overdue or wanted.due_before is not None


def _due_by(wanted: WaitFilter, now: datetime) -> list[Callable[[sa.ColumnElement[Any]], sa.ColumnElement[bool]]]:
    """What is said of when what is meant ends, as far as it is before when."""
    found: list[Callable[[sa.ColumnElement[Any]], sa.ColumnElement[bool]]] = []
    if wanted.overdue:
        found.append(lambda at: at <= now)
    if wanted.due_before is not None:
        until = meant_instant(wanted.due_before, now)
        found.append(lambda at: at < until)
    return found


def _next_due(by: Sequence[Callable[[sa.ColumnElement[Any]], sa.ColumnElement[bool]]]) -> sa.CompoundSelect[Any]:
    """The waits that end by then: those that have to first, `CAP` of each kind at most."""

    def some(column: sa.ColumnElement[Any], at: sa.ColumnElement[Any], is_open: sa.ColumnElement[bool]) -> Any:
        first = sa.select(column).where(is_open, *(each(at) for each in by)).order_by(at).limit(_SOME).subquery()
        return sa.select(*first.c)

    return sa.union(
        some(waits.c.id, waits.c.scheduled_at, SCHEDULED), some(listeners.c.wait_id, listeners.c.expires_at, ACTIVE)
    )


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
        held = [is_one_of(deliveries.c.id, sa.select(some.subquery().c.id))]
    elif floor is not None:
        held.append(deliveries.c.id >= floor)
    if after is not None:
        held.append(deliveries.c.id < after)
    found = sa.select(deliveries).where(*held).order_by(deliveries.c.id.desc()).limit(limit)
    return named("list_recent_deliveries", found)
