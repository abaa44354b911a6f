"""Statements behind every screen: counts that stop at a cap, and the first of what an index has in order.

None reads a history, or more than a few thousand entries of what is open, however much there is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from waitctl.domain.counts import CAP
from waitctl.domain.deliveries import Backlog
from waitctl.domain.statuses import OPEN, DeliveryStatus, WaitExecutionStatus, WaitType
from waitctl.domain.values import dataclass
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.store import pauses

if TYPE_CHECKING:
    from waitctl.infrastructure.executor import Connection, Row

# -- waits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """The open waits by type and status, how many are overdue since when, and when the next one is due.

    A count above `CAP` means "more than that"; ``at_least`` names the others that may be higher, since not all waits of
    that kind were looked at. Of those that are overdue: the oldest, the one whose age is the 95th percentile, and the
    median, by the nearest rank.
    """

    by_type: Mapping[WaitType, int]
    by_status: Mapping[WaitExecutionStatus, int]
    overdue: int = 0
    oldest_overdue_at: datetime | None = None
    p95_overdue_at: datetime | None = None
    median_overdue_at: datetime | None = None
    next_due_at: datetime | None = None
    at_least: frozenset[WaitType | WaitExecutionStatus] = frozenset()

    @property
    def open(self) -> int:
        """How many are open."""
        return min(sum(self.by_status.values()), CAP + 1)


def count_open(connection: Connection, *, now: datetime) -> OpenCounts:
    """Count the open waits."""
    kinds = ((row[0], row[1], row[2]) for row in connection.execute(kept("count_open")).all())
    overdue = connection.execute(kept("overdue"), {"now": now}).one()
    return open_counts(kinds, overdue, next_ends(connection, now=now), each_status=True)


def next_ends(connection: Connection, *, now: datetime) -> Row:
    """When the next wait for a time is due, and when the next listener expires, later than now."""
    return connection.execute(kept("next_ends"), {"now": now}).one()


def open_counts(
    kinds: Iterable[tuple[WaitType, WaitExecutionStatus, int]],
    overdue: Row,
    next_at: Iterable[datetime | None],
    *,
    each_status: bool = False,
) -> OpenCounts:
    """The counts from rows of (type, status, number), from that of `percentiles`, and from what ends next.

    ``each_status``: as many as are counted were looked at of each status, and not of all together.
    """
    by_type: dict[WaitType, int] = dict.fromkeys(WaitType, 0)
    by_status: dict[WaitExecutionStatus, int] = dict.fromkeys(sorted(OPEN, reverse=True), 0)
    for wait_type, status, count in kinds:
        by_type[wait_type] += count
        by_status[status] += count
    following = min((at for at in next_at if at is not None), default=None)
    number, oldest_at, p95_at, median_at = overdue
    at_least = _at_least(by_status, each_status=each_status)
    return OpenCounts(by_type, by_status, number, oldest_at, p95_at, median_at, following, at_least)


def _at_least(
    by_status: Mapping[WaitExecutionStatus, int], *, each_status: bool
) -> frozenset[WaitType | WaitExecutionStatus]:
    """What may be more than was counted. A wait for an event that has come may be scheduled, too."""
    if not each_status:
        return frozenset([*WaitType, *by_status]) if sum(by_status.values()) > CAP else frozenset()
    if by_status[WaitExecutionStatus.SCHEDULED] > CAP:
        return frozenset(WaitType)
    return frozenset([WaitType.FOR_EVENT] if by_status[WaitExecutionStatus.WAITING] > CAP else [])


@dataclass(frozen=True, slots=True)
class ListenerCounts:
    """The active listeners: all, those that expire within an hour, those that have expired and no tick has swept.

    ``orphans``: of the thousand that expire first, those whose wait has ended, or is gone.
    """

    active: int
    expiring_1h: int
    expired_unswept: int
    orphans: int = 0


def count_listeners(connection: Connection, *, now: datetime) -> ListenerCounts:
    """Count the active listeners; see `count_open` for the cap."""
    row = connection.execute(kept("count_listeners"), {"now": now, "until": now + timedelta(hours=1)}).one()
    return ListenerCounts(*row)


# -- deliveries --------------------------------------------------------------------------------------------------------


def backlogs(connection: Connection, *, now: datetime, failing: bool = False) -> list[Backlog]:
    """What every handler with anything unsettled or dead has before it, each count up to the cap.

    Only if asked to, how many are ``failing``: that takes the rows of all that are pending.
    """
    found: dict[str, dict[str, Any]] = {}
    for handler, *fields in connection.execute(kept("count_pending"), {"now": now}):
        found.setdefault(handler, {}).update(zip(("pending", "due", "oldest_due_at"), fields, strict=True))
    for handler, count in connection.execute(kept("count_failing")) if failing else ():
        found.setdefault(handler, {})["failing"] = count
    for status in (DeliveryStatus.RUNNING, DeliveryStatus.DEAD):
        for handler, count in connection.execute(kept("count_by_handler", status)):
            found.setdefault(handler, {})[status.value] = count
    return [Backlog(handler, **found[handler]) for handler in sorted(found)]


def count_held_up_to_cap(connection: Connection, handlers: Collection[str], found: Sequence[Backlog]) -> int:
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
    theirs = frozenset(workflow_ids)
    statements = [kept("count_of_workflows", status, theirs) for status in UNSETTLED]
    counts = (connection.execute(each, {"of_handler": handler}) for each in statements for handler in handlers)
    return sum(int(count.scalar_one()) for count in counts)


UNSETTLED = (DeliveryStatus.PENDING, DeliveryStatus.RUNNING)


# -- live --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NextDue:
    """A wait for a time that is due next."""

    id: str
    execution_id: str
    step_id: str
    scheduled_at: datetime


def next_due(connection: Connection, *, limit: int) -> list[NextDue]:
    """The waits for a time that are due first."""
    return [NextDue(*row) for row in connection.execute(kept("next_due"), {"limit": limit})]


def count_ended_since(connection: Connection, since: datetime) -> int:
    """How many waits have ended since then, up to the cap."""
    return int(connection.execute(kept("count_ended_since"), {"now": since}).scalar_one())
