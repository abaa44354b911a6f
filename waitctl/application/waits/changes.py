"""What moves open waits has in common: as they stand, as they are to be, and what a replan comes to."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from waitctl.application.documents import instant
from waitctl.domain.counts import number_of
from waitctl.domain.errors import InvalidWaitDateError, ReplanTooLargeError
from waitctl.domain.instants import show
from waitctl.domain.statuses import WaitExecutionStatus, WaitType
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass, replace
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.store import events as event_store


@dataclass(frozen=True, slots=True)
class Change:
    """A wait whose instant (or deadline) would be another today, in ``zone``; ``why`` is every rule that moves it."""

    wait: WaitStepExecution
    before: datetime | None
    after: datetime | None
    zone: str
    why: tuple[str, ...]

    def to_json(self) -> JsonObject:
        """An element of `waitctl replan`'s document."""
        return {
            "id": self.wait.id,
            "workflow_execution_id": self.wait.workflow_execution_id,
            "step_id": self.wait.step_id,
            "timezone": self.wait.timezone,
            "to_timezone": self.zone,
            "from": instant(self.before),
            "to": instant(self.after),
            "explanation": list(self.why),
        }


@dataclass(frozen=True, slots=True)
class Replan:
    """What recomputing open waits from their intent comes to. ``failed``: those that cannot be, each with why."""

    checked: int
    changes: tuple[Change, ...]
    failed: tuple[tuple[str, str], ...]
    applied: int = 0

    def to_json(self) -> JsonObject:
        """The document of `waitctl replan`."""
        return {
            "checked": self.checked,
            "changed": [change.to_json() for change in self.changes],
            "failed": [{"id": wait_id, "error": error} for wait_id, error in self.failed],
            "applied": self.applied,
        }

    def check_cap(self, cap: int | None) -> None:
        """Raise `ReplanTooLargeError` when more waits would change than ``cap``."""
        if cap is not None and len(self.changes) > cap:
            raise ReplanTooLargeError(
                f"{number_of(len(self.changes), 'wait')} would change, more than {cap:,}",
                hint="look at the diff without --apply, then raise --max",
            )


MovedWait = tuple[WaitStepExecution, WaitStepExecution, str]
"""A wait as it is, as it is to be, and why."""


@dataclass(frozen=True, slots=True)
class Open:
    """An open wait as it stood at ``now``; of one that an event scheduled, when that was received and taken."""

    wait: WaitStepExecution
    now: datetime
    received_at: datetime
    taken_at: datetime


def is_waiting(wait: WaitStepExecution) -> bool:
    """Whether it waits for events: then its deadline is what can be moved."""
    return wait.status is WaitExecutionStatus.WAITING


def movable_instant(wait: WaitStepExecution) -> datetime | None:
    """What can be moved: when it is due, or its deadline."""
    return wait.timeout_at if wait.wait_type is WaitType.FOR_EVENT and wait.scheduled_at is None else wait.scheduled_at


def check_still_to_come(at: datetime | None, now: datetime, zone: str) -> None:
    """Raise `InvalidWaitDateError` for an instant that has passed: nothing that is computed anew makes a wait due."""
    if at is not None and at <= now:
        raise InvalidWaitDateError(f"by the rules of today it was due at {show(at, zone)}: it stays as it is")


def replanned(wait: WaitStepExecution, at: datetime | None) -> WaitStepExecution:
    """The wait with another instant, or another deadline."""
    return replace(wait, timeout_at=at) if is_waiting(wait) else replace(wait, scheduled_at=at)


def see(connection: Connection, waits: Sequence[WaitStepExecution], now: datetime) -> list[Open]:
    """Waits with their events. Of an event that is pruned it counts when it was taken."""
    ids = [wait.resolution_event_id for wait in waits if wait.resolution_event_id is not None]
    received = {event.id: event.received_at for event in event_store.get_events(connection, ids)}
    seen = []
    for wait in waits:
        taken_at = max((each.matched_at for each in wait.listeners if each.matched_at), default=wait.updated_at)
        received_at = received.get(wait.resolution_event_id or "") or taken_at
        seen.append(Open(wait, now, received_at, taken_at))
    return seen
