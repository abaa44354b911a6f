"""One bounded run of the processor: events of the SQL door → due waits → expired listeners → deliveries.

Each phase works in batches, each batch is one transaction, and any number of ticks may overlap: they claim rows past
each other, without a lock file.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from waitctl.application.dispatch import Dispatcher
from waitctl.application.openings import Openings, with_zone_rules
from waitctl.application.orphans import bury_orphans
from waitctl.application.outlets import handlers_of
from waitctl.domain.durations import format_timedelta
from waitctl.domain.errors import ClockSkewError, InvalidEventError, InvalidSettingError
from waitctl.domain.instants import format_instant
from waitctl.domain.intents import Late, rescheduled
from waitctl.domain.late import Fire, Move, Skip
from waitctl.domain.listeners import topic_bucket
from waitctl.domain.text import JsonObject, normalize_contact
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database, host_name
from waitctl.infrastructure.signals import Signal
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.store import endings, matching, rescheduling, ticks
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store.endings import LateWait
from waitctl.infrastructure.store.rescheduling import Rescheduled

MAX_CLOCK_SKEW = timedelta(seconds=60)
"""How far an SQLite host's clock may be behind the last tick: a clock set back would fire nothing for hours."""


_HEARTBEAT = 60.0
"""Seconds between two lines in the heartbeat of a resident tick."""

_BREATH = 0.005
"""Seconds that a round of a resident tick lasts at least, however busy others are."""


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
    stopped: Stopped = Stopped.IDLE
    ids: dict[str, list[str]] | None = None

    @property
    def did_nothing(self) -> bool:
        """Whether there was nothing to do, and nothing is left that somebody should know of."""
        return not any(
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

    def to_json(self) -> JsonObject:
        """The document of `waitctl tick`."""
        document = asdict(self)
        for name in ("started_at", "finished_at", "as_of"):
            document[name] = format_instant(document[name]) if document[name] else None
        if self.ids is None:
            del document["ids"]
        return document


@dataclass(slots=True)
class _Progress:
    correlated: int = 0
    resumed: int = 0
    timed_out: int = 0
    moved: int = 0
    late_up_to: tuple[datetime, str] | None = None
    stopped: Stopped = Stopped.IDLE
    ids: dict[str, list[str]] = field(default_factory=dict)


class Tick:
    """Runs the processor once. ``interrupted`` is asked between batches and ends the run cleanly."""

    def __init__(
        self,
        database: Database,
        settings: Settings,
        options: TickOptions | None = None,
        *,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        self._database = database
        self._settings = settings
        self._options = (options or TickOptions()).checked()
        self._openings = Openings(settings)
        self._interrupted = interrupted
        self._actor = f"tick@{host_name()}:{os.getpid()}"
        self._began = time.monotonic()
        self._progress = _Progress()
        self.unready_handlers: dict[str, str] = {}
        """Handlers that had something to do and that this host could not use, and why. Their deliveries are held."""

    @property
    def unknown_calendars(self) -> frozenset[str]:
        """Calendars that waits named and this host's config does not know."""
        return frozenset(self._openings.unknown)

    def run(self) -> TickReport:
        """Run every phase until nothing is left, the budget is spent, or somebody interrupts.

        Raises `ClockSkewError` on SQLite when this host's clock is behind the last tick's.
        """
        if self._options.dry_run:
            return self._database.write(self._dry_run, rollback=True)
        self._began = time.monotonic()
        tick_id, started_at = self._database.write(self._start)
        report = TickReport(started_at, started_at, self._database.as_of)
        if Phase.DELIVER in self._options.only:
            report = self._resolve_and_deliver(report)
        else:
            self._resolve()

        return self._database.write(partial(self._finish, tick_id, report))

    def _start(self, connection: Connection) -> tuple[int, datetime]:
        now = self._database.real_clock(connection)
        last = ticks.last_tick_at(connection)
        behind = self._database.is_sqlite and last is not None and last - now > MAX_CLOCK_SKEW
        if behind and not self._options.ignore_clock:
            raise ClockSkewError(
                f"this host's clock is behind: the last tick was at {format_instant(last or now)}, "
                f"and it is {format_instant(now)}",
                hint="set the clock right, or run: waitctl tick --ignore-clock",
            )
        tick_id = ticks.insert_tick(
            connection,
            host=host_name(),
            pid=os.getpid(),
            started_at=now,
            as_of=self._database.as_of,
            handlers=sorted(self._settings.handlers),
        )
        return tick_id, now

    def _resolving(self) -> Sequence[tuple[Phase, Callable[[Connection], int]]]:
        return (
            (Phase.EVENTS, self._correlate_batch),
            (Phase.DUE, self._late_batch),
            (Phase.DUE, self._due_batch),
            (Phase.EXPIRED, self._expired_batch),
        )

    def _resolve(self, resolved: Callable[[], None] = lambda: None) -> None:
        for phase, batch in self._resolving():
            if phase in self._options.only:
                self._run_batches(partial(self._database.write, batch), resolved)

    def _run_batches(self, batch: Callable[[], int], resolved: Callable[[], None] = lambda: None) -> None:
        """Run batches of one phase until one comes back short of full."""
        done = 0
        while self._may_go_on():
            if done == self._options.max_batches:
                self._stop(Stopped.MAX_BATCHES)
                return
            count = batch()
            if count:
                resolved()
            if count < self._options.batch_size:
                return
            done += 1

    def _may_go_on(self) -> bool:
        if self._interrupted():
            self._stop(Stopped.INTERRUPTED)
        elif time.monotonic() - self._began >= self._options.time_budget.total_seconds():
            self._stop(Stopped.TIME_BUDGET)
        else:
            return True
        return False

    def _stop(self, why: Stopped) -> None:
        if self._progress.stopped is not Stopped.INTERRUPTED:
            self._progress.stopped = why

    # -- the batches ----------------------------------------------------------------------------------------------

    def _correlate_batch(self, connection: Connection) -> int:
        """Correlate events that other systems inserted: normalise, lock their topics, match, mark."""
        event_store.forget_pruned(connection)
        claimed = event_store.claim_uncorrelated(connection, self._options.batch_size)
        if not claimed:
            return 0
        contacts = {event_id: _normalized(contact) for event_id, _, contact in claimed}
        changed = {event_id: contacts[event_id] for event_id, _, contact in claimed if contacts[event_id] != contact}
        event_store.normalize_uncorrelated(connection, self._database, list(contacts), changed)
        buckets = [topic_bucket(event_type, contacts[event_id]) for event_id, event_type, _ in claimed]
        self._database.lock_topics(connection, buckets, exclusive=False)
        now = self._database.clock(connection)
        matched = matching.correlate_events(
            connection,
            self._database,
            contacts,
            self._openings.for_event,
            now=now,
            reason=self._database.dated("event "),
            actor=self._actor,
        )
        event_store.mark_correlated(connection, self._database, contacts, now=now)
        self._progress.correlated += len(claimed)
        self._progress.resumed += len(matched)
        self._note("correlated", list(contacts))
        self._note("resumed", [wait_id for _, wait_id in matched])
        return len(claimed)

    def _late_batch(self, connection: Connection) -> int:
        """Judge the late waits that have a policy: fire, skip, or move to the next opening; each once a tick."""
        now = self._database.clock(connection)
        late = endings.claim_late(
            connection,
            late_before=self._openings.late_before(now),
            limit=self._options.batch_size,
            after=self._progress.late_up_to,
        )
        if not late:
            return 0
        self._progress.late_up_to = (late[-1].scheduled_at, late[-1].id)
        verdicts = [
            (wait, self._openings.judge(wait.timezone, wait.wait_config, scheduled_at=wait.scheduled_at, now=now))
            for wait in late
        ]
        fire, skip, moves = {}, {}, []
        for wait, verdict in verdicts:
            overdue = f"{format_timedelta(now - wait.scheduled_at)} late"
            match verdict:
                case Fire():
                    fire[wait.id] = self._database.dated(f"due, {overdue}")
                case Skip():
                    skip[wait.id] = self._database.dated(f"skipped: {overdue}")
                case Move(at=at):
                    reason = f"{overdue}: moved to the next opening, {format_instant(at)}"
                    moves.append(_moved(wait, at, self._database.dated(reason)))
        self._note("resumed", [*fire, *skip])
        self._note("moved", [move.wait_id for move in moves])
        for reasons, deliver in ((fire, True), (skip, False)):
            if reasons:
                self._progress.resumed += endings.resolve_late(
                    connection, self._database, reasons, deliver=deliver, now=now, actor=self._actor
                )
        if moves:
            moved = rescheduling.reschedule_waits(connection, self._database, moves, now=now, actor=self._actor)
            self._progress.moved += len(moved)
        return len(late)

    def _due_batch(self, connection: Connection) -> int:
        now = self._database.clock(connection)
        if self._options.dry_run:
            late_before = self._openings.late_before(now)
            self._note("resumed", endings.due_ids(connection, now=now, late_before=late_before))
        resumed = endings.resolve_due(
            connection,
            self._database,
            now=now,
            late_before=self._openings.late_before(now),
            limit=self._options.batch_size,
            reason=self._database.dated("due"),
            actor=self._actor,
        )
        self._progress.resumed += resumed
        return resumed

    def _expired_batch(self, connection: Connection) -> int:
        """Time out waits under the lock of their topics.

        With the lock in hand, every event that was received before the clock is read is committed and correlated: the
        deadline decides, not which transaction was faster.
        """
        listening = endings.expired_listeners(
            connection, now=self._database.clock(connection), limit=self._options.batch_size
        )
        if not listening:
            return 0
        self._database.lock_topics(connection, [topic_bucket(*topic) for _, *topic in listening], exclusive=True)
        now = self._database.clock(connection)
        if self._options.dry_run:
            self._note("timed_out", endings.expired_ids(connection, now=now))
        wait_ids = {wait_id for wait_id, *_ in listening}
        timed_out = endings.resolve_expired(
            connection, self._database, wait_ids, now=now, reason=self._database.dated("timeout"), actor=self._actor
        )
        self._progress.timed_out += timed_out
        return len(wait_ids) if timed_out else 0  # none: another tick has them in hand, and goes on

    # -- resident ---------------------------------------------------------------------------------------------------

    def watch(
        self, signal: Signal, *, interval: timedelta, beat: Callable[[TickReport], None] = lambda _: None
    ) -> TickReport:
        """Process what is due when it is due, until interrupted: wakes by ``signal``, and after ``interval`` at least.

        ``beat`` is told after every round what was done so far. Deliveries go on meanwhile: none holds up a round.
        """
        tick_id, started_at = self._database.write(self._start)
        signal.listen()
        beaten_at = time.monotonic()
        with (
            self._dispatcher(retried=signal.wake) as dispatcher,
            ThreadPoolExecutor(1, thread_name_prefix="dispatch") as aside,
        ):
            delivering = aside.submit(dispatcher.run, may_claim=lambda: not self._interrupted())
            delivering.add_done_callback(lambda _: signal.wake())
            try:
                while not self._interrupted() and not delivering.done():
                    round_at = time.monotonic()
                    self._progress.late_up_to = None
                    self._resolve(dispatcher.look)
                    dispatcher.look()
                    report = self._so_far(dispatcher, started_at)
                    if time.monotonic() - beaten_at >= _HEARTBEAT:
                        beaten_at = time.monotonic()
                        self._database.write(self._bury_orphans)
                        self._database.write(partial(self._finish, tick_id, report))
                    beat(report)
                    signal.wait(self._until_next(interval))
                    time.sleep(max(0.0, round_at + _BREATH - time.monotonic()))
            finally:
                dispatcher.finish()
            delivering.result()
            self._stop(Stopped.INTERRUPTED)
            report = self._so_far(dispatcher, started_at)
        return self._database.write(partial(self._finish, tick_id, report))

    def _so_far(self, dispatcher: Dispatcher, started_at: datetime) -> TickReport:
        progress = self._progress
        return TickReport(
            started_at,
            started_at,
            correlated=progress.correlated,
            resumed=progress.resumed,
            timed_out=progress.timed_out,
            moved=progress.moved,
            stopped=progress.stopped,
            **asdict(dispatcher.counts),
        )

    def _until_next(self, interval: timedelta) -> float:
        """Seconds until something is due; no more than ``interval``, since others may write without saying so."""
        with self._database.read() as connection:
            now = self._database.clock(connection)
            names = sorted(self._usable_handlers())
            due = (
                endings.next_end_at(connection, now=now),
                delivery_store.next_attempt_at(connection, names, now=now) if names else None,
            )
        return min([interval.total_seconds(), *((at - now).total_seconds() for at in due if at is not None)])

    def _finish(self, tick_id: int, report: TickReport, connection: Connection) -> TickReport:
        done = self._complete(connection, report)
        ticks.finish_tick(
            connection,
            tick_id,
            finished_at=done.finished_at,
            report={key: value for key, value in done.to_json().items() if not key.endswith("_at")},
        )
        return done

    # -- delivery, report -----------------------------------------------------------------------------------------

    def _resolve_and_deliver(self, report: TickReport) -> TickReport:
        """Hand out what has ended while the next batches end."""
        with (
            self._dispatcher() as dispatcher,
            ThreadPoolExecutor(1, thread_name_prefix="dispatch") as aside,
        ):
            delivering = aside.submit(dispatcher.run, may_claim=self._may_go_on)
            try:
                self._resolve(dispatcher.look)
            finally:
                dispatcher.finish()
            delivering.result()
            self.unready_handlers = dispatcher.unready
        orphans = self._database.write(self._bury_orphans)
        counts = asdict(dispatcher.counts)
        return replace(report, **counts | {"dead": counts["dead"] + orphans})

    def _dispatcher(self, retried: Callable[[], None] = lambda: None) -> Dispatcher:
        options = self._options
        return Dispatcher(self._database, self._settings, actor=self._actor, limit=options.batch_size, retried=retried)

    def _bury_orphans(self, connection: Connection) -> int:
        known = self._usable_handlers()
        return bury_orphans(connection, self._database, self._settings, known, actor=self._actor)

    def _complete(self, connection: Connection, report: TickReport) -> TickReport:
        return replace(
            report,
            finished_at=self._database.real_clock(connection),
            correlated=self._progress.correlated,
            resumed=self._progress.resumed,
            timed_out=self._progress.timed_out,
            moved=self._progress.moved,
            held=delivery_store.count_held(connection, self._usable_handlers()),
            remaining_due=endings.count_remaining(connection, now=self._database.clock(connection)),
            stopped=self._progress.stopped,
        )

    def _usable_handlers(self) -> set[str]:
        known = {config.name for config in handlers_of(self._settings, self._database)}
        return known - self.unready_handlers.keys()

    def _dry_run(self, connection: Connection) -> TickReport:
        """Do all of it in one transaction, which the caller rolls back; hand nothing out."""
        self._progress = _Progress(ids={"correlated": [], "resumed": [], "timed_out": [], "moved": [], "delivered": []})
        started_at = self._database.real_clock(connection)
        for phase, batch in self._resolving():
            if phase in self._options.only:
                self._run_batches(partial(batch, connection))
        if Phase.DELIVER in self._options.only:
            now = self._database.clock(connection)
            self._note("delivered", delivery_store.claimable_ids(connection, self._usable_handlers(), now=now))
        report = self._complete(connection, TickReport(started_at, started_at, self._database.as_of))
        return replace(report, delivered=len(self._progress.ids["delivered"]), ids=self._progress.ids)

    def _note(self, what: str, ids: list[str]) -> None:
        if self._options.dry_run:
            noted = self._progress.ids[what]
            seen = set(noted)
            noted.extend(each for each in ids if each not in seen)


def _moved(wait: LateWait, at: datetime, reason: str) -> Rescheduled:
    config = with_zone_rules(rescheduled(wait.wait_config, at=at))
    return Rescheduled(wait.id, wait.scheduled_at, at, config, Late.NEXT_WINDOW, wait.timezone, reason)


def _normalized(contact: str) -> str:
    """The contact as every other door stores it; one that no door would take stays as it is and matches nothing."""
    try:
        return normalize_contact(contact, error=InvalidEventError)
    except InvalidEventError:
        return contact
