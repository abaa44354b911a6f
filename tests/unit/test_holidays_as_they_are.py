"""Worked Saturdays, half days, categories, observed days, iCalendar files, quiet hours."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from whenever import Date, Instant

from tests.unit.test_hours import opening_hours
from tests.unit.wall_clocks import is_within
from waitctl import Settings, load_settings
from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    CalendarRangeError,
    InvalidSettingError,
    InvalidWaitConfigurationError,
    UnknownCalendarError,
)
from waitctl.domain.hours import all_but, parse_hours
from waitctl.domain.intents import FixedTime, Intent, Rules, parse_fixed_time, parse_until_date, parse_until_time
from waitctl.domain.listeners import EventQuery
from waitctl.domain.schedule import resolve
from waitctl.infrastructure.calendars import Calendars

THURSDAY = datetime(2026, 10, 8, 12, tzinfo=UTC)


def settings(folder: Path, text: str) -> Settings:
    (folder / "config.toml").write_text(text, encoding="utf-8")
    return load_settings(config=str(folder / "config.toml"), environ={})


def calendar(folder: Path, body: str) -> Calendar:
    return Calendars(settings(folder, f"[calendars.company]\n{body}").calendars).get("company")


def at(intent: Intent, by: Calendar, base: datetime = THURSDAY) -> datetime:
    return resolve(intent, base=base, zone="UTC", rules=Rules(calendar="company"), calendar=by).at


# -- single days ---------------------------------------------------------------------------------------------------------


def test_a_worked_saturday_counts(tmp_path: Path) -> None:
    """As those that China works for its long holidays; and one beats a holiday of its base."""
    company = calendar(tmp_path, 'base = "CN"\nworked = ["2026-10-10", "2026-10-01"]\nhours = "mon-fri 09:00-17:00"')
    assert company.is_business_day(Date(2026, 10, 10))
    assert company.is_business_day(Date(2026, 10, 1))
    assert not company.is_business_day(Date(2026, 10, 2))
    assert not company.is_business_day(Date(2026, 10, 17))
    assert at(parse_fixed_time("2bd"), company) == datetime(2026, 10, 10, 12, tzinfo=UTC)
    # It has the hours of a working day, though the week has none for a Saturday.
    assert at(parse_fixed_time("2bd", "18:00"), company) == datetime(2026, 10, 12, 9, tzinfo=UTC)
    assert at(parse_fixed_time("14bh"), company) == datetime(2026, 10, 10, 10, tzinfo=UTC)


def test_a_half_day_ends_early(tmp_path: Path) -> None:
    company = calendar(
        tmp_path,
        'base = "DE-BY"\nhours = "mon-fri 09:00-17:00"\nhalf_days = { "2026-12-24" = "09:00-12:00", "2026-12-26" = '
        '"10:00-11:00,14:00-15:00" }',
    )
    base = datetime(2026, 12, 23, 12, tzinfo=UTC)
    assert at(parse_until_date("2026-12-24T11:59"), company, base) == datetime(2026, 12, 24, 11, 59, tzinfo=UTC)
    # Christmas is closed; the 26th, a Saturday and a holiday, is open for two hours.
    assert at(parse_until_date("2026-12-24T12:00"), company, base) == datetime(2026, 12, 26, 10, tzinfo=UTC)
    assert at(parse_fixed_time("9bh"), company, base) == datetime(2026, 12, 26, 11, tzinfo=UTC)
    assert at(parse_fixed_time("9.5bh"), company, base) == datetime(2026, 12, 26, 14, 30, tzinfo=UTC)
    assert company.gate("UTC") is not None


def test_a_half_day_of_a_calendar_without_hours(tmp_path: Path) -> None:
    company = calendar(tmp_path, 'half_days = { "2026-10-09" = "08:00-12:00" }')
    friday = datetime(2026, 10, 9, 13, tzinfo=UTC)
    assert at(parse_until_date("2026-10-09T13:00"), company) == datetime(2026, 10, 12, tzinfo=UTC)
    assert at(parse_until_date("2026-10-09T09:00"), company) == friday.replace(hour=9)
    assert at(parse_until_date("2026-10-12T03:00"), company) == datetime(2026, 10, 12, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('half_days = { "2026-12-24" = "mon 09:00-12:00" }', "half_days"),
        ('half_days = { "2026-12-24" = "12:00-12:00" }', "empty"),
        ('half_days = { "2026-02-31" = "09:00-12:00" }', "not a date"),
        ('half_days = ["2026-12-24"]', "write a table"),
        ('worked = ["2026-02-31"]', "not a date"),
        ('observed = "no"', "observed"),
    ],
)
def test_what_the_config_cannot_mean(tmp_path: Path, body: str, says: str) -> None:
    with pytest.raises(InvalidSettingError, match=says):
        calendar(tmp_path, body)


# -- of the library ------------------------------------------------------------------------------------------------------


def test_categories() -> None:
    calendars, ascension = Calendars(), Date(2026, 8, 15)
    public, catholic = calendars.get("DE-BY").holidays_of(2026), calendars.get("DE-BY+catholic").holidays_of(2026)
    assert set(public) < set(catholic)
    assert ascension.to_stdlib() in catholic
    for name, says in (("DE-BY+bank", "has no category 'bank'"), ("DE-BY+", "no category ''"), ("XX+bank", "'XX")):
        with pytest.raises(UnknownCalendarError, match=says):
            calendars.get(name)
    with pytest.raises(UnknownCalendarError) as caught:
        calendars.get("DE-BY+bank")
    assert "catholic" in str(caught.value.hint)


def test_the_days_on_which_banks_are_closed() -> None:
    """In Hong Kong they are general holidays, of which some are no statutory ones; elsewhere the library says bank."""
    good_friday, day_after = Date(2026, 4, 3).to_stdlib(), Date(2026, 4, 4).to_stdlib()
    for name in ("HK+bank", "HKG+bank"):
        general = Calendars().get(name).holidays_of(2026)
        assert {good_friday, day_after} <= general.keys()
    assert good_friday not in Calendars().get("HK").holidays_of(2026)
    assert Date(2026, 12, 31).to_stdlib() in Calendars().get("SE+bank").holidays_of(2026)


def test_a_category_of_a_base(tmp_path: Path) -> None:
    company = calendar(tmp_path, 'base = "DE-BY+catholic"')
    assert company.day_off(Date(2026, 8, 15))


def test_observed_days(tmp_path: Path) -> None:
    """Independence Day of 2026 is a Saturday; by default the Friday before is off."""
    friday = Date(2026, 7, 3)
    assert not Calendars().get("US").is_business_day(friday)
    assert calendar(tmp_path, 'base = "US"\nobserved = false').is_business_day(friday)
    assert not calendar(tmp_path, 'base = "US"').is_business_day(friday)


# -- an iCalendar file ---------------------------------------------------------------------------------------------------

CLUB = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//club//EN
BEGIN:VEVENT
UID:1
DTSTART;VALUE=DATE:20261005
DTEND;VALUE=DATE:20261008
SUMMARY:Autumn break
END:VEVENT
BEGIN:VEVENT
UID:2
DTSTART;VALUE=DATE:20200612
RRULE:FREQ=YEARLY
EXDATE;VALUE=DATE:20270612
SUMMARY:Founders' day
END:VEVENT
BEGIN:VEVENT
UID:3
DTSTART:20261012T090000Z
DTEND:20261012T100000Z
SUMMARY:A meeting
END:VEVENT
BEGIN:VEVENT
UID:4
DTSTART;VALUE=DATE:20261013
STATUS:CANCELLED
SUMMARY:Off after all
END:VEVENT
END:VCALENDAR
"""


def from_file(folder: Path, text: str, body: str = "") -> Calendar:
    (folder / "club.ics").write_text(text.replace("\n", "\r\n"), encoding="utf-8", newline="")
    return calendar(folder, f'ics = "club.ics"\n{body}')


def test_whole_days_of_a_file_are_holidays(tmp_path: Path) -> None:
    club = from_file(tmp_path, CLUB)
    assert club.holidays_of(2026) == {
        date(2026, 6, 12): "Founders' day",
        **{date(2026, 10, day): "Autumn break" for day in (5, 6, 7)},
    }
    assert club.holidays_of(2027) == {}
    assert club.holidays_of(2199) == {date(2199, 6, 12): "Founders' day"}
    assert club.is_business_day(Date(2026, 10, 13))
    assert at(parse_fixed_time("2bd"), club, datetime(2026, 10, 2, 12, tzinfo=UTC)) == datetime(
        2026, 10, 9, 12, tzinfo=UTC
    )
    for year in (2019, 2200):
        with pytest.raises(CalendarRangeError, match="2020 to 2199"):
            club.is_business_day(Date(year, 6, 1))


def test_a_file_beside_a_base(tmp_path: Path) -> None:
    both = from_file(tmp_path, CLUB, 'base = "DE-BY"\nextra = { "2026-10-09" = "a bridge" }')
    assert both.day_off(Date(2026, 10, 3))
    assert both.day_off(Date(2026, 10, 6)) == "Autumn break"
    assert both.day_off(Date(2026, 10, 9)) == "a bridge"
    assert not both.is_business_day(Date(2027, 1, 1))


def test_a_file_without_repetitions_ends_with_its_last_year(tmp_path: Path) -> None:
    text = CLUB.replace("RRULE:FREQ=YEARLY\n", "")
    assert from_file(tmp_path, text).years == range(2020, 2027)
    assert from_file(tmp_path, CLUB.replace("YEARLY", "YEARLY;UNTIL=20300101")).years == range(2020, 2031)


def many(count: int) -> str:
    events = "".join(
        f"BEGIN:VEVENT\nUID:{n}\nDTSTART;VALUE=DATE:{date(2000, 1, 1) + timedelta(days=n):%Y%m%d}\nEND:VEVENT\n"
        for n in range(count)
    )
    return f"BEGIN:VCALENDAR\nVERSION:2.0\nPRODID:x\n{events}END:VCALENDAR\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no iCalendar file|no whole days"),
        ("nothing of the kind\n", r"\.ics is no iCalendar file$"),
        (many(0), "no whole days"),
        (CLUB.replace("FREQ=YEARLY", "FREQ=SECONDLY"), "more than once a day"),
        (CLUB.replace("FREQ=YEARLY", "FREQ=HOURLY"), "more than once a day"),
        (many(5001), "5,001 whole days, more than 5,000"),
        ("x" * (4 * 1024 * 1024 + 1), "larger than 4 MiB"),
    ],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InvalidSettingError, match=says):
        from_file(tmp_path, text)


def test_what_stands_in_a_file_that_is_none_is_not_told(tmp_path: Path) -> None:
    """A config of calendars alone may be anybody's, and name a key."""
    key = "af5d45f8c0ffee"
    for text in (key, f"BEGIN:VCALENDAR\n{key}\nEND:VCALENDAR", f"BEGIN:VCALENDAR\nX-A;{key}:\nEND:VCALENDAR"):
        with pytest.raises(InvalidSettingError) as refused:
            from_file(tmp_path, text)
        assert key not in f"{refused.value}{refused.value.hint}", text


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/null", "/"])
def test_what_is_no_file(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidSettingError, match=r"is no file|cannot read"):
        calendar(tmp_path, f'ics = "{path}"')


def test_a_pipe_that_nobody_writes_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.ics")
    with pytest.raises(InvalidSettingError, match="is no file"):
        calendar(tmp_path, 'ics = "pipe.ics"')


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingError, match=r"calendars\.company\.ics: cannot read"):
        calendar(tmp_path, 'ics = "nowhere.ics"')


# -- quiet hours ---------------------------------------------------------------------------------------------------------

SUNDAY = datetime(2026, 10, 4)


@given(opening_hours())
def test_all_but_is_the_rest_of_the_week(quiet: object) -> None:
    from waitctl.domain.hours import OpeningHours

    assert isinstance(quiet, OpeningHours)
    minutes = [SUNDAY + timedelta(minutes=7 * number) for number in range(8 * 24 * 60 // 7)]
    try:
        rest = all_but(quiet)
    except InvalidWaitConfigurationError:
        assert all(is_within(minute, quiet) for minute in minutes)
        return
    assert all(is_within(minute, quiet) != is_within(minute, rest) for minute in minutes)


@pytest.mark.parametrize(
    ("quiet", "rest"),
    [
        ("22:00-08:00", "08:00-22:00"),
        ("sat,sun", "mon-fri 00:00-24:00"),
        ("mon-fri 09:00-17:00", None),
        ("fri 18:00-24:00; sat,sun; mon 00:00-08:00", None),
    ],
)
def test_quiet_hours_and_the_rest(quiet: str, rest: str | None) -> None:
    hours = parse_hours(quiet)
    assert rest is None or str(all_but(hours)) == rest
    with pytest.raises(InvalidWaitConfigurationError, match="no time at all"):
        all_but(parse_hours("mon-sun"))


@pytest.mark.parametrize(
    ("rules", "intent", "wanted"),
    [
        (Rules(quiet=parse_hours("22:00-08:00")), parse_until_time("23:00"), datetime(2026, 10, 9, 8, tzinfo=UTC)),
        (Rules(quiet=parse_hours("22:00-08:00")), parse_until_time("21:59"), datetime(2026, 10, 8, 21, 59, tzinfo=UTC)),
        (
            Rules(quiet=parse_hours("12:00-13:00"), window=parse_hours("mon-fri 09:00-12:30")),
            parse_until_time("12:15"),
            datetime(2026, 10, 9, 9, tzinfo=UTC),
        ),
        (
            Rules(quiet=parse_hours("22:00-08:00"), window=parse_hours("07:00-09:00")),
            FixedTime(parse_duration("2.5bh", business=True)),
            datetime(2026, 10, 10, 8, tzinfo=UTC),
        ),
    ],
)
def test_nothing_goes_on_then(rules: Rules, intent: Intent, wanted: datetime) -> None:
    found = resolve(intent, base=THURSDAY, zone="UTC", rules=rules)
    assert found.at == wanted
    assert Rules.from_config(rules.to_config()) == rules


def test_an_event_too_is_held_by_quiet_hours() -> None:
    query = EventQuery(("email_open",), rules=Rules(quiet=parse_hours("22:00-08:00"))).checked()
    [listener] = query.listeners(["l"], "ada", now=THURSDAY, timeout_at=None)
    assert listener.gated
    assert Instant(THURSDAY).to_tz("UTC").hour == 12
