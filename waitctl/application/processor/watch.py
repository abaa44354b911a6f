"""The same processor, resident: for those who want seconds rather than minutes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from waitctl.application import logs
from waitctl.application.looks import WholeLooks
from waitctl.application.processor.run import Phase, Stopped, TickOptions, phases_due
from waitctl.application.processor.tick import Tick, TickReport, check_clock
from waitctl.application.trouble import Trouble, heals
from waitctl.domain.errors import DatabaseError
from waitctl.domain.instants import format_instant
from waitctl.domain.values import dataclass, replace
from waitctl.infrastructure import systemd
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database, host_clock
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.wakeup import Wakeup

if TYPE_CHECKING:
    from waitctl.application.deliveries.dispatcher import Dispatcher

_FOREVER = timedelta(days=36500)

_HEARTBEAT = 60.0
"""Seconds between two entries in the heartbeat."""

_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

_TRY_AGAIN = timedelta(seconds=2)
"""How long to wait for a database that cannot be used."""

_OTHERS_HAVE_IT = 0.2
"""Seconds after which one looks again for what is due and could not be had."""


class Watch:
    """Runs a `Tick` that stays. ``interrupted`` and ``urged`` as it has them; who sets them calls ``signal.wake``."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        options: TickOptions,
        signal: Wakeup,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        urged: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._settings = settings
        self._options = replace(options, time_budget=_FOREVER)
        self._signal = signal
        self._interrupted = interrupted
        self._urged = urged
        self._rounds = 0
        self._good_rounds = 0
        self._looked_at: datetime | None = None
        self._whole_looks = WholeLooks()
        self._earlier: TickReport | None = None
        self._upkeep_at = 0.0
        self._next_said: datetime | None = _NEVER
        self._next_said_at = -_HEARTBEAT
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
        stops. A database that cannot be used for a while is waited for after the first round; ``say`` is told once, and
        when it is well again. Returns what was done, as far as this process knows when the database is away then.
        Raises `DatabaseError` before the first round, and for what only another waitctl can go on with.
        """
        interval = min(interval, systemd.watchdog_interval() or interval)
        trouble = Trouble(say)

        def alive(report: TickReport) -> None:
            systemd.notify("WATCHDOG=1" if self._rounds else "READY=1")
            self._rounds += 1
            self._good_rounds += 1
            if self._good_rounds > 1:  # what hands out has had a moment to fail, too
                trouble.over()
            beat(report)

        while True:
            try:
                self._earlier = self._stay(interval, alive)
            except DatabaseError as error:
                if not self._rounds or not heals(error):
                    raise
                if not self._interrupted():
                    trouble.met(error)
                    self._rest(interval)
            if self._earlier is not None and self._interrupted():
                systemd.notify("STOPPING=1")
                return replace(self._earlier, stopped=Stopped.INTERRUPTED)

    def _rest(self, interval: timedelta) -> None:
        """Wait for the database, with no connection that is left of before."""
        self._good_rounds = 0
        self._database.close()
        systemd.notify("WATCHDOG=1")
        self._signal.rest(min(interval, _TRY_AGAIN).total_seconds())
        self.tick = self._new_tick()

    def _add(self, report: TickReport) -> TickReport:
        """With what was done before the database was away."""
        return report if self._earlier is None else report.after(self._earlier)

    def _stay(self, interval: timedelta, beat: Callable[[TickReport], None]) -> TickReport:
        """Rounds until interrupted. Deliveries go on beside them: none holds up a round."""
        tick = self.tick
        self._looked_at = None
        tick_id, started_at = self._database.write(tick.start)
        self._signal.listen()
        with tick.dispatcher(retried=self._signal.wake) as dispatcher:
            try:
                self._rounds_of(tick, tick_id, started_at, dispatcher, interval, beat)
                tick.current.stop(Stopped.INTERRUPTED)
                report = tick.report(started_at, dispatcher.counts)
                return self._add(tick.write_finish(tick_id, report))
            except DatabaseError:
                report = tick.report(started_at, dispatcher.counts)
                self._earlier = self._add(replace(report, finished_at=host_clock()))
                raise

    def _rounds_of(
        self,
        tick: Tick,
        tick_id: int,
        started_at: datetime,
        dispatcher: Dispatcher,
        interval: timedelta,
        beat: Callable[[TickReport], None],
    ) -> None:
        beaten_at = time.monotonic()
        with ThreadPoolExecutor(1, thread_name_prefix="dispatch") as aside:
            delivering = aside.submit(
                dispatcher.run,
                may_claim=lambda: not self._interrupted(),
                interrupted=self._interrupted,
                urged=self._urged,
            )
            delivering.add_done_callback(lambda _: self._signal.wake())
            try:
                while not self._interrupted() and not delivering.done():
                    ahead = self._look_ahead()
                    has_done = tick.resolver.resolve(dispatcher, only=ahead.phases) and not self._interrupted()
                    dispatcher.look()
                    report = tick.report(started_at, dispatcher.counts)
                    if time.monotonic() - beaten_at >= _HEARTBEAT:
                        beaten_at = time.monotonic()
                        tick.give_up_unknown_handlers()
                        tick.say_newly_held(tick.write_finish(tick_id, report))
                    beat(self._add(report))
                    self._say_next(ahead, has_done=has_done)
                    if not has_done and not self._keep_up(tick):  # else look ahead anew: what is next has changed
                        self._signal.wait(self._pause(ahead, interval))
            finally:
                dispatcher.finish()
            delivering.result()

    def _keep_up(self, tick: Tick) -> bool:
        """Do a step of upkeep, now and then, when nothing is due. Returns whether there is more of it."""
        if time.monotonic() < self._upkeep_at:
            return False
        if tick.upkeep.step():
            return True
        self._upkeep_at = time.monotonic() + _HEARTBEAT
        return False

    def _say_next(self, ahead: _Outlook, *, has_done: bool) -> None:
        """Log what is next: at the first round, and then where it has changed, at most once a minute."""
        if has_done or self._next_said == ahead.due_at or time.monotonic() - self._next_said_at < _HEARTBEAT:
            return
        self._next_said, self._next_said_at = ahead.due_at, time.monotonic()
        next_due_at = None if ahead.due_at is None else format_instant(ahead.due_at)
        logs.say(
            logging.INFO, "watching", f"watching, next due {next_due_at or 'nothing yet'}", next_due_at=next_due_at
        )

    def _pause(self, ahead: _Outlook, interval: timedelta) -> float:
        pause = ahead.pause(interval)
        if not ahead.is_whole:
            pause = min(pause, self._whole_looks.seconds_left)
        return pause if self._good_rounds > 1 else min(pause, _TRY_AGAIN.total_seconds())

    def _look_ahead(self) -> _Outlook:
        """What is to do now, and when there will be something: one transaction of two looks."""
        is_whole = not self._whole_looks.seconds_left
        with self._database.read() as connection:
            self._check_clock(connection)
            now = self._database.clock(connection)
            with self._whole_looks.timed() if is_whole else nullcontext():
                ahead = self.tick.current.look_ahead(connection, whole=is_whole)
            names = sorted(self.tick.usable_handlers())
            attempt_at = delivery_store.next_attempt_at(connection, names, now=now) if names else None
        times = [at - now for at in (ahead.due_at, ahead.expires_at, attempt_at) if at is not None]
        until = min(times, default=None)
        return _Outlook(phases_due(ahead, now), until, None if until is None else now + until, is_whole=is_whole)

    def _check_clock(self, connection: Connection) -> None:
        """See what a fresh tick would see: whether the only clock there is was set back meanwhile."""
        if self._database.is_sqlite:
            now, before = self._database.real_clock(connection), self._looked_at
            if before is not None:
                check_clock(before, now)
            self._looked_at = now


@dataclass(frozen=True, slots=True)
class _Outlook:
    """The phases that have something to do, and how long until the next has; that may be over.

    Unless ``is_whole``, as far as one sees from the low-water mark on.
    """

    phases: frozenset[Phase]
    until: timedelta | None
    due_at: datetime | None = None
    is_whole: bool = True

    def pause(self, interval: timedelta) -> float:
        """Seconds to wait when a round has done nothing: what is overdue all the same, others have in hand."""
        if self.phases:
            return min(_OTHERS_HAVE_IT, interval.total_seconds())
        return (interval if self.until is None else min(self.until, interval)).total_seconds()
