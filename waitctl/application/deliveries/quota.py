"""How many deliveries of one handler a dispatcher has in hand: values and arithmetic, no thread and no clock.

Instants are seconds of a clock that only goes forward.
"""

from __future__ import annotations

from waitctl.domain.values import dataclass, replace

SOON = 0.25
"""Seconds within which a handler that is through with a claim gets a larger one, and is waited for when it is full."""

STALLED = 1.0
"""Seconds without another claim after which a handler is not called quick any more."""

AHEAD_PER_WORKER = 4
"""Calls that lie ready for each worker at first; more for a handler that is through with them in no time."""

FEW_ATTEMPTS = 2
"""Attempts that are too few for one to be counted before the handler has the delivery.

Such calls begin one by one, and are counted when the handler says that they have begun.
"""

MOST_IN_HAND = 2000
"""Deliveries that a handler has in hand at most, apart from what is leased as it comes into being: as many again."""

OLDER_SHARE = 8
"""The part of a quota, an eighth, that is for older deliveries while others are leased as they come into being."""


BEGUN_SHARE = 8
"""The part of a quota, an eighth, that is begun ahead of the workers of a quick handler: some 50 ms of work."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A handler's share: `size` is what it may have in hand, grown while it asks for more at once.

    What is in hand is leased, and then begun: given to the workers, with an attempt counted that a crash will have used
    up. ``limit`` is the most that one claim takes; ``most_at_once`` and ``one_by_one`` are the handler's own.
    """

    concurrency: int
    limit: int
    most_at_once: int = 1
    one_by_one: bool = True
    begins_ahead: bool = True
    """Whether more may be begun than the workers take at once, and several by one commit."""
    growth: int = 1
    claimed_at: float = float("-inf")
    is_quick: bool = False

    @property
    def batch(self) -> int:
        """Deliveries that one call takes in any case."""
        return 1 if self.one_by_one else min(self.most_at_once, self.limit)

    @property
    def smallest(self) -> int:
        """What it may have in hand at first: of batches one runs and one lies ready."""
        ahead = AHEAD_PER_WORKER if self.batch == 1 else 2
        return self.concurrency * self.batch * ahead

    @property
    def size(self) -> int:
        """What it may have in hand now."""
        return max(self.smallest, min(self.smallest * self.growth, MOST_IN_HAND))

    @property
    def call(self) -> int:
        """Deliveries that go to a worker at once: a batch, or a few of a handler that is quick."""
        grown = self.growth if self.begins_ahead else 1
        return max(self.batch, min(grown, self.most_at_once))

    @property
    def ahead(self) -> int:
        """Deliveries that may be begun while every worker has something, so that none waits for a commit.

        All that it has in hand when it takes several at once for being quick: they can be begun as they are leased.
        """
        if self.takes_several:
            return 2 * self.size
        is_quick = self.begins_ahead and (self.growth > 1 or (self.batch > 1 and self.is_quick))
        return max(2 * self.concurrency * self.call, self.size // BEGUN_SHARE) if is_quick else 0

    @property
    def takes_several(self) -> bool:
        """Whether it deals with one after the other, and is so quick that it is given several by one call."""
        return self.call > self.batch

    def next_call(self, calls: int, begun: int, *, ahead: bool) -> int:
        """How many deliveries to begin as one call, beside so many calls and deliveries that are begun and not through.

        None while every worker has something; of a quick handler some may be begun ``ahead``, and a few by one call.
        """
        if ahead:
            return self.call if calls < self.concurrency or begun < self.ahead else 0
        return self.batch if calls < self.concurrency else 0

    def next_calls(self, calls: int, begun: int) -> list[int]:
        """The calls, each with its number of deliveries, that may begin now of a handler that has enough to do."""
        begins: list[int] = []
        while count := self.next_call(calls + len(begins), begun + sum(begins), ahead=True):
            begins.append(count)
            if not self.begins_ahead:
                break
        return begins

    def is_short(self, calls: int, begun: int) -> bool:
        """Whether it is time to begin more: a worker has nothing to do, or less than half lies ready of what may."""
        return calls < self.concurrency or begun < self.ahead // 2

    def room(self, in_hand: int, promised: int) -> int:
        """How many to claim now: none while more than half of what there may be is still in hand."""
        size = self.size if self.batch > 1 else min(self.size, max(self.limit, self.concurrency))
        most = min(self.limit, max(size // OLDER_SHARE, self.smallest)) if promised else self.limit
        return min(size - in_hand, most) if in_hand <= size // 2 else 0

    def room_for_leased_batch(self, in_hand: int, promised: int) -> int:
        """How many to lease as they come into being: as many as may begin, or twice as many as may be in hand.

        To begin with it costs the least; to lease costs less than to claim.
        """
        return max(0, min(2 * self.size - in_hand - promised, self.limit))

    def has_soon(self, in_hand: int, promised: int, now: float) -> bool:
        """Whether it has less room for leased batches than it might, and will have more in a moment."""
        has_grown = self.batch > 1 or self.size >= MOST_IN_HAND // 2
        is_busy = self.is_quick and now - self.claimed_at <= STALLED and has_grown
        return is_busy and self.room_for_leased_batch(in_hand, promised) < self.limit

    def claimed(self, count: int, room: int, now: float) -> Quota:
        """Learn from a claim: a handler that asks for more at once gets more at once."""
        is_quick = now - self.claimed_at < SOON
        growth = self.growth
        if count == room:
            most = -(-MOST_IN_HAND // self.smallest) if self.batch == 1 else 1
            growth = max(1, min(growth * 2 if is_quick else growth // 2, most))
        return replace(self, growth=growth, claimed_at=now, is_quick=is_quick)
