"""The same processor, resident: for those who want seconds rather than minutes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from waitctl.application.tick import Tick, TickOptions, TickReport
from waitctl.domain.errors import DatabaseBusyError, DatabaseUnreachableError
from waitctl.infrastructure import systemd
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.signals import Signal

_FOREVER = timedelta(days=36500)


class Watch:
    """Runs a `Tick` that stays. ``interrupted`` is asked between batches; who sets it calls ``signal.wake``."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        options: TickOptions,
        signal: Signal,
        *,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._settings = settings
        self._options = replace(options, time_budget=_FOREVER)
        self._signal = signal
        self._interrupted = interrupted
        self._is_ready = False
        self.tick = self._new_tick()

    def _new_tick(self) -> Tick:
        return Tick(self._database, self._settings, self._options, interrupted=self._interrupted)

    def run(
        self,
        interval: timedelta,
        *,
        beat: Callable[[TickReport], None] = lambda _: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> TickReport:
        """Process what is due when it is due, until interrupted. Returns what was done since the database last went.

        Tells systemd when it is ready, that it is alive, and that it stops. A database that goes away after the first
        round is waited for, and ``say`` is told. Raises `DatabaseError` before that.
        """
        interval = min(interval, systemd.watchdog_interval() or interval)

        def alive(report: TickReport) -> None:
            systemd.notify("WATCHDOG=1" if self._is_ready else "READY=1")
            self._is_ready = True
            beat(report)

        while True:
            try:
                report = self.tick.watch(self._signal, interval=interval, beat=alive)
            except (DatabaseUnreachableError, DatabaseBusyError) as error:
                if not self._is_ready or self._interrupted():
                    raise
                say(f"{error.message}: trying again")
                systemd.notify("WATCHDOG=1")
                self._signal.wait(interval.total_seconds())
                self.tick = self._new_tick()
                continue
            systemd.notify("STOPPING=1")
            return report
