"""Plans of bulk changes: what is to become of many waits, written down before anything changes (semantics 32)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from waitctl.domain.counts import number_of
from waitctl.domain.errors import ConflictError, PlanTooLargeError
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.domain.text import JsonObject

KEPT_FOR = timedelta(days=30)
"""How long a plan can be applied and undone."""

LEASE = timedelta(seconds=5)
"""How long a run that is silent keeps a plan for itself; each batch renews it."""


class PlanKind(StrEnum):
    """What a plan does to its waits."""

    CANCEL = "cancel"
    RESUME = "resume"
    RESCHEDULE = "reschedule"
    RETRY = "retry"
    """Makes their dead deliveries due again."""
    REPLAN = "replan"

    @property
    def moves(self) -> bool:
        """Whether it gives waits another instant."""
        return self in {PlanKind.RESCHEDULE, PlanKind.REPLAN}

    @property
    def can_be_undone(self) -> bool:
        """Whether there is a way back: nobody has heard of what it did."""
        return self is PlanKind.CANCEL or self.moves

    @property
    def resolution(self) -> Resolution | None:
        """How it ends waits, if it does."""
        return {PlanKind.CANCEL: Resolution.CANCELLED, PlanKind.RESUME: Resolution.MANUAL}.get(self)


class PlanStatus(StrEnum):
    """How far a plan has come."""

    PLANNING = "planning"
    """Being written; one that stays so was not finished, and is good for nothing."""
    PLANNED = "planned"
    APPLYING = "applying"
    APPLIED = "applied"
    UNDOING = "undoing"
    UNDONE = "undone"


class Fate(StrEnum):
    """What became of a wait in a plan; all but the first two say why nothing did."""

    APPLIED = "applied"
    UNDONE = "undone"
    ENDED = "ended"
    """It has ended since the plan was made."""
    CHANGED = "changed"
    """Something else has changed it since."""
    GONE = "gone"
    """It was pruned, or forgotten with its contact."""
    EXPIRED = "expired"
    """Its deadline has passed, though no tick has ended it: it cannot be resumed."""
    PASSED = "passed"
    """The instant that it was to get has passed."""
    TAKEN = "taken"
    """Its step has another open wait: it cannot be opened again."""
    STOPPED = "stopped"
    """Its recurrence has been stopped otherwise meanwhile: it cannot go on."""
    IMPOSSIBLE = "impossible"
    """It could not be planned."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan, and what has become of its waits so far."""

    id: str
    kind: PlanKind
    status: PlanStatus
    options: JsonObject
    said_reason: str | None
    created_by: str
    created_at: datetime
    expires_at: datetime
    matched: int
    run: int
    lease_expires_at: datetime | None
    applied_at: datetime | None
    undone_at: datetime | None
    fates: Mapping[str, int] = field(default_factory=dict)
    undone_fates: Mapping[str, int] = field(default_factory=dict)

    @property
    def applied(self) -> int:
        """How many waits it has changed."""
        return self.fates.get(Fate.APPLIED, 0)

    @property
    def skipped(self) -> dict[str, int]:
        """How many it left as they were, by why."""
        return {fate: count for fate, count in sorted(self.fates.items()) if fate != Fate.APPLIED}

    @property
    def undone(self) -> int:
        """How many of those that it changed are as before again."""
        return self.undone_fates.get(Fate.UNDONE, 0)

    @property
    def kept(self) -> dict[str, int]:
        """How many of them are not, by why."""
        return {fate: count for fate, count in sorted(self.undone_fates.items()) if fate != Fate.UNDONE}

    def reason(self, what: str) -> str:
        """What stands in the audit trail of its waits: the plan, and why there is one."""
        return f"{what} by plan {self.id}" + (f": {self.said_reason}" if self.said_reason else "")

    def check_may_apply(self, now: datetime, cap: int | None) -> None:
        """Raise unless it can be applied, for the first time or where a run was killed.

        Raises `ConflictError`, and `PlanTooLargeError` when it means more waits than ``cap``.
        """
        if self.status in {PlanStatus.UNDOING, PlanStatus.UNDONE}:
            raise ConflictError(f"the plan {self.id} has been undone: it applies once", hint="make another plan")
        if self.status is PlanStatus.APPLIED:
            raise ConflictError(f"the plan {self.id} has been applied: it applies once", hint="make another plan")
        self._check_in_time(now)
        self._check_size(cap)

    def _check_size(self, cap: int | None) -> None:
        if cap is not None and self.matched > cap:
            raise PlanTooLargeError(
                f"the plan means {number_of(self.matched, 'wait')}, more than {cap:,}",
                hint=f"look at it by waitctl bulk show {self.id}, then raise --max",
            )

    def check_may_undo(self, now: datetime, cap: int | None = None) -> None:
        """Raise `ConflictError` unless there is something of it to undo.

        `PlanTooLargeError` when it means more waits than ``cap``.
        """
        if not self.kind.can_be_undone:
            raise ConflictError(f"what a plan to {self.kind} did cannot be undone: handlers have heard of it")
        if self.status is PlanStatus.UNDONE:
            raise ConflictError(f"the plan {self.id} has been undone already")
        if self.status in {PlanStatus.PLANNING, PlanStatus.PLANNED}:
            raise ConflictError(f"the plan {self.id} has not been applied: there is nothing to undo")
        self._check_in_time(now)
        self._check_size(cap)

    def _check_in_time(self, now: datetime) -> None:
        if self.status is PlanStatus.PLANNING:
            raise ConflictError(f"the plan {self.id} was never finished", hint="make another plan")
        if now >= self.expires_at:
            raise ConflictError(f"the plan {self.id} has expired", hint="make another plan")


@dataclass(frozen=True, slots=True)
class Look:
    """What a plan finds where one of its waits was: ``status`` is ``None`` when it is gone."""

    wait_id: str
    status: WaitExecutionStatus | None
    is_unchanged: bool
    is_taken: bool = False


def why_skipped(look: Look, kind: PlanKind) -> Fate:
    """Why a wait was left as it is. Of one that is as it was planned, something that time does stands in the way."""
    if look.status is None:
        return Fate.GONE
    if look.is_unchanged:
        return Fate.PASSED if kind.moves else Fate.EXPIRED if kind is PlanKind.RESUME else Fate.CHANGED
    return Fate.CHANGED if look.status.is_open or kind is PlanKind.RETRY else Fate.ENDED


def why_kept(look: Look) -> Fate:
    """Why a wait was not made what it was before."""
    if look.status is None:
        return Fate.GONE
    if look.is_unchanged:
        return Fate.TAKEN if look.is_taken else Fate.STOPPED
    return Fate.CHANGED if look.status.is_open else Fate.ENDED
