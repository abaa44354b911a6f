"""Handing a continuation over: outcomes, attempts, backoff and dead letters."""

from __future__ import annotations

from dataclasses import field
from datetime import datetime, timedelta
from typing import NamedTuple

from waitctl.domain.statuses import DeliveryStatus, Outcome
from waitctl.domain.values import dataclass


@dataclass(frozen=True, slots=True)
class Delivery:
    """One continuation, its id the same on every attempt.

    ``attempt`` is how often it was begun, or in the hands of a tick that has leased it the number of the attempt that
    is to begin. ``max_attempts`` is the number of the last attempt, set by the first claim from its host's config and
    anew by the first claim after a ``delivery retry``.
    """

    id: str
    wait_id: str
    handler: str
    outcome: Outcome
    status: DeliveryStatus
    attempt: int
    max_attempts: int | None
    next_attempt_at: datetime
    lease_expires_at: datetime | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None
    dead_delivery_id: str | None = None
    """The dead delivery that this one tells of: it goes to an ``on_dead`` handler."""
    claims: int = 0
    """How often it was leased."""

    @property
    def lease(self) -> Lease:
        """The latest."""
        return Lease(self.id, self.claims)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a handler can take right now: at most ``room`` deliveries, leased for so long and tried so often.

    The first ``begins`` of them begin at once, so that their attempt counts from the start.
    """

    handler: str
    room: int
    lease: timedelta
    max_attempts: int
    begins: int = 0


class Lease(NamedTuple):
    """A claim that a tick has in hand; a newer number of the same delivery is another's."""

    delivery_id: str
    claim: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What one handler still has before it.

    ``failing``: of the pending ones, those that were tried in vain; 0 where that was not asked for.
    """

    handler: str
    pending: int = 0
    due: int = 0
    failing: int = 0
    running: int = 0
    dead: int = 0
    oldest_due_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Delivered:
    """The handler took it. ``output``, here and below: the end of what it has said, if it has said anything."""

    output: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """The handler failed; try again, and not before ``retry_after``, the target's own word."""

    error: str
    retry_after: timedelta | None = None
    output: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Deferred:
    """The handler asked to be tried later (after ``retry_after``, if it said so), without using up an attempt."""

    error: str
    retry_after: timedelta | None = None
    output: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Rejected:
    """The handler said that trying again is no use."""

    error: str
    output: str = field(default="", compare=False)


MAX_OUTPUT = 4096
"""Bytes of what a handler says that are kept: the last."""

NotDelivered = Failed | Deferred | Rejected
HandlerResult = Delivered | NotDelivered


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart a handler's attempts are."""

    max_attempts: int = 8
    backoff: timedelta = timedelta(seconds=10)
    max_backoff: timedelta = timedelta(hours=1)

    def delay(self, attempt: int, jitter: float) -> timedelta:
        """How long to wait after failed attempt number ``attempt`` (from 1): exponential, full jitter, capped.

        ``jitter`` is uniform in [0, 1). Full jitter spreads retries best:
        https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
        """
        # In seconds: a timedelta overflows where doublings of a long backoff go on.
        doublings = min(attempt - 1, 40)
        ceiling = min(self.max_backoff.total_seconds(), self.backoff.total_seconds() * (1 << doublings))
        return timedelta(seconds=jitter * ceiling)


class AttemptOutput(NamedTuple):
    """The end of what a handler has said in an attempt."""

    lease: Lease
    attempt: int
    text: str


@dataclass(frozen=True, slots=True)
class Settlement:
    """What becomes of a delivery after an attempt that did not take it: a row as the store writes it."""

    lease: Lease
    status: DeliveryStatus
    attempt: int
    next_attempt_at: datetime
    error: str | None


def settle(
    delivery: Delivery, result: NotDelivered, policy: RetryPolicy, *, now: datetime, jitter: float
) -> Settlement:
    """Decide what a handler's result makes of a delivery that it did not take."""
    status, attempt, at = DeliveryStatus.PENDING, delivery.attempt, now
    match result:
        case Rejected():
            status = DeliveryStatus.DEAD
        case Deferred(retry_after=retry_after):
            at = now + (retry_after or max(policy.backoff, policy.delay(attempt, jitter)))
            attempt -= 1
        case Failed(retry_after=retry_after):
            left = _last_attempt(delivery, policy) - attempt
            if left <= 0:
                status = DeliveryStatus.DEAD
            else:
                tried = max(1, policy.max_attempts - left)
                at = now + max(policy.delay(tried, jitter), retry_after or timedelta(0))
    return Settlement(delivery.lease, status, attempt, at, result.error)


def _last_attempt(delivery: Delivery, policy: RetryPolicy) -> int:
    return policy.max_attempts if delivery.max_attempts is None else delivery.max_attempts


def is_exhausted(delivery: Delivery) -> bool:
    """Whether a leased delivery is past its last attempt: its tick crashed in that, and the lease ran out."""
    return delivery.max_attempts is not None and delivery.attempt > delivery.max_attempts


@dataclass(frozen=True, slots=True)
class DeliveryCounts:
    """What became of the deliveries that were handed out. ``stale``: settled by somebody else meanwhile."""

    delivered: int = 0
    retried: int = 0
    dead: int = 0
    stale: int = 0
