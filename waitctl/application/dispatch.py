"""Claim → hand out → settle, each at its own pace. Only a delivery is leased, because only here is I/O that can hang.

Three kinds of thread: the one that calls `Dispatcher.run` claims, a lane's workers hand out, and one settles what they
bring back. So the database claims and settles while handlers run, and no handler waits for another's.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from types import TracebackType

from waitctl.application.outlets import handlers_of, make_handler
from waitctl.application.parcels import make_parcels
from waitctl.domain.deliveries import Delivery, DeliveryStatus, HandlerResult, Settlement, is_exhausted, settle
from waitctl.domain.handlers import HandlerConfig
from waitctl.domain.pauses import Paused
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.handlers import Handler, HandlerNotReadyError, Parcel
from waitctl.infrastructure.handlers.exec import KILL_AFTER
from waitctl.infrastructure.store import deliveries as store
from waitctl.infrastructure.store import pauses, settling

_PREFETCH = 4
"""Deliveries claimed per worker at first; more for a handler that is through with them in no time."""

_FEW = 2
"""Attempts that are too few to lose one to a tick that was killed before it began."""

_SOON = 0.25
"""Seconds within which a handler that is through with a claim gets a larger one."""

_MOST_AT_ONCE = 16
"""Deliveries that a worker gets at once of a handler that costs less than handing them over one by one."""

_BATCH = 1000
"""Deliveries that a batch handler's process gets at most."""

_HANDFUL = 100
"""Deliveries that are worth a transaction of their own."""

_LINGER = 0.02
"""Seconds that fewer of them wait for others that are still out."""

_LOOK_AGAIN = 0.2
"""Seconds after which somebody who interrupts is noticed while handlers run."""

_LEASE_MARGIN = timedelta(seconds=30)
"""What a lease lasts longer than everything that may happen under it."""


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What became of the deliveries that were handed out. ``stale``: settled by somebody else meanwhile."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0
    stale: int = 0


@dataclass(frozen=True, slots=True)
class _Returned:
    """What a worker brings back. No results: it was not started any more. A failure is a defect: none raises."""

    lane: _Lane
    deliveries: Sequence[Delivery]
    results: Sequence[HandlerResult] | None
    failure: BaseException | None = None


class _Lane:
    """One handler's share of a dispatcher: its workers, and what is in their hands.

    The handler is made when there is something for it: what it needs (a library, a secret) is not asked for in vain.
    """

    def __init__(self, config: HandlerConfig, returned: SimpleQueue[_Returned | None]) -> None:
        self.config = config
        self.handler: Handler | None = None
        self.in_hand: dict[str, Delivery] = {}
        """Claimed and not settled."""
        self._returned = returned
        self._queue: SimpleQueue[tuple[list[Delivery], list[Parcel]] | None] = SimpleQueue()
        self._workers: list[Thread] = []
        # What a killed tick had claimed has used up an attempt, begun or not: who has few of them lies in no queue.
        self._least = config.concurrency * (_PREFETCH if config.retry.max_attempts > _FEW else 1)
        self._quota = self._least
        self._claimed_at = 0.0
        self._renew_at = 0.0

    @property
    def lease(self) -> timedelta:
        """How long a claim lasts: enough for several turns, so that renewing is the exception."""
        return (self.config.timeout + KILL_AFTER) * (_PREFETCH + 1) + _LEASE_MARGIN

    def room(self, most: int) -> int:
        """How many deliveries to claim now: none while more than half of what there may be is still in hand."""
        if self.config.batch:  # one batch runs, the next one lies ready
            return min(_BATCH, most) if len(self.in_hand) <= _BATCH else 0
        quota = min(self._quota, max(most, self.config.concurrency))
        return min(quota - len(self.in_hand), most) if len(self.in_hand) <= quota // 2 else 0

    @property
    def _chunk(self) -> int:
        """How many deliveries go to a worker at once: functions that have shown to be quick get a few."""
        if self.config.batch:
            return _BATCH
        grown = self._quota // self._least
        return min(grown, _MOST_AT_ONCE) if self.config.python is not None else 1

    def took(self, count: int, room: int) -> None:
        """Learn from a claim: a handler that asks for more at once gets more at once."""
        now = time.monotonic()
        if count == room and not self.config.batch:
            quick = now - self._claimed_at < _SOON
            self._quota = max(self._least, self._quota * 2 if quick else self._quota // 2)
            self._quota = min(self._quota, _BATCH * 2 if self.config.retry.max_attempts > _FEW else self._least)
        self._claimed_at = now

    def hand_out(self, addressed: Sequence[tuple[Delivery, Parcel]], may_start: Callable[[], bool]) -> None:
        """Queue parcels for the workers, of whom there are as many as there is to do."""
        if not self.in_hand:
            self.renewed()
            self._returned.put(_Returned(self, (), ()))  # who renews must know that there is something to renew
        self.in_hand |= {delivery.id: delivery for delivery, _ in addressed}
        size = self._chunk
        for start in range(0, len(addressed), size):
            chunk = addressed[start : start + size]
            self._queue.put(([delivery for delivery, _ in chunk], [parcel for _, parcel in chunk]))
        while len(self._workers) < min(self.config.concurrency, len(self.in_hand)):
            name = f"handler-{self.config.name}-{len(self._workers) + 1}"
            worker = Thread(target=self._work, args=(may_start,), name=name, daemon=True)
            worker.start()
            self._workers.append(worker)

    def _work(self, may_start: Callable[[], bool]) -> None:
        assert self.handler is not None
        while (chunk := self._queue.get()) is not None:
            deliveries, parcels = chunk
            try:
                returned = _Returned(self, deliveries, self.handler.deliver(parcels) if may_start() else None)
            except BaseException as error:  # noqa: BLE001 (raised again where the run is)
                returned = _Returned(self, deliveries, None, error)
            self._returned.put(returned)

    def take_back(self) -> list[Delivery]:
        """Take out of the queue what no worker has begun."""
        unstarted: list[Delivery] = []
        try:
            while chunk := self._queue.get_nowait():
                unstarted += chunk[0]
        except Empty:
            pass
        return unstarted

    def until_renewal(self) -> float:
        """Seconds until the leases of what is in hand are half over."""
        return max(0.0, self._renew_at - time.monotonic())

    def renewed(self) -> None:
        """Note that the leases run from now."""
        self._renew_at = time.monotonic() + self.lease.total_seconds() / 2

    def close(self) -> None:
        """End the workers, once what they have begun is done, and let go of the handler."""
        for _ in self._workers:
            self._queue.put(None)
        for worker in self._workers:
            worker.join()
        if self.handler is not None:
            self.handler.close()


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
        self._database = database
        self._actor = actor
        self._settings = settings
        self._limit = limit
        self._retried = retried
        self._returned: SimpleQueue[_Returned | None] = SimpleQueue()
        self._lanes = {config.name: _Lane(config, self._returned) for config in handlers_of(settings, database)}
        self._changed = Condition()
        self._news = True
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
        for lane in self._lanes.values():
            lane.close()

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

    # -- claiming -------------------------------------------------------------------------------------------------

    def run(self, *, may_claim: Callable[[], bool]) -> None:
        """Claim, hand out and settle until `finish` was called and nothing is due.

        When ``may_claim`` says no (out of budget, interrupted), what has not started is given back, and what runs is
        waited for.
        """
        with ThreadPoolExecutor(1, thread_name_prefix="settle") as aside:
            settling = aside.submit(self._settle_all)
            try:
                while not self._is_over():
                    if not may_claim():
                        self._give_back()
                        self._wait_for(lambda: self._failure is not None or not self._in_hand())
                        break
                    if self._claim(may_claim):
                        continue
                    # Of an interrupt nobody tells; when nothing is in hand, `finish` follows it.
                    self._wait_for(lambda: self._news or self._is_over(), _LOOK_AGAIN if self._in_hand() else None)
            finally:
                self._returned.put(None)
            settling.result()

    def _in_hand(self) -> bool:
        return self._in_hand_count() > 0

    def _in_hand_count(self) -> int:
        return sum(len(lane.in_hand) for lane in list(self._lanes.values()))

    def _is_over(self) -> bool:
        return self._failure is not None or not (self._news or self._more or self._in_hand())

    def _wait_for(self, condition: Callable[[], bool], seconds: float | None = None) -> None:
        with self._changed:
            self._changed.wait_for(condition, seconds)

    def _claim(self, may_start: Callable[[], bool]) -> bool:
        """Claim for every lane with room and something to do, and hand out. Returns whether there may be more.

        Only when there is news: until somebody says so or something was settled, there is nothing new to find.
        """
        with self._changed:
            news, self._news = self._news, False
        if not news:
            return False
        lanes = {name: lane for name, lane in self._lanes.items() if lane.room(self._limit)}
        if not lanes:
            return False

        def work(connection: Connection) -> tuple[list[str], list[tuple[_Lane, int, list[tuple[Delivery, Parcel]]]]]:
            now, paused = self._database.clock(connection), pauses.paused(connection)
            names = [] if paused.everything else [name for name in lanes if name not in paused.handlers]
            wanted = store.claimable_handlers(connection, names, now=now)
            return wanted, [
                (lane, room, self._claim_for(connection, lane, room, paused))
                for lane in (lanes[name] for name in wanted)
                if lane.handler is not None and (room := lane.room(self._limit))
            ]

        wanted, claims = self._database.write(work)
        exhausted: list[tuple[_Lane, Settlement]] = []
        for lane, room, addressed in claims:
            lane.took(len(addressed), room)
            exhausted += [(lane, _bury(delivery)) for delivery, _ in addressed if is_exhausted(delivery)]
            with self._changed:
                lane.hand_out([pair for pair in addressed if not is_exhausted(pair[0])], may_start)
        if exhausted:
            self._write(lambda _: exhausted)
        opened = [self._open(lanes[name]) for name in wanted if lanes[name].handler is None]
        if any(opened) or any(len(addressed) == room for _, room, addressed in claims):
            self.look()
            return True
        return False

    def _claim_for(
        self, connection: Connection, lane: _Lane, room: int, paused: Paused
    ) -> list[tuple[Delivery, Parcel]]:
        now = self._database.clock(connection)
        claimed = store.claim_deliveries(
            connection,
            lane.config.name,
            now=now,
            lease_until=now + lane.lease,
            max_attempts=lane.config.retry.max_attempts,
            limit=room,
            paused_workflows=paused.workflows,
        )
        return make_parcels(connection, claimed)

    def _open(self, lane: _Lane) -> bool:
        """Make a lane's handler, or shut the lane for good when this host cannot."""
        try:
            lane.handler = make_handler(lane.config, self._settings, self._database)
        except HandlerNotReadyError as error:
            self.unready[lane.config.name] = str(error)
            with self._changed:
                del self._lanes[lane.config.name]
            return False
        return True

    def _give_back(self) -> None:
        for lane in self._lanes.values():
            self._release(lane, lane.take_back())

    def _release(self, lane: _Lane, claimed: Sequence[Delivery]) -> None:
        if claimed:
            self._database.write(partial(store.release_deliveries, claimed=claimed))
            self._put_down([(lane, delivery) for delivery in claimed])

    def _put_down(self, done: Sequence[tuple[_Lane, Delivery]]) -> None:
        if done:
            with self._changed:
                for lane, delivery in done:
                    lane.in_hand.pop(delivery.id, None)
                self._news = True
                self._changed.notify_all()

    # -- settling -------------------------------------------------------------------------------------------------

    def _settle_all(self) -> None:
        """Settle what comes back, as much as there is at once, until told that nothing comes any more."""
        try:
            over = False
            while not over:
                returned = self._come_back()
                over = None in returned
                brought = [each for each in returned if each is not None]
                for each in brought:
                    if each.failure is not None:
                        raise each.failure
                self._settle(brought)
        except BaseException as error:
            with self._changed:
                self._failure = error
                self._changed.notify_all()
            raise

    def _come_back(self) -> list[_Returned | None]:
        """Wait for something, and take everything; keep the leases alive meanwhile."""
        while True:
            try:
                returned = [self._returned.get(timeout=self._renew_leases())]
            except Empty:
                continue
            try:
                while len(returned) < _BATCH:
                    linger = len(returned) < _HANDFUL and self._in_hand_count() > len(returned)
                    returned.append(self._returned.get(timeout=_LINGER) if linger else self._returned.get_nowait())
            except Empty:
                pass
            return returned

    def _renew_leases(self) -> float:
        """Renew the leases that are half over. Returns the seconds until the next are.

        Of what runs for longer than anybody foresaw: a Python function, or a host that was asleep.
        """
        with self._changed:
            busy = [(lane, list(lane.in_hand.values())) for lane in self._lanes.values() if lane.in_hand]
        for lane, deliveries in busy:
            if not lane.until_renewal():
                lane.renewed()
                self._database.write(partial(self._renew, lane, deliveries))
        return min([_LEASE_MARGIN.total_seconds() / 2, *(lane.until_renewal() for lane, _ in busy)])

    def _renew(self, lane: _Lane, deliveries: Sequence[Delivery], connection: Connection) -> None:
        until = self._database.clock(connection) + lane.lease
        store.renew_leases(connection, deliveries, lease_until=until)

    def _settle(self, returned: Sequence[_Returned]) -> None:
        finished = [
            (each.lane, delivery, result, random.random())
            for each in returned
            if each.results is not None
            for delivery, result in zip(each.deliveries, each.results, strict=True)
        ]
        if finished:
            self._write(
                lambda now: [
                    (lane, settle(delivery, result, lane.config.retry, now=now, jitter=jitter))
                    for lane, delivery, result, jitter in finished
                ]
            )
        for each in returned:
            if each.results is None:
                self._release(each.lane, each.deliveries)
        self._put_down([(lane, delivery) for lane, delivery, _, _ in finished])

    def _write(self, decide: Callable[[datetime], Sequence[tuple[_Lane, Settlement]]]) -> None:
        """Write what is decided at the database's now."""

        def work(connection: Connection) -> tuple[list[Settlement], set[str]]:
            now = self._database.clock(connection)
            settled = decide(now)
            settlements = [settlement for _, settlement in settled]
            dead = {
                settlement.delivery_id: lane.config.on_dead or self._settings.on_dead
                for lane, settlement in settled
                if settlement.status is DeliveryStatus.DEAD
            }
            if dead:
                settling.lock_waits(connection, dead)
            landed = settling.settle_deliveries(connection, self._database, settlements, now=now)
            if died := {delivery_id: dead[delivery_id] for delivery_id in sorted(landed.intersection(dead))}:
                mourn(connection, self._database, died, now=now, actor=self._actor)
            return settlements, landed

        settlements, landed = self._database.write(work)
        became = [each.status for each in settlements if each.delivery_id in landed]
        if DeliveryStatus.PENDING in became:
            self._retried()
        with self._changed:
            self.counts = DeliveryCounts(
                delivered=self.counts.delivered + became.count(DeliveryStatus.DELIVERED),
                retried=self.counts.retried + became.count(DeliveryStatus.PENDING),
                dead=self.counts.dead + became.count(DeliveryStatus.DEAD),
                stale=self.counts.stale + len(settlements) - len(landed),
            )


def mourn(
    connection: Connection, database: Database, died: Mapping[str, str | None], *, now: datetime, actor: str
) -> None:
    """What follows a death: the waits are in error, and the ``on_dead`` handlers (by delivery) hear of it."""
    settling.mark_waits(
        connection, database, died, dead=True, now=now, reason=database.dated("its delivery died"), actor=actor
    )
    if told := {delivery_id: handler for delivery_id, handler in died.items() if handler is not None}:
        settling.insert_letters(connection, told, now=now)


def _bury(delivery: Delivery) -> Settlement:
    """A delivery whose last attempt never came back: its lease ran out."""
    return Settlement(
        delivery_id=delivery.id,
        expected_attempt=delivery.attempt,
        status=DeliveryStatus.DEAD,
        attempt=delivery.attempt - 1,
        next_attempt_at=delivery.next_attempt_at,
        error=delivery.last_error or "the last attempt's lease ran out: its tick crashed or was killed",
    )
