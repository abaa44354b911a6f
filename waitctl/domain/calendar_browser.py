"""What a calendar says of one year, and of today."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date, datetime
from enum import StrEnum
from itertools import islice

from waitctl.domain.calendars import WEEKDAYS_ONLY, Calendar
from waitctl.domain.clocks import Date, Instant, ZonedDateTime
from waitctl.domain.errors import CalendarRangeError, NoOpeningError
from waitctl.domain.values import dataclass

NEXT_HOLIDAYS = 10
_AHEAD = 10
"""Years in which holidays are looked for: a calendar of a few extra dates soon has none left."""


class CalendarKind(StrEnum):
    """Where a calendar comes from."""

    CONFIG = "config"
    COUNTRY = "country"
    SUBDIVISION = "subdivision"
    MARKET = "market"


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """One year of a calendar. ``days_off`` are its weekends and holidays, each with why."""

    calendar: Calendar
    year: int
    holidays: Mapping[date, str]
    days_off: Mapping[date, str]
    business_days: int


@dataclass(frozen=True, slots=True)
class Outlook:
    """A calendar as it stands at ``now`` in ``zone``.

    ``None`` is what the calendar does not know: whether today is a business day when it does not have this year, the
    next opening when it has no hours.
    """

    calendar: Calendar
    now: datetime
    zone: str
    today: Date
    is_business_day: bool | None
    reason: str | None
    next_business_day: Date | None
    is_open: bool | None
    closes_at: datetime | None
    next_opening: datetime | None
    next_holidays: tuple[tuple[date, str], ...]

    @property
    def years(self) -> range | None:
        """The years that the calendar knows; ``None`` means all."""
        return None if self.calendar.years == WEEKDAYS_ONLY.years else self.calendar.years

    @property
    def has_estimates(self) -> bool:
        """Whether the dates of some holidays that come are estimates, as those that go by the moon."""
        return any("estimated" in name for _, name in self.next_holidays)

    @property
    def ends_soon(self) -> bool:
        """Whether the calendar ends within a year from today, or has ended."""
        return self.years is not None and Date(self.years[-1], 12, 31) <= self.today.add(years=1)


def year_of(calendar: Calendar, year: int) -> CalendarYear:
    """Look at one year. Raises `CalendarRangeError`."""
    try:
        first = Date(year, 1, 1)
    except (ValueError, OverflowError) as cause:
        raise CalendarRangeError(f"there is no year {year}") from cause
    days = [first.add(days=number) for number in range(first.days_in_year())]
    days_off = {day.to_stdlib(): reason for day in days if (reason := calendar.day_off(day)) is not None}
    holidays = dict(sorted(calendar.holidays_of(year).items()))
    return CalendarYear(calendar, year, holidays, days_off, len(days) - len(days_off))


def outlook(calendar: Calendar, now: datetime, zone: str) -> Outlook:
    """Look at today and at what comes, where the calendar is, or in ``zone`` when it does not say."""
    zone = calendar.zone or zone
    at = Instant(now).to_tz(zone)
    today = at.date()
    try:
        reason = calendar.day_off(today)
        is_business_day: bool | None = reason is None
    except CalendarRangeError as error:
        is_business_day, reason = None, error.message
    try:
        next_business_day = calendar.add_business_days(today, 1)[0]
    except (CalendarRangeError, NoOpeningError):
        next_business_day = None
    is_open, closes_at, next_opening = _hours_now(calendar, at, zone)
    return Outlook(
        calendar,
        now,
        zone,
        today,
        is_business_day,
        reason,
        next_business_day,
        is_open,
        closes_at,
        next_opening,
        tuple(islice(_holidays_after(calendar, today.to_stdlib()), NEXT_HOLIDAYS)),
    )


def _hours_now(
    calendar: Calendar, at: ZonedDateTime, zone: str
) -> tuple[bool | None, datetime | None, datetime | None]:
    """Whether it is open at ``at``, until when, and when it next opens."""
    gate = calendar.gate(zone)
    if gate is None:
        return None, None, None
    is_open, closes, opens = None, None, None
    try:
        is_open = gate.is_open(at)
        closes = gate.closes_at(at) if is_open else None
        if closes is not None or not is_open:
            opens = gate.pass_through(closes.to_tz(zone) if closes else at)
    except (CalendarRangeError, NoOpeningError):  # the calendar ends before it opens again
        pass
    return is_open, closes.to_stdlib() if closes else None, opens.to_stdlib() if opens else None


def _holidays_after(calendar: Calendar, today: date) -> Iterator[tuple[date, str]]:
    for year in range(today.year, today.year + _AHEAD):
        if year in calendar.years:
            yield from sorted(item for item in calendar.holidays_of(year).items() if item[0] > today)
