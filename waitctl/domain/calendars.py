"""Business days: a work week, holidays with their names, and perhaps opening hours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import date

from waitctl.domain import clocks
from waitctl.domain.errors import CalendarRangeError, NoOpeningError
from waitctl.domain.hours import DAY, MAX_STEPS, Gate, Interval, OpeningHours
from waitctl.domain.instants import Dst
from waitctl.domain.values import dataclass

MONDAY_TO_FRIDAY = frozenset({1, 2, 3, 4, 5})
WEEKEND = "weekend"
WHOLE_DAY: tuple[Interval, ...] = ((0, DAY),)


def _no_holidays(_: int) -> Mapping[date, str]:
    return {}


@dataclass(frozen=True, slots=True, eq=False)
class Calendar:
    """Which days are business days, and when they open.

    ``holidays_of`` gives a year's holidays with their names; ``years`` are those it knows, and asking for another is
    an error, never "no holidays". ``zone`` is where its days and hours are; without one, where the wait is. ``worked``
    are days that count whatever else says they do not, and ``special_hours`` the hours of single such days.
    """

    name: str
    work_week: frozenset[int] = MONDAY_TO_FRIDAY
    holidays_of: Callable[[int], Mapping[date, str]] = _no_holidays
    years: range = range(1, 10000)
    hours: OpeningHours | None = None
    zone: str | None = None
    worked: frozenset[date] = frozenset()
    special_hours: Mapping[date, tuple[Interval, ...]] = field(default_factory=dict)
    _days_off: dict[clocks.Date, str | None] = field(default_factory=dict, repr=False)

    def day_off(self, day: clocks.Date) -> str | None:
        """Why ``day`` is no business day: the holiday's name, or ``weekend``; ``None`` when it is one.

        Raises `CalendarRangeError`.
        """
        try:
            return self._days_off[day]
        except KeyError:
            found = self._days_off[day] = self._look_up(day)
            return found

    def _look_up(self, day: clocks.Date) -> str | None:
        if day.year not in self.years:
            raise CalendarRangeError(
                f"the calendar {self.name} knows the years {self.years[0]} to {self.years[-1]}, not {day.year}"
            )
        plain = day.to_stdlib()
        if plain in self.worked or plain in self.special_hours:
            return None
        holiday = self.holidays_of(day.year).get(plain)
        if holiday is not None:
            return holiday
        return None if day.day_of_week().value in self.work_week else WEEKEND

    def is_business_day(self, day: clocks.Date) -> bool:
        """Whether ``day`` is one. Raises `CalendarRangeError`."""
        return self.day_off(day) is None

    def hours_on(self, day: clocks.Date) -> tuple[Interval, ...]:
        """When it is open on ``day``, if that is a business day; a worked one without hours has the week's first."""
        plain = day.to_stdlib()
        if plain in self.special_hours:
            return self.special_hours[plain]
        if self.hours is None:
            return WHOLE_DAY
        spans = self.hours.intervals.get(day.day_of_week().value, ())
        return spans or (next(iter(self.hours.intervals.values())) if plain in self.worked else ())

    def gate(self, zone: str, dst: Dst = Dst.COMPATIBLE) -> Gate | None:
        """Its opening hours, in its own zone or else in ``zone``; ``None`` when it has none on any day."""
        if self.hours is None and not self.special_hours:
            return None
        week = self.hours or OpeningHours(dict.fromkeys(range(1, 8), WHOLE_DAY))
        special = self.hours_on if self.worked or self.special_hours else None
        return Gate(week, self.zone or zone, dst, self.is_business_day, special)

    def add_business_days(self, start: clocks.Date, count: int) -> tuple[clocks.Date, list[tuple[clocks.Date, str]]]:
        """Count ``count`` business days on from ``start`` (back when negative), which itself never counts.

        As Excel's WORKDAY, and as numpy's ``busday_offset(roll="backward")`` forwards. Returns the day and the days
        that were skipped on the way, each with why. Raises `CalendarRangeError` or `NoOpeningError`.
        """
        step = 1 if count > 0 else -1
        day, left, skipped, row = start, abs(count), [], 0
        while left:
            day = day.add(days=step)
            reason = self.day_off(day)
            if reason is None:
                left, row = left - 1, 0
                continue
            skipped.append((day, reason))
            row += 1
            if row > MAX_STEPS:
                raise NoOpeningError(f"the calendar {self.name} has no business day within {MAX_STEPS} days of {start}")
        return day, skipped


WEEKDAYS_ONLY = Calendar("mon-fri")
"""What business days are counted by when no calendar is named."""
