"""A handler's share of a dispatcher: its workers, what is in their hands, and the queue where they put it down."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from threading import Condition, Lock, Thread

from waitctl.application.deliveries.attempts import WaitGroup
from waitctl.application.deliveries.quota import AHEAD_PER_WORKER, FEW_ATTEMPTS, Quota
from waitctl.domain.deliveries import Delivery, Failed, HandlerResult, Lease
from waitctl.domain.handlers import HandlerConfig
from waitctl.domain.values import dataclass, replace
from waitctl.infrastructure.handlers import Handler, Payload, forged, nothing
from waitctl.infrastructure.handlers.commands import KILL_AFTER

LEASE_MARGIN = timedelta(seconds=30)
"""What a lease lasts longer than everything that may happen under it."""

_WORTH_SETTLING = 250
"""Deliveries that are worth a transaction of their own."""

_LINGER = 0.1
"""Seconds that fewer of them wait for others that are still out."""

_GIVEN_UP = Failed("it was given up: the tick was told to end at once")


class Care(Enum):
    """When a delivery may begin."""

    NONE = "with the others, and somewhat ahead of the workers of a quick handler"
    EXACT = "when a worker takes it: it has lost an attempt, and is to lose none in vain"
    ALONE = "when no other such does, and counted before: one of them may have ended the tick that had begun it"


@dataclass(frozen=True, slots=True)
class Leased:
    """Deliveries of a handler that are leased: how to read them and make their payloads, and when they may begin."""

    leases: Sequence[Lease]
    read: Callable[[slice], Sequence[tuple[Delivery, Payload]]]
    care: Care = Care.NONE
    start: int = 0

    def __len__(self) -> int:
        return len(self.leases) - self.start

    def split(self, count: int) -> tuple[Leased, Leased]:
        """The first of them, and the others."""
        middle = self.start + count
        return replace(self, leases=self.leases[:middle]), replace(self, start=middle)


@dataclass(frozen=True, slots=True)
class HandlerCall:
    """Deliveries that a worker gives its handler at once."""

    parts: Sequence[Leased]
    lost: frozenset[Lease] = frozenset()
    """Those whose leases are another's by now."""
    counts_later: bool = False
    """Whether its attempts are counted when the handler says that it has begun, and not before."""

    @property
    def care(self) -> Care:
        """That of all of them."""
        return self.parts[0].care

    @property
    def leases(self) -> list[Lease]:
        """Of all that are not lost."""
        leases = [lease for part in self.parts for lease in part.leases[part.start :]]
        return [lease for lease in leases if lease not in self.lost] if self.lost else leases

    def read(self) -> list[tuple[Delivery, Payload]]:
        """The deliveries and their payloads."""
        addressed = [pair for part in self.parts for pair in part.read(slice(part.start, len(part.leases)))]
        return [pair for pair in addressed if pair[0].lease not in self.lost] if self.lost else addressed


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that is with its handler now."""

    workers: HandlerWorkers
    leases: Sequence[Lease]


@dataclass(frozen=True, slots=True)
class Returned:
    """A call that a worker brings back. No results: it was not started any more. A failure is a defect: none raises."""

    workers: HandlerWorkers
    call: HandlerCall
    leases: Sequence[Lease]
    results: Sequence[tuple[Delivery, HandlerResult]] | None
    failure: BaseException | None = None
    seconds: float = 0.0
    """How long the handler took."""
    groups: Sequence[WaitGroup] = ()
    """Those of the results' waits."""


class ResultQueue:
    """Where workers put what they bring back, and what has begun.

    Who settles is woken by the first of it, and not by every other.

    ``out`` says how many deliveries are begun and not brought back.
    """

    def __init__(self, out: Callable[[], int]) -> None:
        self._out = out
        self._changed = Condition()
        self._returned: list[Returned] = []
        self._begun: list[Begun] = []
        self._count = 0
        self._is_wanted = False
        self._lingers = False
        self._is_closed = False

    def put(self, returned: Returned, *, is_short: bool) -> None:
        """Bring something back. ``is_short``: its handler is to get more at once."""
        with self._changed:
            self._returned.append(returned)
            self._count += len(returned.leases)
            self._is_wanted |= is_short
            if not self._lingers or self._is_enough():
                self._changed.notify_all()

    def note(self, begun: Begun) -> None:
        """Say that a call has begun; it is to be written down soon."""
        with self._changed:
            self._begun.append(begun)
            self._is_wanted = True
            self._changed.notify_all()

    def wake(self) -> None:
        """Let `take` return."""
        with self._changed:
            self._is_wanted = True
            self._changed.notify_all()

    def _is_enough(self) -> bool:
        return self._is_closed or self._is_wanted or self._count >= _WORTH_SETTLING or self._out() == 0

    def take(self, seconds: float) -> tuple[list[Returned], list[Begun], bool]:
        """Wait for something; then a moment for enough to settle at once, unless a handler is to get more.

        Returns all there is, what has begun, and whether more comes. Nothing when ``seconds`` went by first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._returned or self._is_wanted or self._is_closed, seconds)
            self._lingers = True
            if self._count:
                self._changed.wait_for(self._is_enough, _LINGER)
            self._lingers = self._is_wanted = False
            returned, self._returned, self._count = self._returned, [], 0
            begun, self._begun = self._begun, []
            return returned, begun, not (self._is_closed and not returned)

    def close(self) -> None:
        """Nothing comes any more."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()


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
        self.begun = 0
        """Deliveries of `in_hand` that are begun, and not brought back."""
        self.has_one_alone = False
        """Whether one of them is to be begun alone."""
        self.uncounted: set[Lease] = set()
        """Those that are begun and whose attempt is not counted yet."""
        self._result_queue = result_queue
        self._counts_later = config.retry.max_attempts <= FEW_ATTEMPTS
        self._quota = Quota(config.concurrency, limit, begins_ahead=not self._counts_later)
        self._changing = Lock()
        self._leased: deque[Leased] = deque()
        self._leased_alone: deque[Leased] = deque()
        self._calls = 0
        self._out: dict[int, HandlerCall] = {}
        self._queue: SimpleQueue[HandlerCall | None] = SimpleQueue()
        self._threads: list[Thread] = []
        self._renew_at = 0.0
        self._is_given_up = False

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

    # -- leased, begun, brought back ------------------------------------------------------------------------------

    def add(self, leased: Leased) -> None:
        """Keep what is leased until it begins."""
        if not leased.leases:
            return
        if not self.in_hand:
            self.renewed()
        with self._changing:
            (self._leased_alone if leased.care is Care.ALONE else self._leased).append(leased)
            self.in_hand.update(leased.leases)
            is_short = self._is_short()
        if is_short:
            self._result_queue.wake()

    def _is_short(self) -> bool:
        return bool(self._leased or self._leased_alone) and self._quota.is_short(self._calls, self.begun)

    def next_calls(self, *, may_be_alone: bool) -> list[HandlerCall]:
        """What is to begin now, once that is written down; ``may_be_alone``: one that is to be begun alone, too."""
        calls: list[HandlerCall] = []
        with self._changing:
            if may_be_alone and self._leased_alone and self._quota.next_call(self._calls, self.begun, ahead=False):
                calls.append(self._next_call(self._leased_alone, 1))
                self.has_one_alone = True
            while self._leased:
                ahead = self._leased[0].care is Care.NONE
                count = self._quota.next_call(self._calls, self.begun, ahead=ahead)
                if not count:
                    break
                calls.append(self._next_call(self._leased, count))
                if not self._quota.begins_ahead:
                    break
        return calls

    def reserve(self, room: int) -> tuple[int, int]:
        """Keep calls, and of these at most ``room`` deliveries, for what begins as it comes into being.

        Older ones that are leased begin with the next of `next_calls`. Returns how many of either; none when attempts
        are not counted before.
        """
        if self._counts_later:
            return 0, 0
        with self._changing:
            calls = self._quota.next_calls(self._calls, self.begun)
            kept = len(calls), min(sum(calls), room)
            self._calls += kept[0]
            self.begun += kept[1]
        return kept

    def let_go(self, kept: tuple[int, int]) -> None:
        """Give up what `reserve` has kept: what came of it has begun."""
        with self._changing:
            self._calls -= kept[0]
            self.begun -= kept[1]
            is_short = self._is_short()
        if is_short:
            self._result_queue.wake()

    def add_begun(self, leased: Leased, may_start: Callable[[], bool]) -> None:
        """Give the workers what is begun as it came into being."""
        if not leased:
            return
        if not self.in_hand:
            self.renewed()
        begun = deque([leased])
        calls: list[HandlerCall] = []
        with self._changing:
            self.in_hand.update(leased.leases)
            while begun:
                calls.append(self._next_call(begun, self._quota.call))
        self.begin(calls, frozenset(), may_start)

    def _next_call(self, leased: deque[Leased], count: int) -> HandlerCall:
        """The first of what is leased, as far as they may begin alike."""
        parts: list[Leased] = []
        care = leased[0].care
        left = count
        while left and leased and leased[0].care is care:
            first = leased.popleft()
            if len(first) > left:
                first, rest = first.split(left)
                leased.appendleft(rest)
            parts.append(first)
            left -= len(first)
        self._calls += 1
        self.begun += count - left
        return HandlerCall(parts, counts_later=self._counts_later and care is not Care.ALONE)

    def begin(self, calls: Sequence[HandlerCall], lost: frozenset[Lease], may_start: Callable[[], bool]) -> None:
        """Give the workers what has begun, without what is ``lost``; there are as many as there is to do."""
        for call in calls:
            if theirs := lost.intersection(call.leases):
                call = replace(call, lost=theirs)  # noqa: PLW2901
                with self._changing:
                    self.begun -= len(theirs)
            if call.counts_later:
                self.uncounted.update(call.leases)
            with self._changing:
                self._out[id(call)] = call
            self._queue.put(call)
        with self._changing:
            while len(self._threads) < min(self.config.concurrency, self._calls):
                name = f"handler-{self.config.name}-{len(self._threads) + 1}"
                thread = Thread(target=self._work, args=(may_start,), name=name, daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # there are no more to be had: those that there are do it all
                    if not self._threads:
                        raise
                    break
                self._threads.append(thread)
            goes_on = not self._quota.begins_ahead and self._is_short()
        if goes_on:
            self._result_queue.wake()

    def _work(self, may_start: Callable[[], bool]) -> None:
        """Give the handler what is in the queue, as long as it may start, until the end of the queue."""
        assert self.handler is not None
        while (call := self._queue.get()) is not None:
            if not may_start():
                self._bring_back(call, None)
                continue
            try:
                addressed = call.read()
                began = time.monotonic()
                results = self._deliver([payload for _, payload in addressed], self._teller(call))
                paired = [(delivery, result) for (delivery, _), result in zip(addressed, results, strict=True)]
                seconds = time.monotonic() - began
                groups = [WaitGroup.of(payload.document["wait"]) for _, payload in addressed]
                self._bring_back(call, paired, seconds=seconds, groups=groups)
            except BaseException as error:  # noqa: BLE001 (raised again where the run is)
                self._bring_back(call, (), error)

    def _teller(self, call: HandlerCall) -> Callable[[], None]:
        """What a handler calls when a call has begun."""
        if not call.counts_later:
            return nothing
        return partial(self._result_queue.note, Begun(self, call.leases))

    def _deliver(self, payloads: Sequence[Payload], begun: Callable[[], None]) -> Sequence[HandlerResult]:
        """What becomes of these; what was forged goes to no handler."""
        assert self.handler is not None
        refused = [forged(payload) for payload in payloads]
        genuine = [payload for payload, refusal in zip(payloads, refused, strict=True) if refusal is None]
        results = iter(self.handler.deliver(genuine, begun) if genuine else ())
        return [refusal or next(results) for refusal in refused]

    def _bring_back(
        self,
        call: HandlerCall,
        results: Sequence[tuple[Delivery, HandlerResult]] | None,
        failure: BaseException | None = None,
        *,
        seconds: float = 0.0,
        groups: Sequence[WaitGroup] = (),
    ) -> None:
        leases = call.leases
        with self._changing:
            if self._out.pop(id(call), None) is None:
                return  # given up
            self._calls -= 1
            self.begun -= len(leases)
            if call.care is Care.ALONE:
                self.has_one_alone = False
            is_short = self._is_short()
        self._result_queue.put(Returned(self, call, leases, results, failure, seconds, groups), is_short=is_short)

    def take_back(self) -> list[Lease]:
        """Take back what is leased and has not begun."""
        with self._changing:
            unbegun = [
                lease for leased in (self._leased, self._leased_alone) for lease in HandlerCall(list(leased)).leases
            ]
            self._leased.clear()
            self._leased_alone.clear()
        return unbegun

    def until_renewal(self) -> float:
        """Seconds until the leases of what is in hand are half over."""
        return max(0.0, self._renew_at - time.monotonic())

    def renewed(self) -> None:
        """Note that the leases run from now."""
        self._renew_at = time.monotonic() + self.lease.total_seconds() / 2

    def count(self, leases: Sequence[Lease]) -> set[Lease]:
        """Those of which the attempt is still to be counted; from now on it is."""
        uncounted = self.uncounted.intersection(leases)
        self.uncounted -= uncounted
        return uncounted

    def stop(self, *, at_once: bool) -> None:
        """Let the handler end what outlives its timeout, or all that it can end."""
        if self.handler is not None:
            self.handler.stop(at_once=at_once)

    def give_up(self) -> None:
        """Bring back what does not come back: nobody waits for it any more."""
        with suppress(Empty):
            while (call := self._queue.get_nowait()) is not None:
                self._bring_back(call, None)
        with self._changing:
            out = list(self._out.values())
        self._is_given_up = bool(out)
        for call in out:
            addressed = call.read()
            groups = [WaitGroup.of(payload.document["wait"]) for _, payload in addressed]
            self._bring_back(call, [(delivery, _GIVEN_UP) for delivery, _ in addressed], groups=groups)

    def close(self) -> None:
        """End the workers, once what they have begun is done, and let go of the handler."""
        for _ in self._threads:
            self._queue.put(None)
        for thread in () if self._is_given_up else self._threads:
            thread.join()
        if self.handler is not None:
            self.handler.close()
