"""Business days: counted as numpy counts them, by calendars of the library and of the config file."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta

import holidays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from whenever import Date

from waitctl.domain.calendars import WEEKDAYS_ONLY, WEEKEND, Calendar
from waitctl.domain.errors import CalendarRangeError, InvalidSettingError, NoOpeningError, UnknownCalendarError
from waitctl.domain.hours import parse_days, parse_hours
from waitctl.infrastructure.calendars import Calendars
from waitctl.infrastructure.config import CalendarConfig

LIBRARY = Calendars()
COUNTRIES = (
    "DE US GB FR IT ES PL NL SE AT CH CA BR MX JP AU ZA NZ".split()  # Saturday and Sunday
    + "EG IL SA BD".split()  # Friday and Saturday
)
YEARS = range(2010, 2040)


def test_oracle_has_twenty_countries_and_thirty_years() -> None:
    assert len(COUNTRIES) >= 20 and len(YEARS) == 30
    assert len({LIBRARY.get(country).work_week for country in COUNTRIES}) > 1


@pytest.mark.parametrize("country", COUNTRIES)
def test_business_days_are_counted_as_numpy_counts_them(country: str) -> None:
    known = holidays.country_holidays(country, years=range(YEARS[0] - 2, YEARS[-1] + 3))
    mask = [weekday not in known.weekend for weekday in range(7)]
    rules = np.busdaycalendar(mask, sorted(known))
    calendar = LIBRARY.get(country)
    every = np.arange(f"{YEARS[0]}-01-01", f"{YEARS[-1] + 1}-01-01", dtype="datetime64[D]")
    for count, starts in [
        (1, every),
        (-1, every),
        (3, every[::5]),
        (10, every[::11]),
        (-21, every[::23]),
        (260, every[::97]),
    ]:
        # Backwards the day that counts first is the one before the weekend: numpy's roll the other way.
        expected = np.busday_offset(starts, count, roll="backward" if count > 0 else "forward", busdaycal=rules)
        counted = [calendar.add_business_days(Date(start), count)[0].to_stdlib() for start in starts.tolist()]
        assert counted == expected.tolist(), f"{count} business days in {country}"
    is_one = [calendar.is_business_day(Date(day)) for day in every.tolist()]
    assert is_one == np.is_busday(every, busdaycal=rules).tolist()


@given(
    start=st.dates(date(1998, 1, 1), date(2030, 12, 31)),
    first=st.integers(1, 300),
    second=st.integers(1, 300),
    back=st.booleans(),
    name=st.sampled_from(["DE-BY", "US-CA", "NYSE", "JP", "IL"]),
)
def test_so_many_and_then_so_many_are_their_sum(start: date, first: int, second: int, back: bool, name: str) -> None:
    calendar, sign = LIBRARY.get(name), -1 if back else 1
    halfway, skipped = calendar.add_business_days(Date(start), sign * first)
    there, skipped_then = calendar.add_business_days(halfway, sign * second)
    assert calendar.add_business_days(Date(start), sign * (first + second)) == (there, skipped + skipped_then)
    passed = abs((there.to_stdlib() - start).days)
    assert passed == first + second + len(skipped) + len(skipped_then)


@given(
    start=st.dates(date(1970, 1, 1), date(2100, 12, 31)),
    first=st.integers(1, 300),
    second=st.integers(1, 300),
    back=st.booleans(),
    work_week=st.sets(st.integers(1, 7), min_size=1).map(frozenset),
    days=st.sets(st.tuples(st.integers(1, 12), st.integers(1, 28)), max_size=40),
)
def test_the_sum_is_the_same_by_any_calendar(
    start: date, first: int, second: int, back: bool, work_week: frozenset[int], days: set[tuple[int, int]]
) -> None:
    calendar = Calendar("any", work_week, lambda year: {date(year, *day): "holiday" for day in days})
    sign = -1 if back else 1
    halfway, _ = calendar.add_business_days(Date(start), sign * first)
    there, _ = calendar.add_business_days(halfway, sign * second)
    assert calendar.add_business_days(Date(start), sign * (first + second))[0] == there


@pytest.mark.parametrize(
    ("name", "start", "count", "end", "skipped"),
    [
        ("DE-BY", "2026-12-23", 1, "2026-12-24", []),
        (
            "DE-BY",
            "2026-12-24",
            1,
            "2026-12-28",
            ["2026-12-25 Christmas Day", "2026-12-26 Second Day of Christmas", "2026-12-27 weekend"],
        ),
        ("DE-BY", "2027-01-05", 1, "2027-01-07", ["2027-01-06 Epiphany"]),
        ("DE", "2027-01-05", 1, "2027-01-06", []),
        ("DE-BY", "2027-01-07", -1, "2027-01-05", ["2027-01-06 Epiphany"]),
        ("US-CA", "2026-03-30", 1, "2026-04-01", ["2026-03-31 Cesar Chavez Day"]),
        ("US", "2026-03-30", 1, "2026-03-31", []),
        ("NYSE", "2026-04-02", 1, "2026-04-06", ["2026-04-03 Good Friday", "2026-04-04 weekend", "2026-04-05 weekend"]),
        # 2022-01-01 was a Saturday, and observed in the year before.
        (
            "US",
            "2021-12-30",
            1,
            "2022-01-03",
            ["2021-12-31 New Year's Day (observed)", "2022-01-01 New Year's Day", "2022-01-02 weekend"],
        ),
    ],
)
def test_known_days(name: str, start: str, count: int, end: str, skipped: list[str]) -> None:
    day, passed = LIBRARY.get(name).add_business_days(Date.parse_iso(start), count)
    assert (day.format_iso(), [f"{off.format_iso()} {why}" for off, why in passed]) == (end, skipped)


@pytest.mark.parametrize(
    ("start", "count", "end"),
    [  # 2026-06-06 is a Saturday
        ("2026-06-06", 1, "2026-06-08"),
        ("2026-06-07", 1, "2026-06-08"),
        ("2026-06-08", 1, "2026-06-09"),
        ("2026-06-05", 1, "2026-06-08"),
        ("2026-06-06", -1, "2026-06-05"),
        ("2026-06-08", -1, "2026-06-05"),
        ("2026-06-06", 5, "2026-06-12"),
        ("2026-06-05", 5, "2026-06-12"),
    ],
)
def test_start_never_counts(start: str, count: int, end: str) -> None:
    assert WEEKDAYS_ONLY.add_business_days(Date.parse_iso(start), count)[0].format_iso() == end


def test_why_a_day_is_off() -> None:
    calendar = Calendar("mine", holidays_of=lambda year: {date(year, 5, 1): "Labour Day", date(year, 5, 2): ""})
    assert calendar.day_off(Date(2027, 5, 1)) == "Labour Day"  # a Saturday, but the holiday has a name
    assert calendar.day_off(Date(2028, 5, 2)) == "" and not calendar.is_business_day(Date(2028, 5, 2))
    assert calendar.day_off(Date(2026, 5, 3)) == WEEKEND
    assert calendar.day_off(Date(2026, 5, 4)) is None and calendar.is_business_day(Date(2026, 5, 4))


@pytest.mark.parametrize("name", ["DE", "LK", "NYSE", "DE-BY"])
def test_beyond_the_years_of_a_calendar_is_an_error(name: str) -> None:
    calendar = LIBRARY.get(name)
    first, last = calendar.years[0], calendar.years[-1]
    for day, count in ((Date(first, 1, 1), -30), (Date(last, 12, 31), 1), (Date(last, 12, 1), 30)):
        with pytest.raises(CalendarRangeError, match=f"{name} knows the years {first} to {last}, not"):
            calendar.add_business_days(day, count)
    for day in (Date(first, 1, 1), Date(last, 12, 31)):
        assert isinstance(calendar.is_business_day(day), bool)
    with pytest.raises(CalendarRangeError):
        calendar.day_off(Date(last + 1, 1, 1))


def test_year_of_which_only_some_holidays_are_known_is_an_error() -> None:
    """India's lunar holidays are known for some years only."""
    india = LIBRARY.get("IN")
    assert india.day_off(Date(2026, 11, 8)) is not None
    with pytest.raises(CalendarRangeError, match="IN does not know all holidays of 2090"):
        india.is_business_day(Date(2090, 6, 1))


def test_calendar_without_business_days_is_no_hang() -> None:
    calendar = Calendar("never", work_week=frozenset())
    with pytest.raises(NoOpeningError, match="never has no business day within 400 days of 2026-06-01"):
        calendar.add_business_days(Date(2026, 6, 1), 1)


# -- by name -----------------------------------------------------------------------------------------------------------


def configured(*configs: CalendarConfig) -> Calendars:
    return Calendars({config.name: config for config in configs})


@pytest.mark.parametrize(
    ("name", "near"),
    [("de-by", "DE-BY"), ("NYES", "NYSE"), ("US-Ca", "US-CA"), ("DE-", "DE"), ("DE-XX", "DE-"), ("compny", "company")],
)
def test_unknown_name_comes_with_the_nearest(name: str, near: str) -> None:
    calendars = configured(CalendarConfig("company"))
    with pytest.raises(UnknownCalendarError) as caught:
        calendars.get(name)
    assert caught.value.message == f"{name!r} is not a calendar"
    assert caught.value.hint is not None
    asked, _, rest = caught.value.hint.partition("?")
    assert asked.startswith("did you mean ") and near in asked and "waitctl calendar list" in rest


def test_name_that_is_near_to_none() -> None:
    with pytest.raises(UnknownCalendarError) as caught:
        LIBRARY.get("\u2603" * 30)
    assert caught.value.hint == "waitctl calendar list names them all"
    assert caught.value.message.isascii()


def test_names_of_all_that_can_be_asked_for() -> None:
    calendars = configured(CalendarConfig("zebra"), CalendarConfig("ant"))
    names = calendars.names()
    assert names[:2] == ["ant", "zebra"]
    assert {"DE", "DE-BY", "US-CA", "NYSE"} <= set(names)
    assert all(calendars.get(name).name == name for name in ("ant", "NYSE", "DE-BY"))
    assert calendars.get("DE-BY") is calendars.get("DE-BY")


def test_every_country_and_exchange_makes_a_calendar() -> None:
    day = Date(2025, 3, 4)
    for name in (name for name in LIBRARY.names() if "-" not in name):
        calendar = Calendars().get(name)
        assert calendar.name == name and calendar.work_week
        if day.year in calendar.years:
            calendar.day_off(day)


COMPANY = CalendarConfig(
    "company",
    base="DE-BY",
    extra={date(2026, 12, 24): "Christmas Eve", date(2026, 12, 31): "New Year's Eve"},
    removed=frozenset({date(2026, 1, 6), date(2026, 6, 1)}),
    work_week=parse_days("mon-thu"),
    hours=parse_hours("mon-thu 09:00-12:00,13:00-17:00"),
    zone="Europe/Berlin",
)


def offs(calendar: Calendar, year: int, month: int) -> Mapping[int, str]:
    day = Date(year, month, 1)
    found = {}
    while day.month == month:
        why = calendar.day_off(day)
        if why not in {None, WEEKEND}:
            found[day.day] = str(why)
        day = day.next_day()
    return found


def test_calendar_of_the_config_file() -> None:
    calendar = configured(COMPANY).get("company")
    assert offs(calendar, 2026, 1) == {1: "New Year's Day"}
    assert offs(configured(COMPANY).get("DE-BY"), 2026, 1) == {1: "New Year's Day", 6: "Epiphany"}
    assert offs(calendar, 2026, 12) == {
        24: "Christmas Eve",
        25: "Christmas Day",
        26: "Second Day of Christmas",
        31: "New Year's Eve",
    }
    assert offs(calendar, 2027, 12) == {25: "Christmas Day", 26: "Second Day of Christmas"}
    assert calendar.day_off(Date(2026, 6, 5)) == WEEKEND  # a Friday
    assert (calendar.hours, calendar.zone, calendar.name) == (COMPANY.hours, "Europe/Berlin", "company")
    assert calendar.years == LIBRARY.get("DE-BY").years


def test_what_is_left_out_is_the_bases() -> None:
    branch = CalendarConfig(
        "branch", base="company", extra={date(2026, 6, 2): "Fair"}, removed=frozenset({date(2026, 12, 24)})
    )
    calendar = configured(COMPANY, branch).get("branch")
    assert (calendar.hours, calendar.zone, calendar.work_week) == (COMPANY.hours, COMPANY.zone, COMPANY.work_week)
    assert calendar.day_off(Date(2026, 6, 2)) == "Fair"
    assert calendar.day_off(Date(2026, 12, 24)) is None  # removed what its base had added
    assert calendar.day_off(Date(2026, 12, 31)) == "New Year's Eve"


def test_calendar_without_a_base() -> None:
    calendar = configured(CalendarConfig("plain", hours=parse_hours("sat 10:00-14:00; sun 22:00-02:00"))).get("plain")
    assert calendar.work_week == {6, 7}
    assert calendar.add_business_days(Date(2026, 6, 1), 1)[0] == Date(2026, 6, 6)
    plain = configured(CalendarConfig("plain", extra={date(2026, 6, 2): "Fair"})).get("plain")
    assert plain.work_week == {1, 2, 3, 4, 5}
    assert plain.add_business_days(Date(2026, 6, 1), 1)[0] == Date(2026, 6, 3)
    assert plain.is_business_day(Date(9000, 1, 1))


def test_work_week_beats_the_days_of_the_hours() -> None:
    config = CalendarConfig("plain", hours=parse_hours("09:00-17:00"), work_week=parse_days("mon,tue"))
    assert configured(config).get("plain").work_week == {1, 2}


def test_own_name_as_base_is_the_librarys() -> None:
    calendar = configured(CalendarConfig("DE", base="DE", extra={date(2026, 6, 2): "Fair"})).get("DE")
    assert calendar.day_off(Date(2026, 6, 2)) == "Fair"
    assert calendar.day_off(Date(2026, 5, 1)) == "Labor Day"
    assert LIBRARY.get("DE").is_business_day(Date(2026, 6, 2))


@pytest.mark.parametrize("name", ["first", "second", "outside"])
def test_base_that_leads_back_is_an_error(name: str) -> None:
    calendars = configured(
        CalendarConfig("first", base="second"),
        CalendarConfig("second", base="first"),
        CalendarConfig("outside", base="first"),
    )
    with pytest.raises(InvalidSettingError, match=r"calendars\.(first|second)\.base leads back to (first|second)"):
        calendars.get(name)


@pytest.mark.parametrize(("base", "near"), [("DE-BV", "DE-"), ("company", "")])
def test_base_that_is_unknown_names_its_key(base: str, near: str) -> None:
    calendars = configured(CalendarConfig("company", base=base))
    with pytest.raises(UnknownCalendarError) as caught:
        calendars.get("company")
    assert caught.value.message == f"calendars.company.base: '{base}' is not a calendar"
    assert near in str(caught.value.hint) and "company" not in str(caught.value.hint)


def test_days_are_looked_up_once() -> None:
    asked: list[int] = []

    def holidays_of(year: int) -> Mapping[date, str]:
        asked.append(year)
        return {}

    calendar = Calendar("counting", holidays_of=holidays_of)
    for _ in range(3):
        assert calendar.is_business_day(Date(2026, 6, 1))
    assert asked == [2026]
    assert (Date(2026, 6, 1).to_stdlib() + timedelta(days=1)).isoweekday() in calendar.work_week
