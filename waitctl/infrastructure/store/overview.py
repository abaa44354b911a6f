"""Statements behind every screen: counts that stop at a cap, and the first of what an index has in order.

None reads a history, or more than a few thousand entries of what is open, however much there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.counts import CAP
from waitctl.domain.deliveries import Backlog, DeliveryStatus
from waitctl.domain.waits import OPEN, WaitExecutionStatus, WaitType
from waitctl.infrastructure.schema import UtcDateTime, deliveries, listeners, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.completion import ACTIVE, NOW, SCHEDULED
from waitctl.infrastructure.store.deliveries import in_status, of_workflows

_MORE = sa.literal_column(str(CAP + 1), sa.Integer)
_MORE_LISTENERS = sa.literal_column(str(2 * CAP + 2), sa.Integer)
"""A wait may listen to several types of event, and counts once."""

_ONE = sa.literal_column("1", sa.Integer)


def _count(found: sa.Select[Any]) -> sa.ScalarSelect[int]:
    """How many rows there are, as far as it matters."""
    return sa.select(sa.func.count()).select_from(found.limit(_MORE).subquery()).scalar_subquery()


# -- waits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """The open waits by type and status, how many are overdue since when, and when the next one is due.

    A count above `CAP` means "more than that". Of those that are overdue: the oldest, the one whose age is the 95th
    percentile, and the median, by the nearest rank.
    """

    by_type: Mapping[WaitType, int]
    by_status: Mapping[WaitExecutionStatus, int]
    overdue: int = 0
    oldest_overdue_at: datetime | None = None
    p95_overdue_at: datetime | None = None
    median_overdue_at: datetime | None = None
    next_due_at: datetime | None = None

    @property
    def open(self) -> int:
        """How many are open."""
        return min(sum(self.by_status.values()), CAP + 1)


def count_open(connection: Connection, *, now: datetime) -> OpenCounts:
    """Count the open waits."""
    found = connection.execute(_count_open()).all()
    # More listeners than were looked at: there are as many waits, or more.
    kinds = [(row[0], row[1], CAP + 1 if row[3] > 2 * CAP else row[2]) for row in found]
    next_at = connection.execute(_next_ends(), {"now": now}).one()
    return open_counts(kinds, connection.execute(_overdue(), {"now": now}).all(), next_at)


def open_counts(
    kinds: Iterable[tuple[WaitType, WaitExecutionStatus, int]],
    overdue: Sequence[sa.Row[Any]],
    next_at: Iterable[datetime | None],
) -> OpenCounts:
    """The counts from rows of (type, status, number), from those of `percentiles`, and from what ends next."""
    by_type: dict[WaitType, int] = dict.fromkeys(WaitType, 0)
    by_status: dict[WaitExecutionStatus, int] = dict.fromkeys(sorted(OPEN, reverse=True), 0)
    for wait_type, status, count in kinds:
        by_type[wait_type] += count
        by_status[status] += count
    following = min((at for at in next_at if at is not None), default=None)
    if not overdue:
        return OpenCounts(by_type, by_status, next_due_at=following)
    at_place = {row.place: row.at for row in overdue}
    first = overdue[0]
    ranks = (at_place[1], at_place[first.twentieth], at_place[first.middle])
    return OpenCounts(by_type, by_status, first.number, *ranks, next_due_at=following)


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
    listening = (
        sa.select(listeners.c.wait_id)
        .where(ACTIVE)
        .order_by(listeners.c.expires_at)
        .limit(_MORE_LISTENERS)
        .subquery("listening")
    )
    number = sa.func.count(listening.c.wait_id.distinct())
    kinds = (scheduled.c.wait_type, scheduled.c.status)
    waiting = (
        sa.cast(sa.literal_column(f"'{WaitType.FOR_EVENT.value}'"), waits.c.wait_type.type),
        sa.cast(sa.literal_column("'waiting'"), waits.c.status.type),
    )
    return sa.union_all(
        sa.select(*kinds, sa.func.count(), sa.literal_column("0", sa.Integer)).group_by(*kinds),
        sa.select(*waiting, number, sa.func.count()).select_from(listening),
    )


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
    by_wait = sa.select(sa.func.min(expired.c.at, type_=UtcDateTime).label("at")).group_by(expired.c.wait_id)
    return percentiles(sa.union_all(sa.select(scheduled.c.at), by_wait))


def percentiles(ends: sa.Select[Any] | sa.CompoundSelect[Any]) -> sa.Select[Any]:
    """Rows of (place from the oldest, number of all, instant) for `open_counts`, from instants called ``at``."""
    overdue = ends.subquery("overdue")
    at = sa.type_coerce(overdue.c.at, UtcDateTime)
    ranked = sa.select(
        at.label("at"),
        sa.func.row_number().over(order_by=overdue.c.at).label("place"),
        sa.func.count().over().label("number"),
    ).subquery("ranked")
    number = ranked.c.number
    # The nearest rank of an age is counted from the youngest: ceil(0.95 n), ceil(0.5 n).
    twentieth = number - (number * 19 + 19) // 20 + 1
    middle = number - (number + 1) // 2 + 1
    places = sa.select(ranked.c.place, number, ranked.c.at, twentieth.label("twentieth"), middle.label("middle"))
    return places.where(sa.or_(ranked.c.place == 1, ranked.c.place == twentieth, ranked.c.place == middle))


@statement
def _next_ends() -> sa.Select[Any]:
    """When the next wait for a time is due, and the next listener expires."""
    looks = [
        sa.select(column).where(condition, column > NOW).order_by(column).limit(1).scalar_subquery()
        for column, condition in ((waits.c.scheduled_at, SCHEDULED), (listeners.c.expires_at, ACTIVE))
    ]
    columns: list[Any] = [sa.type_coerce(at, UtcDateTime) for at in looks]
    return sa.select(*columns)


@dataclass(frozen=True, slots=True)
class ListenerCounts:
    """The active listeners: all, those that expire within an hour, those that have expired and no tick has swept."""

    active: int
    expiring_1h: int
    expired_unswept: int


def count_listeners(connection: Connection, *, now: datetime) -> ListenerCounts:
    """Count the active listeners; see `count_open` for the cap."""
    row = connection.execute(_count_listeners(), {"now": now, "until": now + timedelta(hours=1)}).one()
    return ListenerCounts(*row)


@statement
def _count_listeners() -> sa.Select[Any]:
    """The active listeners: all, those that expire soon, and those that have expired."""
    at, until = listeners.c.expires_at, sa.bindparam("until", type_=UtcDateTime)
    active = sa.select(_ONE).where(ACTIVE).order_by(at)
    counts: list[Any] = [_count(active), _count(active.where(at > NOW, at <= until)), _count(active.where(at <= NOW))]
    return sa.select(*counts)


# -- deliveries --------------------------------------------------------------------------------------------------------


def backlogs(connection: Connection, *, now: datetime) -> list[Backlog]:
    """What every handler with anything unsettled or dead has before it, each count up to the cap."""
    found: dict[str, dict[str, Any]] = {}
    for handler, *fields in connection.execute(_count_pending(), {"now": now}):
        names = ("pending", "failing", "due", "oldest_due_at")
        found.setdefault(handler, {}).update(zip(names, fields, strict=True))
    for status in (DeliveryStatus.RUNNING, DeliveryStatus.DEAD):
        for handler, count in connection.execute(_count_by_handler(status)):
            found.setdefault(handler, {})[status.value] = count
    return [Backlog(handler, **found[handler]) for handler in sorted(found)]


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
    """By handler: how many deliveries are pending, how many of them have failed, how many are due, since when."""
    handlers = _handlers(DeliveryStatus.PENDING)
    at = deliveries.c.next_attempt_at
    pending = _of_each(DeliveryStatus.PENDING, handlers, deliveries.c.last_error).order_by(at).limit(_MORE)
    some = pending.subquery("pending")
    due = _of_each(DeliveryStatus.PENDING, handlers, _ONE).where(at <= NOW).order_by(at)
    oldest = _of_each(DeliveryStatus.PENDING, handlers, at).where(at <= NOW).order_by(at).limit(1)
    return sa.select(
        handlers.c.handler,
        sa.select(sa.func.count()).select_from(some).scalar_subquery(),
        sa.select(sa.func.count(some.c.last_error)).scalar_subquery(),
        _count(due),
        sa.type_coerce(oldest.scalar_subquery(), UtcDateTime),
    ).where(handlers.c.handler.is_not(None))


@statement
def _count_by_handler(status: DeliveryStatus) -> sa.Select[Any]:
    """By handler: how many deliveries are in a status."""
    handlers = _handlers(status)
    counted = _count(_of_each(status, handlers, _ONE))
    return sa.select(handlers.c.handler, counted).where(handlers.c.handler.is_not(None))


def count_held(connection: Connection, handlers: Collection[str], found: Sequence[Backlog]) -> int:
    """How many deliveries wait for a handler that is not one of ``handlers``, or for the end of a pause.

    ``found`` are the `backlogs`. Up to the cap; of paused workflows the oldest of each handler's are looked at.
    """
    paused = pauses.paused(connection)
    usable = set() if paused.everything else set(handlers) - paused.handlers
    held = sum(each.pending + each.running for each in found if each.handler not in usable)
    if paused.workflows and usable and held <= CAP:
        held += _count_of_workflows(connection, sorted(usable), paused.workflows)
    return min(held, CAP + 1)


def _count_of_workflows(connection: Connection, handlers: Iterable[str], workflow_ids: Iterable[str]) -> int:
    held = 0
    theirs = of_workflows(workflow_ids)
    for status, at in (
        (DeliveryStatus.PENDING, deliveries.c.next_attempt_at),
        (DeliveryStatus.RUNNING, deliveries.c.lease_expires_at),
    ):
        for handler in handlers:
            mine = sa.select(_ONE).where(in_status(status), deliveries.c.handler == handler, theirs).order_by(at)
            held += int(connection.execute(sa.select(_count(mine))).scalar_one())
    return held
