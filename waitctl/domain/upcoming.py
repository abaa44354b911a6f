"""What will end, hour by hour or day by day, by the clocks of a zone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

from waitctl.domain.clocks import Instant, ZonedDateTime
from waitctl.domain.errors import InvalidWaitDateError
from waitctl.domain.instants import format_instant
from waitctl.domain.values import dataclass

MAX_BUCKETS = 2000
QUARTER = 900
"""Seconds. Every zone of today is off UTC by a multiple of it."""


class Grain(StrEnum):
    """How fine a forecast is."""

    HOUR = "hour"
    DAY = "day"

    @property
    def usual(self) -> int:
        """How many buckets there are when nobody says until when."""
        return 24 if self is Grain.HOUR else 14


@dataclass(frozen=True, slots=True)
class Bucket:
    """One hour or day, from ``start`` to the next one's: how many waits are due and how many time out."""

    start: datetime
    scheduled: int
    timeouts: int

    @property
    def total(self) -> int:
        """How many end."""
        return self.scheduled + self.timeouts


def bucket_starts(
    now: datetime, until: datetime | timedelta | None, zone: str, grain: Grain
) -> tuple[list[datetime], datetime]:
    """The starts of the local hours or days from the one that holds ``now`` on, and where the last one ends.

    That is ``until``, an instant or a span from now; without one there are as many whole buckets as is usual, of which
    this is the first. A day has 23 to 25 hours where clocks change. Of clocks that go back by less than an hour, the
    hour that they repeat a part of is so much longer; what they skip makes one shorter. Raises `InvalidWaitDateError`.
    """
    end = _end(now, until)
    at = Instant(now).to_tz(zone).start_of(grain.value)
    starts = [_stdlib(at)]
    while len(starts) <= MAX_BUCKETS:
        at = _next(at, grain)
        start = _stdlib(at)
        if start >= end if end is not None else len(starts) == grain.usual:
            return starts, end or start
        starts.append(start)
    raise InvalidWaitDateError(
        f"there are more than {MAX_BUCKETS:,} {grain}s until {format_instant(end or now)}",
        hint="choose a nearer --until" + (", or go --by day" if grain is Grain.HOUR else ""),
    )


def _end(now: datetime, until: datetime | timedelta | None) -> datetime | None:
    end = now + until if isinstance(until, timedelta) else until
    if end is not None and end <= now:
        raise InvalidWaitDateError(
            f"--until is in the past: {format_instant(end)} is not after now, {format_instant(now)}"
        )
    return end


def _next(at: ZonedDateTime, grain: Grain) -> ZonedDateTime:
    return at.end_of(grain.value).add(nanoseconds=1)


def _stdlib(at: ZonedDateTime) -> datetime:
    return at.to_instant().to_stdlib()


def fold(starts: Sequence[datetime], scheduled: Mapping[int, int], timeouts: Mapping[int, int]) -> tuple[Bucket, ...]:
    """Put counts by quarter hours since the epoch into the buckets that start so."""
    seconds = [int(start.timestamp()) for start in starts]
    counts = [[0, 0] for _ in starts]
    for kind, by_quarter in enumerate((scheduled, timeouts)):
        for quarter, count in by_quarter.items():
            # The quarter hour that holds now may begin before the first bucket, where clocks are off by odd minutes.
            counts[max(bisect_right(seconds, quarter * QUARTER) - 1, 0)][kind] += count
    return tuple(Bucket(start, *count) for start, count in zip(starts, counts, strict=True))
