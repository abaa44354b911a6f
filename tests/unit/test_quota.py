"""How much of a handler's a tick has in hand, as values."""

from __future__ import annotations

import pytest

from waitctl.application.deliveries.quota import MOST_IN_HAND, Quota

FUNCTION = Quota(8, 1000, most_at_once=64)
COMMAND = Quota(8, 1000)
BATCH = Quota(1, 1000, most_at_once=1000, one_by_one=False)
FEW_ATTEMPTS = Quota(8, 1000, most_at_once=64, begins_ahead=False)
QUEUE_SERVICE = Quota(4, 1000, most_at_once=10, one_by_one=False)


def hurried(quota: Quota, claims: int = 50) -> Quota:
    """One that takes all that it has room for, again and again, in no time."""
    for _ in range(claims):
        quota = quota.claimed(quota.room(0, 0), quota.room(0, 0), now=1.0)
    return quota


@pytest.mark.parametrize(
    ("quota", "first", "most"),
    [
        (FUNCTION, (32, 1), (1000, 63)),
        (COMMAND, (32, 1), (1000, 1)),
        (BATCH, (1000, 1000), (1000, 1000)),
        (QUEUE_SERVICE, (80, 10), (80, 10)),
        (FEW_ATTEMPTS, (32, 1), (1000, 1)),
    ],
    ids=["function", "command", "batch", "queue-service", "few-attempts"],
)
def test_what_is_claimed_and_given_at_once(quota: Quota, first: tuple[int, int], most: tuple[int, int]) -> None:
    assert (quota.room(0, 0), quota.call) == first
    grown = hurried(quota)
    assert (grown.room(0, 0), grown.call) == most


@pytest.mark.parametrize("quota", [FUNCTION, COMMAND, BATCH, QUEUE_SERVICE])
def test_never_more_than_a_limit(quota: Quota) -> None:
    """However quick it is, and however large a tick's batch may be."""
    grown = hurried(quota)
    assert grown.size <= MOST_IN_HAND
    assert grown.room_for_leased_batch(0, 0) <= 1000


def test_a_small_batch_of_the_tick_limits_what_a_process_gets() -> None:
    small = Quota(1, 2, most_at_once=1000, one_by_one=False)
    assert (small.batch, small.room(0, 0), small.room(2, 0), small.room(3, 0)) == (2, 2, 2, 0)


def test_none_while_more_than_half_is_in_hand() -> None:
    assert [COMMAND.room(in_hand, 0) for in_hand in (0, 16, 17, 32)] == [32, 16, 0, 0]


def test_it_shrinks_again_when_it_takes_its_time() -> None:
    grown = hurried(FUNCTION)
    later = 100.0
    for _ in range(10):
        grown = grown.claimed(1000, 1000, now=later)
        later += 10
    assert grown.size == FUNCTION.size


def test_what_comes_short_of_the_room_teaches_nothing_of_the_size() -> None:
    assert hurried(FUNCTION).claimed(3, 1000, now=1.1).size == hurried(FUNCTION).size


def test_older_ones_get_their_share_while_others_come_into_being() -> None:
    grown = hurried(FUNCTION)
    assert (grown.room(0, 0), grown.room(0, 1)) == (1000, 125)
    assert grown.room_for_leased_batch(1900, 1500) == 2 * grown.size - 3400


def test_a_busy_one_is_worth_waiting_for_until_it_stalls() -> None:
    busy = hurried(FUNCTION)
    assert busy.has_soon(3900, 0, now=1.5)
    assert not busy.has_soon(0, 0, now=1.5), "it has room"
    assert not busy.has_soon(3900, 0, now=3.0), "it has stalled"
    assert not FUNCTION.has_soon(60, 0, now=1.5), "it has not shown to be quick"


def test_a_call_begins_when_a_worker_is_free() -> None:
    assert [COMMAND.next_call(calls, calls, ahead=True) for calls in (0, 7, 8)] == [1, 1, 0]
    assert [BATCH.next_call(calls, 3 * calls, ahead=True) for calls in (0, 1)] == [1000, 0]
    assert [COMMAND.is_short(calls, calls) for calls in (7, 8)] == [True, False]


def test_of_a_quick_handler_more_begin_than_the_workers_take() -> None:
    quick = hurried(FUNCTION)
    assert quick.takes_several and quick.ahead == 2 * quick.size == 4000
    assert [quick.next_call(8, begun, ahead=True) for begun in (0, 3999, 4000)] == [63, 63, 0]
    assert quick.is_short(8, 1999) and not quick.is_short(8, 2000)
    assert hurried(COMMAND).ahead == 250
    assert hurried(BATCH).ahead == 2000


def test_calls_begin_until_there_are_enough() -> None:
    assert hurried(FUNCTION).next_calls(8, 3900) == [63, 63]
    assert (COMMAND.next_calls(5, 5), COMMAND.next_calls(8, 8)) == ([1, 1, 1], [])


def test_what_has_few_attempts_begins_one_by_one() -> None:
    """However many workers are free: a tick that ends takes no attempt of what no worker has yet."""
    assert (FEW_ATTEMPTS.next_calls(0, 0), FEW_ATTEMPTS.next_calls(8, 8)) == ([1], [])
    assert hurried(FEW_ATTEMPTS).next_calls(5, 5) == [1]


def test_what_has_lost_an_attempt_begins_when_a_worker_takes_it() -> None:
    assert [hurried(FUNCTION).next_call(calls, calls, ahead=False) for calls in (7, 8)] == [1, 0]
    assert [hurried(FEW_ATTEMPTS).next_call(calls, calls, ahead=True) for calls in (7, 8)] == [1, 0]
