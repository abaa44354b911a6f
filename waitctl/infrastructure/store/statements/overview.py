"""Statements behind every screen: counts that stop at a cap, and the first of what an index has in order.

None reads a history, or more than a few thousand entries of what is open, however much there is.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.counts import CAP
from waitctl.domain.statuses import DeliveryStatus, WaitType
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.schema import deliveries, listeners, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.completion import ACTIVE, LIMIT, NOW, SCHEDULED
from waitctl.infrastructure.store.statements.deliveries import in_status, of_workflows
from waitctl.infrastructure.store.statements.health import lost_listeners

_MORE = sa.literal_column(str(CAP + 1), sa.Integer)
_MORE_LISTENERS = sa.literal_column(str(2 * CAP + 2), sa.Integer)
"""A wait may listen to several types of event, and counts once."""

_FEW = sa.literal_column("1000", sa.Integer)
"""What is looked up one by one: a screen is to be there at once."""

_ONE = sa.literal_column("1", sa.Integer)


def _count(found: sa.Select[Any]) -> sa.ScalarSelect[int]:
    """How many rows there are, as far as it matters."""
    return sa.select(sa.func.count()).select_from(found.limit(_MORE).subquery()).scalar_subquery()


@statement
def _count_open() -> sa.CompoundSelect[Any]:
    """The open waits by type and status: of those for a time the next ones, of those for events the first to expire."""
    scheduled = (
        sa.select(waits.c.wait_type, waits.c.status)
        .where(SCHEDULED)
        .order_by(waits.c.scheduled_at)
        .limit(_MORE)
        .subquery("scheduled")
    )
    kinds = (scheduled.c.wait_type, scheduled.c.status)
    waiting = (
        sa.cast(sa.literal_column(f"'{WaitType.FOR_EVENT.value}'"), waits.c.wait_type.type),
        sa.cast(sa.literal_column("'waiting'"), waits.c.status.type),
    )
    return sa.union_all(
        sa.select(*kinds, sa.func.count()).group_by(*kinds),
        sa.select(*waiting, _count_listening()),
    )


def _count_listening() -> sa.ScalarSelect[int]:
    """The waits that listen.

    Where most listeners have an end to themselves an index knows all but the others' waits; where they do not, since
    each wait listens to several types, rows are read in one go.
    """
    ends = ends_of_listeners(sa.select(listeners.c.expires_at).where(ACTIVE), _MORE, "ends")
    alone = sa.func.sum(sa.case((ends.c.number == 1, _ONE), else_=sa.literal_column("0", sa.Integer)))
    is_mostly_alone = sa.select(2 * alone >= sa.func.sum(ends.c.number)).select_from(ends).scalar_subquery()
    return sa.select(sa.case((is_mostly_alone, _count_one_by_one()), else_=_count_in_one_go())).scalar_subquery()


def _count_one_by_one() -> sa.ScalarSelect[int]:
    """The waits that listen, end by end.

    Only where many of the first listeners are of one wait, twice as many are looked at.
    """
    first, further = (
        _sums(ends_of_listeners(sa.select(listeners.c.expires_at).where(ACTIVE), limit, f"{name}_ends"), name)
        for limit, name in ((_MORE, "listening"), (_MORE_LISTENERS, "further"))
    )
    counted = _counted(further.c.listeners, further.c.waits)
    is_short = sa.and_(first.c.listeners == _MORE, first.c.waits < _MORE)
    return sa.select(sa.case((is_short, sa.select(counted).scalar_subquery()), else_=first.c.waits)).scalar_subquery()


def _count_in_one_go() -> sa.ScalarSelect[int]:
    """The waits that listen, from the rows of the listeners that expire first."""
    active = sa.select(listeners.c.wait_id).where(ACTIVE).order_by(listeners.c.expires_at)
    rows = active.limit(_MORE_LISTENERS).subquery("rows")
    return sa.select(_counted(sa.func.count(), sa.func.count(rows.c.wait_id.distinct()))).scalar_subquery()


def _counted(looked_at: sa.ColumnElement[int], found: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Where there are more listeners than were looked at, there are as many waits, or more."""
    return sa.case((looked_at == _MORE_LISTENERS, _MORE), else_=found)


def _sums(ends: sa.Subquery, name: str) -> sa.Subquery:
    numbers = (sa.func.sum(ends.c.number).label("listeners"), sa.func.sum(waits_of_listeners(ends)).label("waits"))
    # PostgreSQL adds up to a numeric, which is no integer.
    return sa.select(
        *(sa.cast(sa.func.coalesce(number, 0), sa.BigInteger).label(number.name) for number in numbers)
    ).subquery(name)


def ends_of_listeners(found: sa.Select[Any], limit: sa.ColumnElement[int], name: str) -> sa.Subquery:
    """The first ends of listeners' grace and the number of those that have it, from an index alone."""
    ends = found.order_by(listeners.c.expires_at).limit(limit).subquery()
    at = ends.c.expires_at
    return sa.select(at, sa.func.count().label("number")).group_by(at).subquery(name)


def waits_of_listeners(ends: sa.Subquery) -> sa.ColumnElement[int]:
    """How many waits such listeners are of. Those of one wait expire together, so one that has an end to itself is one.

    Whose the others are stands in rows all over the table.
    """
    of_end = sa.select(listeners.c.wait_id).where(ACTIVE).limit(_MORE_LISTENERS).correlate(ends)
    together, never = (
        sa.select(sa.func.count(each.c.wait_id.distinct())).correlate(ends).scalar_subquery()
        for each in (
            of_end.where(listeners.c.expires_at == ends.c.expires_at).subquery("together"),
            of_end.where(listeners.c.expires_at.is_(None)).subquery("never"),
        )
    )
    one = ends.c.number == 1
    return sa.case((one, _ONE), (ends.c.expires_at.is_(None), never), else_=together)


@statement
def _overdue() -> sa.Select[Any]:
    """How many waits are overdue, and since when: the longest, the one that 95 of 100 are behind, the middle one."""
    scheduled = (
        sa.select(waits.c.scheduled_at.label("at"))
        .where(SCHEDULED, waits.c.scheduled_at <= NOW)
        .order_by(waits.c.scheduled_at)
        .limit(_MORE)
        .subquery("scheduled")
    )
    expired = (
        sa.select(listeners.c.expires_at.label("at"), listeners.c.wait_id)
        .where(ACTIVE, listeners.c.expires_at <= NOW)
        .order_by(listeners.c.expires_at)
        .limit(_MORE_LISTENERS)
        .subquery("expired")
    )
    # Those of one wait expire together: by both columns they come in the order of the instants as they are.
    by_wait = sa.select(expired.c.at, expired.c.wait_id).distinct().subquery("by_wait")
    return percentiles(sa.union_all(sa.select(scheduled.c.at), sa.select(by_wait.c.at)))


def percentiles(ends: sa.Select[Any] | sa.CompoundSelect[Any]) -> sa.Select[Any]:
    """A row of (number, oldest, 95th percentile, median) for `open_counts`, from instants called ``at``.

    Of the first that are counted: no window is laid over them, which costs more than to read them.
    """
    found = ends.subquery("ends")
    overdue = sa.select(found.c.at).order_by(found.c.at).limit(_MORE).cte("overdue")
    at = overdue.c.at

    def ranked(share: int) -> sa.ColumnElement[Any]:
        """By the nearest rank of an age, which is counted from the youngest: ceil(share n / 100)."""
        number = sa.func.count()
        before = sa.select(number - (number * share + 99) // 100).select_from(overdue).scalar_subquery()
        return sa.select(at).order_by(at).limit(_ONE).offset(before).scalar_subquery()

    instants = (sa.func.min(at), ranked(95), ranked(50))
    columns: list[Any] = [sa.type_coerce(each, UtcDateTime) for each in instants]
    return sa.select(sa.func.count(), *columns).select_from(overdue)


@statement
def _next_ends() -> sa.Select[Any]:
    """When the next wait for a time is due, and the next listener expires."""
    looks = [
        sa.select(column).where(condition, column > NOW).order_by(column).limit(1).scalar_subquery()
        for column, condition in ((waits.c.scheduled_at, SCHEDULED), (listeners.c.expires_at, ACTIVE))
    ]
    columns: list[Any] = [sa.type_coerce(at, UtcDateTime) for at in looks]
    return sa.select(*columns)


@statement
def _count_listeners() -> sa.Select[Any]:
    """The active listeners: all, those that expire soon, those that have expired; of the first, the orphans."""
    at, until = listeners.c.expires_at, sa.bindparam("until", type_=UtcDateTime)
    active = sa.select(_ONE).where(ACTIVE).order_by(at)
    counts: list[Any] = [_count(active), _count(active.where(at > NOW, at <= until)), _count(active.where(at <= NOW))]
    return sa.select(*counts, lost_listeners(_FEW).scalar_subquery())


def _handlers(status: DeliveryStatus) -> sa.CTE:
    """The handlers that have a delivery in this status: a look into the index for each, and none for a delivery."""
    first = sa.select(deliveries.c.handler).where(in_status(status)).order_by(deliveries.c.handler).limit(1)
    handlers = sa.select(first.scalar_subquery().label("handler")).cte("handlers", recursive=True)
    following = first.where(deliveries.c.handler > handlers.c.handler).scalar_subquery()
    return handlers.union_all(sa.select(following).where(handlers.c.handler.is_not(None)))


def _of_each(status: DeliveryStatus, handlers: sa.CTE, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    """What a handler has in this status, the longest waiting first."""
    mine = sa.select(*columns).where(in_status(status), deliveries.c.handler == handlers.c.handler)
    return mine.correlate(handlers)


@statement
def _count_pending() -> sa.Select[Any]:
    """By handler: how many deliveries are pending, how many of them are due, since when. Read from an index alone."""
    handlers = _handlers(DeliveryStatus.PENDING)
    at = deliveries.c.next_attempt_at
    due = _of_each(DeliveryStatus.PENDING, handlers, _ONE).where(at <= NOW).order_by(at)
    oldest = _of_each(DeliveryStatus.PENDING, handlers, at).where(at <= NOW).order_by(at).limit(1)
    return sa.select(
        handlers.c.handler,
        _count(_of_each(DeliveryStatus.PENDING, handlers, _ONE).order_by(at)),
        _count(due),
        sa.type_coerce(oldest.scalar_subquery(), UtcDateTime),
    ).where(handlers.c.handler.is_not(None))


@statement
def _count_failing() -> sa.Select[Any]:
    """By handler: how many of the pending deliveries have failed. It reads each of them."""
    handlers = _handlers(DeliveryStatus.PENDING)
    at = deliveries.c.next_attempt_at
    pending = _of_each(DeliveryStatus.PENDING, handlers, deliveries.c.last_error).order_by(at).limit(_MORE)
    failed = sa.select(sa.func.count(pending.subquery("pending").c.last_error)).scalar_subquery()
    return sa.select(handlers.c.handler, failed).where(handlers.c.handler.is_not(None))


@statement
def _handlers_pending() -> sa.Select[Any]:
    """The handlers that have a delivery pending."""
    handlers = _handlers(DeliveryStatus.PENDING)
    return sa.select(handlers.c.handler).where(handlers.c.handler.is_not(None))


@statement
def _count_by_handler(status: DeliveryStatus) -> sa.Select[Any]:
    """By handler: how many deliveries are in a status."""
    handlers = _handlers(status)
    counted = _count(_of_each(status, handlers, _ONE))
    return sa.select(handlers.c.handler, counted).where(handlers.c.handler.is_not(None))


@statement
def _count_of_workflows(status: DeliveryStatus, workflow_ids: frozenset[str]) -> sa.Select[Any]:
    """How many deliveries to a handler are in a status and of one of these workflows."""
    turn = deliveries.c.next_attempt_at if status is DeliveryStatus.PENDING else deliveries.c.lease_expires_at
    to_handler = deliveries.c.handler == sa.bindparam("of_handler", type_=sa.Text)
    mine = sa.select(_ONE).where(in_status(status), to_handler, of_workflows(workflow_ids)).order_by(turn)
    return sa.select(_count(mine))


@statement
def _next_due() -> sa.Select[Any]:
    """The waits for a time that are due first."""
    columns = (waits.c.id, waits.c.workflow_execution_id, waits.c.step_id, waits.c.scheduled_at)
    return sa.select(*columns).where(SCHEDULED).order_by(waits.c.scheduled_at).limit(LIMIT)


@statement
def _count_ended_since() -> sa.Select[Any]:
    """How many waits have ended lately."""
    ended = sa.select(_ONE).where(waits.c.resolved_at >= NOW).order_by(waits.c.resolved_at)
    return sa.select(_count(ended))
