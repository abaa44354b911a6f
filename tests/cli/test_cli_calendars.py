"""`waitctl calendar`: which there are, a year of one, what it says of today; without a database."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import holidays
import pytest

from tests.cli.processes import Waitctl
from waitctl.application.calendars.browsing import CalendarBrowser, outlook_document, year_document
from waitctl.infrastructure.config import load_settings
from waitctl.infrastructure.database import host_clock

CONFIG = """
timezone = "Europe/Berlin"

[calendars.company]
base = "DE-BY"
hours = "mon-fri 09:00-12:00,13:00-17:00"
extra = { "2026-03-03" = "Founder's Day", "2026-03-07" = "Spring [bold]cleaning[/bold]" }

[calendars.shop]
work_week = "tue-sat"
hours = "tue-sat 10:00-20:00"
zone = "America/New_York"
extra = { "2026-03-04" = "Stock-taking" }

[calendars.bar]
work_week = "mon-sun"
hours = "mon-sun 18:00-02:00"

[calendars.always]
work_week = "mon-sun"
hours = "mon-sun 00:00-24:00"

[calendars.free]

[calendars.DE]
base = "DE"
extra = { "2026-03-02" = "Ours" }

[calendars.lost]
base = "DE-BX"
"""
MONDAY = "2026-03-02T09:00:00Z"
"""Ten o'clock in Berlin, four in the morning in New York."""


@pytest.fixture
def calendar(tmp_path: Path) -> Waitctl:
    """The command, with calendars of its own and no database."""
    (tmp_path / "config.toml").write_text(CONFIG)
    return Waitctl(tmp_path, None)


def asked(calendar: Waitctl, *arguments: str, at: str = MONDAY) -> Any:
    env = {"WAITCTL_CONFIG": "config.toml", "WAITCTL_AS_OF": at}
    return calendar("calendar", *arguments, "-o", "json", env=env).ok().json


def calendar_browser(calendar: Waitctl, at: str = MONDAY) -> CalendarBrowser:
    """What the command asks, without the process: for many questions."""
    config = str(calendar.folder / "config.toml")
    return CalendarBrowser(load_settings(config=config, environ={"WAITCTL_AS_OF": at}))


def shown(calendar: Waitctl, *arguments: str, at: str = MONDAY) -> str:
    return calendar("calendar", *arguments, env={"WAITCTL_CONFIG": "config.toml", "WAITCTL_AS_OF": at}).ok().out


# -- list --------------------------------------------------------------------------------------------------------------


def test_the_list_begins_with_the_config(calendar: Waitctl) -> None:
    listed = asked(calendar, "list")
    assert list(listed) == ["calendars"]
    rows = [(row["name"], row["kind"]) for row in listed["calendars"]]
    assert all(list(row) == ["name", "kind"] for row in listed["calendars"])
    own = [(name, "config") for name in ("DE", "always", "bar", "company", "free", "lost", "shop")]
    assert rows[:7] == own
    kinds = [kind for _, kind in rows]
    assert kinds == sorted(kinds, key=["config", "country", "subdivision", "market"].index)
    assert {("FR", "country"), ("US-CA", "subdivision"), ("NYSE", "market")} <= set(rows)
    names = [name for name, _ in rows]
    assert len(names) == len(set(names))
    countries = holidays.list_supported_countries()
    there = {*countries, *holidays.list_supported_financial(), *(name for name, kind in own)}
    assert set(names) == there | {f"{country}-{part}" for country, parts in countries.items() for part in parts}


def test_the_list_can_be_filtered(calendar: Waitctl) -> None:
    names = [row["name"] for row in asked(calendar, "list", "de-b")["calendars"]]
    assert names == ["DE-BB", "DE-BE", "DE-BW", "DE-BY"]
    env = {"WAITCTL_CONFIG": "config.toml"}
    assert calendar("calendar", "list", "--like", "nys", "-o", "id", env=env).ok().lines == ["NYSE", "XNYS"]
    assert calendar("calendar", "list", "X", "--like", "nys", "-o", "ndjson", env=env).ok().lines == [
        '{"name":"XNYS","kind":"market"}'
    ]
    human = calendar("calendar", "list", "com", env=env).ok().lines
    assert [line.split() for line in human] == [["CALENDAR", "KIND"], ["company", "config"], ["COM", "country"]]
    none = calendar("calendar", "list", "zzz", env=env)
    assert (none.code, none.out, none.err) == (0, "", "no calendars\n")
    assert asked(calendar, "list", "zzz") == {"calendars": []}


# -- show --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["DE-BY", "US-CA", "IL", "NYSE"])
def test_a_year_is_the_library_s(calendar: Waitctl, name: str) -> None:
    document = year_document(calendar_browser(calendar).get_year(name, 2027))
    country, _, part = name.partition("-")
    oracle = (
        holidays.financial_holidays(name, years=2027, language="en_US")
        if name == "NYSE"
        else holidays.country_holidays(country, subdiv=part or None, years=range(2026, 2029), language="en_US")
    )
    expected = {day: label for day, label in sorted(oracle.items()) if day.year == 2027}
    weekdays = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    assert document["holidays"] == [
        {"date": str(day), "name": label, "weekday": weekdays[day.weekday()]} for day, label in expected.items()
    ]
    days = [date(2027, 1, 1) + timedelta(days=number) for number in range(365)]
    weekend = {4, 5} if name == "IL" else {5, 6}
    assert document["business_days"] == sum(day.weekday() not in weekend and day not in expected for day in days)
    assert {key: document[key] for key in ("name", "year", "zone", "hours")} == {
        "name": name,
        "year": 2027,
        "zone": None,
        "hours": None,
    }
    assert document["work_week"] == ("sun-thu" if name == "IL" else "mon-fri")
    assert list(document) == ["name", "year", "zone", "work_week", "hours", "holidays", "business_days"]


def test_a_year_of_the_config(calendar: Waitctl) -> None:
    document = asked(calendar, "show", "shop")
    assert document == {
        "name": "shop",
        "year": 2026,
        "zone": "America/New_York",
        "work_week": "tue-sat",
        "hours": "tue-sat 10:00-20:00",
        "holidays": [{"date": "2026-03-04", "name": "Stock-taking", "weekday": "wed"}],
        "business_days": 260,  # 261 days from Tuesday to Saturday, less one
    }


def test_this_year_is_the_one_where_the_calendar_is(calendar: Waitctl) -> None:
    new_year = "2027-01-01T02:00:00Z"  # still 2026 in New York, 2027 in Berlin
    assert calendar_browser(calendar, new_year).get_year("shop").year == 2026
    assert calendar_browser(calendar, new_year).get_year("free").year == 2027


def test_without_being_told_it_is_the_year_on_the_wall(calendar: Waitctl) -> None:
    before = host_clock().year
    year = calendar("calendar", "show", "DE", "-o", "json").ok().json["year"]
    assert before <= year <= host_clock().year


def test_the_grid_tells_days_apart_without_colour(calendar: Waitctl) -> None:
    text = shown(calendar, "show", "company", "--year", "2026")
    lines = text.splitlines()
    assert lines[0] == "company 2026"
    assert lines[2].split() == ["January", "February", "March"]
    assert lines[3].split() == ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"] * 3
    # March 2026 begins with a Sunday; the 3rd and the Saturday 7th are the company's own holidays.
    march = [line[48:].rstrip() for line in lines[4:10]]
    assert march == [
        " " * 18 + " 1.",
        " 2  3* 4  5  6  7* 8.",
        " 9 10 11 12 13 14.15.",
        "16 17 18 19 20 21.22.",
        "23 24 25 26 27 28.29.",
        "30 31",
    ]
    assert sum(line.count("*") for line in lines if "holiday" not in line) == 14
    assert "2026-03-07  sat  Spring [bold]cleaning[/bold]" in text
    for words in ("work week      mon-fri", "hours          mon-fri 09:00-12:00,13:00-17:00", "business days  251"):
        assert words in text
    assert "\x1b" not in text


@pytest.mark.parametrize(("columns", "across"), [(60, 2), (80, 3), (120, 4), (300, 4)])
def test_the_grid_fits_the_terminal(calendar: Waitctl, columns: int, across: int) -> None:
    text = calendar.on_a_terminal("calendar", "show", "DE-BY", "--year", "2026", columns=columns).ok().out
    [heads] = [line for line in text.splitlines() if "January" in line]
    months = ["January", "February", "March", "April"]
    assert heads.split() == months[:across]
    assert "\x1b[1;31m 1*\x1b[0m" in text


@pytest.mark.parametrize("year", ["1", "9999"])
def test_a_calendar_without_a_base_has_every_year(calendar: Waitctl, year: str) -> None:
    assert shown(calendar, "show", "free", "--year", year).startswith(f"free {year}\n")


# -- check -------------------------------------------------------------------------------------------------------------


def test_check_of_a_business_day(calendar: Waitctl) -> None:
    assert asked(calendar, "check", "company") == {
        "name": "company",
        "timezone": "Europe/Berlin",
        "first_year": 1991,
        "last_year": 2100,
        "today": "2026-03-02",
        "is_business_day": True,
        "reason": None,
        "next_business_day": "2026-03-04",
        "is_open": True,
        "closes_at": "2026-03-02T11:00:00Z",
        "next_opening": "2026-03-02T12:00:00Z",
        "next_holidays": [
            {"date": "2026-03-03", "name": "Founder's Day"},
            {"date": "2026-03-07", "name": "Spring [bold]cleaning[/bold]"},
            {"date": "2026-04-03", "name": "Good Friday"},
            {"date": "2026-04-06", "name": "Easter Monday"},
            {"date": "2026-05-01", "name": "Labor Day"},
            {"date": "2026-05-14", "name": "Ascension Day"},
            {"date": "2026-05-25", "name": "Pentecost Monday"},
            {"date": "2026-06-04", "name": "Corpus Christi"},
            {"date": "2026-10-03", "name": "German Unity Day"},
            {"date": "2026-11-01", "name": "All Saints' Day"},
        ],
        "has_estimates": False,
    }


def test_check_for_people(calendar: Waitctl) -> None:
    text = shown(calendar, "check", "company")
    for words in (
        "reaches            1991 to 2100",
        "today              Monday 2026-03-02: a business day",
        "next business day  Wednesday 2026-03-04",
        "now                open until 2026-03-02 12:00:00 Europe/Berlin (in 2 h)",
        "opens              2026-03-02 13:00:00 Europe/Berlin (in 3 h)",
        "2026-03-07  sat  Spring [bold]cleaning[/bold]",
    ):
        assert words in text
    assert "today              Monday 2026-03-02: a day off (Ours)" in shown(calendar, "check", "DE")
    assert "reaches            every year" in shown(calendar, "check", "free")


@pytest.mark.parametrize(
    ("name", "at", "today", "reason", "following"),
    [
        ("DE-BY", "2026-12-25T10:00:00Z", "2026-12-25", "Christmas Day", "2026-12-28"),
        ("DE-BY", "2026-12-27T10:00:00Z", "2026-12-27", "weekend", "2026-12-28"),
        ("DE-BY", "2026-12-31T23:30:00Z", "2027-01-01", "New Year's Day", "2027-01-04"),  # Berlin's, of the config
        ("shop", "2026-03-05T03:00:00Z", "2026-03-04", "Stock-taking", "2026-03-05"),  # still the 4th in New York
        ("shop", "2026-03-07T17:00:00Z", "2026-03-07", None, "2026-03-10"),
    ],
)
def test_today_and_the_next_business_day(
    calendar: Waitctl, name: str, at: str, today: str, reason: str | None, following: str
) -> None:
    document = outlook_document(calendar_browser(calendar, at).get_outlook(name))
    assert document["today"] == today
    assert (document["is_business_day"], document["reason"]) == (reason is None, reason)
    assert document["next_business_day"] == following


@pytest.mark.parametrize(
    ("name", "at", "closes", "opens"),
    [
        ("company", "2026-03-02T07:59:59Z", None, "2026-03-02T08:00:00Z"),
        ("company", "2026-03-02T08:00:00Z", "2026-03-02T11:00:00Z", "2026-03-02T12:00:00Z"),
        ("company", "2026-03-02T11:00:00Z", None, "2026-03-02T12:00:00Z"),
        ("company", "2026-03-02T15:00:00Z", "2026-03-02T16:00:00Z", "2026-03-04T08:00:00Z"),  # past Founder's Day
        ("company", "2026-03-27T15:00:00Z", "2026-03-27T16:00:00Z", "2026-03-30T07:00:00Z"),  # past the change
        ("shop", "2026-03-08T12:00:00Z", None, "2026-03-10T14:00:00Z"),
        ("bar", "2026-03-02T00:30:00Z", "2026-03-02T01:00:00Z", "2026-03-02T17:00:00Z"),  # since yesterday evening
        ("bar", "2026-03-28T20:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T16:00:00Z"),  # till clocks skip 02:00
        ("always", MONDAY, None, None),
        ("free", MONDAY, None, None),
    ],
)
def test_open_and_the_next_opening(
    calendar: Waitctl, name: str, at: str, closes: str | None, opens: str | None
) -> None:
    document = outlook_document(calendar_browser(calendar, at).get_outlook(name))
    assert document["is_open"] is (None if name == "free" else name == "always" or closes is not None)
    assert (document["closes_at"], document["next_opening"]) == (closes, opens)


def test_every_year_is_no_year(calendar: Waitctl) -> None:
    document = asked(calendar, "check", "shop")
    assert (document["first_year"], document["last_year"]) == (None, None)
    assert document["next_holidays"] == [{"date": "2026-03-04", "name": "Stock-taking"}]


def test_estimates_are_named(calendar: Waitctl) -> None:
    document = asked(calendar, "check", "EG", at="2027-03-01T09:00:00Z")
    assert document["has_estimates"] is True
    assert "estimated)" in document["next_holidays"][0]["name"]
    assert "estimates" in shown(calendar, "check", "EG", at="2027-03-01T09:00:00Z")


@pytest.mark.parametrize(
    ("at", "warned", "is_business_day", "following"),
    [
        ("2099-12-30T12:00:00Z", False, True, "2099-12-31"),
        ("2099-12-31T12:00:00Z", True, True, "2100-01-04"),
        ("2100-12-31T12:00:00Z", True, True, None),
        ("2101-06-01T12:00:00Z", True, None, None),
        ("1800-06-01T12:00:00Z", False, None, None),
    ],
)
def test_a_calendar_that_ends_says_so(
    calendar: Waitctl, at: str, warned: bool, is_business_day: bool | None, following: str | None
) -> None:
    env = {"WAITCTL_CONFIG": "config.toml", "WAITCTL_AS_OF": at}
    done = calendar("calendar", "check", "company", "-o", "json", env=env)
    assert done.code == 0
    assert done.err == ("warning: the calendar company ends with 2100\n" if warned else "")
    assert done.json["is_business_day"] is is_business_day
    assert done.json["next_business_day"] == following
    if is_business_day is None:
        assert "1991 to 2100" in done.json["reason"]


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "message", "arguments"),
    [
        ("unknown_calendar", "'DE-BX' is not a calendar", ["show", "DE-BX"]),
        ("unknown_calendar", "'DE-BX' is not a calendar", ["check", "DE-BX"]),
        ("unknown_calendar", "'DE-BX' is not a calendar", ["check", "lost"]),
        ("unknown_calendar", "''", ["check", ""]),
        ("unknown_calendar", "caf", ["check", b"caf\xe9"]),
        ("calendar_range", "1991 to 2100, not 2101", ["show", "DE-BY", "--year", "2101"]),
        ("calendar_range", "1991 to 2100, not 1990", ["show", "company", "--year", "1990"]),
        ("calendar_range", "no year 0", ["show", "free", "--year", "0"]),
        ("calendar_range", "no year 10000", ["show", "free", "--year", "10000"]),
        ("calendar_range", "no year -1", ["show", "DE-BY", "--year", "-1"]),
        ("calendar_range", "no year 99999999999999999999", ["show", "DE-BY", "--year", "99999999999999999999"]),
        ("usage", "--year", ["show", "DE-BY", "--year", "next"]),
        ("usage", "NAME", ["check"]),
    ],
)
def test_bad_input(calendar: Waitctl, code: str, message: str, arguments: list[str | bytes]) -> None:
    env = {"WAITCTL_CONFIG": "config.toml", "WAITCTL_AS_OF": MONDAY}
    error = calendar("calendar", *arguments, "-o", "json", env=env).json_error(2)
    assert error["code"] == code
    assert message in error["message"]


def test_an_unknown_name_gets_its_neighbours(calendar: Waitctl) -> None:
    finished = calendar("calendar", "show", "DE-BX")
    assert finished.error(2) == "'DE-BX' is not a calendar"
    assert "DE-BY" in finished.err


def test_there_is_no_id_of_a_year(calendar: Waitctl) -> None:
    for command in ("show", "check"):
        assert "no id" in calendar("calendar", command, "DE", "-o", "id").error(2)


def test_no_database_is_touched(calendar: Waitctl, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    env = {"WAITCTL_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    for arguments in (["list"], ["show", "DE"], ["check", "DE"]):
        calendar("calendar", *arguments, env=env).ok()
    assert set(tmp_path.rglob("*")) == before
