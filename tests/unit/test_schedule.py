"""From intent to instant: zones, gaps and folds, and the instant that is never before its base."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from whenever import Instant

from waitctl.domain.durations import Duration
from waitctl.domain.errors import (
    InvalidTimezoneError,
    InvalidWaitDateError,
    InvalidWaitDurationError,
    InvalidWaitTimeError,
)
from waitctl.domain.instants import _PLACES, check_zone, format_instant, parse_instant, show_local
from waitctl.domain.intents import FixedTime, parse_fixed_time, parse_until_date, parse_until_time
from waitctl.domain.schedule import resolve

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

# With midnight gaps, a half-hour shift, a missing day, negative DST and odd offsets.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Santiago",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Kwajalein",
)


def at(text: str) -> datetime:
    return parse_instant(text, "a test's instant")


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Etc/GMT+2", "America/Argentina/Buenos_Aires"])
def test_zone_by_its_iana_name(zone: str) -> None:
    assert check_zone(zone) == zone


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("GMT+2", "offsets are no zones"),
        ("UTC-05:00", "offsets are no zones"),
        ("+02:00", "IANA"),
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("europe/berlin", "did you mean Europe/Berlin"),
        ("Berlin", "did you mean Europe/Berlin"),
        ("", "IANA"),
        ("utc", "did you mean UTC"),
        ("Utc", "did you mean UTC"),
        ("Z", "did you mean UTC?"),
        ("PST", "did you mean America/Los_Angeles?"),
        ("pdt", "did you mean America/Los_Angeles?"),
        ("EDT", "did you mean America/New_York?"),
        ("CEST", "did you mean Europe/Berlin?"),
        ("JST", "did you mean Asia/Tokyo?"),
        ("etc/utc", "did you mean Etc/UTC"),
        ("Mars/Olympus_Mons", ""),
        ("../../etc/passwd", "IANA"),
        ("/etc/localtime", ""),
        ("posix/Europe/Berlin", "Europe/Berlin"),
        ("posixrules", ""),
        ("Factory", ""),
        ("Europe/Berlin\0", "Europe/Berlin"),
        ("Europe/\ud800", ""),
    ],
)
def test_zone_that_is_none(zone: str, hint: str) -> None:
    with pytest.raises(InvalidTimezoneError) as caught:
        check_zone(zone)
    assert hint in (caught.value.hint or "")


def test_places_that_abbreviations_suggest_are_zones_and_the_abbreviations_are_not() -> None:
    for abbreviation, place in _PLACES.items():
        assert check_zone(place) == place
        with pytest.raises(InvalidTimezoneError):
            check_zone(abbreviation)


@pytest.mark.parametrize(
    ("zone", "local", "instant", "why"),
    [
        ("Europe/Berlin", "2026-12-24 18:00", "2026-12-24T17:00:00Z", None),
        ("Europe/Berlin", "2026-03-29 02:30", "2026-03-29T01:30:00Z", "gap"),
        ("Europe/Berlin", "2026-03-29 02:00", "2026-03-29T01:00:00Z", "gap"),
        ("Europe/Berlin", "2026-03-29 03:00", "2026-03-29T01:00:00Z", None),
        ("Europe/Berlin", "2026-10-25 02:30", "2026-10-25T00:30:00Z", "fold"),
        ("Europe/Berlin", "2026-10-25 03:00", "2026-10-25T02:00:00Z", None),
        ("America/New_York", "2026-03-08 02:30", "2026-03-08T07:30:00Z", "gap"),
        ("America/New_York", "2026-11-01 01:30", "2026-11-01T05:30:00Z", "fold"),
        ("Australia/Lord_Howe", "2026-10-04 02:15", "2026-10-03T15:45:00Z", "gap"),
        ("Australia/Lord_Howe", "2026-04-05 01:45", "2026-04-04T14:45:00Z", "fold"),
        ("Africa/Cairo", "2026-04-24", "2026-04-23T22:00:00Z", "gap"),
        ("Asia/Beirut", "2026-03-29", "2026-03-28T22:00:00Z", "gap"),
        ("America/Santiago", "2026-09-06", "2026-09-06T04:00:00Z", "gap"),
        ("Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z", "gap"),
        ("Pacific/Apia", "2011-12-30 15:00", "2011-12-31T01:00:00Z", "gap"),
        ("UTC", "2026-02-28T23:59:59.123456", "2026-02-28T23:59:59.123456Z", None),
    ],
)
def test_until_date_in_a_zone(zone: str, local: str, instant: str, why: str | None) -> None:
    schedule = resolve(parse_until_date(local), base=NOW, zone=zone)
    assert format_instant(schedule.at) == instant
    assert schedule.explanation[0].startswith(f"until-date {local[:10]}")
    assert [line.partition(":")[0] for line in schedule.explanation[1:]] == ([why] if why else [])


@pytest.mark.parametrize(
    ("zone", "base", "time", "instant"),
    [
        ("UTC", "2026-03-01T08:59:59Z", "9", "2026-03-01T09:00:00Z"),
        ("UTC", "2026-03-01T09:00:00Z", "09:00", "2026-03-02T09:00:00Z"),
        ("UTC", "2026-03-01T08:59:59.999999Z", "9", "2026-03-01T09:00:00Z"),
        ("UTC", "2026-12-31T23:00:00Z", "0:00", "2027-01-01T00:00:00Z"),
        ("Europe/Berlin", "2026-03-01T08:00:00Z", "09:00:30", "2026-03-01T08:00:30Z"),
        ("Europe/Berlin", "2026-03-28T23:30:00Z", "02:30", "2026-03-29T01:30:00Z"),  # the gap moves it to 03:30
        ("Europe/Berlin", "2026-03-29T01:30:00Z", "02:30", "2026-03-30T00:30:00Z"),
        ("Europe/Berlin", "2026-10-25T00:00:00Z", "02:30", "2026-10-25T00:30:00Z"),
        ("Europe/Berlin", "2026-10-25T00:30:00Z", "02:30", "2026-10-26T01:30:00Z"),  # once a day: the first of the two
        ("Africa/Cairo", "2026-04-23T20:00:00Z", "00:00", "2026-04-23T22:00:00Z"),
        ("Asia/Beirut", "2026-03-28T20:00:00Z", "00:00", "2026-03-28T22:00:00Z"),
        ("America/Santiago", "2026-09-05T20:00:00Z", "00:00", "2026-09-06T04:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T12:00:00Z", "02:15", "2026-10-03T15:45:00Z"),
        ("Pacific/Apia", "2011-12-30T06:00:00Z", "09:00", "2011-12-30T19:00:00Z"),  # 30 December was left out
    ],
)
def test_until_time_is_the_next_one(zone: str, base: str, time: str, instant: str) -> None:
    schedule = resolve(parse_until_time(time), base=at(base), zone=zone)
    assert format_instant(schedule.at) == instant


def test_explanation_of_a_fold_names_the_offset() -> None:
    schedule = resolve(parse_until_date("2026-10-25 02:30"), base=NOW, zone="Europe/Berlin")
    assert schedule.explanation == (
        "until-date 2026-10-25 02:30: that local time in Europe/Berlin",
        "fold: 2026-10-25 02:30 comes twice in Europe/Berlin; the first one, at +02:00",
    )


@given(
    base=st.datetimes(datetime(2000, 1, 1), datetime(2037, 12, 31), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
    seconds=st.integers(0, 86399),
)
@example(base=datetime(2011, 12, 30, 10, tzinfo=UTC), zone="Pacific/Apia", seconds=86399)
def test_until_time_comes_after_its_base_and_within_two_days(base: datetime, zone: str, seconds: int) -> None:
    time = f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    schedule = resolve(parse_until_time(time), base=base, zone=zone)
    assert base < schedule.at <= base + timedelta(hours=49)
    if len(schedule.explanation) == 1:  # nothing moved it: clocks there show what was asked
        assert show_local(schedule.at, zone)[11:] == f"{seconds // 3600:02}:{time.partition(':')[2]}"


@given(
    base=st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    zone=st.sampled_from(ZONES),
    duration=st.builds(Duration, st.integers(1, 3000), st.timedeltas(timedelta(0), timedelta(days=1))),
)
def test_fixed_time_is_elapsed_time_whatever_the_zone(base: datetime, zone: str, duration: Duration) -> None:
    assert resolve(FixedTime(duration), base=base, zone=zone).at - base == duration.elapsed


@given(
    local=st.datetimes(datetime(2000, 1, 1), datetime(2037, 12, 31)).map(lambda moment: moment.replace(microsecond=0)),
    zone=st.sampled_from(ZONES),
)
def test_until_date_keeps_the_wall_clock_or_says_why(local: datetime, zone: str) -> None:
    schedule = resolve(parse_until_date(local.isoformat(" ")), base=NOW, zone=zone)
    shown = Instant(schedule.at).to_tz(zone).to_plain().to_stdlib()
    if shown != local:
        assert shown > local and "gap" in schedule.explanation[1]


@pytest.mark.parametrize("text", ["3d", "P3D", "72h"])
def test_fixed_time_says_what_was_asked_first(text: str) -> None:
    schedule = resolve(parse_fixed_time(text), base=NOW, zone="Europe/Berlin")
    assert schedule.at == NOW + timedelta(days=3)
    asked = "3d" if "D" in text.upper() else "72h"
    assert schedule.explanation[0].startswith(f"fixed-time {asked}: 72h of elapsed time")


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-12-24T18:00:00Z", "2026-12-24T18:00:00Z"),
        ("2026-12-24t18:00:00z", "2026-12-24T18:00:00Z"),
        ("2026-12-24 18:00+01:00", "2026-12-24T17:00:00Z"),
        ("2026-12-24T18:00:00.5-03:30", "2026-12-24T21:30:00.500000Z"),
        ("2026-12-24T18:00:00+0100", "2026-12-24T17:00:00Z"),
        ("2026-12-24 18:00:00 -0330", "2026-12-24T21:30:00Z"),  # git
        ("2026-12-24 18:00:00+00", "2026-12-24T18:00:00Z"),  # PostgreSQL
        ("2026-12-24 18:00:00.123456+05", "2026-12-24T13:00:00.123456Z"),
        ("2026-12-24T18:00:00.123456789Z", "2026-12-24T18:00:00.123456Z"),  # nanoseconds
        ("2026-12-24T18:00-00:00", "2026-12-24T18:00:00Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),  # a leap second
        ("2017-01-01T00:59:60.5+0100", "2017-01-01T00:00:00.500000Z"),
        ("2026-06-30 12:00:60+00", "2026-06-30T12:01:00Z"),
        ("2026-12-24 18:00 z", "2026-12-24T18:00:00Z"),
    ],
)
def test_instants(text: str, instant: str) -> None:
    assert format_instant(parse_instant(text, "at")) == instant
    assert format_instant(resolve(parse_until_date(text), base=NOW, zone="Asia/Tokyo").at) == instant


@pytest.mark.parametrize(
    ("value", "instant"),
    [
        (1772366400, "2026-03-01T12:00:00Z"),
        ("1772366400", "2026-03-01T12:00:00Z"),
        (" 1772366400 ", "2026-03-01T12:00:00Z"),
        (1772366400.25, "2026-03-01T12:00:00.250000Z"),
        ("1772366400.123456789", "2026-03-01T12:00:00.123456Z"),
        (Decimal("1772366400.5"), "2026-03-01T12:00:00.500000Z"),
        (1772366400123, "2026-03-01T12:00:00.123000Z"),
        ("1772366400123.5", "2026-03-01T12:00:00.123500Z"),
        (100_000_000, "1973-03-03T09:46:40Z"),
        (9_999_999_999, "2286-11-20T17:46:39Z"),
        (1_000_000_000_000, "2001-09-09T01:46:40Z"),
        (9_999_999_999_999, "2286-11-20T17:46:39.999000Z"),
    ],
)
def test_seconds_and_milliseconds_since_1970(value: str | float | Decimal, instant: str) -> None:
    assert format_instant(parse_instant(value, "at", epoch=True)) == instant
    assert format_instant(resolve(parse_until_date(value, field="a"), base=NOW, zone="Asia/Tokyo").at) == instant
    for read in (lambda: parse_instant(value, "at"), lambda: parse_until_date(value)):  # nobody asked for numbers
        with pytest.raises(InvalidWaitDateError):
            read()


@pytest.mark.parametrize(
    "value",
    [
        *(0, 1, -1772366400, "-1772366400", "+1772366400", "", " ", "1e9", "1_772_366_400", "0x699", "1772366400,5"),
        *(20260301, "20260301", "202603011200", 20260301120000, "20260301120000", 1772366400123456, 10**400),
        *(True, False, math.inf, -math.inf, math.nan, Decimal("NaN"), 99_999_999, 10_000_000_000, 999_999_999_999),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_numbers_that_are_no_instants(value: str | float | Decimal) -> None:
    """Neither seconds nor milliseconds of these years, and a compact date is not taken for either."""
    with pytest.raises(InvalidWaitDateError, match=r"^at: "):
        parse_instant(value, "at", epoch=True)


@given(
    st.datetimes(datetime(2001, 9, 10), datetime(2286, 11, 20), timezones=st.just(UTC)),
    st.sampled_from(["T", "t", " "]),
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from(["", ":", "hours"]),
)
def test_every_writing_of_an_instant_is_the_same_instant(
    moment: datetime, between: str, precision: str, minutes: int, colon: str
) -> None:
    minutes -= minutes % 60 if colon == "hours" else 0
    there = moment.astimezone(timezone(timedelta(minutes=minutes)))
    sign, offset = "-" if minutes < 0 else "+", abs(minutes)
    suffix = f"{sign}{offset // 60:02}" + ("" if colon == "hours" else f"{colon}{offset % 60:02}")
    text = there.replace(tzinfo=None).isoformat(between, precision) + suffix
    fraction = {"seconds": 1_000_000, "milliseconds": 1000, "microseconds": 1}[precision]
    expected = moment - timedelta(microseconds=moment.microsecond % fraction)
    assert parse_instant(text, "at") == expected
    whole = int(expected.timestamp())
    assert parse_instant(f"{whole}.{expected.microsecond:06}", "at", epoch=True) == expected
    milliseconds = expected - timedelta(microseconds=expected.microsecond % 1000)
    assert parse_instant(whole * 1000 + expected.microsecond // 1000, "at", epoch=True) == milliseconds


@pytest.mark.parametrize(
    ("text", "instant"),
    [("2026-12-31 23:59:60", "2026-12-31T15:00:00Z"), ("2026-12-24T18:00:60.5", "2026-12-24T09:01:00.500000Z")],
)
def test_local_leap_second_is_the_next_second(text: str, instant: str) -> None:
    assert format_instant(resolve(parse_until_date(text), base=NOW, zone="Asia/Tokyo").at) == instant


@pytest.mark.parametrize(
    "text",
    [
        "2026-12-24T18:00:61Z",
        "2026-12-24T18:00:00+1",
        "2026-12-24T18:00:00+010",
        "2026-12-24T18:00:00+01:0",
        "2026-12-24T18:00:00+01:60",
        "2026-12-24T18:00:00+2400",
        "2026-12-24T18:00:00 UTC",
        "2026-12-24+00",
        "2026-12-24T18:00:00.Z",
        "2026-12-24  18:00:00Z",
        "",
        "tomorrow",
        "2026-02-30",
        "2026-02-29 10:00",
        "2026-13-01",
        "2026-12-24 24:00",
        "2026-12-24 18:60",
        "2026-12-24 18",
        "2026-12-24T18:00:00+25:00",
        "2026-12-24+01:00",
        "24.12.2026",
        "20261224",
        "0000-01-01",
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-12:00",
        "2026-12-24 18:00 Europe/Berlin",
        "\u0662\u0660\u0662\u0666-12-24",
    ],
)
def test_dates_that_are_none(text: str) -> None:
    with pytest.raises(InvalidWaitDateError):
        parse_until_date(text)


@pytest.mark.parametrize("text", ["2026-12-24", "2026-12-24 18:00", "2026-12-24T18:00:00", "now", "1782345600"])
def test_an_instant_needs_its_offset(text: str) -> None:
    with pytest.raises(InvalidWaitDateError, match="--from"):
        parse_instant(text, "--from")


@pytest.mark.parametrize(
    "text", ["25:00", "24:00", "9:60", "9:00:60", "", "9am", "9:0", "-1:00", "009:00", "\u0669:00"]
)
def test_times_of_day_that_are_none(text: str) -> None:
    with pytest.raises(InvalidWaitTimeError):
        parse_until_time(text)


@pytest.mark.parametrize("intent", [parse_fixed_time("3d"), parse_until_time("00:00")])
def test_beyond_the_calendar_is_a_date_error(intent: FixedTime) -> None:
    with pytest.raises(InvalidWaitDateError, match="years"):
        resolve(intent, base=datetime(9999, 12, 31, 12, tzinfo=UTC), zone="UTC")


def test_local_time_beyond_the_calendar_is_a_date_error() -> None:
    with pytest.raises(InvalidWaitDateError, match="years"):
        resolve(parse_until_date("0001-01-01"), base=NOW, zone="Asia/Tokyo")


@pytest.mark.parametrize(
    ("intent", "config"),
    [
        (parse_fixed_time("1w"), {"duration": "7d"}),
        (parse_until_date("2026-12-24 18:00"), {"date": "2026-12-24T18:00:00"}),
        (parse_until_date("2026-12-24T18:00+01:00"), {"date": "2026-12-24T17:00:00Z"}),
        (parse_until_time("9"), {"time": "09:00:00"}),
    ],
)
def test_intent_as_the_wait_keeps_it(intent: FixedTime, config: dict[str, str]) -> None:
    assert intent.to_config() == config


def test_zone_is_checked_before_anything_is_resolved() -> None:
    with pytest.raises(InvalidTimezoneError):
        resolve(parse_fixed_time("3d"), base=NOW, zone="Nowhere")


def test_fixed_time_is_refused_as_a_duration() -> None:
    with pytest.raises(InvalidWaitDurationError):
        parse_fixed_time("3 fortnights")
