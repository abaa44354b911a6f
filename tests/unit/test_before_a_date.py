"""Before a date means before it: instants before it go back to an opening, dates that have passed on to the next."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whenever import PlainDateTime

from tests.unit.wall_clocks import all_zones, is_within, kind_of, read, readings, shown
from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import Duration, Offset
from waitctl.domain.errors import (
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    InvalidWaitDurationError,
    NoOpeningError,
)
from waitctl.domain.hours import OpeningHours, parse_hours
from waitctl.domain.instants import Dst, format_instant, parse_instant
from waitctl.domain.intents import Past, Roll, Rules, UntilDate, parse_fixed_time, parse_until_date, read_intent
from waitctl.domain.schedule import Schedule, resolve
from waitctl.domain.waits import WaitSpec, WaitStepExecution

BERLIN = "Europe/Berlin"
OFFICE = "mon-fri 09:00-17:00"
SPEC = WaitSpec("e", timezone=BERLIN)
MARCH = datetime(2026, 3, 1, tzinfo=UTC)


def when(
    text: str, offset: str | None, *, window: str | None = None, calendar: Calendar | None = None, **asked: str
) -> Schedule:
    rules = Rules(window=parse_hours(window) if window else None, calendar=calendar.name if calendar else None)
    intent = parse_until_date(text, offset, **asked)
    return resolve(intent, base=MARCH, zone=BERLIN, rules=rules, calendar=calendar)


@pytest.mark.parametrize(
    ("date_", "offset", "window", "instant"),
    [
        ("2026-03-09T08:00", "-1d", OFFICE, "2026-03-06T08:00:00Z"),  # Monday; Friday at nine
        ("2026-03-11T18:00", "-1d", OFFICE, "2026-03-10T08:00:00Z"),  # on the day before, at nine
        ("2026-03-11T10:00", "-1d", OFFICE, "2026-03-10T09:00:00Z"),  # open: nothing moves it
        ("2026-03-11T09:00", "-1d", OFFICE, "2026-03-10T08:00:00Z"),
        ("2026-03-11T12:30", "-24h", "09:00-12:00,13:00-17:00", "2026-03-10T08:00:00Z"),
        ("2026-03-11T18:00", "-1h", "09:00-12:00,13:00-17:00", "2026-03-11T12:00:00Z"),
        ("2026-03-10T07:00", "-1d", "22:00-06:00", "2026-03-08T21:00:00Z"),  # Sunday's night
        ("2026-03-30T08:00", "-1d", "sun 02:30-05:00", "2026-03-29T01:30:00Z"),  # it opened in the gap, at 03:30
        ("2026-03-10T08:00", "-2bd", "sat", "2026-02-27T23:00:00Z"),  # Friday; the Saturday before
    ],
)
def test_latest_opening_before_a_date(date_: str, offset: str, window: str, instant: str) -> None:
    schedule = when(date_, offset, window=window)
    assert format_instant(schedule.at) == instant
    assert schedule.at == read_back(date_, offset, window).at


def read_back(date_: str, offset: str, window: str) -> Schedule:
    """By the intent as the wait keeps it."""
    intent = read_intent(parse_until_date(date_, offset).to_config())
    return resolve(intent, base=MARCH, zone=BERLIN, rules=Rules(window=parse_hours(window)))


def test_explanation_says_that_it_went_back() -> None:
    assert when("2026-03-09T08:00", "-1d", window=OFFICE).explanation == (
        "until-date 2026-03-09 08:00: that local time in Europe/Berlin; 1d before it, days by the clocks of Europe/Berlin",
        (
            "window: Sunday 2026-03-08 08:00 is outside mon-fri 09:00-17:00; "
            "before a date, so moved back to the latest opening, Friday 2026-03-06 09:00"
        ),
    )


def test_days_without_hours_keep_the_wall_clock() -> None:
    mine = Calendar("mine", holidays_of=lambda _: {date(2026, 3, 6): "Strike"})
    schedule = when("2026-03-09T08:00", "-1d", calendar=mine)
    assert format_instant(schedule.at) == "2026-03-05T07:00:00Z"
    assert schedule.explanation[1].startswith("weekend: Sunday 2026-03-08 (weekend); before a date, so moved back")


def test_hours_of_a_calendar_elsewhere() -> None:
    """09:00 to 17:00 in New York is 14:00 to 22:00 in Berlin (15:00 to 23:00 while summer time has begun there alone)."""
    there = Calendar("there", hours=parse_hours(OFFICE), zone="America/New_York")
    assert format_instant(when("2026-03-07T12:00", "-1h", calendar=there).at) == "2026-03-06T14:00:00Z"
    assert (
        format_instant(when("2026-03-10T12:00", "-1h", calendar=there, window="sun-tue").at) == "2026-03-09T13:00:00Z"
    )


def test_forward_is_the_other_way_and_never_past_the_date() -> None:
    assert format_instant(when("2026-03-09T18:00", "-1d", window=OFFICE, roll="forward").at) == "2026-03-09T08:00:00Z"
    for time_ in ("08:00", "09:00"):  # at nine it would be the date itself
        with pytest.raises(InvalidWaitDateError, match="2026-03-09 09:00:00 Europe/Berlin, which is not before"):
            when(f"2026-03-09T{time_}", "-1d", window=OFFICE, roll="forward")
    assert (
        when("2026-03-07T18:00", "+1d", window=OFFICE).at
        == when("2026-03-07T18:00", "+1d", window=OFFICE, roll="forward").at
    )


def test_what_never_opened() -> None:
    with pytest.raises(NoOpeningError, match="before 2026-03-08"):
        when("2026-03-09T08:00", "-1d", window="sat", calendar=Calendar("mine"))
    with pytest.raises(NoOpeningError, match="before 2026-03-08"):
        when("2026-03-09T08:00", "-1d", calendar=Calendar("never", work_week=frozenset()))


@pytest.mark.parametrize("zone", ["Pacific/Apia", "Pacific/Fakaofo"])
def test_day_before_that_was_left_out(zone: str) -> None:
    schedule = resolve(parse_until_date("2011-12-31 09:00", "-1d"), base=MARCH, zone=zone)
    assert shown(schedule.at, zone) == datetime(2011, 12, 29, 9)


# -- against a model that walks back minute by minute --------------------------------------------------------------------

HOURS = st.sampled_from(
    [
        parse_hours("mon-fri 09:00-12:00,13:00-17:00"),
        parse_hours("22:00-06:00"),
        parse_hours("sun,wed"),
        parse_hours("02:30-02:45,23:50-00:10"),
        parse_hours("00:00-24:00"),
    ]
)


@st.composite
def dates(draw: st.DrawFn) -> tuple[str, datetime]:
    zone = draw(st.sampled_from(all_zones()))
    local = draw(st.datetimes(datetime(2015, 1, 2), datetime(2030, 12, 1)))
    return zone, local.replace(second=0, microsecond=0)


@given(
    dates(),
    st.integers(0, 3),
    st.integers(0, 90),
    st.none() | HOURS,
    st.none() | st.sets(st.integers(1, 7), min_size=1).map(frozenset),
    st.sampled_from([Dst.COMPATIBLE, Dst.EARLIER, Dst.LATER]),
)
def test_it_is_the_latest_opening_before_the_date(
    place: tuple[str, datetime],
    days: int,
    hours: int,
    window: OpeningHours | None,
    week: frozenset[int] | None,
    dst: Dst,
) -> None:
    zone, local = place
    offset = Offset(Duration(days, timedelta(hours=hours)), is_back=bool(days or hours))
    calendar = Calendar("mine", work_week=week) if week and not (window and window.runs_past_midnight) else None
    rules = Rules(dst=dst, window=window, calendar="mine" if calendar else None)
    the_date = read(local, zone)
    named = local - timedelta(days=days)
    if kind_of(readings(local, zone)) or kind_of(readings(named, zone)):
        return  # `test_days_meant` looks at these
    at = read(named, zone) - timedelta(hours=hours)
    try:
        found = resolve(
            UntilDate(PlainDateTime(local), offset), base=MARCH, zone=zone, rules=rules, calendar=calendar
        ).at
    except NoOpeningError:
        assert calendar is not None and window is not None and not window.days & calendar.work_week
        return

    def passes(instant: datetime) -> bool:
        here = shown(instant, zone)
        return (window is None or is_within(here, window)) and (
            calendar is None or here.isoweekday() in calendar.work_week
        )

    if not offset.is_back:
        assert found >= at == the_date and passes(found)
    elif passes(at):
        assert found == at < the_date
    elif window is None:
        wall = shown(at, zone)
        back = next(past for past in range(1, 9) if passes(read(wall - timedelta(days=past), zone, dst)))
        assert found == read(wall - timedelta(days=back), zone, dst)
    else:
        starts = {
            read(datetime.combine(day, time()) + timedelta(minutes=start), zone, dst)
            for past in range(-1, 9)
            for day in (shown(at, zone).date() - timedelta(days=past),)
            for start, _ in window.intervals.get(day.isoweekday(), ())
        }
        assert found == max(start for start in starts if start <= at and passes(start))


# -- zero, and what has passed -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["0", "0d", "+0d", "-0d", "-0h", "0bd", "PT0S"])
def test_no_distance_is_the_date_itself(text: str) -> None:
    schedule = when("2026-03-07T08:00", text)
    assert format_instant(schedule.at) == "2026-03-07T07:00:00Z"
    assert schedule.explanation == ("until-date 2026-03-07 08:00: that local time in Europe/Berlin; the date itself",)
    assert format_instant(when("2026-03-07T08:00", text, window=OFFICE).at) == "2026-03-09T08:00:00Z"
    assert read_intent(parse_until_date("2026-03-07", text).to_config()) == parse_until_date("2026-03-07", text)


@pytest.mark.parametrize("text", ["0", "0d", "0m", "0bd", "PT0S"])
def test_no_time_is_now_or_the_next_opening(text: str) -> None:
    intent, rules = parse_fixed_time(text, zero=True), Rules(window=parse_hours(OFFICE))
    for base, instant in (
        ("2026-03-06T15:59:59Z", "2026-03-06T15:59:59Z"),
        ("2026-03-06T16:00:00Z", "2026-03-09T08:00:00Z"),
    ):
        assert format_instant(resolve(intent, base=parse_instant(base, "base"), zone=BERLIN, rules=rules).at) == instant
    assert read_intent(intent.to_config()) == intent
    with pytest.raises(InvalidWaitDurationError):
        parse_fixed_time(text)
    with pytest.raises(InvalidWaitConfigurationError, match="no days and a time of day"):
        parse_fixed_time(text, "09:00", zero=True)


def passed(
    text: str, offset: str | None = None, *, past: str, window: str | None = None, days: str | None = None
) -> tuple[WaitStepExecution, Schedule]:
    rules = Rules(window=parse_hours(window) if window else None, calendar="mine" if days else None)
    calendar = Calendar("mine", work_week=parse_hours(days).days) if days else None
    now = datetime(2026, 3, 6, 16, 30, tzinfo=UTC)  # Friday 17:30 in Berlin
    intent = parse_until_date(text, offset, past=past)
    return WaitStepExecution.for_time("id", SPEC, intent, now=now, rules=rules, calendar=calendar)


@pytest.mark.parametrize(
    ("text", "rules", "instant"),
    [
        ("2026-03-01 08:00", {}, "2026-03-07T07:00:00Z"),  # tomorrow at eight
        ("2026-03-06 17:30:01", {}, "2026-03-06T16:30:01Z"),  # not yet
        ("2026-03-01 18:00", {}, "2026-03-06T17:00:00Z"),
        ("2026-03-01T08:00:00Z", {}, "2026-03-07T08:00:00Z"),
        ("2026-03-01 08:00", {"days": "mon-fri"}, "2026-03-09T07:00:00Z"),
        ("2026-03-01 08:00", {"window": OFFICE}, "2026-03-09T08:00:00Z"),
        ("2026-03-01 08:00", {"window": "17:00-18:00"}, "2026-03-06T16:30:00Z"),  # open now
        ("2026-03-01 08:00", {"window": "10:00-18:00", "days": "sun"}, "2026-03-08T09:00:00Z"),
    ],
)
def test_date_that_has_passed_may_mean_the_next_opening_or_day(text: str, rules: dict[str, str], instant: str) -> None:
    wait, schedule = passed(text, past="next", **rules)
    assert wait.scheduled_at == schedule.at
    assert format_instant(schedule.at) == instant
    assert (wait.wait_config["past"], wait.late_seconds) == ("next", None)
    assert read_intent(wait.wait_config) == parse_until_date(text, past="next")
    if text != "2026-03-06 17:30:01":
        assert schedule.explanation[1].startswith("past: ")
        with pytest.raises(InvalidWaitDateError, match="has passed"):
            passed(text, past="reject", **rules)


def test_going_back_may_lead_into_the_past() -> None:
    """On Friday evening Monday's day before is Sunday, and the latest opening before it was this morning."""
    asked = ("2026-03-09 08:00", "-1d")
    with pytest.raises(InvalidWaitDateError, match="has passed: 2026-03-06T08:00:00Z"):
        passed(*asked, past="reject", window=OFFICE)
    assert passed(*asked, past="fire", window=OFFICE)[0].late_seconds == 8 * 3600 + 1800
    with pytest.raises(InvalidWaitDateError, match="not before 2026-03-09 08:00"):
        passed(*asked, past="next", window=OFFICE)  # which is Monday at nine
    assert format_instant(passed("2026-03-09 10:00", "-1d", past="next", window=OFFICE)[1].at) == "2026-03-09T08:00:00Z"


@pytest.mark.parametrize("asked", [{"past": "ignore"}, {"past": ""}, {"roll": "sideways"}])
def test_words_that_are_no_choice(asked: dict[str, str]) -> None:
    (name,) = asked
    with pytest.raises(InvalidWaitConfigurationError, match=f"{name} .* is none of"):
        parse_until_date("2026-03-07", **asked)
    assert (parse_until_date("2026-03-07").past, parse_until_date("2026-03-07").roll) == (Past.REJECT, Roll.BACK)
