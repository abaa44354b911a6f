"""What the use cases on waits answer with."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from waitctl.application.documents import pause_document, wait_document
from waitctl.domain.counts import capped, told
from waitctl.domain.health import MAX_CLOCK_SKEW
from waitctl.domain.instants import format_instant
from waitctl.domain.statuses import WaitType
from waitctl.domain.values import dataclass, fields_of

if TYPE_CHECKING:
    from waitctl.domain.deliveries import Backlog
    from waitctl.domain.errors import WaitStepError
    from waitctl.domain.pauses import Pause
    from waitctl.domain.text import JsonObject
    from waitctl.domain.waits import WaitStepExecution
    from waitctl.infrastructure.store.overview import ListenerCounts, OpenCounts
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
    """The open waits, their listeners, and the deliveries that are not through. Counts stop at `CAP`."""

    counts: OpenCounts
    now: datetime
    listeners: ListenerCounts
    backlogs: Sequence[Backlog] = ()
    deliveries_held: int = 0
    paused: tuple[Pause, ...] = ()
    quarantined: int = 0
    last_tick: LastTick | None = None
    real_now: datetime | None = None
    """Now on the clock that ticks are noted by, whatever time is pretended."""

    @property
    def deliveries_pending(self) -> int:
        """How many deliveries are not through."""
        return sum(each.pending + each.running for each in self.backlogs)

    @property
    def deliveries_dead(self) -> int:
        """How many are dead."""
        return sum(each.dead for each in self.backlogs)

    @property
    def oldest_due_seconds(self) -> int | None:
        """How long the delivery has been due that could have been tried first."""
        oldest = min((each.oldest_due_at for each in self.backlogs if each.oldest_due_at is not None), default=None)
        return self._age(oldest)

    @property
    def oldest_overdue_seconds(self) -> int | None:
        """How long the wait that is overdue longest has been so."""
        return self._age(self.counts.oldest_overdue_at)

    @property
    def last_tick_age(self) -> timedelta | None:
        """How long ago a tick was last seen to run."""
        if self.last_tick is None or self.real_now is None:
            return None
        return max(self.real_now - self.last_tick.at, timedelta(0))

    @property
    def last_tick_ahead(self) -> timedelta | None:
        """How far in the future the last tick was, when clocks that are in step do not come to that."""
        if self.last_tick is None or self.real_now is None:
            return None
        ahead = self.last_tick.at - self.real_now
        return ahead if ahead > MAX_CLOCK_SKEW else None

    def _age(self, at: datetime | None) -> int | None:
        return None if at is None else int((self.now - at).total_seconds())

    def _last_tick_document(self) -> JsonObject | None:
        if self.last_tick is None or self.last_tick_age is None:
            return None
        age = int(self.last_tick_age.total_seconds())
        return {"at": format_instant(self.last_tick.at), "age_seconds": age, "host": self.last_tick.host}

    def _counted(self) -> dict[str, int]:
        """Every count by the path that it has in the document."""
        return {
            "open": self.counts.open,
            **{f"by_type.{kind.value}": count for kind, count in self.counts.by_type.items()},
            **{f"by_status.{status.value}": count for status, count in self.counts.by_status.items()},
            "overdue": self.counts.overdue,
            "deliveries.pending": self.deliveries_pending,
            "deliveries.held": self.deliveries_held,
            "deliveries.dead": self.deliveries_dead,
            **{f"listeners.{name}": count for name, count in fields_of(self.listeners).items()},
        }

    def _at_least(self) -> set[str]:
        return {
            f"by_{'type' if isinstance(each, WaitType) else 'status'}.{each.value}" for each in self.counts.at_least
        }

    def to_json(self) -> JsonObject:
        """The document of `waitctl pending`; ``capped`` names the counts of which there are more."""
        counts = self.counts
        return {
            "open": told(counts.open),
            "by_type": {kind.value: told(count) for kind, count in counts.by_type.items()},
            "by_status": {status.value: told(count) for status, count in counts.by_status.items()},
            "overdue": told(counts.overdue),
            "oldest_overdue_seconds": self.oldest_overdue_seconds,
            "overdue_age": {
                "p50": self._age(counts.median_overdue_at),
                "p95": self._age(counts.p95_overdue_at),
                "max": self.oldest_overdue_seconds,
            },
            "next_due_at": format_instant(counts.next_due_at) if counts.next_due_at else None,
            "listeners": {name: told(count) for name, count in fields_of(self.listeners).items()},
            "deliveries": {
                "pending": told(self.deliveries_pending),
                "held": told(self.deliveries_held),
                "dead": told(self.deliveries_dead),
                "oldest_due_seconds": self.oldest_due_seconds,
            },
            "quarantined": self.quarantined,
            "paused": [pause_document(pause) for pause in self.paused],
            "last_tick": self._last_tick_document(),
            "capped": capped(self._counted(), self._at_least()),
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
