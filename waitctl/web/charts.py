"""Pictures as SVG: what is drawn where. The templates draw it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from waitctl.domain.calendar_browser import CalendarYear
from waitctl.domain.clocks import Instant
from waitctl.domain.instants import clock
from waitctl.domain.upcoming import Bucket
from waitctl.domain.values import dataclass

HEIGHT = 120
STEP = 30
GAP = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar of the histogram: scheduled waits below, deadlines above."""

    x: int
    width: int
    scheduled_y: float
    scheduled_height: float
    timeouts_y: float
    timeouts_height: float
    label: str
    words: str
    total: int


def histogram(buckets: Sequence[Bucket], zone: str) -> list[Bar]:
    """The bars of what ends hour by hour; whatever there is shows."""
    highest = max((bucket.total for bucket in buckets), default=0) or 1
    bars = []
    for place, bucket in enumerate(buckets):
        at = Instant(bucket.start).to_tz(zone)
        scheduled, timeouts = (
            max(2.0, count / highest * (HEIGHT - 4)) if count else 0.0 for count in (bucket.scheduled, bucket.timeouts)
        )
        bars.append(
            Bar(
                x=place * STEP,
                width=STEP - GAP,
                scheduled_y=round(HEIGHT - scheduled, 1),
                scheduled_height=round(scheduled, 1),
                timeouts_y=round(HEIGHT - scheduled - timeouts, 1),
                timeouts_height=round(timeouts, 1),
                label=clock(at.time())[:2],
                words=f"{at.date()} {clock(at.time())}: {bucket.scheduled:,} due, {bucket.timeouts:,} time out",
                total=bucket.total,
            )
        )
    return bars


@dataclass(frozen=True, slots=True)
class Day:
    """A square of the year."""

    x: int
    y: int
    kind: str
    words: str


@dataclass(frozen=True, slots=True)
class Month:
    """A month of the year, its weeks from left to right, Monday on top."""

    name: str
    days: Sequence[Day]


def year_months(found: CalendarYear) -> list[Month]:
    """The squares of every month: business days, days off, holidays."""
    return [_month(found.year, month, found.holidays, found.days_off) for month in range(1, 13)]


def _month(year: int, month: int, holidays: Mapping[date, str], days_off: Mapping[date, str]) -> Month:
    first = date(year, month, 1)
    days, day = [], first
    while day.month == month:
        column = (day.day - 1 + first.weekday()) // 7
        kind = "holiday" if day in holidays else "off" if day in days_off else "work"
        why = holidays.get(day) or days_off.get(day) or "business day"
        days.append(Day(column * 14, day.weekday() * 14, kind, f"{day:%A} {day.isoformat()}: {why}"))
        if day == date.max:
            break
        day += timedelta(days=1)
    return Month(f"{first:%B}", days)
