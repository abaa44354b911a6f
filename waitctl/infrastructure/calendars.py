"""Calendars by name: those of the config file, countries and their parts, stock exchanges.

Holidays come from the `holidays` library, loaded when a calendar is named: it costs a tenth of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import TYPE_CHECKING

from waitctl.domain.calendars import Calendar
from waitctl.domain.errors import CalendarRangeError, InvalidSettingError, UnknownCalendarError
from waitctl.infrastructure.config import CalendarConfig

if TYPE_CHECKING:
    from holidays import HolidayBase

    from waitctl.domain.calendar_browser import CalendarKind


class Calendars:
    """The calendars that this host knows."""

    def __init__(self, configured: Mapping[str, CalendarConfig] | None = None) -> None:
        self._configured = configured or {}
        self._made: dict[str, Calendar] = {}

    def get(self, name: str) -> Calendar:
        """The calendar of this name. Raises `UnknownCalendarError`, with the nearest names."""
        if name not in self._made:
            self._made[name] = self._make(name, ())
        return self._made[name]

    def names(self) -> list[str]:
        """Every name that can be asked for, those of the config file first."""
        return list(self.kinds())

    def kinds(self) -> dict[str, CalendarKind]:
        """Every name with where it comes from: the config file, countries, their parts, stock exchanges."""
        from waitctl.domain.calendar_browser import CalendarKind

        configured = dict.fromkeys(sorted(self._configured), CalendarKind.CONFIG)
        return configured | {name: kind for name, kind in _libraries_kinds().items() if name not in configured}

    def _make(self, name: str, above: tuple[str, ...]) -> Calendar:
        config = self._configured.get(name)
        if config is None or name in above[-1:]:  # a configured "DE" may be based on the library's
            return self._from_library(name, above)
        if name in above:
            raise InvalidSettingError(f"calendars.{name}.base leads back to {name}")
        if config.base is None:
            return _adjust(Calendar(name), config)
        return _adjust(self._make(config.base, (*above, name)), config)

    def _from_library(self, name: str, above: tuple[str, ...]) -> Calendar:
        make = _find(name)
        if make is None:
            where = f"calendars.{above[-1]}.base: " if above else ""
            raise UnknownCalendarError(f"{where}{name!a} is not a calendar", hint=self._hint(name, above))

        @cache
        def holidays_of(year: int) -> Mapping[date, str]:
            with warnings.catch_warnings():
                # With a warning the library gives some of a year's holidays where it does not know them all (India).
                warnings.simplefilter("error", UserWarning)
                try:
                    found = make((year,))
                except UserWarning as warning:
                    message = f"the calendar {name} does not know all holidays of {year}: {warning}"
                    raise CalendarRangeError(message) from warning
            return {day: label for day, label in found.items() if day.year == year}

        blank = make(())
        return Calendar(
            name,
            work_week=frozenset(range(1, 8)) - {day + 1 for day in blank.weekend},
            holidays_of=holidays_of,
            years=range(blank.start_year, blank.end_year + 1),
        )

    def _hint(self, name: str, above: tuple[str, ...]) -> str:
        from difflib import get_close_matches  # only on the way out

        by_folded = {known.lower(): known for known in self.names() if known not in above}
        near = [by_folded[match] for match in get_close_matches(name.lower(), by_folded, n=3)]
        found = f"did you mean {' or '.join(near)}? " if near else ""
        return f"{found}waitctl calendar list names them all"


def _adjust(base: Calendar, config: CalendarConfig) -> Calendar:
    """The calendar of the config file: its base with dates added and removed, and a week of its own."""

    @cache
    def holidays_of(year: int) -> Mapping[date, str]:
        kept = {day: name for day, name in base.holidays_of(year).items() if day not in config.removed}
        return kept | {day: name for day, name in config.extra.items() if day.year == year}

    work_week = config.work_week
    if work_week is None and config.base is None and config.hours is not None:
        work_week = config.hours.days
    return Calendar(
        config.name,
        work_week=base.work_week if work_week is None else work_week,
        holidays_of=holidays_of,
        years=base.years,
        hours=config.hours or base.hours,
        zone=config.zone or base.zone,
    )


def _find(name: str) -> Callable[[Sequence[int]], HolidayBase] | None:
    """What makes the library's holidays of some years for ``DE``, ``DE-BY`` or ``NYSE``; in English where it can."""
    from holidays import country_holidays, financial_holidays, list_supported_countries, list_supported_financial

    if name in list_supported_financial():
        return lambda years: financial_holidays(name, years=years, language="en_US")
    country, dash, part = name.partition("-")
    countries = list_supported_countries()
    if country not in countries or (dash and part not in countries[country]):
        return None
    return lambda years: country_holidays(country, subdiv=part or None, years=years, language="en_US")


def _libraries_kinds() -> dict[str, CalendarKind]:
    from holidays import list_supported_countries, list_supported_financial

    from waitctl.domain.calendar_browser import CalendarKind

    countries = list_supported_countries()
    parts = sorted(f"{country}-{part}" for country in countries for part in countries[country])
    return {
        **dict.fromkeys(sorted(countries), CalendarKind.COUNTRY),
        **dict.fromkeys(parts, CalendarKind.SUBDIVISION),
        **dict.fromkeys(sorted(list_supported_financial()), CalendarKind.MARKET),
    }
