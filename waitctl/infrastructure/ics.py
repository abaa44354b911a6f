"""Holidays of an iCalendar file: its whole days, those that come again as well.

Read by `recurring-ical-events`, of the extra ``ics``, when a calendar with such a file is named.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from waitctl.domain.calendars import Calendar
from waitctl.domain.errors import InvalidSettingError, MissingLibraryError
from waitctl.domain.values import replace

MAX_BYTES = 4 * 1024 * 1024
MAX_ENTRIES = 5000
"""Holidays of a century; a file of more is something else."""

_LAST_YEAR = 2199
"""How far what comes again without an end is followed."""

_TOO_OFTEN = {"SECONDLY", "MINUTELY", "HOURLY"}
_MOST_DAYS = 366


def with_file(base: Calendar, path: Path, what: str) -> Calendar:
    """``base`` with the whole days of a file as holidays beside its own, in the years that both know.

    Raises `InvalidSettingError`, naming ``what``, for a file that is none or holds too much, and `MissingLibraryError`.
    """
    days_of, years = _read(path, what)
    known = range(max(years.start, base.years.start), min(years.stop, base.years.stop))

    @cache
    def holidays_of(year: int) -> Mapping[date, str]:
        return {**days_of(year), **base.holidays_of(year)}

    return replace(base, holidays_of=holidays_of, years=known, _days_off={})


def _read(path: Path, what: str) -> tuple[Any, range]:
    try:
        import icalendar
        import recurring_ical_events
    except ImportError as missing:
        raise MissingLibraryError(
            f"{what} needs the library recurring-ical-events", hint="pip install 'waitctl[ics]'"
        ) from missing
    try:
        calendar = icalendar.Calendar.from_ical(_bytes(path, what))
    except ValueError:  # its words hold what stands in the file, which may be anything
        raise InvalidSettingError(f"{what}: {path} is no iCalendar file") from None
    events = [event for event in calendar.walk("VEVENT") if _is_whole_day(event)]
    if len(events) > MAX_ENTRIES:
        raise InvalidSettingError(f"{what}: {path} has {len(events):,} whole days, more than {MAX_ENTRIES:,}")
    if not events:
        raise InvalidSettingError(f"{what}: {path} has no whole days")
    years = [_years(event, f"{what}: {path}") for event in events]
    query = recurring_ical_events.of(calendar, components=["VEVENT"])

    @cache
    def days_of(year: int) -> Mapping[date, str]:
        found: dict[date, str] = {}
        for event in query.between(date(year, 1, 1), date(year + 1, 1, 1)):
            if not _is_whole_day(event):
                continue
            name = str(event.get("SUMMARY", "")).strip() or "holiday"
            found |= {day: name for day in _days(event) if day.year == year}
        return found

    return days_of, range(min(first for first, _ in years), max(last for _, last in years) + 1)


def _bytes(path: Path, what: str) -> bytes:
    """What stands in a file, and in nothing but a file. Raises `InvalidSettingError`."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not hold us up
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise InvalidSettingError(f"{what}: {path} is no file")
            found = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidSettingError(f"{what}: cannot read {path}: {error.strerror}") from error
    if len(found) > MAX_BYTES:
        raise InvalidSettingError(f"{what}: {path} is larger than {MAX_BYTES // 1024 // 1024} MiB")
    return found


def _is_whole_day(event: Any) -> bool:
    start = event.get("DTSTART")
    cancelled = str(event.get("STATUS", "")).upper() == "CANCELLED"
    return start is not None and not isinstance(start.dt, datetime) and not cancelled


def _days(event: Any) -> list[date]:
    """The days of one occurrence; its end is the day after the last one (RFC 5545, section 3.6.1)."""
    start = event["DTSTART"].dt
    end = event["DTEND"].dt if "DTEND" in event else start + timedelta(days=1)
    if "DURATION" in event:
        end = start + event["DURATION"].dt
    count = max(1, min((end - start).days, _MOST_DAYS))
    return [start + timedelta(days=number) for number in range(count)]


def _years(event: Any, what: str) -> tuple[int, int]:
    """The years that an event is of. Raises `InvalidSettingError` for one that comes again within a day."""
    days = _days(event)
    first, last = days[0].year, days[-1].year
    rules = event.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        if _TOO_OFTEN & {str(name).upper() for name in rule.get("FREQ", [])}:
            raise InvalidSettingError(f"{what}: {event.get('SUMMARY', 'an event')!s} comes more than once a day")
        until = rule.get("UNTIL")
        if until:
            last = max(last, until[0].year)
        else:
            last = _LAST_YEAR if not rule.get("COUNT") else max(last, min(_LAST_YEAR, first + 100))
    dates = event.get("RDATE", [])
    for listed in dates if isinstance(dates, list) else [dates]:
        last = max([last, *(each.dt.year for each in listed.dts if not isinstance(each.dt, tuple))])
    return first, last
