"""Where the heartbeat stopped."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from waitctl.domain.counts import CAP, capped, in_words, told
from waitctl.domain.runs import RunSpan, gaps, usual_interval

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def every_minute(*minutes: float, lasting: float = 1) -> list[RunSpan]:
    """Runs of ``lasting`` seconds that start so many minutes after noon."""
    starts = [NOON + minute * MINUTE for minute in minutes]
    return [RunSpan(start, start + timedelta(seconds=lasting)) for start in starts]


def test_a_gap_is_longer_than_three_times_the_usual() -> None:
    assert gaps(every_minute(0, 1, 2, 3, 6, 7)) == [None] * 6
    late = [None, None, None, None, timedelta(minutes=5, seconds=-1), None]
    assert gaps(every_minute(0, 1, 2, 3, 8, 9)) == late
    assert gaps(every_minute(9, 8, 3, 2, 1, 0)) == late[::-1]  # in whatever order they are given


def test_what_overlaps_or_stays_leaves_no_gap() -> None:
    stays = RunSpan(NOON, NOON + 60 * MINUTE)
    assert gaps([*every_minute(1, 2, 3), stays, *every_minute(59)]) == [None] * 5
    assert gaps([*every_minute(1, 2, 3), stays, *every_minute(65)])[-1] == timedelta(minutes=5)


def test_of_few_runs_nothing_is_usual() -> None:
    assert usual_interval(every_minute(0, 1)) is None
    assert gaps(every_minute(0, 100)) == [None, None]
    assert gaps([]) == []


def test_two_hosts_in_step_have_a_usual_interval() -> None:
    both = every_minute(0, 1, 2, 3, 4, 10) + every_minute(0, 1, 2, 3, 4, 10)
    assert usual_interval(both) == MINUTE
    assert [gap for gap in gaps(both) if gap] == [timedelta(minutes=6, seconds=-1)]


def test_counts_are_told_up_to_the_cap() -> None:
    assert [in_words(count) for count in (0, 9999, CAP, CAP + 1)] == ["0", "9,999", "10,000", "10,000+"]
    assert told(CAP + 1) == CAP
    assert capped({"a": CAP, "b": CAP + 1}) == ["b"]
