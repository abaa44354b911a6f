"""Block until waits have ended."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

from waitctl.application.trouble import Trouble, heals
from waitctl.application.waits.results import WaitStatus
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.errors import DatabaseError, DatabaseReadOnlyError
from waitctl.domain.statuses import WaitExecutionStatus
from waitctl.domain.values import dataclass
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import waits as store
from waitctl.infrastructure.wakeup import Wakeup

_LOOK_AGAIN = 1.0
"""Seconds after which one looks again, whether or not PostgreSQL has said anything."""

_LOOK_AGAIN_SQLITE = 0.25
"""The same for SQLite, which says nothing, and where a look costs next to nothing."""

_BREATH = 0.05
"""Seconds between two looks at least, however busy others are."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """The waits that were awaited, in the order they were asked for; ``timed_out``: not all that was awaited came."""

    waits: tuple[WaitStatus, ...]
    timed_out: bool

    @property
    def ended(self) -> tuple[WaitStatus, ...]:
        """Those that have ended."""
        return tuple(each for each in self.waits if not each.wait.status.is_open)

    @property
    def resumed(self) -> bool:
        """Whether those that have ended were resumed, by their resolution: a delivery that died changes nothing."""
        resolutions = [each.wait.resolution for each in self.ended]
        return all(each is not None and each.status is WaitExecutionStatus.RESUMED for each in resolutions)


class AwaitService:
    """Looks until waits have ended. ``say`` is told when the database cannot be used, and that it is well again."""

    def __init__(self, database: Database | str, *, say: Callable[[str], None] = lambda _: None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._waits = WaitSchedulingService(self._database)
        self._trouble = Trouble(say)

    def await_waits(
        self, wait_ids: Sequence[str], *, timeout: timedelta | None = None, any_of: bool = False
    ) -> Awaited:
        """Block until all of the waits have ended, or with ``any_of`` one; ``timeout`` at most.

        Takes what `WaitSchedulingService.find_wait_id` takes, and raises what it raises. A database that cannot be used
        meanwhile is waited for, and what was last seen is returned when the time is over first.
        """
        deadline = math.inf if timeout is None else time.monotonic() + timeout.total_seconds()
        with self._database.patience.until(deadline), Wakeup(self._database) as signal:
            seen = {(status := self._waits.get_wait_status(wait_id)).wait.id: status for wait_id in wait_ids}
            wanted = 1 if any_of else len(seen)
            signal.listen()  # before the first look: what ends after it is heard of
            while not (found := self._look(seen, wanted)) and (left := deadline - time.monotonic()) > 0:
                if found is None:
                    time.sleep(min(left, _LOOK_AGAIN))
                else:
                    self._pause(signal, left)
            if not found:
                with suppress(DatabaseError):  # else it stays what was last seen
                    seen = self._statuses(seen)
        return Awaited(tuple((found or seen).values()), timed_out=not found)

    def _look(self, seen: Iterable[str], wanted: int) -> dict[str, WaitStatus] | None:
        """The waits, when so many have ended; empty when they have not, ``None`` when that cannot be known now."""
        try:
            with self._database.read() as connection:
                have_ended = store.count_ended(connection, list(seen)) >= wanted
                is_read_only = not have_ended and self._database.is_read_only(connection)
            found = self._statuses(seen) if have_ended else {}
        except DatabaseError as error:
            if not heals(error):
                raise
            self._trouble.met(error)
            return None
        if is_read_only:
            # It may show the past: of several hosts another one may take the writes by now, so connect anew.
            self._trouble.met(DatabaseReadOnlyError(f"{self._database.name} is read-only: what ends may not be seen"))
            self._database.close()
        else:
            self._trouble.over()
        return found

    def _statuses(self, wait_ids: Iterable[str]) -> dict[str, WaitStatus]:
        return {wait_id: self._waits.get_wait_status(wait_id) for wait_id in wait_ids}

    def _pause(self, signal: Wakeup, left: float) -> None:
        looked_at = time.monotonic()
        patience = min(left, _LOOK_AGAIN_SQLITE if self._database.is_sqlite else _LOOK_AGAIN)
        if signal.wait(patience) and (rest := looked_at + min(_BREATH, patience) - time.monotonic()) > 0:
            time.sleep(rest)
