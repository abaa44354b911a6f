"""What a handler's answer makes of a delivery."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitctl.domain.deliveries import (
    Deferred,
    Delivery,
    Failed,
    NotDelivered,
    Rejected,
    RetryPolicy,
    is_exhausted,
    settle,
)
from waitctl.domain.statuses import DeliveryStatus, Outcome

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
POLICY = RetryPolicy(max_attempts=3, backoff=timedelta(seconds=10), max_backoff=timedelta(minutes=1))
S = DeliveryStatus


def delivery(attempt: int, max_attempts: int | None = 3) -> Delivery:
    return Delivery(
        "d",
        "w",
        "nudge",
        Outcome.DUE,
        S.RUNNING,
        attempt,
        max_attempts,
        NOW,
        NOW + timedelta(minutes=5),
        None,
        NOW,
        None,
        claims=7,
    )


@pytest.mark.parametrize(
    ("attempt", "result", "status", "kept_attempt", "seconds", "error"),
    [
        (1, Rejected("no"), S.DEAD, 1, 0, "no"),
        (1, Failed("x"), S.PENDING, 1, 5, "x"),
        (2, Failed("x"), S.PENDING, 2, 10, "x"),
        (3, Failed("x"), S.DEAD, 3, 0, "x"),
        (1, Failed("x", retry_after=timedelta(hours=2)), S.PENDING, 1, 7200, "x"),
        (1, Failed("x", retry_after=timedelta(seconds=1)), S.PENDING, 1, 5, "x"),
        (3, Failed("x", retry_after=timedelta(hours=2)), S.DEAD, 3, 0, "x"),
        (1, Deferred("later"), S.PENDING, 0, 10, "later"),
        (1, Deferred("later", retry_after=timedelta(hours=2)), S.PENDING, 0, 7200, "later"),
        (3, Deferred("later"), S.PENDING, 2, 20, "later"),
    ],
)
def test_settle(
    attempt: int, result: NotDelivered, status: DeliveryStatus, kept_attempt: int, seconds: int, error: str
) -> None:
    settled = settle(delivery(attempt), result, POLICY, now=NOW, jitter=0.5)
    assert (settled.status, settled.attempt, settled.error) == (status, kept_attempt, error)
    assert settled.next_attempt_at - NOW == timedelta(seconds=seconds)
    assert settled.lease == ("d", 7)


def test_retried_by_hand_starts_its_backoff_afresh() -> None:
    """Attempts 1 to 3 are forgiven: the fourth is the first of three again."""
    settled = settle(delivery(4, max_attempts=6), Failed("x"), POLICY, now=NOW, jitter=0.5)
    assert (settled.status, settled.next_attempt_at - NOW) == (S.PENDING, timedelta(seconds=5))


def test_last_attempt_is_the_deliverys_own_not_the_policys() -> None:
    generous = replace(POLICY, max_attempts=99)
    assert settle(delivery(3), Failed("x"), generous, now=NOW, jitter=0.5).status is S.DEAD
    assert settle(delivery(3, max_attempts=None), Failed("x"), generous, now=NOW, jitter=0.5).status is S.PENDING


@given(attempt=st.integers(1, 100_000), jitter=st.floats(0, 1, exclude_max=True))
def test_backoff_stays_within_its_bounds(attempt: int, jitter: float) -> None:
    delay = POLICY.delay(attempt, jitter)
    assert timedelta(0) <= delay <= POLICY.max_backoff
    assert delay <= POLICY.backoff * 2 ** min(attempt - 1, 40)


def test_backoff_doubles_up_to_its_cap() -> None:
    ceilings = [POLICY.delay(attempt, 1.0).total_seconds() for attempt in range(1, 6)]
    assert ceilings == [10, 20, 40, 60, 60]


@pytest.mark.parametrize(
    ("attempt", "max_attempts", "expected"), [(1, None, False), (3, 3, False), (4, 3, True), (99, None, False)]
)
def test_exhausted_is_past_the_last_attempt(attempt: int, max_attempts: int | None, expected: bool) -> None:
    assert is_exhausted(delivery(attempt, max_attempts)) is expected
