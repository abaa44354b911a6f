"""Where a wait, its listeners and its deliveries stand, and what may follow: the names that the database has, too."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class WaitType(StrEnum):
    """What a wait waits for."""

    FIXED_TIME = "fixed_time"
    UNTIL_DATE = "until_date"
    UNTIL_TIME = "until_time"
    FOR_EVENT = "for_event"


class WaitExecutionStatus(StrEnum):
    """Where a wait stands."""

    WAITING = "waiting"
    """for an event"""
    SCHEDULED = "scheduled"
    """for an instant"""
    RESUMED = "resumed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    ERROR = "error"
    """its delivery died"""

    @property
    def is_open(self) -> bool:
        """Whether the wait has yet to end."""
        return self in OPEN


class Resolution(StrEnum):
    """How a wait ended. Written once; only a plan that is undone takes back that it cancelled."""

    DUE = "due"
    EVENT = "event"
    MANUAL = "manual"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"

    @property
    def status(self) -> WaitExecutionStatus:
        """The status that this resolution implies."""
        match self:
            case Resolution.TIMEOUT:
                return WaitExecutionStatus.TIMEOUT
            case Resolution.CANCELLED:
                return WaitExecutionStatus.CANCELLED
            case Resolution.DUE | Resolution.EVENT | Resolution.MANUAL:
                return WaitExecutionStatus.RESUMED


OPEN = frozenset({WaitExecutionStatus.WAITING, WaitExecutionStatus.SCHEDULED})

TRANSITIONS: Mapping[WaitExecutionStatus | None, frozenset[WaitExecutionStatus]] = {
    None: OPEN,
    WaitExecutionStatus.WAITING: frozenset(
        {
            WaitExecutionStatus.SCHEDULED,
            WaitExecutionStatus.RESUMED,
            WaitExecutionStatus.TIMEOUT,
            WaitExecutionStatus.CANCELLED,
        }
    ),
    WaitExecutionStatus.SCHEDULED: frozenset({WaitExecutionStatus.RESUMED, WaitExecutionStatus.CANCELLED}),
    WaitExecutionStatus.RESUMED: frozenset({WaitExecutionStatus.ERROR}),
    WaitExecutionStatus.TIMEOUT: frozenset({WaitExecutionStatus.ERROR}),
    WaitExecutionStatus.CANCELLED: OPEN,  # what a plan has cancelled it may undo
    WaitExecutionStatus.ERROR: frozenset({WaitExecutionStatus.RESUMED, WaitExecutionStatus.TIMEOUT}),
}
"""Which status may follow which; ``None`` is before the wait exists. docs/first-flow.md draws it, a test compares."""


def sources_of(to: WaitExecutionStatus) -> tuple[WaitExecutionStatus, ...]:
    """The statuses from which a wait may go to ``to``."""
    return tuple(status for status, targets in TRANSITIONS.items() if status and to in targets)


class ListenerStatus(StrEnum):
    """Where a listener stands."""

    ACTIVE = "active"
    MATCHED = "matched"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Outcome(StrEnum):
    """Why a wait's continuation runs."""

    DUE = "due"
    EVENT = "event"
    TIMEOUT = "timeout"
    MANUAL = "manual"


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    RUNNING = "running"
    """leased by a tick"""
    DELIVERED = "delivered"
    DEAD = "dead"
    DROPPED = "dropped"
    """given up by hand"""
