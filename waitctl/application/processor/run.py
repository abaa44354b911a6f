"""One run of the processor as its parts share it: how far it may go, where its batches begin, and what it has done."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from waitctl.application import logs
from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.values import dataclass
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store.completion import FIRST, Ahead, Mark

if TYPE_CHECKING:
    from waitctl.infrastructure.database import Connection, Database


class Phase(StrEnum):
    """What a tick does, in this order."""

    EVENTS = "events"
    DUE = "due"
    EXPIRED = "expired"
    DELIVER = "deliver"


class Stopped(StrEnum):
    """Why a tick ended."""

    IDLE = "idle"
    TIME_BUDGET = "time_budget"
    MAX_BATCHES = "max_batches"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class TickOptions:
    """How far a tick may go."""

    batch_size: int = 1000
    max_batches: int | None = None
    time_budget: timedelta = timedelta(seconds=50)
    only: frozenset[Phase] = frozenset(Phase)
    dry_run: bool = False
    ignore_clock: bool = False

    def checked(self) -> TickOptions:
        """Return these options when they make sense. Raises `InvalidSettingError`."""
        if not 1 <= self.batch_size <= 100_000:
            raise InvalidSettingError(f"--batch-size {self.batch_size} is not between 1 and 100,000")
        if self.max_batches is not None and self.max_batches < 1:
            raise InvalidSettingError(f"--max-batches {self.max_batches} is less than 1")
        if not self.only:
            raise InvalidSettingError("--only names no phase", hint=f"of {', '.join(Phase)}")
        return self


@dataclass(slots=True)
class Progress:
    """What has been done so far, and why it stopped. ``ids`` on a dry run."""

    correlated: int = 0
    resumed: int = 0
    timed_out: int = 0
    moved: int = 0
    stopped: Stopped = Stopped.IDLE
    ids: dict[str, list[str]] = field(default_factory=dict)


def phases_due(ahead: Ahead, now: datetime) -> frozenset[Phase]:
    """The phases that end waits and have something to do now."""
    due = {
        Phase.EVENTS: ahead.has_events,
        Phase.DUE: ahead.due_at is not None and ahead.due_at <= now,
        Phase.EXPIRED: ahead.expires_at is not None and ahead.expires_at <= now,
    }
    return frozenset(phase for phase, is_due in due.items() if is_due)


_COMMITTED_WITHIN = timedelta(minutes=1)
"""How long ago a wait that is not to be seen yet may have been made that is due at once: its transaction goes on."""


class Run:
    """``interrupted`` is asked between batches, and ends the run cleanly."""

    def __init__(
        self, database: Database, options: TickOptions, *, interrupted: Callable[[], bool] = lambda: False
    ) -> None:
        self.database = database
        self.options = options
        self._interrupted = interrupted
        self.began = time.monotonic()
        self.progress = Progress()
        self.late_low = FIRST
        self._looked_from: dict[Phase, Mark] = dict.fromkeys((Phase.DUE, Phase.EXPIRED), FIRST)
        self.low = dict(self._looked_from)

    def look_ahead(self, connection: Connection, *, whole: bool = True) -> Ahead:
        """What the clock and the inbox table will ask for next; batches begin there.

        ``whole``: from the front of the indexes; otherwise beyond what has been ended or looked at.
        """
        low = dict.fromkeys(self.low, FIRST) if whole else self.low
        ahead = completion.look_ahead(connection, due_low=low[Phase.DUE], expires_low=low[Phase.EXPIRED])
        settled = self.database.clock(connection) - _COMMITTED_WITHIN
        for phase, at in ((Phase.DUE, ahead.due_at), (Phase.EXPIRED, ahead.expires_at)):
            self.low[phase] = max(low[phase], Mark(settled if at is None else min(at, settled)))
        self._looked_from, self.late_low = dict(self.low), self.low[Phase.DUE]
        return ahead

    def count_remaining(self, connection: Connection) -> int:
        """How many waits are due or have expired of those that the last look found or that came after."""
        low = self._looked_from
        return completion.count_remaining(
            connection,
            now=self.database.clock(connection),
            due_low=low[Phase.DUE],
            expires_low=low[Phase.EXPIRED],
        )

    def may_go_on(self) -> bool:
        """Whether there is budget left and nobody has interrupted; if not, why is noted."""
        if self._interrupted():
            self.stop(Stopped.INTERRUPTED)
        elif time.monotonic() - self.began >= self.options.time_budget.total_seconds():
            self.stop(Stopped.TIME_BUDGET)
        else:
            return True
        return False

    def stop(self, why: Stopped) -> None:
        """Note why the run ends: an interrupt before anything else."""
        if self.progress.stopped is not Stopped.INTERRUPTED:
            self.progress.stopped = why

    def pass_over(self) -> None:
        """There is nothing to do for any phase; if the run may not go on, why is noted."""
        for phase in (Phase.EVENTS, Phase.DUE, Phase.EXPIRED):
            if phase in self.options.only:
                say_phase(phase, phase.value, 0, 0.0)
        self.may_go_on()

    def note(self, what: str, ids: list[str]) -> None:
        """On a dry run, remember which."""
        if self.options.dry_run:
            noted = self.progress.ids[what]
            seen = set(noted)
            noted.extend(each for each in ids if each not in seen)


def say_phase(phase: Phase, what: str, count: int, seconds: float) -> None:
    """Log how much a phase has done."""
    logs.say(
        logging.DEBUG,
        "phase",
        f"phase {what}: {count:,} in {seconds:.3f} s",
        phase=phase.value,
        count=count,
        seconds=round(seconds, 6),
    )
