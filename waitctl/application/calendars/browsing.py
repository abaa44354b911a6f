"""Look at calendars: which there are, what a year of one looks like, and what it says of today."""

from __future__ import annotations

from datetime import date, datetime

from waitctl.application.documents import instant
from waitctl.domain.calendar_browser import CalendarKind, CalendarYear, Outlook, outlook, year_of
from waitctl.domain.clocks import Instant
from waitctl.domain.hours import WEEKDAYS, format_days, format_hours
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.calendars import Calendars
from waitctl.infrastructure.config import Settings


class CalendarBrowser:
    """The calendars of one host. No database is asked: now is the host's clock, or the settings' ``as_of``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._calendars = Calendars(settings.calendars)

    def list_calendars(self, prefix: str = "", like: str = "") -> dict[str, CalendarKind]:
        """The names that begin with ``prefix`` and hold ``like``, whatever their case; those of the config first."""
        prefix, like = prefix.lower(), like.lower()
        return {
            name: kind
            for name, kind in self._calendars.kinds().items()
            if name.lower().startswith(prefix) and like in name.lower()
        }

    def get_year(self, name: str, year: int | None = None) -> CalendarYear:
        """A year of a calendar, this one when none is named.

        Raises `UnknownCalendarError` or `CalendarRangeError`.
        """
        calendar = self._calendars.get(name)
        if year is None:
            year = Instant(self._now()).to_tz(calendar.zone or self._settings.timezone).year
        return year_of(calendar, year)

    def get_outlook(self, name: str) -> Outlook:
        """What a calendar says of today. Raises `UnknownCalendarError`."""
        return outlook(self._calendars.get(name), self._now(), self._settings.timezone)

    def _now(self) -> datetime:
        from waitctl.infrastructure.database import host_clock  # it comes with SQLAlchemy

        return self._settings.as_of or host_clock()


def year_document(found: CalendarYear) -> JsonObject:
    """The document of `calendar show`."""
    calendar = found.calendar
    return {
        "name": calendar.name,
        "year": found.year,
        "zone": calendar.zone,
        "work_week": format_days(calendar.work_week),
        "hours": format_hours(calendar.hours) if calendar.hours else None,
        "holidays": [
            {"date": day.isoformat(), "name": name, "weekday": WEEKDAYS[day.weekday()]}
            for day, name in found.holidays.items()
        ],
        "business_days": found.business_days,
    }


def outlook_document(found: Outlook) -> JsonObject:
    """The document of `calendar check`."""
    return {
        "name": found.calendar.name,
        "timezone": found.zone,
        "first_year": found.years[0] if found.years else None,
        "last_year": found.years[-1] if found.years else None,
        "today": found.today.format_iso(),
        "is_business_day": found.is_business_day,
        "reason": found.reason,
        "next_business_day": found.next_business_day.format_iso() if found.next_business_day else None,
        "is_open": found.is_open,
        "closes_at": instant(found.closes_at),
        "next_opening": instant(found.next_opening),
        "next_holidays": [_holiday(day, name) for day, name in found.next_holidays],
        "has_estimates": found.has_estimates,
    }


def _holiday(day: date, name: str) -> JsonObject:
    return {"date": day.isoformat(), "name": name}
