"""Calendars by name: those of the config file, countries and their parts, stock exchanges.

Holidays come from the `holidays` library, loaded when a calendar is named: it costs a tenth of a second.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from waitctl.domain.calendars import Calendar
from waitctl.domain.errors import CalendarRangeError, InvalidSettingError, UnknownCalendarError
from waitctl.infrastructure.config import CalendarConfig

if TYPE_CHECKING:
    from holidays import HolidayBase

    from waitctl.domain.calendar_browser import CalendarKind


_BANK = {"HK": "optional", "HKG": "optional"}
"""Where the library has the days on which banks are closed under another category than ``bank``.

Hong Kong's are the general holidays of Cap. 149, Good Friday among them, which is no statutory holiday.
"""


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
            observed = all(self._configured[each].observed for each in above)
            return self._from_library(name, above, observed=observed)
        if name in above:
            raise InvalidSettingError(f"calendars.{name}.base leads back to {name}")
        base = Calendar(name) if config.base is None else self._make(config.base, (*above, name))
        if config.ics is not None:
            from waitctl.infrastructure.ics import with_file

            base = with_file(base, (config.folder or Path()) / Path(config.ics).expanduser(), f"calendars.{name}.ics")
        return _adjust(base, config)

    def _from_library(self, name: str, above: tuple[str, ...], *, observed: bool) -> Calendar:
        make = _find(name, observed=observed)
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
        worked=base.worked | config.worked,
        special_hours={**base.special_hours, **config.half_days},
    )


def _find(name: str, *, observed: bool) -> Callable[[Sequence[int]], HolidayBase] | None:
    """What makes the library's holidays of some years for ``DE``, ``DE-BY`` or ``NYSE``; in English where it can.

    ``DE-BY+catholic`` has those of a category beside the public ones. Raises `UnknownCalendarError` for a category that
    the library does not have there.
    """
    from holidays import country_holidays, financial_holidays, list_supported_countries, list_supported_financial

    plain, *categories = name.split("+")
    country, dash, part = plain.partition("-")
    countries = list_supported_countries()
    make: Callable[..., HolidayBase]
    if plain in list_supported_financial():
        make = partial(financial_holidays, plain)
    elif country in countries and (not dash or part in countries[country]):
        make = partial(country_holidays, country, subdiv=part or None)
    else:
        return None
    blank = make()
    if "bank" not in blank.supported_categories and country in _BANK:
        categories = [_BANK[country] if each == "bank" else each for each in categories]
    if unknown := set(categories) - set(blank.supported_categories):
        raise UnknownCalendarError(
            f"{name!a} is not a calendar: {plain} has no category {min(unknown)!a}",
            hint=f"of {', '.join(blank.supported_categories)}",
        )
    wanted = (blank.default_category or "public", *categories) if categories else None
    return lambda years: make(years=years, language="en_US", observed=observed, categories=wanted)


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
