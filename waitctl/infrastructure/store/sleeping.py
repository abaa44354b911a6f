"""Who sleeps, those that wake first before the others.

Each kind of sleeper is read from an index in the order in which it wakes, and no further than a page.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from waitctl.domain.filters import WaitFilter
from waitctl.domain.statuses import DeliveryStatus, ListenerStatus, WaitExecutionStatus
from waitctl.domain.values import dataclass
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.schema import deliveries, listeners, waits
from waitctl.infrastructure.store.statements.completion import ACTIVE, ID, SCHEDULED
from waitctl.infrastructure.store.statements.filters import clauses
from waitctl.infrastructure.store.statements.waits import literal
from waitctl.infrastructure.store.waits import get_wait, get_waits

NEVER = datetime(9999, 12, 31, tzinfo=UTC)
"""When one wakes that has no deadline."""

Place = tuple[datetime, str]
"""When a sleeper wakes, and what breaks a tie: the id of the row that says so."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of sleeper: the columns that an index has in their order, and which rows it is. Without ``at``: never."""

    at: sa.ColumnElement[Any] | None
    tie: sa.ColumnElement[Any]
    wait_id: sa.ColumnElement[Any]
    source: sa.FromClause
    held: tuple[sa.ColumnElement[bool], ...]

    def page(self, behind: Place | None, limit: int) -> sa.Select[Any]:
        """The first of them behind a place."""
        never = sa.literal(NEVER, UtcDateTime)
        found = sa.select(never if self.at is None else self.at, self.tie, self.wait_id).select_from(self.source)
        found = found.where(*self.held)
        if behind is not None and self.at is not None:
            place = sa.tuple_(sa.literal(behind[0], UtcDateTime), sa.literal(behind[1], ID))
            found = found.where(self.at >= sa.literal(behind[0], UtcDateTime), sa.tuple_(self.at, self.tie) > place)
        elif behind is not None and behind[0] == NEVER:
            found = found.where(self.tie > sa.literal(behind[1], ID))
        order = [self.tie] if self.at is None else [self.at, self.tie]
        return found.order_by(*order).limit(limit)


def list_sleeping(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int, after: str | None
) -> list[WaitStepExecution]:
    """A page of sleepers behind the wait ``after``."""
    behind = None if after is None else _place(connection, after)
    kinds = [*_kinds(wanted, now), *_tried_again(connection, wanted, now)]
    rows = [tuple(row) for kind in kinds for row in connection.execute(kind.page(behind, limit))]
    ids = [str(wait_id) for _, _, wait_id in sorted(rows)[:limit]]
    found = get_waits(connection, ids)
    return [found[wait_id] for wait_id in ids if wait_id in found]


def _kinds(wanted: WaitFilter, now: datetime) -> Iterator[_Kind]:
    held = clauses(wanted, now=now)
    yield _Kind(waits.c.scheduled_at, waits.c.id, waits.c.id, waits, (SCHEDULED, *held))
    mine = (ACTIVE, _is_first_listener(), *held)
    listening = listeners.join(waits, waits.c.id == listeners.c.wait_id)
    ends = listeners.c.expires_at
    yield _Kind(ends, listeners.c.id, listeners.c.wait_id, listening, (ends.is_not(None), *mine))
    yield _Kind(None, listeners.c.id, listeners.c.wait_id, listening, (ends.is_(None), *mine))


def _tried_again(connection: Connection, wanted: WaitFilter, now: datetime) -> Iterator[_Kind]:
    """Those of each handler by themselves: so the index has them."""
    held = clauses(wanted, now=now)
    sent = deliveries.join(waits, waits.c.id == deliveries.c.wait_id)
    at = deliveries.c.next_attempt_at
    for handler in connection.execute(kept("handlers_pending")).scalars():
        mine = deliveries.c.handler == sa.literal(handler, sa.Text)
        yield _Kind(at, deliveries.c.id, deliveries.c.wait_id, sent, (mine, _is_tried_again(), *held))


def _is_first_listener() -> sa.ColumnElement[bool]:
    """One of several listeners stands for its wait."""
    other = listeners.alias("other")
    active = other.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
    return ~sa.exists().where(other.c.wait_id == listeners.c.wait_id, active, other.c.id < listeners.c.id)


def _is_tried_again() -> sa.ColumnElement[bool]:
    """Of an ended wait the first delivery that has been tried and will be again."""
    pending = literal(DeliveryStatus.PENDING, deliveries.c.status)
    other = deliveries.alias("other")
    earlier = sa.tuple_(other.c.next_attempt_at, other.c.id) < sa.tuple_(deliveries.c.next_attempt_at, deliveries.c.id)
    first = ~sa.exists().where(
        other.c.wait_id == deliveries.c.wait_id, other.c.status == pending, other.c.attempt > 0, earlier
    )
    return sa.and_(deliveries.c.status == pending, deliveries.c.attempt > 0, first)


def _place(connection: Connection, wait_id: str) -> Place:
    """Where a wait stands in the order, or would have stood."""
    wait = get_wait(connection, wait_id)
    if wait is None:
        return NEVER, wait_id
    if wait.status is WaitExecutionStatus.WAITING:
        active = sorted(wait.listeners, key=lambda each: each.id)
        first = next((each for each in active if each.status is ListenerStatus.ACTIVE), None)
        return (NEVER, wait_id) if first is None else (first.expires_at or NEVER, first.id)
    waiting = [each for each in wait.deliveries if each.status is DeliveryStatus.PENDING and each.attempt]
    first_tried = min(waiting, key=lambda each: (each.next_attempt_at, each.id), default=None)
    if first_tried is not None:
        return first_tried.next_attempt_at, first_tried.id
    return wait.scheduled_at or NEVER, wait_id
