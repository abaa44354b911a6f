"""How waits end by the clock and by the inbox table: its events → due waits → expired listeners, in batches.

Each batch is one transaction, and any number of processes may overlap: they claim rows past each other. A batch begins
where the one before it ended, since what has ended stays in the indexes as long as anybody can see it and each batch
would read it again. What is dated to before that meanwhile, the next run finds: it looks at all of it
(`Run.look_ahead`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from waitctl.application.calendars.opening_rules import HostOpeningRules, with_zone_rules
from waitctl.application.coming_again import ComingAgain
from waitctl.application.documents import WAIT_FIELDS
from waitctl.application.inbox import Inbox
from waitctl.application.processor.inbox_events import CorrelatedBatch, InboxEvents
from waitctl.application.processor.run import Phase, Run, Stopped, say_phase
from waitctl.domain.durations import format_timedelta
from waitctl.domain.events import topic_bucket
from waitctl.domain.instants import format_instant
from waitctl.domain.intents import moved_when_late
from waitctl.domain.late import Fire, Late, Move, Skip
from waitctl.domain.waits import RECURRENCE
from waitctl.infrastructure.store import completion, due, pauses, rescheduling
from waitctl.infrastructure.store.completion import FIRST, Mark
from waitctl.infrastructure.store.correlation.verdicts import Verdicts
from waitctl.infrastructure.store.rescheduling import Rescheduled

if TYPE_CHECKING:
    from waitctl.domain.deliveries import Capacity
    from waitctl.infrastructure.config import Settings
    from waitctl.infrastructure.database import Connection
    from waitctl.infrastructure.store.due import LateWait, LeasedBatch, ResumedBatch

_MOST_AT_ONCE = 5.0
"""Seconds for which events are correlated before what is due has its turn."""

_LEAST_AT_ONCE = 0.25
"""Seconds that they have in any case, however soon the run ends."""


class DeliverySink(Protocol):
    """Where deliveries go: what a `Dispatcher` is to the `Resolver`."""

    def look(self) -> None:
        """There may be something to claim."""

    def capacities(self) -> AbstractContextManager[Sequence[Capacity]]:
        """What can be leased as it comes into being; room is kept for it until the context ends."""
        ...

    def take(self, leased_batch: LeasedBatch, room: int) -> None:
        """Hand out what was leased for the ``room`` of its handler's capacity."""


class _Nowhere:
    """Where they go in a run that hands nothing out: they stay for another."""

    def look(self) -> None:
        pass

    def capacities(self) -> AbstractContextManager[Sequence[Capacity]]:
        return nullcontext(())

    def take(self, leased_batch: LeasedBatch, room: int) -> None:
        pass


NOWHERE = _Nowhere()


class Resolver:
    """Ends what is to end. ``actor`` is who the audit trail names."""

    def __init__(self, run: Run, settings: Settings, *, actor: str) -> None:
        self.run = run
        self._database = database = run.database
        self._options = run.options
        self._actor = actor
        self._counting = Lock()
        self.opening_rules = HostOpeningRules(settings)
        self._coming_again = ComingAgain(database, settings, actor=actor)
        self._events = InboxEvents(
            database,
            Inbox(settings),
            self.opening_rules,
            self._coming_again,
            batch_size=run.options.batch_size,
            actor=actor,
        )
        self._events_until = run.began
        self._has_begun = self.has_more_events = False
        self._reached: dict[Phase, Mark] = {}

    def phases(self) -> Sequence[tuple[Phase, Callable[[Connection], int]]]:
        """The batches, in their order; each says how much it has done."""
        return (
            (Phase.EVENTS, self._correlate_batch),
            (Phase.DUE, self._late_batch),
            (Phase.DUE, self._due_batch),
            (Phase.DUE, self._forgotten_batch),
            (Phase.EXPIRED, self._expired_batch),
        )

    def resolve_all(self, sink: DeliverySink = NOWHERE) -> None:
        """`resolve`, and again as long as events have to wait for their next share of the time."""
        self.resolve(sink)
        while self.has_more_events and self.run.progress.stopped is Stopped.IDLE and self.run.may_go_on():
            self.resolve(sink)

    def resolve(self, sink: DeliverySink = NOWHERE, *, only: Collection[Phase] = frozenset(Phase)) -> bool:
        """Run every phase that is asked for; ``sink`` hears of each batch that did something.

        Events have their share of the time: what is due is not to wait until all of them have been correlated.
        Returns whether any batch did something.
        """
        wanted = self._options.only.intersection(only)
        done = False
        for phase, batch in self.phases():
            if phase in wanted:
                before, began = self._ended, time.monotonic()
                if phase is Phase.EVENTS:
                    did = self._correlate_share(sink.look)
                elif batch == self._due_batch:
                    did = self._end_due(sink)
                else:
                    did = self.run_batches(partial(self._write, batch), sink.look)
                done |= did
                self._say_phase(phase, batch.__name__, self._ended - before, time.monotonic() - began)
        return done

    @property
    def _ended(self) -> int:
        progress = self.run.progress
        return progress.correlated + progress.resumed + progress.timed_out + progress.moved

    def _say_phase(self, phase: Phase, batch: str, count: int, seconds: float) -> None:
        also = {self._late_batch.__name__: " (late)", self._forgotten_batch.__name__: " (recurrences)"}
        say_phase(phase, f"{phase}{also.get(batch, '')}", count, seconds)

    def _write(self, batch: Callable[[Connection], int]) -> int:
        """Run a batch in a transaction of its own."""
        self._reached = {}
        done = self._database.write(batch)
        self.run.low |= self._reached  # only now: a batch that is run again after a deadlock begins where it did
        return done

    def _correlate_share(self, resolved: Callable[[], None]) -> bool:
        """Correlate events for at most half of the time that is left, a few seconds at once."""
        now = time.monotonic()
        left = self.run.began + self._options.time_budget.total_seconds() - now
        self._events_until = now + min(_MOST_AT_ONCE, max(left / 2, _LEAST_AT_ONCE))
        self._has_begun = self.has_more_events = False
        self._events.begin()
        return self.run_batches(self._write_events, resolved, may_go_on=self._events_may_go_on)

    def _events_may_go_on(self) -> bool:
        if not self.run.may_go_on():
            return False
        self.has_more_events = self._has_begun and time.monotonic() >= self._events_until
        return not self.has_more_events

    def _write_events(self) -> int:
        self._has_begun = True  # a batch is written in any case
        return self._note_correlated(self._events.write_batch(may_go_on=self._events_may_go_on))

    def _end_due(self, sink: DeliverySink) -> bool:
        """End due waits as `run_batches` does; after a full batch of them two at a time, as two ticks would.

        While the server works on one, the other one's deliveries are read, and what comes again is worked out.
        """
        batch = partial(self._end_due_batch, sink)
        if self._database.is_sqlite or self._options.max_batches is not None or not self.run.may_go_on():
            return self.run_batches(batch)
        if (ended := batch()) < self._options.batch_size:
            return ended > 0
        with ThreadPoolExecutor(1, thread_name_prefix="due") as aside:
            other = aside.submit(self.run_batches, batch)
            self.run_batches(batch)
            other.result()
        return True

    def _end_due_batch(self, sink: DeliverySink) -> int:
        """A batch of due waits, whose deliveries go right to the handlers that have room for them."""
        with sink.capacities() as capacities:
            room = {each.handler: each.room for each in capacities}
            done = self._database.write(partial(self._due, low=self.run.low[Phase.DUE], capacities=capacities))
            for leased_batch in done.leased:
                sink.take(leased_batch, room[leased_batch.handler])
        if sum(len(leased_batch.rows) for leased_batch in done.leased) < done.ended:
            sink.look()
        with self._counting:
            self.run.progress.resumed += done.ended
            self.run.low[Phase.DUE] = max(self.run.low[Phase.DUE], done.up_to)
        return done.ended

    def run_batches(
        self,
        batch: Callable[[], int],
        resolved: Callable[[], None] = lambda: None,
        *,
        may_go_on: Callable[[], bool] | None = None,
    ) -> bool:
        """Run batches of one phase until one comes back short of full. Returns whether they did anything."""
        done = count = 0
        may_go_on = may_go_on or self.run.may_go_on
        while may_go_on():
            if done == self._options.max_batches:
                self.run.stop(Stopped.MAX_BATCHES)
                break
            count = batch()
            if count:
                resolved()
            if count < self._options.batch_size:
                break
            done += 1
        return done > 0 or count > 0

    # -- the batches ----------------------------------------------------------------------------------------------

    def _correlate_batch(self, connection: Connection) -> int:
        return self._note_correlated(self._events.correlate(connection, Verdicts(None)))

    def _note_correlated(self, batch: CorrelatedBatch) -> int:
        """Returns how much it was, and a full batch as long as there is more."""
        self.run.progress.correlated += len(batch.event_ids)
        self.run.progress.resumed += len(batch.wait_ids)
        self.run.note("correlated", list(batch.event_ids))
        self.run.note("resumed", list(batch.wait_ids))
        return len(batch.event_ids) if batch.is_last else self._options.batch_size

    def _late_batch(self, connection: Connection) -> int:
        """Judge the late waits that have a policy: fire, skip, or move to the next opening; each once a tick."""
        now = self._database.clock(connection)
        late = due.claim_late(
            connection,
            late_before=self.opening_rules.late_before(now),
            limit=self._options.batch_size,
            low=self.run.late_low,
        )
        if not late:
            return 0
        self.run.late_low = Mark(late[-1].scheduled_at, late[-1].id)
        verdicts = [
            (
                wait,
                self.opening_rules.late_verdict(
                    wait.timezone, wait.wait_config, wait.id, scheduled_at=wait.scheduled_at, now=now
                ),
            )
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
        self.run.note("resumed", [*fire, *skip])
        self.run.note("moved", [move.wait_id for move in moves])
        for reasons, deliver in ((fire, True), (skip, False)):
            if reasons:
                self.run.progress.resumed += due.resolve_late(
                    connection, reasons, deliver=deliver, now=now, actor=self._actor
                )
        if comes_again := [wait.id for wait in late if RECURRENCE in wait.wait_config]:
            self._coming_again.go_on_among(connection, comes_again, now=now)
        if moves:
            moved = rescheduling.reschedule_waits(connection, moves, now=now, actor=self._actor)
            self.run.progress.moved += len(moved)
        return len(late)

    def _due_batch(self, connection: Connection) -> int:
        done = self._due(connection, low=self.run.low[Phase.DUE])
        self._reached[Phase.DUE] = done.up_to
        self.run.progress.resumed += done.ended
        return done.ended

    def _due(self, connection: Connection, *, low: Mark, capacities: Sequence[Capacity] = ()) -> ResumedBatch:
        now = self._database.clock(connection)
        if capacities:
            paused = pauses.paused(connection)
            held = paused.everything or paused.workflows
            capacities = [each for each in capacities if not held and each.handler not in paused.handlers]
        if self._options.dry_run:
            late_before = self.opening_rules.late_before(now)
            self.run.note("resumed", due.due_ids(connection, now=now, late_before=late_before))
        done = due.resolve_due(
            connection,
            now=now,
            late_before=self.opening_rules.late_before(now),
            limit=self._options.batch_size,
            reason=self._database.dated("due"),
            actor=self._actor,
            low=low,
            capacities=capacities,
            fields=WAIT_FIELDS,
        )
        if done.may_recur:
            self._coming_again.go_on_due(connection, since=low.at, up_to=done.up_to.at, now=now)
        return done

    def _forgotten_batch(self, connection: Connection) -> int:
        """Go on with recurrences whose wait was ended by something that knows of none; once a run."""
        now = self._database.clock(connection)
        self._coming_again.go_on_due(connection, since=FIRST.at, up_to=now, now=now)
        return 0

    def _expired_batch(self, connection: Connection) -> int:
        """Time out waits under the lock of their topics.

        With the lock in hand, every event that was received before the clock is read is committed and correlated: the
        deadline decides, not which transaction was faster.
        """
        listening, self._reached[Phase.EXPIRED] = completion.expired_listeners(
            connection,
            now=self._database.clock(connection),
            limit=self._options.batch_size,
            low=self.run.low[Phase.EXPIRED],
        )
        if not listening:
            return 0
        now = self._database.lock_topics(connection, [topic_bucket(*topic) for _, *topic in listening], exclusive=True)
        if self._options.dry_run:
            self.run.note("timed_out", completion.expired_ids(connection, now=now))
        wait_ids = {wait_id for wait_id, *_ in listening}
        timed_out = completion.resolve_expired(
            connection, wait_ids, now=now, reason=self._database.dated("timeout"), actor=self._actor
        )
        self.run.progress.timed_out += timed_out
        return len(wait_ids) if timed_out else 0  # none: another tick has them in hand, and goes on


def _moved(wait: LateWait, at: datetime, reason: str) -> Rescheduled:
    config = with_zone_rules(moved_when_late(wait.wait_config, due_at=wait.scheduled_at, to=at), wait.timezone)
    return Rescheduled(wait.id, wait.scheduled_at, at, config, Late.NEXT_WINDOW, wait.timezone, reason)
