"""A handler's share of a dispatcher: its workers, what is in their hands, and the tray where they put it down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from typing import NamedTuple

from waitctl.domain.deliveries import Delivery, HandlerResult, Lease
from waitctl.domain.handlers import HandlerConfig
from waitctl.infrastructure.handlers import Handler, Payload
from waitctl.infrastructure.handlers.commands import KILL_AFTER, Commands, NoRoomError
from waitctl.infrastructure.handlers.exec import ExecHandler

SOON = 0.25
"""Seconds within which a handler that is through with a claim gets a larger one, and is waited for when it is full."""

LEASE_MARGIN = timedelta(seconds=30)
"""What a lease lasts longer than everything that may happen under it."""

_PREFETCH = 4
"""Deliveries claimed per worker at first; more for a handler that is through with them in no time."""

_FEW = 2
"""Attempts that are too few to lose one to a tick that was killed before it began."""

_MOST_AT_ONCE = 64
"""Deliveries that a worker gets at once of a handler that costs less than handing them over one by one."""

_ATTENDANTS = 2
"""Workers that share the commands of a handler: while one waits for a program to begin, the other goes on."""

_BATCH = 1000
"""Deliveries that a batch handler's process gets at most, if a tick's batch is not smaller."""

_PART = 250
"""Deliveries of which several make a batch."""

_HANDFUL = 250
"""Deliveries that are worth a transaction of their own."""

_LINGER = 0.1
"""Seconds that fewer of them wait for others that are still out."""

_STALLED = 1.0
"""Seconds without another claim after which a handler is not called quick any more."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What a worker brings back. No results: it was not started any more. A failure is a defect: none raises."""

    lane: HandlerWorkers
    leases: Sequence[Lease]
    results: Sequence[tuple[Delivery, HandlerResult]] | None
    failure: BaseException | None = None


class ResultQueue:
    """Where workers put what they bring back. Who settles is woken by the first of it, and not by every other.

    ``out`` says how many deliveries are in hand, those in the tray included.
    """

    def __init__(self, out: Callable[[], int]) -> None:
        self._out = out
        self._changed = Condition()
        self._returned: list[Returned] = []
        self._count = 0
        self._enough = 0
        self._is_closed = False

    def put(self, returned: Returned) -> None:
        """Bring something back."""
        with self._changed:
            self._returned.append(returned)
            self._count += len(returned.leases)
            if self._is_enough():
                self._changed.notify_all()

    def _is_enough(self) -> bool:
        return self._is_closed or self._count >= self._enough or self._count >= self._out()

    def take(self, seconds: float) -> tuple[list[Returned], bool]:
        """Wait for something; then a moment for a handful, as long as anything is out.

        Returns all there is, and whether more comes. Nothing when ``seconds`` went by first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._returned or self._is_closed, seconds)
            self._enough = _HANDFUL
            if self._count:
                self._changed.wait_for(self._is_enough, _LINGER)
            self._enough = 0
            returned, self._returned, self._count = self._returned, [], 0
            return returned, not (self._is_closed and not returned)

    def close(self) -> None:
        """Nothing comes any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


class WorkItem(NamedTuple):
    """What a worker gets at once: its leases, and how to read the deliveries and make their payloads."""

    leases: Sequence[Lease]
    read: Callable[[], Sequence[tuple[Delivery, Payload]]]


class HandlerWorkers:
    """One handler's share of a dispatcher: its workers, and what is in their hands.

    The handler is made when there is something for it: what it needs (a library, a secret) is not asked for in vain.
    ``limit`` is the most that it leases at once.
    """

    def __init__(self, config: HandlerConfig, result_queue: ResultQueue, limit: int) -> None:
        self.config = config
        self.handler: Handler | ExecHandler | None = None
        self.in_hand: set[Lease] = set()
        """Leased and not settled."""
        self.promised = 0
        """Room that is kept for deliveries that are coming into being."""
        self._result_queue = result_queue
        self._limit = limit
        self._batch = min(limit, _BATCH)
        self._queue: SimpleQueue[WorkItem | None] = SimpleQueue()
        self._workers: list[Thread] = []
        self._commands: list[Commands] = []
        # What a killed tick had leased has used up an attempt, begun or not: who has few of them lies in no queue.
        self._may_queue = config.retry.max_attempts > _FEW
        self._least = config.concurrency * (_PREFETCH if self._may_queue else 1)
        self._quota = self._least
        self._claimed_at = 0.0
        self._is_quick = False
        self._renew_at = 0.0

    @property
    def lease(self) -> timedelta:
        """How long a claim lasts: enough for several turns, so that renewing is the exception."""
        return (self.config.timeout + KILL_AFTER) * (_PREFETCH + 1) + LEASE_MARGIN

    def room(self) -> int:
        """How many deliveries to claim now: none while more than half of what there may be is still in hand."""
        most = self._limit
        quota = self._batches(2) if self.config.batch else min(self._quota, max(most, self.config.concurrency))
        if self.promised:  # an eighth for those that were there before
            most = min(most, max(quota // 8, self._least))
        return min(quota - len(self.in_hand), most) if len(self.in_hand) <= quota // 2 else 0

    def room_for_leased_batch(self) -> int:
        """How many to lease as they come into being: twice as many in all, since that costs less than to claim them.

        If they may lie in a queue.
        """
        allowed = self._batches(4) if self.config.batch else self._quota * (2 if self._may_queue else 1)
        return max(0, min(allowed - len(self.in_hand) - self.promised, self._limit))

    def _batches(self, number: int) -> int:
        """What a batch handler may have in hand: one batch runs, and the others lie ready, if they may."""
        return self._batch * (number if self._may_queue else 1)

    def has_soon(self) -> bool:
        """Whether it has less room for leased batches than it might, and will have more in a moment."""
        is_stalled = time.monotonic() - self._claimed_at > _STALLED
        has_grown = self.config.batch or self._quota >= _BATCH
        return self._is_quick and not is_stalled and has_grown and self.room_for_leased_batch() < self._limit

    @property
    def _chunk(self) -> int:
        """How many deliveries go to a worker at once: functions that have shown to be quick get a few."""
        if self.config.batch:
            return min(self._batch, _PART)
        grown = self._quota // self._least
        return min(grown, _MOST_AT_ONCE) if self.config.python is not None else 1

    def took(self, count: int, room: int) -> None:
        """Learn from a claim: a handler that asks for more at once gets more at once."""
        now = time.monotonic()
        self._is_quick = now - self._claimed_at < SOON
        if count == room and not self.config.batch:
            self._quota = max(self._least, self._quota * 2 if self._is_quick else self._quota // 2)
            self._quota = min(self._quota, _BATCH * 2 if self._may_queue else self._least)
        self._claimed_at = now

    def hand_out(
        self,
        leases: Sequence[Lease],
        read: Callable[[slice], Sequence[tuple[Delivery, Payload]]],
        may_start: Callable[[], bool],
    ) -> None:
        """Queue what is leased for the workers, of whom there are as many as there is to do; it is they who read it."""
        if not self.in_hand:
            self.renewed()
            self._result_queue.put(Returned(self, (), ()))  # who renews must know that there is something to renew
        self.in_hand.update(leases)
        size = self._chunk
        for start in range(0, len(leases), size):
            chunk = slice(start, start + size)
            self._queue.put(WorkItem(leases[chunk], partial(read, chunk)))
        is_command = isinstance(self.handler, ExecHandler)
        most = min(self.config.concurrency, _ATTENDANTS) if is_command else self.config.concurrency
        while len(self._workers) < min(most, len(self.in_hand)):
            number = len(self._workers) + 1
            work = partial(self._work, may_start)
            if is_command:
                self._commands.append(Commands(self.config.timeout))
                share = (self.config.concurrency + most - number) // most
                work = partial(self._attend, self._commands[-1], share, may_start)
            worker = Thread(target=work, name=f"handler-{self.config.name}-{number}", daemon=True)
            worker.start()
            self._workers.append(worker)
        self._wake()

    def _wake(self) -> None:
        for commands in self._commands:
            commands.wake()

    def _work(self, may_start: Callable[[], bool]) -> None:
        """Deliver one by one, as long as it may: where each call is waited for, one of several that do."""
        assert not isinstance(self.handler, ExecHandler | None)
        while (item := self._queue.get()) is not None:
            results: list[tuple[Delivery, HandlerResult]] = []
            failure = None
            try:
                for delivery, payload in item.read() if may_start() else ():
                    if results and not may_start():
                        break
                    results.append((delivery, self.handler.deliver(payload)))
            except BaseException as error:  # noqa: BLE001 (raised again where the run is)
                failure = error
            begun = len(results)
            if begun or failure:
                self._result_queue.put(Returned(self, item.leases[:begun], results, failure))
            if begun < len(item.leases) and not failure:
                self._result_queue.put(Returned(self, item.leases[begun:], None))

    def _attend(self, commands: Commands, most: int, may_start: Callable[[], bool]) -> None:
        """Let as many commands run as may at once, all attended by this worker."""
        is_closed = False
        item: WorkItem | None = None
        try:
            while commands or not is_closed:
                while not is_closed and len(commands) < most:
                    try:
                        item = item or self._queue.get(block=not commands)
                        if item is None:
                            is_closed = True
                            break
                        item = self._gathered(item) if self.config.batch else item
                        self._begin(commands, item, may_start)
                    except (Empty, NoRoomError):  # until one of them ends, at least
                        break
                    item = None
                if commands:
                    commands.attend()
        except BaseException as error:  # noqa: BLE001 (raised again where the run is)
            self._result_queue.put(Returned(self, (), (), error))
            while commands:
                commands.attend()

    def _begin(self, commands: Commands, item: WorkItem, may_start: Callable[[], bool]) -> None:
        assert isinstance(self.handler, ExecHandler)
        if not may_start():
            self._result_queue.put(Returned(self, item.leases, None))
            return
        addressed = item.read()

        def done(results: Sequence[HandlerResult]) -> None:
            became = [(delivery, result) for (delivery, _), result in zip(addressed, results, strict=True)]
            self._result_queue.put(Returned(self, item.leases, became))

        self.handler.start(commands, [payload for _, payload in addressed], done)

    def _gathered(self, item: WorkItem) -> WorkItem:
        """For a process that takes many: what else lies ready."""
        leases, reads = list(item.leases), [item.read]
        while len(leases) + self._chunk <= self._batch:
            try:
                more = self._queue.get_nowait()
            except Empty:
                break
            if more is None:
                self._queue.put(None)  # the end is for every worker
                break
            leases += more.leases
            reads.append(more.read)
        return WorkItem(leases, lambda: [pair for read in reads for pair in read()])

    def take_back(self) -> list[Lease]:
        """Take out of the queue what no worker has begun."""
        unstarted: list[Lease] = []
        try:
            while item := self._queue.get_nowait():
                unstarted += item.leases
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
        self._wake()
        for worker in self._workers:
            worker.join()
        for commands in self._commands:
            commands.close()
        if self.handler is not None:
            self.handler.close()
