"""Block until waits have ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from waitctl.application.waits.results import WaitStatus
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.errors import DatabaseBusyError, DatabaseUnreachableError
from waitctl.domain.waits import WaitExecutionStatus
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
    """Looks until waits have ended. ``say`` is told when the database is away, and that it is back."""

    def __init__(self, database: Database | str, *, say: Callable[[str], None] = lambda _: None) -> None:
        self._database = Database(database) if isinstance(database, str) else database
        self._waits = WaitSchedulingService(self._database)
        self._say = say

    def await_waits(
        self, wait_ids: Sequence[str], *, timeout: timedelta | None = None, any_of: bool = False
    ) -> Awaited:
        """Block until all of the waits have ended, or with ``any_of`` one; ``timeout`` at most.

        Takes what `WaitSchedulingService.find_wait_id` takes, and raises what it raises. A database that goes away
        meanwhile is waited for.
        """
        ids = list(dict.fromkeys(self._waits.find_wait_id(wait_id) for wait_id in wait_ids))
        wanted = 1 if any_of else len(ids)
        deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
        with Wakeup(self._database) as signal:
            signal.listen()  # before the first look: what ends after it is heard of
            while (ended := self._count_ended(ids)) < wanted:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    break
                self._pause(signal, left)
        found = tuple(self._waits.get_wait_status(wait_id) for wait_id in ids)
        return Awaited(found, timed_out=ended < wanted)

    def _pause(self, signal: Wakeup, left: float | None) -> None:
        looked_at = time.monotonic()
        patience = _LOOK_AGAIN_SQLITE if self._database.is_sqlite else _LOOK_AGAIN
        patience = patience if left is None else min(left, patience)
        if signal.wait(patience) and (rest := looked_at + min(_BREATH, patience) - time.monotonic()) > 0:
            time.sleep(rest)

    def _count_ended(self, ids: Sequence[str]) -> int:
        away = False
        while True:
            try:
                with self._database.read() as connection:
                    ended = store.count_ended(connection, ids)
            except (DatabaseUnreachableError, DatabaseBusyError) as error:
                if not away:
                    self._say(f"{error.message}: trying again")
                away = True
                time.sleep(_LOOK_AGAIN)
                continue
            if away:
                self._say("the database is back")
            return ended
