"""Statements of the doctor: what is stuck, left over, full, or named by open waits. Each looks at a bounded part."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.counts import CAP
from waitctl.domain.statuses import DeliveryStatus, Resolution, WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.schema import deliveries, listeners, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.completion import ACTIVE, NOW, SCHEDULED
from waitctl.infrastructure.store.statements.deliveries import in_status
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT, literal

_MORE = sa.literal_column(str(CAP + 1), sa.Integer)
_ONE = sa.literal_column("1", sa.Integer)
_RECENT = sa.literal_column("1000", sa.Integer)


@statement
def _progress_at() -> sa.Select[Any]:
    """When a tick last ended a wait, among the thousand that ended last."""
    latest = sa.select(waits.c.resolved_at, waits.c.resolution).where(waits.c.resolved_at.is_not(None))
    ended = latest.order_by(waits.c.resolved_at.desc()).limit(_RECENT).subquery("ended")
    by_clock = [literal(each, waits.c.resolution) for each in (Resolution.DUE, Resolution.TIMEOUT)]
    last: sa.Select[Any] = sa.select(sa.func.max(ended.c.resolved_at, type_=UtcDateTime))
    return last.where(ended.c.resolution.in_(by_clock))


@statement
def _lapsed_leases() -> sa.Select[Any]:
    """The deliveries that run on a lease which is over."""
    at = deliveries.c.lease_expires_at
    lapsed = sa.select(at).where(in_status(DeliveryStatus.RUNNING), at <= NOW).limit(_MORE).subquery("lapsed")
    columns: list[Any] = [sa.func.count(), sa.func.min(lapsed.c.lease_expires_at, type_=UtcDateTime)]
    return sa.select(*columns).select_from(lapsed)


@statement
def _named_by_open() -> sa.Select[Any]:
    """The calendars and zone rules that the open waits name which are due next, and as many of those for events."""

    def named(found: sa.Select[Any]) -> sa.Select[Any]:
        return sa.select(*found.limit(_MORE).subquery().c)

    columns = [waits.c.wait_config[key].as_string().label(key) for key in ("calendar", "tzdata")]
    scheduled = sa.select(*columns).where(SCHEDULED).order_by(waits.c.scheduled_at)
    listening = (
        sa.select(*columns)
        .join(listeners, listeners.c.wait_id == waits.c.id)
        .where(ACTIVE)
        .order_by(listeners.c.expires_at)
    )
    both = sa.union_all(named(scheduled), named(listening)).subquery("named")
    return sa.select(*both.c).distinct()


@statement
def _orphans() -> sa.Select[Any]:
    """Deliveries without a wait, listeners without an open one, waits for an event without a listener.

    Of the deliveries that are not through, of the listeners that expire first, of the waits that are open: as many as
    are counted. What is lost stays at the front, where nothing takes it away.
    """
    unsettled = [
        sa.select(deliveries.c.wait_id).where(in_status(status)).limit(_MORE).subquery(f"{status}_ones")
        for status in (DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
    ]
    lost = [
        sa.select(sa.func.count()).select_from(each).where(~sa.exists().where(waits.c.id == each.c.wait_id))
        for each in unsettled
    ]
    opened = sa.select(waits.c.id, waits.c.status).where(OPEN_WAIT).limit(_MORE).subquery("opened")
    is_waiting = opened.c.status == literal(WaitExecutionStatus.WAITING, waits.c.status)
    heard = sa.exists().where(listeners.c.wait_id == opened.c.id, ACTIVE)
    deaf = sa.select(sa.func.count()).select_from(opened).where(is_waiting, ~heard)
    counts: list[Any] = [each.scalar_subquery() for each in (*lost, lost_listeners(_MORE), deaf)]
    return sa.select(counts[0] + counts[1], *counts[2:])


def lost_listeners(limit: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """How many of the active listeners that expire first have no open wait."""
    at = listeners.c.expires_at
    active = sa.select(listeners.c.wait_id).where(ACTIVE).order_by(at).limit(limit).subquery("listening_ones")
    is_open = sa.exists().where(waits.c.id == active.c.wait_id, OPEN_WAIT)
    return sa.select(sa.func.count()).select_from(active).where(~is_open)
