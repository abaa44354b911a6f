"""A handler's share of a dispatcher: its workers, what is in their hands, and the queue where they put it down."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from queue import Empty, SimpleQueue
from threading import Condition, Thread
from typing import NamedTuple

from waitctl.application.deliveries.quota import AHEAD_PER_WORKER, FEW_ATTEMPTS, Quota
from waitctl.domain.deliveries import Delivery, HandlerResult, Lease
from waitctl.domain.handlers import HandlerConfig
from waitctl.infrastructure.handlers import Handler, Payload
from waitctl.infrastructure.handlers.commands import KILL_AFTER

LEASE_MARGIN = timedelta(seconds=30)
"""What a lease lasts longer than everything that may happen under it."""

_WORTH_SETTLING = 250
"""Deliveries that are worth a transaction of their own."""

_LINGER = 0.1
"""Seconds that fewer of them wait for others that are still out."""


@dataclass(frozen=True, slots=True)
class Returned:
    """What a worker brings back. No results: it was not started any more. A failure is a defect: none raises."""

    workers: HandlerWorkers
    leases: Sequence[Lease]
    results: Sequence[tuple[Delivery, HandlerResult]] | None
    failure: BaseException | None = None


class ResultQueue:
    """Where workers put what they bring back. Who settles is woken by the first of it, and not by every other.

    ``out`` says how many deliveries are in hand, those in the queue included.
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
        """Wait for something; then a moment for enough to settle at once, as long as anything is out.

        Returns all there is, and whether more comes. Nothing when ``seconds`` went by first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._returned or self._is_closed, seconds)
            self._enough = _WORTH_SETTLING
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
    """What a worker gets in one piece: its leases, and how to read the deliveries and make their payloads."""

    leases: Sequence[Lease]
    read: Callable[[], Sequence[tuple[Delivery, Payload]]]


class HandlerWorkers:
    """One handler's share of a dispatcher: its workers, and what is in their hands.

    The handler is made when there is something for it: what it needs (a library, a secret) is not asked for in vain.
    ``limit`` is the most that it leases at once.
    """

    def __init__(self, config: HandlerConfig, result_queue: ResultQueue, limit: int) -> None:
        self.config = config
        self.handler: Handler | None = None
        self.in_hand: set[Lease] = set()
        """Leased and not settled."""
        self.promised = 0
        """Room that is kept for deliveries that are coming into being."""
        self._result_queue = result_queue
        # What a killed tick had leased has used up an attempt, begun or not: who has few of them lies in no queue.
        may_queue = config.retry.max_attempts > FEW_ATTEMPTS
        self._quota = Quota(config.concurrency, limit, may_queue=may_queue)
        self._queue: SimpleQueue[WorkItem | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._renew_at = 0.0

    def open(self, handler: Handler) -> None:
        """Begin with a handler that has been made."""
        self.handler = handler
        self._quota = replace(self._quota, most_at_once=handler.most_at_once, one_by_one=handler.one_by_one)

    @property
    def lease(self) -> timedelta:
        """How long a claim lasts: enough for several turns, so that renewing is the exception."""
        return (self.config.timeout + KILL_AFTER) * (AHEAD_PER_WORKER + 1) + LEASE_MARGIN

    def room(self) -> int:
        """How many deliveries to claim now."""
        return self._quota.room(len(self.in_hand), self.promised)

    def room_for_leased_batch(self) -> int:
        """How many to lease as they come into being."""
        return self._quota.room_for_leased_batch(len(self.in_hand), self.promised)

    def has_soon(self) -> bool:
        """Whether it has less room for leased batches than it might, and will have more in a moment."""
        return self._quota.has_soon(len(self.in_hand), self.promised, time.monotonic())

    def took(self, count: int, room: int) -> None:
        """Learn from a claim of ``count`` where there was so much room."""
        self._quota = self._quota.claimed(count, room, time.monotonic())

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
        size = self._quota.call
        for start in range(0, len(leases), size):
            piece = slice(start, start + size)
            self._queue.put(WorkItem(leases[piece], partial(read, piece)))
        while len(self._threads) < min(self.config.concurrency, len(self.in_hand)):
            name = f"handler-{self.config.name}-{len(self._threads) + 1}"
            thread = Thread(target=self._work, args=(may_start,), name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def _work(self, may_start: Callable[[], bool]) -> None:
        """Give the handler what is in the queue, as long as it may begin, until the end of the queue."""
        assert self.handler is not None
        while (item := self._queue.get()) is not None:
            item = self._filled_up(item)
            if not may_start():
                self._result_queue.put(Returned(self, item.leases, None))
                continue
            try:
                addressed = item.read()
                results = self.handler.deliver([payload for _, payload in addressed])
                became = [(delivery, result) for (delivery, _), result in zip(addressed, results, strict=True)]
                self._result_queue.put(Returned(self, item.leases, became))
            except BaseException as error:  # noqa: BLE001 (raised again where the run is)
                self._result_queue.put(Returned(self, (), (), error))

    def _filled_up(self, item: WorkItem) -> WorkItem:
        """For a handler that takes a batch: what else lies ready."""
        leases, reads = list(item.leases), [item.read]
        while len(leases) + self._quota.call <= self._quota.batch:
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
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()
        if self.handler is not None:
            self.handler.close()
