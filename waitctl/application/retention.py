"""What keeps a database small for years: totals are filled in passing, and what ended long ago goes, in batches.

Apart from the transactions of a tick: each step is a short transaction of its own, under a lock of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

from waitctl.domain.values import dataclass, replace
from waitctl.infrastructure.store import pruning, rollups

if TYPE_CHECKING:
    from waitctl.domain.text import JsonObject
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.database import Connection, Database

T = TypeVar("T")

_SETTLED = timedelta(minutes=2)
"""How long ago a transaction must have read the clock for it to be committed by now."""

_ROLLED_AT_ONCE = 5000
PRUNED_AT_ONCE = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

LEAST_SECONDS = 1.0
SHARE = 0.1
"""What a tick spends on upkeep, once all else is done: a second, or a tenth of what it took for all else."""


@dataclass(frozen=True, slots=True)
class Pruned:
    """How much went. ``tombstones``: keys and ids that were remembered for long enough."""

    waits: int = 0
    events: int = 0
    deliveries: int = 0
    transitions: int = 0
    quarantined: int = 0
    tombstones: int = 0

    def to_json(self) -> JsonObject:
        """The document of `waitctl prune`."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def plus(self, **counts: int) -> Pruned:
        """With so much more."""
        return replace(self, **{name: getattr(self, name) + count for name, count in counts.items()})


def first_id_of(at: datetime) -> str:
    """The lowest UUIDv7 of an instant's millisecond: the head of each is a clock."""
    digits = f"{max(0, (at - _EPOCH) // timedelta(milliseconds=1)):012x}"
    return f"{digits[:8]}-{digits[8:]}-0000-0000-000000000000"


def instant_of_id(identifier: str) -> datetime:
    """The instant in a UUIDv7."""
    return _EPOCH + timedelta(milliseconds=int(identifier[:8] + identifier[9:13], 16))


def between_marks(connection: Connection, look: Callable[[Sequence[datetime]], T]) -> T:
    """What ``look`` finds in the totals and beside them; it gets the marks that they reach up to, of waits and events.

    Looked at again when a tick moves something from one to the other meanwhile: a counter that falls looks like a new
    one, and nothing may be counted twice.
    """
    while True:
        marks = [rollups.mark_at(connection, name) for name in _COUNTED]
        found = look(marks)
        if marks == [rollups.mark_at(connection, name) for name in _COUNTED]:
            return found


_COUNTED = ("waits", "events", "uncounted")


class Upkeep:
    """Fills the totals, and prunes what is older than ``older_than``, if that is said, a step at a time."""

    def __init__(
        self, database: Database, *, older_than: timedelta | None = None, tombstones: timedelta | None = None
    ) -> None:
        self._database = database
        self._older_than = older_than
        self._tombstones = tombstones
        self.pruned = Pruned()
        self._stages: list[Callable[[Connection], bool]] = [
            self._roll_up_waits,
            self._roll_up_uncounted,
            self._roll_up_events,
            self._drop_plans,
        ]
        if older_than is not None:
            self._stages += [self._prune_waits, self._prune_events, self._prune_quarantine]
        if tombstones is not None:
            self._stages.append(self._forget)
        if older_than is not None:
            self._stages.append(pruning.give_back)
        self._begin()

    @classmethod
    def of(cls, database: Database, settings: Settings) -> Upkeep:
        """What a tick does by these settings."""
        return cls(database, older_than=settings.retention, tombstones=settings.tombstone_retention)

    def _begin(self) -> None:
        self._stage = 0
        self._after = _EPOCH
        self._after_id = first_id_of(_EPOCH)

    def step(self) -> bool:
        """Do one batch, in a transaction of its own. Returns whether there may be more; a new round then begins."""
        if self._database.write(self._stages[self._stage], is_news=lambda _: False):
            return True
        self._stage += 1
        if self._stage < len(self._stages):
            return True
        self._begin()
        return False

    def run(self, may_go_on: Callable[[], bool] = lambda: True) -> Pruned:
        """Do all there is, as long as one may. Returns what went."""
        while may_go_on() and self.step():
            pass
        return self.pruned

    def run_beside(self, seconds: float, may_go_on: Callable[[], bool]) -> Pruned:
        """Do what a tick may that has worked for so long."""
        ends_at = time.monotonic() + max(LEAST_SECONDS, SHARE * seconds)
        return self.run(lambda: time.monotonic() < ends_at and may_go_on())

    # -- totals ---------------------------------------------------------------------------------------------------

    def _roll_up_waits(self, connection: Connection) -> bool:
        until = self._database.real_clock(connection) - _SETTLED
        first = rollups.end_of_chunk(connection, rollups.mark_at(connection, "waits"), limit=0)
        if first is None or first >= until:
            return False  # an idle tick writes nothing
        since = rollups.lock_mark(connection, "waits")
        if since is None:
            return False
        end = rollups.end_of_chunk(connection, since, limit=_ROLLED_AT_ONCE)
        is_full = end is not None and end < until
        if end is not None and is_full:
            until = end + timedelta(microseconds=1)  # with all that ended at the same instant: a batch of a tick
        if until <= since:
            return False
        rollups.roll_up_waits(connection, since, until)
        rollups.move_mark(connection, "waits", until)
        return is_full

    def _roll_up_uncounted(self, connection: Connection) -> bool:
        if not rollups.find_uncounted(connection, rollups.mark_at(connection, "waits"), limit=1):
            return False
        mark = rollups.lock_mark(connection, "waits")
        if mark is None:
            return False
        found = rollups.find_uncounted(connection, mark, limit=_ROLLED_AT_ONCE)
        if found:
            rollups.roll_up_uncounted(connection, found)
            rollups.move_mark(connection, "uncounted", self._database.real_clock(connection))
        return len(found) == _ROLLED_AT_ONCE

    def _roll_up_events(self, connection: Connection) -> bool:
        until = self._database.real_clock(connection) - _SETTLED
        first = rollups.end_of_events(connection, first_id_of(rollups.mark_at(connection, "events")), limit=0)
        if first is None or instant_of_id(first) >= until:
            return False
        since = rollups.lock_mark(connection, "events")
        if since is None:
            return False
        end = rollups.end_of_events(connection, first_id_of(since), limit=_ROLLED_AT_ONCE)
        is_full = end is not None and instant_of_id(end) < until
        if end is not None and is_full:
            until = instant_of_id(end) + timedelta(milliseconds=1)
        if until <= since:
            return False
        rollups.roll_up_events(connection, first_id_of(since), first_id_of(until))
        rollups.move_mark(connection, "events", until)
        return is_full

    # -- pruning --------------------------------------------------------------------------------------------------

    def _drop_plans(self, connection: Connection) -> bool:
        """Plans of bulk changes are kept for a month, whatever else is kept for how long."""
        return pruning.delete_expired_plans(connection, now=self._database.clock(connection), limit=PRUNED_AT_ONCE)

    def _before(self, connection: Connection, mark: str) -> datetime:
        """What may go: old enough, and counted."""
        assert self._older_than is not None
        return min(self._database.clock(connection) - self._older_than, rollups.mark_at(connection, mark))

    def _prune_waits(self, connection: Connection) -> bool:
        if rollups.lock_mark(connection, "prune") is None:  # somebody else is at it
            return False
        before, now = self._before(connection, "waits"), self._database.clock(connection)
        found = pruning.claim_ended(connection, before=before, after=self._after, limit=PRUNED_AT_ONCE)
        if not found:
            return False
        self.pruned = self.pruned.plus(**pruning.delete_waits(connection, found, now=now))
        self._after = found[-1].resolved_at  # not again past what is gone, or is to stay
        return len(found) == PRUNED_AT_ONCE

    def _prune_events(self, connection: Connection) -> bool:
        if rollups.lock_mark(connection, "prune") is None:
            return False
        before, now = self._before(connection, "events"), self._database.clock(connection)
        found = pruning.find_old_events(
            connection, before=before, first_id=self._after_id, last_id=first_id_of(before), limit=PRUNED_AT_ONCE
        )
        if not found:
            return False
        self.pruned = self.pruned.plus(events=pruning.delete_events(connection, found, now=now))
        self._after_id = found[-1]
        return len(found) == PRUNED_AT_ONCE

    def _prune_quarantine(self, connection: Connection) -> bool:
        assert self._older_than is not None
        before = self._database.clock(connection) - self._older_than
        self.pruned = self.pruned.plus(quarantined=pruning.delete_old_quarantined(connection, before=before))
        return False

    def _forget(self, connection: Connection) -> bool:
        assert self._tombstones is not None
        before = self._database.clock(connection) - self._tombstones
        gone = pruning.forget_tombstones(connection, before=before, limit=PRUNED_AT_ONCE)
        self.pruned = self.pruned.plus(tombstones=gone)
        return gone >= PRUNED_AT_ONCE

    # -- looking --------------------------------------------------------------------------------------------------

    def what_would_go(self) -> Pruned:
        """How much `run` would delete; it counts all of it."""
        assert self._older_than is not None
        with self._database.read() as connection:
            before = self._database.clock(connection) - self._older_than
            counted = min(before, self._database.real_clock(connection) - _SETTLED)
            first, last = first_id_of(_EPOCH), first_id_of(counted)
            return Pruned(
                **pruning.count_prunable(connection, before=counted),
                events=pruning.count_old_events(connection, before=counted, first_id=first, last_id=last),
                quarantined=pruning.count_old_quarantined(connection, before=before),
            )
