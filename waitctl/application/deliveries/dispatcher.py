"""Claim → hand out → settle, each at its own pace. Only a delivery is leased, because only here is I/O that can hang.

Three kinds of thread: the one that calls `Dispatcher.run` claims, a handler's workers hand out, and one settles what
they bring back. So the database claims and settles while handlers run, and no handler waits for another's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from threading import Condition
from types import TracebackType

from waitctl.application.deliveries.attempts import AttemptCounts
from waitctl.application.deliveries.claiming import Claims
from waitctl.application.deliveries.handler_factory import configured_handlers, make_handler
from waitctl.application.deliveries.payloads import first_payloads
from waitctl.application.deliveries.quota import SOON
from waitctl.application.deliveries.results import NO_STARTS, ResultWriter, Starts, mark_exhausted
from waitctl.application.deliveries.workers import (
    LEASE_MARGIN,
    Begun,
    HandlerCall,
    HandlerWorkers,
    Leased,
    ResultQueue,
    Returned,
)
from waitctl.application.inline_commands import InlineCommands
from waitctl.domain.deliveries import (
    AttemptOutput,
    Capacity,
    Delivered,
    Delivery,
    DeliveryCounts,
    Lease,
    NotDelivered,
    Settlement,
    is_exhausted,
    settle,
)
from waitctl.domain.handlers import INLINE
from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.handlers import HandlerNotReadyError
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store.due import LeasedBatch

_AT_ONCE = 6.0
"""Seconds for what is told to end at once, with those between TERM and KILL: ten are for the whole command."""

_LOOK_AGAIN = 0.2
"""Seconds after which somebody who interrupts is noticed while handlers run."""


class Dispatcher:
    """Hands due deliveries to the handlers of this host's config; others are held for a host that knows them.

    ``limit`` is the most that one handler claims at once; ``retried`` is called when deliveries have got a later turn.
    """

    def __init__(
        self,
        database: Database,
        settings: Settings,
        *,
        actor: str,
        limit: int = 1000,
        retried: Callable[[], None] = lambda: None,
    ) -> None:
        self.attempts = AttemptCounts()
        self._database = database
        self._results = ResultWriter(database, settings, actor)
        self._settings = settings
        self._retried = retried
        self._result_queue = ResultQueue(self._begun_count)
        self._workers = {
            config.name: HandlerWorkers(config, self._result_queue, limit) for config in configured_handlers(settings)
        }
        self._inline = InlineCommands(settings, database)
        self._claims = Claims(database, self._inline)
        self._may_start: Callable[[], bool] = lambda: False
        self._changed = Condition()
        self._news = True
        self._short_of_room = True
        self._more = True
        self._failure: BaseException | None = None
        self.counts = DeliveryCounts()
        self.unready: dict[str, str] = {}
        """Handlers that had something to do and that this host cannot use, and why. Their deliveries are held."""

    def __enter__(self) -> Dispatcher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for workers in self._workers.values():
            workers.take_back()  # after a failure; what it leaves behind is claimed again when its leases run out
        for workers in self._workers.values():
            workers.close()

    # -- what others tell it --------------------------------------------------------------------------------------

    def look(self) -> None:
        """There may be something to claim."""
        with self._changed:
            self._news = True
            self._changed.notify_all()

    def finish(self) -> None:
        """Nobody will say `look` any more: come to an end when nothing is due."""
        self._more = False
        self.look()

    # -- what is leased as it comes into being --------------------------------------------------------------------

    @contextmanager
    def capacities(self) -> Iterator[Sequence[Capacity]]:
        """What the handlers that are at work have room for; it is kept for the caller until the context ends.

        For one that is quick it waits a moment: what finds no room costs it twice as much.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._failure or not any(workers.has_soon() for workers in self._workers.values()), SOON
            )
            idle = self._failure is not None or not self._may_start()
            promised = {
                workers: room
                for workers in self._workers.values()
                if not idle and workers.handler is not None and (room := workers.room_for_leased_batch()) > 0
                if workers.config.name != INLINE  # whose command it is has to be seen first
            }
            for workers, room in promised.items():
                workers.promised += room
        kept = {workers: workers.reserve(room) for workers, room in promised.items()}
        try:
            yield [
                Capacity(workers.config.name, room, workers.lease, workers.config.retry.max_attempts, kept[workers][1])
                for workers, room in promised.items()
            ]
        finally:
            for workers in promised:
                workers.let_go(kept[workers])
            with self._changed:
                for workers, room in promised.items():
                    workers.promised -= room
                self._news |= self._short_of_room
                self._changed.notify_all()

    def take(self, leased_batch: LeasedBatch, room: int) -> None:
        """Hand out deliveries that were leased for the ``room`` of their handler's capacity."""
        leases = leased_batch.leases
        begun, waiting = Leased(leases, partial(first_payloads, leased_batch)).split(leased_batch.begun)
        with self._changed:
            workers = self._workers[leased_batch.handler]
            workers.took(len(leases), room)
            workers.add_begun(begun, self._may_start)
            workers.add(waiting)
            self._changed.notify_all()  # who found nothing in hand looks for interrupts from now on

    # -- claiming -------------------------------------------------------------------------------------------------

    def run(
        self,
        *,
        may_claim: Callable[[], bool],
        interrupted: Callable[[], bool] = lambda: False,
        urged: Callable[[], bool] = lambda: False,
    ) -> None:
        """Claim, hand out and settle until `finish` was called and nothing is due.

        When ``may_claim`` says no (out of budget, interrupted), what has not started is given back, and what runs is
        waited for: once ``interrupted``, until it is over or its own time is up; once ``urged``, for seconds. After a
        failure nothing is started: what became of it could not be written down.
        """
        self._may_start = lambda: self._failure is None and may_claim()
        with ThreadPoolExecutor(1, thread_name_prefix="settle") as aside:
            settled = aside.submit(self._settle_all)
            try:
                while not self._is_over():
                    if not may_claim():
                        self._result_queue.wake()  # what has not begun is given back
                        self._wait_for_what_runs(interrupted, urged)
                        break
                    if self._claim():
                        continue
                    # Of an interrupt nobody tells; when nothing is in hand, `finish` follows it.
                    if self._in_hand():
                        self._wait_for(lambda: self._news or self._is_over(), _LOOK_AGAIN)
                    else:
                        self._wait_for(lambda: self._news or self._is_over() or self._in_hand())
            except BaseException as error:
                self._fail(error)
                raise
            finally:
                self._result_queue.close()
            settled.result()

    def _wait_for_what_runs(self, interrupted: Callable[[], bool], urged: Callable[[], bool]) -> None:
        def is_through() -> bool:
            return self._failure is not None or not self._in_hand()

        is_stopping = False
        while not is_through():
            if urged():
                self._stop(at_once=True)
                self._wait_for(is_through, _AT_ONCE)
                for workers in self._workers.values():
                    workers.give_up()
                self._wait_for(is_through)
            elif interrupted() and not is_stopping:
                is_stopping = True
                self._stop(at_once=False)
            self._wait_for(is_through, _LOOK_AGAIN)

    def _stop(self, *, at_once: bool) -> None:
        for workers in self._workers.values():
            workers.stop(at_once=at_once)

    def _fail(self, error: BaseException) -> None:
        with self._changed:
            self._failure = error
            self._changed.notify_all()

    def _in_hand(self) -> bool:
        return any(workers.in_hand or workers.promised for workers in list(self._workers.values()))

    def _begun_count(self) -> int:
        return sum(workers.begun for workers in list(self._workers.values()))

    def _is_over(self) -> bool:
        return self._failure is not None or not (self._news or self._more or self._in_hand())

    def _wait_for(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        with self._changed:
            self._changed.wait_for(condition, seconds)

    def _claim(self) -> bool:
        """Claim for every handler with room and something to do, and hand out. Returns whether there may be more.

        Only when there is news: until somebody says so, or a handler that had no room has some, there is nothing new.
        """
        with self._changed:
            news, self._news = self._news, False
            if not news:
                return False
            free = {name: workers for name, workers in self._workers.items() if workers.room() > 0}
            self._short_of_room = len(free) < len(self._workers)
        if INLINE in free and self._inline.why_refused() is not None:
            del free[INLINE]
        if not free:
            return False
        wanted, claims = self._claims.claim(free)
        exhausted: list[tuple[HandlerWorkers, Settlement]] = []
        for claim in claims:
            claim.workers.took(len(claim.addressed), claim.room)
            exhausted += [
                (claim.workers, mark_exhausted(delivery)) for delivery, _ in claim.addressed if is_exhausted(delivery)
            ]
            with self._changed:
                for leased in claim.leased:
                    claim.workers.add(leased)
        if exhausted:
            self._write((), lambda _: exhausted)
        opened = [self._open(free[name]) for name in wanted if free[name].handler is None]
        if any(opened) or any(len(claim.addressed) == claim.room for claim in claims):
            self.look()
            return True
        return False

    def _open(self, workers: HandlerWorkers) -> bool:
        """Make a handler, or do without it: for good when this host cannot, for now when it is short of something."""
        name = workers.config.name
        try:
            workers.open(make_handler(workers.config, self._settings, self._database))
        except HandlerNotReadyError as error:
            self.unready[name] = str(error)
            with self._changed:
                del self._workers[name]
            return False
        except OSError as error:
            self.unready[name] = error.strerror or str(error)
            return False
        self.unready.pop(name, None)
        return True

    def _release(self, workers: HandlerWorkers, leases: Sequence[Lease], *, begun: bool) -> None:
        if leases:
            self._database.write(partial(store.release_deliveries, leases=leases, begun=begun))
            self._put_down([(workers, leases)])

    def _put_down(self, done: Sequence[tuple[HandlerWorkers, Sequence[Lease]]]) -> None:
        if done:
            with self._changed:
                for workers, leases in done:
                    workers.in_hand.difference_update(leases)
                self._news |= self._short_of_room
                self._changed.notify_all()

    # -- settling -------------------------------------------------------------------------------------------------

    def _settle_all(self) -> None:
        """Settle what comes back, as much as there is at once, and begin what is next, until nothing comes any more."""
        try:
            goes_on = True
            while goes_on:
                returned, begun, goes_on = self._result_queue.take(self._renew_leases())
                for each in returned:
                    if each.failure is not None:
                        raise each.failure
                self._settle(returned, self._next_calls(), begun)
        except BaseException as error:
            self._fail(error)
            raise

    def _renew_leases(self) -> float:
        """Renew the leases that are half over. Returns the seconds until the next are.

        Of what runs for longer than anybody foresaw: a Python function, or a host that was asleep.
        """
        with self._changed:
            busy = [workers for workers in self._workers.values() if workers.in_hand]
            old = [(workers, list(workers.in_hand)) for workers in busy if not workers.until_renewal()]
        for workers, leases in old:
            workers.renewed()
            self._database.write(partial(self._renew, workers, leases), is_news=lambda _: False)
        return min([LEASE_MARGIN.total_seconds() / 2, *(workers.until_renewal() for workers in busy)])

    def _renew(self, workers: HandlerWorkers, leases: Sequence[Lease], connection: Connection) -> None:
        until = self._database.clock(connection) + workers.lease
        store.renew_leases(connection, leases, lease_until=until)

    def _next_calls(self) -> list[tuple[HandlerWorkers, list[HandlerCall]]]:
        """What is to begin now. When nothing may start any more, what has not begun is given back."""
        everybody = list(self._workers.values())
        if self._failure is not None:
            return []
        if not self._may_start():
            for workers in everybody:
                self._release(workers, workers.take_back(), begun=False)
            return []
        begins = []
        for workers in everybody:
            may_be_alone = not any(each.has_one_alone for each in everybody)
            if calls := workers.next_calls(may_be_alone=may_be_alone):
                begins.append((workers, calls))
        return begins

    def _settle(
        self,
        returned: Sequence[Returned],
        begins: Sequence[tuple[HandlerWorkers, Sequence[HandlerCall]]],
        begun: Sequence[Begun],
    ) -> None:
        """Write what became of calls, and what begins, in one transaction; then give others to the workers.

        Counted before are those that begin now; counted as begun those of which a handler has said so, or that are back
        already.
        """
        finished = [each for each in returned if each.results is not None]
        delivered: list[Lease] = []
        said: list[AttemptOutput] = []
        failed: list[tuple[HandlerWorkers, Delivery, NotDelivered, float]] = []
        for each in finished:
            for (delivery, result), group in zip(each.results or (), each.groups, strict=True):
                self.attempts.count(group, each.workers.config.name, result, each.seconds)
                if result.output:
                    said.append(AttemptOutput(delivery.lease, delivery.attempt, result.output))
                if isinstance(result, Delivered):
                    delivered.append(delivery.lease)
                else:
                    failed.append((each.workers, delivery, result, _jitter()))
        counting: set[Lease] = set()
        for workers, leases in [(e.workers, e.leases) for e in finished] + [(e.workers, e.leases) for e in begun]:
            counting |= workers.count(leases)
        starting = {lease for _, calls in begins for call in calls if call.counts_later for lease in call.leases}
        beginning = {lease for _, calls in begins for call in calls if not call.counts_later for lease in call.leases}
        if delivered or failed or counting or starting or beginning:
            ours = self._write(
                delivered,
                lambda now: [
                    (workers, settle(delivery, result, workers.config.retry, now=now, jitter=jitter))
                    for workers, delivery, result, jitter in failed
                ],
                Starts(counting | beginning, starting),
                said,
            )
            lost = frozenset((beginning | starting) - ours)
            for workers, calls in begins:
                workers.begin(calls, lost, self._may_start)
            self._put_down([(workers, sorted(lost)) for workers, _ in begins if lost])
        for each in returned:
            if each.results is None:
                uncounted = each.workers.count(each.leases)
                self._release(each.workers, sorted(uncounted), begun=False)
                self._release(each.workers, [lease for lease in each.leases if lease not in uncounted], begun=True)
        self._put_down([(each.workers, each.leases) for each in finished])

    def _write(
        self,
        delivered: Sequence[Lease],
        decide: Callable[[datetime], Sequence[tuple[HandlerWorkers, Settlement]]],
        starts: Starts = NO_STARTS,
        said: Sequence[AttemptOutput] = (),
    ) -> set[Lease]:
        """Write as `ResultWriter.write`, and count what became of them. Returns the leases of what may start."""
        written = self._results.write(delivered, decide, starts, said)
        became, asked = written.became, len(delivered) + len(written.settlements)
        if DeliveryStatus.PENDING in became:
            self._retried()
        with self._changed:
            self._news |= bool(became)  # due again at once, perhaps; or somebody is to be told of a death
            self.counts = DeliveryCounts(
                delivered=self.counts.delivered + written.taken,
                retried=self.counts.retried + became.count(DeliveryStatus.PENDING),
                dead=self.counts.dead + became.count(DeliveryStatus.DEAD),
                stale=self.counts.stale + asked - written.taken - len(written.landed),
            )
        return written.ours


def _jitter() -> float:
    import random  # which takes longer to import than an idle tick to look

    return random.random()
