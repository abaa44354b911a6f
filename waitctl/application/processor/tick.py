"""One bounded run of the processor: events of the inbox table → due waits → expired listeners → deliveries.

Deliveries go out while the next waits end. Any number of ticks may overlap: there is no lock file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from waitctl.application import logs
from waitctl.application.deliveries.handler_factory import handlers_of, why_held
from waitctl.application.inline_commands import InlineCommands
from waitctl.application.processor.run import Phase, Progress, Run, Stopped, TickOptions, phases_due
from waitctl.application.quarantine import expire
from waitctl.application.retention import Upkeep
from waitctl.domain.deliveries import DeliveryCounts
from waitctl.domain.errors import ClockSkewError
from waitctl.domain.handlers import INLINE
from waitctl.domain.health import MAX_CLOCK_SKEW
from waitctl.domain.instants import format_instant
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass, fields_of, replace
from waitctl.infrastructure.database import Connection, Database, host_clock, host_name
from waitctl.infrastructure.ids import first_id_at
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.store import pauses, quarantine, rollups, ticks

if TYPE_CHECKING:
    from waitctl.application.deliveries.attempts import AttemptCounts
    from waitctl.application.deliveries.dispatcher import Dispatcher
    from waitctl.application.processor.phases import Resolver
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.store.completion import Ahead
    from waitctl.infrastructure.store.deliveries import NamedDelivery

_GRACE = 8.0
"""Seconds that a statement has to come through after the budget: what was delivered is to be written down."""

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

_MOST_LOGGED = 1000
"""Held deliveries that a tick logs one by one."""

_LOOK_UP = 0.2
"""Seconds after which a signal that came meanwhile is noticed."""


def check_clock(last: datetime, now: datetime) -> None:
    """Raise `ClockSkewError` when the only clock there is was set back since ``last``."""
    if last - now > MAX_CLOCK_SKEW:
        raise ClockSkewError(
            f"this host's clock is behind: the last tick was at {format_instant(last)}, "
            f"and it is {format_instant(now)}",
            hint="set the clock right, or if the last tick's was wrong, run: waitctl tick --ignore-clock",
        )


_COUNTED = ("correlated", "resumed", "timed_out", "moved", "delivered", "retried", "dead", "stale", "pruned")


@dataclass(frozen=True, slots=True)
class TickReport:
    """What a tick did. ``ids`` only on a dry run: what it would have done to which."""

    started_at: datetime
    finished_at: datetime
    as_of: datetime | None = None
    correlated: int = 0
    resumed: int = 0
    timed_out: int = 0
    moved: int = 0
    delivered: int = 0
    retried: int = 0
    dead: int = 0
    stale: int = 0
    held: int = 0
    remaining_due: int = 0
    quarantined: int = 0
    pruned: int = 0
    stopped: Stopped = Stopped.IDLE
    ids: dict[str, list[str]] | None = None

    @property
    def did_nothing(self) -> bool:
        """Whether there was nothing to do, and nothing is left that somebody should know of."""
        return self.stopped is Stopped.IDLE and not any(
            (
                self.correlated,
                self.resumed,
                self.timed_out,
                self.moved,
                self.delivered,
                self.retried,
                self.dead,
                self.held,
                self.remaining_due,
            )
        )

    def after(self, earlier: TickReport) -> TickReport:
        """This run and an earlier one as one."""
        counts = {name: getattr(earlier, name) + getattr(self, name) for name in _COUNTED}
        return replace(self, started_at=earlier.started_at, **counts)

    def to_json(self) -> JsonObject:
        """The document of `waitctl tick`."""
        document = fields_of(self)
        for name in ("started_at", "finished_at", "as_of"):
            document[name] = format_instant(document[name]) if document[name] else None
        if self.ids is None:
            del document["ids"]
        return document


class Tick:
    """Runs the processor once. ``interrupted`` is asked between batches and ends the run cleanly.

    Once ``urged``, too, it ends what it runs, and within seconds.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        options: TickOptions | None = None,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        urged: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._settings = settings
        self._options = (options or TickOptions()).checked()
        self._interrupted = interrupted
        self._urged = urged
        self._inline = InlineCommands(settings, database)
        self._actor = f"tick@{host_name()}:{os.getpid()}"
        self._begin()
        self._attempts: AttemptCounts | None = None
        self._held_since = _LONG_AGO
        self.unready_handlers: dict[str, str] = {}
        """Handlers that had something to do and that this host could not use, and why. Their deliveries are held."""

    def _begin(self) -> None:
        self.current = Run(self._database, self._options, interrupted=self._interrupted)
        self.upkeep = Upkeep.of(self._database, self._settings)
        self._resolver: Resolver | None = None

    @property
    def resolver(self) -> Resolver:
        """What ends waits in this run; it is loaded when there is something to end."""
        if self._resolver is None:
            from waitctl.application.processor.phases import Resolver

            self._resolver = Resolver(self.current, self._settings, actor=self._actor)
        return self._resolver

    @property
    def unknown_calendars(self) -> frozenset[str]:
        """Calendars that waits named and this host's config does not know."""
        return frozenset(self._resolver.opening_rules.unknown if self._resolver else ())

    def run(self) -> TickReport:
        """Run every phase until nothing is left, the budget is spent, or somebody interrupts.

        Raises `ClockSkewError` on SQLite when this host's clock is behind the last tick's, and `DatabaseError` soon
        after the budget is spent when the database does not answer.
        """
        ends_at = time.monotonic() + self._options.time_budget.total_seconds()
        with self._database.patience.until(ends_at, grace=_GRACE):
            return self._run()

    def _run(self) -> TickReport:
        self._begin()
        if self._options.dry_run:
            with self._database.to_try() as scratch:
                return scratch.write(self._dry_run, rollback=True)
        tick_id, started_at = self._database.write(self.start)
        began = time.monotonic()
        with self._database.read() as connection:
            is_idle = self._is_idle(connection, self.current.look_ahead(connection))
        counts = DeliveryCounts()
        if is_idle:
            self.current.pass_over()
        elif Phase.DELIVER in self._options.only:
            counts = self._resolve_and_deliver()
        else:
            self.resolver.resolve_all()
        if self._options.only == frozenset(Phase):
            self.upkeep.run_beside(time.monotonic() - began, self.current.may_go_on)
        report = self.write_finish(tick_id, self.report(started_at, counts))
        self.say_newly_held(report)
        return report

    def _is_idle(self, connection: Connection, ahead: Ahead) -> bool:
        """Whether there is nothing to do for any phase that is asked for: what does it need not be loaded then."""
        now = self._database.clock(connection)
        if self._options.only & phases_due(ahead, now):
            return False
        return self._options.only.isdisjoint({Phase.DUE, Phase.DELIVER}) or not ticks.is_anything_left(
            connection, now=now
        )

    def write_finish(self, tick_id: int, report: TickReport) -> TickReport:
        """`finish` in a transaction of its own; and add to the totals what was counted since the last time."""
        if self._attempts is not None and (rows := self._attempts.take(host_clock())):
            self._database.write(partial(rollups.add, rows=rows), is_news=lambda _: False)
        return self._database.write(partial(self.finish, tick_id, report))

    def start(self, connection: Connection) -> tuple[int, datetime]:
        """Begin the heartbeat. Returns its number, and since when."""
        now = self._database.real_clock(connection)
        last = ticks.last_tick_at(connection)
        self._held_since = ticks.last_finished_at(connection) or _LONG_AGO
        if last is not None and self._database.is_sqlite:
            try:
                check_clock(last, now)
            except ClockSkewError:
                if not self._options.ignore_clock:
                    raise
                note = f" (by a clock that was ahead of {format_instant(now)})"
                ticks.set_clock_back(connection, last, now, note)
        tick_id = ticks.insert_tick(
            connection,
            host=host_name(),
            pid=os.getpid(),
            started_at=now,
            as_of=self._database.as_of,
            handlers=sorted(self._settings.handlers),
        )
        return tick_id, now

    def _resolve_and_deliver(self) -> DeliveryCounts:
        """Hand out what has ended while the next batches end."""
        from concurrent.futures import ThreadPoolExecutor, wait

        with self.dispatcher() as dispatcher, ThreadPoolExecutor(1, thread_name_prefix="dispatch") as aside:
            delivering = aside.submit(
                dispatcher.run, may_claim=self.current.may_go_on, interrupted=self._interrupted, urged=self._urged
            )
            try:
                self.resolver.resolve_all(dispatcher)
            finally:
                dispatcher.finish()
            # Python runs a handler of signals in this thread alone, and a lock without a timeout may sleep through one.
            while not wait([delivering], timeout=_LOOK_UP).done:
                pass
            delivering.result()
        unknown = self.give_up_unknown_handlers()
        return replace(dispatcher.counts, dead=dispatcher.counts.dead + unknown)

    def dispatcher(self, retried: Callable[[], None] = lambda: None) -> Dispatcher:
        """A new one, for what this host may deliver; ``retried`` as `Dispatcher` has it."""
        from waitctl.application.deliveries.dispatcher import Dispatcher

        made = Dispatcher(
            self._database,
            self._settings,
            actor=self._actor,
            limit=self._options.batch_size,
            retried=retried,
        )
        self._attempts = made.attempts
        self.unready_handlers = made.unready
        return made

    def give_up_unknown_handlers(self) -> int:
        """Give up deliveries whose handlers nobody has known for long. Returns how many."""
        from waitctl.application.deliveries.unknown_handlers import give_up_unknown_handlers

        known = self.usable_handlers()

        def work(connection: Connection) -> list[NamedDelivery]:
            return give_up_unknown_handlers(connection, self._database, self._settings, known, actor=self._actor)

        died = self._database.write(work)
        for each in died:
            logs.say_settled(each)
        return len(died)

    def usable_handlers(self) -> set[str]:
        """The handlers that this host can deliver to, as far as it has tried."""
        known = {config.name for config in handlers_of(self._settings, self._database)}
        return known - self.unready_handlers.keys()

    def held_reasons(self) -> dict[str, str]:
        """Why deliveries are held, by handler; those of `unready_handlers` have said it themselves."""
        from waitctl.infrastructure.store import overview

        with self._database.read() as connection:
            paused = pauses.paused(connection)
            waiting = overview.backlogs(connection, now=self._database.clock(connection))
            strange = {INLINE} if self._inline.count_not_ours(connection) else set()
        usable = self.usable_handlers() - strange
        return {
            each.handler: why_held(each.handler, paused, usable, self._inline)
            for each in waiting
            if each.pending + each.running and each.handler not in self.unready_handlers
            if paused.workflows or paused.everything or each.handler in paused.handlers or each.handler not in usable
        }

    def say_newly_held(self, report: TickReport) -> None:
        """Log the deliveries that are held and have come since the last tick: those before them were logged by it."""
        since, self._held_since = self._held_since, report.finished_at
        if not report.held:
            return
        reasons = self.held_reasons() | self.unready_handlers
        with self._database.read() as connection:
            between = first_id_at(since), first_id_at(report.finished_at)
            strange = INLINE in reasons and self._inline.why_refused() is None
            not_ours = set(self._inline.not_ours(connection, _MOST_LOGGED)) if strange else set[str]()
            usable = self.usable_handlers() - ({INLINE} if not_ours else set())
            held = delivery_store.held_between(connection, usable, *between, limit=_MOST_LOGGED)
        for each in held:
            if each.handler != INLINE or not not_ours or each.delivery_id in not_ours:
                logs.say_held(each, reasons.get(each.handler, "it is paused"))

    # -- report ---------------------------------------------------------------------------------------------------

    def report(self, started_at: datetime, counts: DeliveryCounts) -> TickReport:
        """What has been done so far."""
        progress = self.current.progress
        return TickReport(
            started_at,
            started_at,
            self._database.as_of,
            correlated=progress.correlated,
            resumed=progress.resumed,
            timed_out=progress.timed_out,
            moved=progress.moved,
            pruned=self.upkeep.pruned.waits + self.upkeep.pruned.events,
            stopped=progress.stopped,
            **fields_of(counts),
        )

    def finish(self, tick_id: int, report: TickReport, connection: Connection) -> TickReport:
        """Write the heartbeat, and return the report with what is left to do. What is too old leaves the quarantine."""
        expire(connection, self._settings, self._database.clock(connection))
        done = self._complete(connection, report)
        ticks.finish_tick(
            connection,
            tick_id,
            finished_at=done.finished_at,
            report={key: value for key, value in done.to_json().items() if not key.endswith("_at")},
        )
        return done

    def _complete(self, connection: Connection, report: TickReport) -> TickReport:
        return replace(
            report,
            finished_at=self._database.real_clock(connection),
            held=self._inline.count_held(connection, self.usable_handlers()),
            remaining_due=self.current.count_remaining(connection),
            quarantined=quarantine.count_quarantined(connection),
        )

    def _dry_run(self, connection: Connection) -> TickReport:
        """Do all of it in one transaction, which the caller rolls back; hand nothing out."""
        progress = Progress(ids={"correlated": [], "resumed": [], "timed_out": [], "moved": [], "delivered": []})
        self.current.progress = progress
        connection.locks_topics = False  # of a large backlog it takes a while
        started_at = self._database.real_clock(connection)
        self.current.look_ahead(connection)
        for phase, batch in self.resolver.phases():
            if phase in self._options.only:
                self.resolver.run_batches(partial(batch, connection))
        if Phase.DELIVER in self._options.only:
            now = self._database.clock(connection)
            claimable = delivery_store.claimable_ids(connection, self.usable_handlers(), now=now)
            not_ours = self._inline.not_ours(connection, len(claimable))
            self.current.note("delivered", [each for each in claimable if each not in not_ours])
        report = self._complete(connection, self.report(started_at, DeliveryCounts()))
        return replace(report, delivered=len(progress.ids["delivered"]), ids=progress.ids)
