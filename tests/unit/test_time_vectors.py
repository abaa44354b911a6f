"""Known instants: clocks that jump by half an hour or a day, days that count, chains of rules in their very words."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest
from whenever import Instant

from waitctl.domain.calendars import Calendar
from waitctl.domain.errors import (
    CalendarRangeError,
    InvalidWaitConfigurationError,
    InvalidWaitDurationError,
    InvalidWaitTimeError,
    NoOpeningError,
)
from waitctl.domain.hours import parse_hours
from waitctl.domain.instants import Dst, format_instant, parse_instant, show_local
from waitctl.domain.intents import Intent, Rules, parse_fixed_time, parse_until_date, parse_until_time
from waitctl.domain.opening_rules import OpeningRules
from waitctl.domain.schedule import Schedule, resolve
from waitctl.infrastructure.calendars import Calendars
from waitctl.infrastructure.config import CalendarConfig

BERLIN = "Europe/Berlin"
CALENDARS = Calendars(
    {
        "company": CalendarConfig(
            "company",
            base="DE-BY",
            extra={date(2026, 12, 24): "Christmas Eve"},
            hours=parse_hours("mon-fri 09:00-12:00,13:00-17:00"),
            zone=BERLIN,
        ),
        "tokyo": CalendarConfig("tokyo", base="JP", zone="Asia/Tokyo"),
        "night": CalendarConfig("night", hours=parse_hours("mon-fri 22:00-06:00")),
    }
)


def when(
    intent: Intent,
    base: str,
    zone: str = BERLIN,
    *,
    dst: Dst = Dst.COMPATIBLE,
    calendar: str | None = None,
    window: str | None = None,
) -> Schedule:
    rules = Rules(dst=dst, calendar=calendar, window=parse_hours(window) if window else None)
    known = None if calendar is None else CALENDARS.get(calendar)
    return resolve(intent, base=parse_instant(base, "base"), zone=zone, rules=rules, calendar=known)


def local(schedule: Schedule, zone: str = BERLIN) -> str:
    return show_local(schedule.at, zone)


@pytest.mark.parametrize(
    ("zone", "asked", "dst", "instant"),
    [
        (BERLIN, "2026-03-29 02:30", Dst.EARLIER, "2026-03-29T00:30:00Z"),
        (BERLIN, "2026-03-29 02:30", Dst.LATER, "2026-03-29T01:30:00Z"),
        (BERLIN, "2026-10-25 02:30", Dst.EARLIER, "2026-10-25T00:30:00Z"),
        (BERLIN, "2026-10-25 02:30", Dst.LATER, "2026-10-25T01:30:00Z"),
        ("America/New_York", "2026-03-08 02:30", Dst.EARLIER, "2026-03-08T06:30:00Z"),
        ("America/New_York", "2026-11-01 01:30", Dst.LATER, "2026-11-01T06:30:00Z"),
        # Half an hour: 02:00 becomes 02:30 in October, and 01:30 in April.
        ("Australia/Lord_Howe", "2026-10-04 02:15", Dst.EARLIER, "2026-10-03T15:15:00Z"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", Dst.LATER, "2026-10-03T15:45:00Z"),
        ("Australia/Lord_Howe", "2026-10-04 02:30", Dst.EARLIER, "2026-10-03T15:30:00Z"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", Dst.LATER, "2026-04-04T15:15:00Z"),
        # Midnight that is not: the day begins at 01:00, or ends at 23:00.
        ("Africa/Cairo", "2026-04-24 00:00", Dst.EARLIER, "2026-04-23T21:00:00Z"),
        ("Asia/Beirut", "2026-03-29 00:30", Dst.LATER, "2026-03-28T22:30:00Z"),
        ("America/Santiago", "2026-09-06 00:00", Dst.EARLIER, "2026-09-06T03:00:00Z"),
        ("America/Santiago", "2026-04-04 23:30", Dst.LATER, "2026-04-05T03:30:00Z"),
        # A day that is not.
        ("Pacific/Apia", "2011-12-30 12:00", Dst.COMPATIBLE, "2011-12-30T22:00:00Z"),
        ("Pacific/Apia", "2011-12-30 12:00", Dst.LATER, "2011-12-30T22:00:00Z"),
        ("Pacific/Apia", "2011-12-30 12:00", Dst.EARLIER, "2011-12-29T22:00:00Z"),
        # Summer time but for Ramadan: 2026-02-15 03:00 becomes 02:00, 2026-03-22 02:00 becomes 03:00.
        ("Africa/Casablanca", "2026-02-15 02:30", Dst.COMPATIBLE, "2026-02-15T01:30:00Z"),
        ("Africa/Casablanca", "2026-02-15 02:30", Dst.LATER, "2026-02-15T02:30:00Z"),
        ("Africa/Casablanca", "2026-03-01 12:00", Dst.COMPATIBLE, "2026-03-01T12:00:00Z"),
        ("Africa/Casablanca", "2026-03-22 02:30", Dst.COMPATIBLE, "2026-03-22T02:30:00Z"),
        ("Africa/Casablanca", "2026-04-01 12:00", Dst.COMPATIBLE, "2026-04-01T11:00:00Z"),
        # Offsets with seconds: 0:53:28, then 1 hour from 1893-04-01; -0:44:30 until 1972-01-07.
        (BERLIN, "1890-01-01 12:00", Dst.COMPATIBLE, "1890-01-01T11:06:32Z"),
        (BERLIN, "1893-04-01 00:00", Dst.COMPATIBLE, "1893-03-31T23:06:32Z"),
        ("Africa/Monrovia", "1971-06-01 12:00", Dst.COMPATIBLE, "1971-06-01T12:44:30Z"),
        ("Africa/Monrovia", "1972-01-07 00:30", Dst.COMPATIBLE, "1972-01-07T01:14:30Z"),
        ("Africa/Monrovia", "1972-01-07 00:30", Dst.EARLIER, "1972-01-07T00:30:00Z"),
        ("Europe/Dublin", "1900-01-01 12:00", Dst.COMPATIBLE, "1900-01-01T12:25:21Z"),
    ],
)
def test_local_time_by_every_rule(zone: str, asked: str, dst: Dst, instant: str) -> None:
    schedule = when(parse_until_date(asked), "1800-01-01T00:00:00Z", zone, dst=dst)
    assert format_instant(schedule.at) == instant


@pytest.mark.parametrize(
    ("zone", "asked", "why"),
    [
        (BERLIN, "2026-03-29 02:30", "does not exist in Europe/Berlin"),
        (BERLIN, "2026-10-25 02:30", "comes twice in Europe/Berlin"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "does not exist"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "comes twice"),
        ("Africa/Cairo", "2026-04-24", "does not exist"),
        ("Pacific/Apia", "2011-12-30 12:00", "does not exist"),
        ("Africa/Casablanca", "2026-02-15 02:30", "comes twice"),
    ],
)
def test_reject_wants_no_guess(zone: str, asked: str, why: str) -> None:
    for calendar in (None, "DE-BY"):  # not even about a Sunday that the calendar would pass over
        with pytest.raises(InvalidWaitTimeError, match=why) as caught:
            when(parse_until_date(asked), "2000-01-01T00:00:00Z", zone, dst=Dst.REJECT, calendar=calendar)
        assert caught.value.hint == "--dst compatible, earlier or later decides it"


REJECTED = [
    (parse_until_time("02:30"), "2026-03-28T12:00:00Z", {}),
    (parse_until_time("02:30"), "2026-10-24T12:00:00Z", {}),
    (parse_fixed_time("1d", "02:30"), "2026-03-28T12:00:00Z", {}),
    (parse_fixed_time("1d", "02:30"), "2026-03-28T12:00:00Z", {"window": "00:00-06:00"}),
    (parse_until_date("2026-03-28 02:30", "+1d"), "2026-03-28T00:00:00Z", {}),
    (parse_fixed_time("1h"), "2026-03-29T00:00:00Z", {"window": "02:30-05:00"}),
    (parse_fixed_time("1h"), "2026-10-24T12:00:00Z", {"window": "02:30-05:00"}),
]
ACCEPTED = [
    (parse_until_time("02:30"), "2026-10-25T12:00:00Z", {}, "2026-10-26 02:30"),  # the fold was this morning
    (parse_until_time("02:30"), "2026-03-29T12:00:00Z", {}, "2026-03-30 02:30"),
    (parse_until_time("02:30", "mon"), "2026-03-28T12:00:00Z", {}, "2026-03-30 02:30"),  # Sunday was not asked for
    (parse_fixed_time("1d", "02:30"), "2026-03-27T12:00:00Z", {"calendar": "DE-BY"}, "2026-03-30 02:30"),
    (parse_fixed_time("1d", "02:30"), "2026-03-28T12:00:00Z", {"calendar": "DE-BY"}, "2026-03-30 02:30"),
    (parse_fixed_time("1d", "02:30"), "2026-03-28T12:00:00Z", {"window": "09:00-17:00"}, "2026-03-29 09:00"),
    (parse_fixed_time("1h"), "2026-10-25T11:00:00Z", {"window": "02:30-17:00"}, "2026-10-25 13:00"),  # long open
    (parse_fixed_time("3h"), "2026-03-28T23:30:00Z", {}, "2026-03-29 04:30"),
]


@pytest.mark.parametrize(("intent", "base", "rules"), REJECTED)
def test_reject_when_a_guess_would_decide(intent: Intent, base: str, rules: dict[str, str]) -> None:
    with pytest.raises(InvalidWaitTimeError, match=r"02:30 .* in Europe/Berlin"):
        when(intent, base, dst=Dst.REJECT, **rules)


@pytest.mark.parametrize(("intent", "base", "rules", "at"), ACCEPTED)
def test_reject_where_no_guess_decides(intent: Intent, base: str, rules: dict[str, str], at: str) -> None:
    assert local(when(intent, base, dst=Dst.REJECT, **rules)) == f"{at}:00"


def test_next_opening_rejects_too() -> None:
    opening_rules = OpeningRules(BERLIN, Rules(dst=Dst.REJECT, window=parse_hours("02:30-05:00")))
    with pytest.raises(InvalidWaitTimeError, match="2026-10-25 02:30 comes twice"):
        opening_rules.next_opening(datetime(2026, 10, 24, 12, tzinfo=UTC))
    inside = datetime(2026, 10, 25, 2, tzinfo=UTC)
    assert opening_rules.next_opening(inside) == (inside, ())


@pytest.mark.parametrize(
    ("intent", "base", "at"),
    [  # Wednesday 2026-03-25, 13:00 in Berlin; summer time begins on Sunday
        (parse_fixed_time("3d"), "2026-03-26T12:00:00Z", "2026-03-29 14:00"),  # 72 hours
        (parse_fixed_time("3d", "09:00"), "2026-03-26T12:00:00Z", "2026-03-29 09:00"),
        (parse_fixed_time("3d", "9"), "2026-03-25T23:30:00Z", "2026-03-29 09:00"),  # Thursday already, there
        (parse_fixed_time("1w", "13:00"), "2026-03-25T12:00:00Z", "2026-04-01 13:00"),
        (parse_fixed_time("1d", "02:30"), "2026-03-28T12:00:00Z", "2026-03-29 03:30"),
        (parse_fixed_time("3bd"), "2026-03-25T12:00:00Z", "2026-03-30 13:00"),
        (parse_fixed_time("3bd", "09:00"), "2026-03-25T12:00:00Z", "2026-03-30 09:00"),
        (parse_fixed_time("1bd"), "2026-03-28T12:00:00Z", "2026-03-30 13:00"),
        (parse_until_date("2026-03-30 09:00", "-1d"), "2026-03-01T00:00:00Z", "2026-03-29 09:00"),
        (parse_until_date("2026-03-30 09:00", "-24h"), "2026-03-01T00:00:00Z", "2026-03-29 09:00"),
        (parse_until_date("2026-03-29 09:00", "-1d"), "2026-03-01T00:00:00Z", "2026-03-28 09:00"),
        (parse_until_date("2026-03-29 09:00", "-24h"), "2026-03-01T00:00:00Z", "2026-03-28 08:00"),
        (parse_until_date("2026-03-29 09:00", "-1d2h"), "2026-03-01T00:00:00Z", "2026-03-28 07:00"),
        (parse_until_date("2026-03-30 09:00", "-1bd"), "2026-03-01T00:00:00Z", "2026-03-27 09:00"),
        (parse_until_date("2026-03-28 09:00", "+2bd"), "2026-03-01T00:00:00Z", "2026-03-31 09:00"),
        (parse_until_date("2026-03-28T12:00:00Z", "+1d"), "2026-03-01T00:00:00Z", "2026-03-29 13:00"),
        (parse_until_date("2026-03-28T12:00:00Z", "+24h"), "2026-03-01T00:00:00Z", "2026-03-29 14:00"),
        (parse_until_date("2026-03-30 02:30", "-1d"), "2026-03-01T00:00:00Z", "2026-03-29 03:30"),
        (parse_until_time("09:00", "mon-fri"), "2026-03-27T09:00:00Z", "2026-03-30 09:00"),
        (parse_until_time("09:00", "fri-mon"), "2026-03-30T09:00:00Z", "2026-04-03 09:00"),  # Friday to Monday
        (parse_until_time("09:00", "wed"), "2026-03-25T12:00:00Z", "2026-04-01 09:00"),
    ],
)
def test_days_hours_and_business_days(intent: Intent, base: str, at: str) -> None:
    assert local(when(intent, base)) == f"{at}:00"


@pytest.mark.parametrize("base", ["2026-01-25T01:30:00Z", "2026-10-24T00:30:00Z"])  # 02:30, in winter and in summer
def test_fold_is_read_by_the_rule_whatever_the_offset_of_the_base(base: str) -> None:
    every_day = Calendar("every day", work_week=frozenset(range(1, 8)))
    days = (date(2026, 10, 25) - parse_instant(base, "base").date()).days
    for dst, instant in ((Dst.COMPATIBLE, "00:30"), (Dst.EARLIER, "00:30"), (Dst.LATER, "01:30")):
        schedule = resolve(
            parse_fixed_time(f"{days}d"),
            base=parse_instant(base, "base"),
            zone=BERLIN,
            rules=Rules(dst=dst, calendar="every day"),
            calendar=every_day,
        )
        assert format_instant(schedule.at) == f"2026-10-25T{instant}:00Z"
        assert schedule.explanation[1].startswith("fold: 2026-10-25 02:30 comes twice")


@pytest.mark.parametrize("dst", [Dst.COMPATIBLE, Dst.EARLIER, Dst.LATER])
def test_day_that_apia_left_out_is_never_before_its_base(dst: Dst) -> None:
    schedule = when(parse_fixed_time("1d", "06:00"), "2011-12-29T20:00:00Z", "Pacific/Apia", dst=dst)  # Thursday, 10:00
    expected = "2011-12-31 06:00:00"
    assert local(schedule, "Pacific/Apia") == expected
    assert "gap: 2011-12-30 06:00 does not exist in Pacific/Apia" in schedule.explanation[1]


@pytest.mark.parametrize(
    ("zone", "intent", "base", "calendar", "at"),
    [
        # Opening hours in Berlin for a wait in New York, six hours behind: 09:00 there is 03:00 here.
        ("America/New_York", parse_fixed_time("2h"), "2026-06-05T16:00:00Z", "company", "2026-06-08 03:00"),
        ("America/New_York", parse_fixed_time("2h"), "2026-06-05T12:00:00Z", "company", "2026-06-05 10:00"),
        ("America/New_York", parse_fixed_time("1bd", "09:00"), "2026-06-05T12:00:00Z", "company", "2026-06-08 09:00"),
        # Lunch: 12:00 to 13:00 in Berlin.
        ("America/New_York", parse_fixed_time("15m"), "2026-06-05T10:00:00Z", "company", "2026-06-05 07:00"),
        # Friday evening in New York is Saturday in Tokyo, Sunday evening is Monday.
        ("America/New_York", parse_fixed_time("1h"), "2026-06-05T23:00:00Z", "tokyo", "2026-06-07 20:00"),
        ("America/New_York", parse_fixed_time("1h"), "2026-06-07T23:00:00Z", "tokyo", "2026-06-07 20:00"),
        # Hours past midnight belong to the business day that they began on.
        ("UTC", parse_fixed_time("1h"), "2026-06-06T03:00:00Z", "night", "2026-06-06 04:00"),
        ("UTC", parse_fixed_time("4h"), "2026-06-06T03:00:00Z", "night", "2026-06-08 22:00"),
        ("UTC", parse_fixed_time("1h"), "2026-06-08T03:00:00Z", "night", "2026-06-08 22:00"),
        ("UTC", parse_until_time("02:00", "tue"), "2026-06-02T12:00:00Z", "night", "2026-06-09 02:00"),
        ("UTC", parse_until_time("02:00", "sat"), "2026-06-02T12:00:00Z", "night", "2026-06-06 02:00"),
    ],
)
def test_calendar_with_hours_or_a_zone_of_its_own(zone: str, intent: Intent, base: str, calendar: str, at: str) -> None:
    assert local(when(intent, base, zone, calendar=calendar), zone) == f"{at}:00"


# -- in words ------------------------------------------------------------------------------------------------------------


def test_chain_of_holiday_weekend_and_window() -> None:
    schedule = when(parse_fixed_time("3d"), "2026-12-22T10:00:00Z", calendar="DE-BY", window="tue-thu 09:00-17:00")
    assert schedule.explanation == (
        "fixed-time 3d: 3 calendar days after 2026-12-22 11:00:00 Europe/Berlin, at the same wall clock",
        (
            "holiday: Friday 2026-12-25 (Christmas Day), Saturday 2026-12-26 (Second Day of Christmas), "
            "Sunday 2026-12-27 (weekend); moved to Monday 2026-12-28 11:00"
        ),
        (
            "window: Monday 2026-12-28 11:00 is outside tue-thu 09:00-17:00; "
            "moved to the next opening, Tuesday 2026-12-29 09:00"
        ),
    )
    assert format_instant(schedule.at) == "2026-12-29T08:00:00Z"


def test_chain_that_a_window_leads_into_a_holiday() -> None:
    schedule = when(parse_fixed_time("2h"), "2026-12-24T20:00:00Z", calendar="DE-BY", window="fri 09:00-12:00")
    assert schedule.explanation == (
        "fixed-time 2h: 2h of elapsed time after 2026-12-24 21:00:00 Europe/Berlin",
        "window: Thursday 2026-12-24 23:00 is outside fri 09:00-12:00; moved to the next opening, Friday 2026-12-25 09:00",
        (
            "holiday: Friday 2026-12-25 (Christmas Day), Saturday 2026-12-26 (Second Day of Christmas), "
            "Sunday 2026-12-27 (weekend); moved to Monday 2026-12-28 09:00"
        ),
        "window: Monday 2026-12-28 09:00 is outside fri 09:00-12:00; moved to the next opening, Friday 2027-01-01 09:00",
        (
            "holiday: Friday 2027-01-01 (New Year's Day), Saturday 2027-01-02 (weekend), Sunday 2027-01-03 (weekend); "
            "moved to Monday 2027-01-04 09:00"
        ),
        "window: Monday 2027-01-04 09:00 is outside fri 09:00-12:00; moved to the next opening, Friday 2027-01-08 09:00",
    )


def test_business_days_and_opening_hours_in_words() -> None:
    schedule = when(parse_fixed_time("3bd", "18:30"), "2026-12-22T10:00:00Z", calendar="company")
    assert schedule.explanation == (
        "fixed-time 3bd --at 18:30: 3 business days after 2026-12-22 11:00:00 Europe/Berlin, at 18:30",
        (
            "business days: 3 on from Tuesday 2026-12-22 by company is Tuesday 2026-12-29, skipping "
            "Thursday 2026-12-24 (Christmas Eve), Friday 2026-12-25 (Christmas Day), "
            "Saturday 2026-12-26 (Second Day of Christmas), Sunday 2026-12-27 (weekend)"
        ),
        (
            "opening hours of company: Tuesday 2026-12-29 18:30 is outside mon-fri 09:00-12:00,13:00-17:00; "
            "moved to the next opening, Wednesday 2026-12-30 09:00"
        ),
    )


def test_time_of_day_that_the_window_excludes_is_explained() -> None:
    schedule = when(parse_fixed_time("3d", "07:30"), "2026-06-01T10:00:00Z", window="mon-fri 09:00-17:00")
    assert schedule.explanation == (
        "fixed-time 3d --at 07:30: 3 calendar days after 2026-06-01 12:00:00 Europe/Berlin, at 07:30",
        "window: Thursday 2026-06-04 07:30 is outside mon-fri 09:00-17:00; moved to the next opening, Thursday 2026-06-04 09:00",
    )


def test_window_that_opens_in_a_gap_is_explained() -> None:
    schedule = when(parse_until_time("01:00", "sun"), "2026-03-28T10:00:00Z", window="02:30-05:00")
    assert schedule.explanation == (
        "until-time 01:00:00: the next 01:00:00 on sun in Europe/Berlin after 2026-03-28 11:00:00 Europe/Berlin",
        "window: Sunday 2026-03-29 01:00 is outside 02:30-05:00; moved to the next opening, Sunday 2026-03-29 03:30",
        (
            "gap: 2026-03-29 02:30 does not exist in Europe/Berlin, the clocks skip it; "
            "moved forward by the gap to 2026-03-29 03:30"
        ),
    )


def test_days_passed_over_are_named_where_the_calendar_is() -> None:
    schedule = when(parse_fixed_time("1h"), "2026-06-05T23:00:00Z", "America/New_York", calendar="tokyo")
    assert schedule.explanation[1:] == (
        "weekend: Saturday 2026-06-06 (weekend), Sunday 2026-06-07 (weekend); moved to Sunday 2026-06-07 20:00",
    )


@pytest.mark.parametrize(
    ("zone", "asked", "dst", "says"),
    [
        (
            BERLIN,
            "2026-10-25 02:30",
            Dst.LATER,
            "fold: 2026-10-25 02:30 comes twice in Europe/Berlin; the second one, at +01:00",
        ),
        (
            BERLIN,
            "2026-03-29 02:30",
            Dst.EARLIER,
            "gap: 2026-03-29 02:30 does not exist in Europe/Berlin, the clocks skip it; moved back by the gap to 2026-03-29 01:30",
        ),
        (
            "Africa/Monrovia",
            "1972-01-07 00:30",
            Dst.COMPATIBLE,
            "gap: 1972-01-07 00:30 does not exist in Africa/Monrovia, the clocks skip it; moved forward by the gap to 1972-01-07 01:14:30",
        ),
    ],
)
def test_gap_and_fold_in_words(zone: str, asked: str, dst: Dst, says: str) -> None:
    schedule = when(parse_until_date(asked), "1970-01-01T00:00:00Z", zone, dst=dst)
    assert schedule.explanation == (f"until-date {asked}: that local time in {zone}", says)


def test_offset_in_words() -> None:
    schedule = when(parse_until_date("2026-12-28 18:00", "-2bd"), "2026-06-01T00:00:00Z", calendar="company")
    assert schedule.explanation == (
        "until-date 2026-12-28 18:00: that local time in Europe/Berlin; 2bd before it",
        (
            "business days: 2 back from Monday 2026-12-28 by company is Tuesday 2026-12-22, skipping "
            "Sunday 2026-12-27 (weekend), Saturday 2026-12-26 (Second Day of Christmas), "
            "Friday 2026-12-25 (Christmas Day), Thursday 2026-12-24 (Christmas Eve)"
        ),
        (
            "opening hours of company: Tuesday 2026-12-22 18:00 is outside mon-fri 09:00-12:00,13:00-17:00; "
            "before a date, so moved back to the latest opening, Tuesday 2026-12-22 13:00"
        ),
    )
    forward = when(
        parse_until_date("2026-12-28 18:00", "-2bd", roll="forward"), "2026-06-01T00:00:00Z", calendar="company"
    )
    assert forward.explanation[-1].endswith("moved to the next opening, Wednesday 2026-12-23 09:00")


# -- what cannot be ------------------------------------------------------------------------------------------------------


def test_hours_at_a_time_of_day_are_refused() -> None:
    for text in ("2h", "1d2h", "1.5d"):
        with pytest.raises(InvalidWaitConfigurationError, match="only whole days go with a time of day"):
            parse_fixed_time(text, "09:00")


@pytest.mark.parametrize("intent", [parse_fixed_time("3d"), parse_until_time("09:00", "mon"), parse_fixed_time("2h")])
def test_window_that_never_opens_with_its_calendar(intent: Intent) -> None:
    with pytest.raises(NoOpeningError, match="no opening"):
        when(intent, "2026-06-01T10:00:00Z", calendar="DE-BY", window="sat,sun 09:00-17:00")
    with pytest.raises(NoOpeningError):
        when(intent, "2026-06-01T10:00:00Z", calendar="company", window="18:00-20:00")
    opening_rules = OpeningRules(BERLIN, Rules(window=parse_hours("sat")), CALENDARS.get("DE-BY"))
    with pytest.raises(NoOpeningError):
        opening_rules.next_opening(datetime(2026, 6, 1, tzinfo=UTC))


def test_no_opening_names_the_rules_that_do_not_go_together() -> None:
    rules, never = Rules(window=parse_hours("sat 09:00-17:00")), Calendar("never", work_week=frozenset())
    known = CALENDARS.get("DE-BY")
    base = datetime(2026, 6, 1, tzinfo=UTC)
    asked: list[tuple[Intent, Rules, Calendar, str]] = [
        (
            parse_fixed_time("3d"),
            rules,
            known,
            "the calendar DE-BY (business days mon-fri), the window sat 09:00-17:00",
        ),
        (parse_fixed_time("3h"), Rules(), never, "the calendar never (business days none)"),
        (parse_until_time("09:00", "sun"), Rules(), known, "the days sun, the calendar DE-BY (business days mon-fri)"),
        (parse_until_date("2026-06-08", "-1d"), rules, known, "the window sat 09:00-17:00"),
        (parse_until_date("2026-06-08", "-1d"), Rules(), never, "the calendar never (business days none)"),
    ]
    for intent, by, calendar, named in asked:
        with pytest.raises(NoOpeningError) as caught:
            resolve(intent, base=base, zone=BERLIN, rules=by, calendar=calendar)
        assert caught.value.message.startswith("no opening: ") and caught.value.message.endswith(named)
    night = Calendar("night", work_week=frozenset({6}), hours=parse_hours("mon-fri 22:00-06:00"))
    with pytest.raises(
        NoOpeningError, match=r"no opening: .*: the calendar night \(business days sat\), the opening hours"
    ):
        OpeningRules(BERLIN, Rules(), night).next_opening(base)


def test_weekday_that_is_never_a_business_day() -> None:
    with pytest.raises(NoOpeningError, match="no opening: no day passes within 400 days of 2026-06-02"):
        when(parse_until_time("09:00", "sun"), "2026-06-01T10:00:00Z", calendar="DE-BY")


@pytest.mark.parametrize("intent", [parse_fixed_time("14d"), parse_fixed_time("5bd"), parse_fixed_time("336h")])
@pytest.mark.parametrize("calendar", ["DE", "LK", "NYSE"])
def test_year_that_the_calendar_does_not_know(intent: Intent, calendar: str) -> None:
    last = CALENDARS.get(calendar).years[-1]
    with pytest.raises(CalendarRangeError, match=f"{calendar} knows the years .* to {last}, not {last + 1}"):
        when(intent, f"{last}-12-28T10:00:00Z", calendar=calendar)


def test_more_business_days_than_ten_years_have() -> None:
    with pytest.raises(InvalidWaitDurationError):
        parse_fixed_time("2601bd")


def test_gates_of_nothing_let_everything_pass() -> None:
    opening_rules = OpeningRules(BERLIN, Rules())
    at = datetime(2026, 6, 1, tzinfo=UTC)
    assert not opening_rules and not opening_rules.have_windows
    assert opening_rules.next_opening(at) == (at, ())
    assert (
        OpeningRules(BERLIN, Rules(), Calendar("mine"))
        and not OpeningRules(BERLIN, Rules(), Calendar("mine")).have_windows
    )
    assert OpeningRules(BERLIN, Rules(), CALENDARS.get("night")).have_windows
    zoned = Instant(at).to_tz(BERLIN)
    assert opening_rules.pass_through(zoned, None, []) is zoned


@pytest.mark.parametrize(
    ("base", "at"),
    [
        # Saturday 00:30 is within Friday's opening; Friday evening is before it.
        ("2026-03-06T22:30:00Z", "2026-03-06T23:30:00Z"),
        ("2026-03-06T16:00:00Z", "2026-03-06T21:00:00Z"),
        # Saturday noon goes on to Monday; Monday 01:30 would be Sunday's opening, on which it does not open.
        ("2026-03-07T11:00:00Z", "2026-03-09T21:00:00Z"),
        ("2026-03-08T23:30:00Z", "2026-03-09T21:00:00Z"),
    ],
)
def test_a_window_past_midnight_belongs_to_the_business_day_it_opens(base: str, at: str) -> None:
    calendar = Calendar("workdays")
    rules = Rules(calendar="workdays", window=parse_hours("22:00-06:00"))
    found = resolve(
        parse_fixed_time("1h"), base=datetime.fromisoformat(base), zone="Europe/Berlin", rules=rules, calendar=calendar
    )
    assert format_instant(found.at) == at
