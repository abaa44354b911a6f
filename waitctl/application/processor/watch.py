"""The same processor, resident: for those who want seconds rather than minutes."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial

from waitctl.application.processor.phases import Phase, Stopped, TickOptions
from waitctl.application.processor.tick import Tick, TickReport
from waitctl.domain.errors import DatabaseBusyError, DatabaseUnreachableError
from waitctl.infrastructure import systemd
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import completion
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.wakeup import Wakeup

_FOREVER = timedelta(days=36500)

_HEARTBEAT = 60.0
"""Seconds between two entries in the heartbeat."""

_OTHERS_HAVE_IT = 0.2
"""Seconds after which one looks again for what is due and could not be had."""


class Watch:
    """Runs a `Tick` that stays. ``interrupted`` is asked between batches; who sets it calls ``signal.wake``."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        options: TickOptions,
        signal: Wakeup,
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
        """Process what is due when it is due, until interrupted; look after ``interval`` at least.

        ``beat`` is told after every round what was done so far; systemd when it is ready, that it is alive, and that it
        stops. A database that goes away after the first round is waited for, and ``say`` is told. Returns what was done
        since it was last away. Raises `DatabaseError` before the first round.
        """
        interval = min(interval, systemd.watchdog_interval() or interval)

        def alive(report: TickReport) -> None:
            systemd.notify("WATCHDOG=1" if self._is_ready else "READY=1")
            self._is_ready = True
            beat(report)

        while True:
            try:
                report = self._stay(interval, alive)
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

    def _stay(self, interval: timedelta, beat: Callable[[TickReport], None]) -> TickReport:
        """Rounds until interrupted. Deliveries go on beside them: none holds up a round."""
        tick = self.tick
        tick_id, started_at = self._database.write(tick.start)
        self._signal.listen()
        beaten_at = time.monotonic()
        with (
            tick.dispatcher(retried=self._signal.wake) as dispatcher,
            ThreadPoolExecutor(1, thread_name_prefix="dispatch") as aside,
        ):
            delivering = aside.submit(dispatcher.run, may_claim=lambda: not self._interrupted())
            delivering.add_done_callback(lambda _: self._signal.wake())
            try:
                while not self._interrupted() and not delivering.done():
                    ahead = self._look_ahead()
                    has_done = tick.resolver.resolve(dispatcher, only=ahead.phases) and not self._interrupted()
                    dispatcher.look()
                    report = tick.report(started_at, dispatcher.counts)
                    if time.monotonic() - beaten_at >= _HEARTBEAT:
                        beaten_at = time.monotonic()
                        self._database.write(tick.give_up_unknown_handlers)
                        self._database.write(partial(tick.finish, tick_id, report))
                    beat(report)
                    if not has_done:  # else look ahead anew: what is next has changed
                        self._signal.wait(ahead.pause(interval))
            finally:
                dispatcher.finish()
            delivering.result()
        tick.resolver.stop(Stopped.INTERRUPTED)
        return self._database.write(partial(tick.finish, tick_id, tick.report(started_at, dispatcher.counts)))

    def _look_ahead(self) -> _Outlook:
        """What is to do now, and when there will be something: one transaction of two looks."""
        with self._database.read() as connection:
            now = self._database.clock(connection)
            ahead = completion.look_ahead(connection)
            names = sorted(self.tick.usable_handlers())
            attempt_at = delivery_store.next_attempt_at(connection, names, now=now) if names else None
        due = {
            Phase.EVENTS: ahead.has_events,
            Phase.DUE: ahead.due_at is not None and ahead.due_at <= now,
            Phase.EXPIRED: ahead.expires_at is not None and ahead.expires_at <= now,
        }
        times = [at - now for at in (ahead.due_at, ahead.expires_at, attempt_at) if at is not None]
        return _Outlook(frozenset(phase for phase, is_due in due.items() if is_due), min(times, default=None))


@dataclass(frozen=True, slots=True)
class _Outlook:
    """The phases that have something to do, and how long until the next has; that may be over."""

    phases: frozenset[Phase]
    until: timedelta | None

    def pause(self, interval: timedelta) -> float:
        """Seconds to wait when a round has done nothing: what is overdue all the same, others have in hand."""
        if self.phases:
            return min(_OTHERS_HAVE_IT, interval.total_seconds())
        return (interval if self.until is None else min(self.until, interval)).total_seconds()
