"""Days of a month as people name them: ``15``, ``last day``, ``first monday``, ``last business day``."""

from __future__ import annotations

import re
from typing import NamedTuple

from waitctl.domain import clocks
from waitctl.domain.calendars import WEEKDAYS_ONLY, Calendar
from waitctl.domain.errors import InvalidWaitConfigurationError, NoOpeningError
from waitctl.domain.hours import WEEKDAY_NAMES, parse_days
from waitctl.domain.instants import show_day
from waitctl.domain.values import dataclass

_ORDINALS = {"first": 1, "second": 2, "third": 3, "fourth": 4, "last": -1}
_NAMES = {number: name for name, number in _ORDINALS.items()}
_DAY, _BUSINESS_DAY = "day", "business day"
_EXAMPLES = "write 15, 'last day', 'first monday', 'last friday' or 'last business day'"


@dataclass(frozen=True, slots=True)
class DayOfMonth:
    """The ``number``-th of a month's days of a ``kind``, from its end where it is negative.

    ``kind`` is ``day``, ``business day`` or a weekday as in ``monday``.
    """

    number: int
    kind: str = _DAY

    def __str__(self) -> str:
        if self.kind == _DAY and self.number > 0:
            return str(self.number)
        return f"{_NAMES[self.number]} {self.kind}"

    @property
    def words(self) -> str:
        """The same for a sentence: ``day 15``, ``the first monday``."""
        return f"day {self}" if self.kind == _DAY and self.number > 0 else f"the {self}"

    def of(self, month: clocks.Date, calendar: Calendar | None = None) -> clocks.Date:
        """The day in the month that ``month`` lies in; the month's last one where it has fewer.

        Business days are those of ``calendar``, or Monday to Friday. Raises `CalendarRangeError` or `NoOpeningError`.
        """
        first = month.replace(day=1)
        last = first.add(months=1).prev_day()
        if self.kind == _DAY:
            return last if self.number < 0 else first.replace(day=min(self.number, last.day))
        days = [first.add(days=past) for past in range(last.day)]
        if self.kind == _BUSINESS_DAY:
            by = calendar or WEEKDAYS_ONLY
            fitting = [day for day in days if by.is_business_day(day)]
        else:
            weekday = WEEKDAY_NAMES.index(self.kind) + 1
            fitting = [day for day in days if day.day_of_week().value == weekday]
        place = self.number - 1 if self.number > 0 else self.number
        if len(fitting) < abs(self.number):
            raise NoOpeningError(f"{first.year}-{first.month:02} has no {self}")
        return fitting[place]


def parse_day_of_month(text: str) -> DayOfMonth:
    """Parse ``15``, ``last day``, ``first monday`` or ``last business day``. Raises `InvalidWaitConfigurationError`."""
    words = text.lower().split()
    if len(words) == 1 and re.fullmatch(r"[0-9]{1,2}", words[0]) and 1 <= int(words[0]) <= 31:
        return DayOfMonth(int(words[0]))
    number = _ORDINALS.get(words[0]) if words else None
    kind = " ".join(words[1:])
    if number is not None and kind in {_DAY, _BUSINESS_DAY}:
        return DayOfMonth(number, kind)
    if number is not None and len(words) == 2 and re.fullmatch(r"[a-z]+", kind):
        try:
            [weekday] = parse_days(kind)
        except InvalidWaitConfigurationError:
            pass
        else:
            return DayOfMonth(number, WEEKDAY_NAMES[weekday - 1])
    raise InvalidWaitConfigurationError(f"{text[:80]!a} names no day of a month", hint=_EXAMPLES)


class ReachedMonth(NamedTuple):
    """The day of a month that was reached by whole months, and why it is not the one of the start."""

    start: clocks.Date
    end: clocks.Date
    on: DayOfMonth | None

    def __str__(self) -> str:
        month = f"{self.end.year}-{self.end.month:02}"
        if self.on is None:
            return f"month: {month} has no day {self.start.day}; its last one is {show_day(self.end)}"
        if self.on.kind == _DAY and self.on.number > self.end.day:
            return f"month: {month} has no day {self.on.number}; its last one is {show_day(self.end)}"
        return f"month: {self.on.words} of {month} is {show_day(self.end)}"
