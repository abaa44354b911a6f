"""What the use cases on waits answer with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from waitctl.application.documents import pause_document, wait_document
from waitctl.domain.errors import WaitStepError
from waitctl.domain.instants import format_instant
from waitctl.domain.text import JsonObject
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.store.waits import OpenCounts

if TYPE_CHECKING:
    from waitctl.domain.pauses import Pause
    from waitctl.infrastructure.store.ticks import LastTick


@dataclass(frozen=True, slots=True)
class WaitCreateResult:
    """A wait and whether this call created it; ``explanation`` says how its instant came about."""

    wait: WaitStepExecution
    created: bool
    explanation: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WaitStatus:
    """A wait as it stood at ``now``."""

    wait: WaitStepExecution
    now: datetime

    @property
    def is_overdue(self) -> bool:
        """Whether a tick would end it now."""
        return self.wait.is_overdue(self.now)

    def to_json(self) -> JsonObject:
        """The wait's JSON document."""
        return wait_document(self.wait)


@dataclass(frozen=True, slots=True)
class PendingWaitsSummary:
    """The open waits and the deliveries that are not through."""

    counts: OpenCounts
    now: datetime
    deliveries_pending: int
    deliveries_held: int
    deliveries_dead: int
    paused: tuple[Pause, ...] = ()
    quarantined: int = 0
    last_tick: LastTick | None = None
    real_now: datetime | None = None
    """Now on the clock that ticks are noted by, whatever time is pretended."""

    @property
    def oldest_overdue_seconds(self) -> int | None:
        """How long the wait that is overdue longest has been so."""
        oldest = self.counts.oldest_overdue_at
        return None if oldest is None else int((self.now - oldest).total_seconds())

    @property
    def last_tick_age(self) -> timedelta | None:
        """How long ago a tick was last seen to run."""
        if self.last_tick is None or self.real_now is None:
            return None
        return max(self.real_now - self.last_tick.at, timedelta(0))

    def _last_tick_document(self) -> JsonObject | None:
        if self.last_tick is None or self.last_tick_age is None:
            return None
        age = int(self.last_tick_age.total_seconds())
        return {"at": format_instant(self.last_tick.at), "age_seconds": age, "host": self.last_tick.host}

    def to_json(self) -> JsonObject:
        """The document of `waitctl pending`."""
        counts = self.counts
        return {
            "open": sum(counts.by_status.values()),
            "by_type": {kind.value: count for kind, count in counts.by_type.items()},
            "by_status": {status.value: count for status, count in counts.by_status.items()},
            "overdue": counts.overdue,
            "oldest_overdue_seconds": self.oldest_overdue_seconds,
            "next_due_at": format_instant(counts.next_due_at) if counts.next_due_at else None,
            "deliveries": {
                "pending": self.deliveries_pending,
                "held": self.deliveries_held,
                "dead": self.deliveries_dead,
            },
            "quarantined": self.quarantined,
            "paused": [pause_document(pause) for pause in self.paused],
            "last_tick": self._last_tick_document(),
        }


@dataclass(frozen=True, slots=True)
class Rejection:
    """What could not be created of many waits: its place, from 1, and why."""

    place: int
    error: WaitStepError


@dataclass(frozen=True, slots=True)
class CreateTotals:
    """What became of many waits. ``existing`` were there already, the same as asked."""

    received: int = 0
    created: int = 0
    existing: int = 0
    rejected: int = 0

    def to_json(self) -> JsonObject:
        """The document of `waitctl create --file`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}
