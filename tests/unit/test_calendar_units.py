"""Months, years and open time: against python-dateutil, and against a count minute by minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache

import pytest
from dateutil.relativedelta import relativedelta
from dateutil.rrule import FR, MO, MONTHLY, SA, SU, TH, TU, WE, rrule

from tests.unit.random_cases import chance_of, local_time, number
from tests.unit.wall_clocks import all_zones, is_within, read, shown
from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import Duration, Offset, TimeUnit, format_duration, parse_duration, parse_offset
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDurationError, NoOpeningError
from waitctl.domain.hours import WEEKDAY_NAMES, parse_hours
from waitctl.domain.intents import FixedTime, Rules, UntilDate, parse_fixed_time, parse_until_date, read_intent
from waitctl.domain.listeners import EventQuery
from waitctl.domain.months import DayOfMonth, parse_day_of_month
from waitctl.domain.schedule import IntentResolver, resolve

NOON = datetime(2027, 1, 31, 12, tzinfo=UTC)


# -- as they are written -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "duration", "written"),
    [
        ("1mo", Duration(months=1), "1mo"),
        ("1 month", Duration(months=1), "1mo"),
        ("2 Years", Duration(months=24), "2y"),
        ("1y6mo", Duration(months=18), "1y6mo"),
        ("14mo", Duration(months=14), "1y2mo"),
        ("P1M", Duration(months=1), "1mo"),
        ("P1Y2M3D", Duration(days=3, months=14), "1y2mo3d"),
        ("P1M2W", Duration(days=14, months=1), "1mo14d"),
        ("1mo2d", Duration(days=2, months=1), "1mo2d"),
        ("120mo", Duration(months=120), "10y"),
        ("4bh", Duration(business_time=timedelta(hours=4)), "4bh"),
        ("1.5 business hours", Duration(business_time=timedelta(minutes=90)), "1.5bh"),
    ],
)
def test_reads(text: str, duration: Duration, written: str) -> None:
    assert parse_duration(text, business=True) == duration
    assert format_duration(duration) == written
    assert parse_duration(written, business=True) == duration
    assert parse_offset(f"-{text}") == Offset(duration, is_back=True)


def test_minutes_of_open_time_are_read_back() -> None:
    for minutes in range(1, 600):
        duration = Duration(business_time=timedelta(minutes=minutes))
        assert parse_duration(str(duration), business=True) == duration


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1mo2h", "can mean the clock"),
        ("P1MT1H", "can mean the clock"),
        ("1mo0.5d", "can mean the clock"),
        ("1.5mo", "whole"),
        ("0.5y", "whole"),
        ("121mo", "ten years"),
        ("10y8d", "ten years"),
        ("1mo1month", "twice"),
        ("1M", "minutes or months"),
        ("4bh30m", "stand alone"),
        ("1mo3bd", "stand alone"),
        ("0bh", "between 1 and"),
        ("62401bh", "62,400"),
        ("0mo", "more than zero"),
        ("P1M1Y", "not a duration"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(InvalidWaitDurationError, match=says):
        parse_duration(text, business=True)


@pytest.mark.parametrize("text", ["1mo", "2y", "P1M"])
def test_where_a_length_is_needed_both_readings_are_named(text: str) -> None:
    with pytest.raises(InvalidWaitDurationError) as caught:
        parse_duration(text)
    assert "1m is one minute, 1mo one month" in str(caught.value.hint)
    with pytest.raises(InvalidWaitDurationError, match="no fixed length"):
        _ = parse_duration(text, business=True).elapsed


def test_units_of_programs() -> None:
    assert Duration.of(2, TimeUnit.HOURS) == Duration(time=timedelta(hours=2))
    assert Duration.of(2, TimeUnit.MONTHS) == Duration(months=2)
    assert Duration.of(1, TimeUnit.YEARS) == Duration(months=12)


DAYS = [
    ("15", DayOfMonth(15)),
    ("31", DayOfMonth(31)),
    ("last day", DayOfMonth(-1)),
    ("First Monday", DayOfMonth(1, "monday")),
    ("last fri", DayOfMonth(-1, "friday")),
    ("fourth thu", DayOfMonth(4, "thursday")),
    ("last business day", DayOfMonth(-1, "business day")),
]


@pytest.mark.parametrize(("text", "day"), DAYS)
def test_days_of_a_month(text: str, day: DayOfMonth) -> None:
    assert parse_day_of_month(text) == day
    assert parse_day_of_month(str(day)) == day


@pytest.mark.parametrize(
    "text", ["", "0", "32", "31 feb", "fifth monday", "monday", "last", "last mon-fri", "first mo", "\u0661"]
)
def test_what_is_no_day_of_a_month(text: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="no day of a month"):
        parse_day_of_month(text)


@pytest.mark.parametrize("duration", ["3d", "1mo2d", "1w", "3bd", "4bh", "2h"])
def test_a_day_of_the_month_goes_with_whole_months(duration: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="whole months"):
        parse_fixed_time(duration, on="15")


def test_one_minute_on_a_monday_names_months() -> None:
    with pytest.raises(InvalidWaitConfigurationError) as caught:
        parse_fixed_time("1m", on="first monday")
    assert "mo months" in str(caught.value.hint)


@pytest.mark.parametrize(
    "intent",
    [
        parse_fixed_time("1mo2d"),
        parse_fixed_time("1y", "09:00", "first monday"),
        parse_fixed_time("4bh"),
        parse_until_date("2026-12-24", "-1mo", on="last day"),
        parse_until_date("2026-12-24", on="15"),
    ],
)
def test_intents_are_read_back(intent: FixedTime | UntilDate) -> None:
    assert read_intent(intent.to_config()) == intent


def test_says_what_it_did() -> None:
    first, clipped = resolve(parse_fixed_time("1mo"), base=NOON, zone="Europe/Berlin").explanation
    assert first == "fixed-time 1mo: 1 calendar month after 2027-01-31 13:00:00 Europe/Berlin, at the same wall clock"
    assert clipped == "month: 2027-02 has no day 31; its last one is Sunday 2027-02-28"
    asked, chosen = resolve(parse_fixed_time("1mo", "9", "first monday"), base=NOON, zone="UTC").explanation
    assert asked.endswith("on the first monday of that month, at 09:00")
    assert chosen == "month: the first monday of 2027-02 is Monday 2027-02-01"
    assert "has no day 31" in resolve(parse_fixed_time("1mo", on="31"), base=NOON, zone="UTC").explanation[1]
    until = resolve(parse_until_date("2027-03-10", "-1mo", on="last day"), base=NOON, zone="UTC").explanation
    assert until[0].endswith("1mo before it, and of that month the last day")


# -- against python-dateutil ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("uncounted")
def test_months_and_years_as_relativedelta() -> None:
    """On and back, from 1970 to 2100, in every zone; the wall clock kept, and read as any local time is."""
    chance, zones = chance_of(1), all_zones()
    tried = clipped = 0
    for _ in range(number(14_000)):
        zone, start = chance.choice(zones), local_time(chance)
        if chance.random() < 0.3:
            start = start.replace(day=1) - timedelta(days=chance.randrange(1, 4))  # the ends of months
        months, days, back = chance.randrange(1, 118), chance.choice((0, 0, 1, 30)), chance.random() < 0.3
        sign = -1 if back else 1
        wanted = start + sign * relativedelta(months=months, days=days)
        offset = Offset(Duration(days=days, months=months), is_back=back)
        base = read(start, zone)
        if back or chance.random() < 0.5:
            found = IntentResolver(UntilDate(base, offset), zone).delay(base).at
            start = shown(base, zone)  # in a gap clocks show another time than was meant
            wanted = start + sign * relativedelta(months=months, days=days)
        else:
            wanted = shown(base, zone) + relativedelta(months=months, days=days)
            found = resolve(FixedTime(offset.duration), base=base, zone=zone).at
        assert found == read(wanted, zone), (zone, start, str(offset))
        tried, clipped = tried + 1, clipped + (wanted.day != start.day and not days)
    assert tried >= 14_000
    assert clipped > 100


_WEEKDAYS = (MO, TU, WE, TH, FR, SA, SU)


@pytest.mark.usefixtures("uncounted")
def test_days_of_a_month_as_rrule() -> None:
    chance, zones = chance_of(2), all_zones()
    for _ in range(number(7_000)):
        zone, base = chance.choice(zones), read(local_time(chance), "UTC")
        start, months, at = shown(base, zone), chance.randrange(1, 40), time(chance.randrange(24), chance.randrange(60))
        first = datetime.combine((start + relativedelta(months=months)).replace(day=1), at)
        place, weekday = chance.choice((1, 2, 3, 4, -1)), chance.randrange(7)
        if chance.random() < 0.3:
            day = DayOfMonth(-1)
            [wanted] = rrule(MONTHLY, count=1, dtstart=first, bymonthday=-1)
        else:
            day = DayOfMonth(place, WEEKDAY_NAMES[weekday])
            [wanted] = rrule(MONTHLY, count=1, dtstart=first, byweekday=_WEEKDAYS[weekday](place))
        intent = parse_fixed_time(f"{months}mo", at.isoformat("minutes"), str(day))
        assert resolve(intent, base=base, zone=zone).at == read(wanted, zone), (zone, base, str(day))


def test_business_days_of_a_month() -> None:
    """Counted through the month, day by day."""
    holidays = {date(2027, 1, 1): "new year", date(2027, 1, 29): "a friday"}
    calendar = Calendar("mine", holidays_of=lambda _: holidays)
    for month in range(1, 13):
        days = [date(2027, month, 1) + timedelta(days=past) for past in range(28 if month == 2 else 30)]
        days += [date(2027, month, 31)] if month in {1, 3, 5, 7, 8, 10, 12} else []
        open_days = [day for day in days if day.isoweekday() < 6 and day not in holidays]
        base = datetime(2026, 12, 15, 12, tzinfo=UTC)
        for on, wanted in (("first business day", open_days[0]), ("last business day", open_days[-1])):
            found = resolve(
                parse_fixed_time(f"{month}mo", on=on),
                base=base,
                zone="UTC",
                rules=Rules(calendar="mine"),
                calendar=calendar,
            )
            assert found.at.date() == wanted
    closed = Calendar("closed", work_week=frozenset())
    with pytest.raises(NoOpeningError, match="has no first business day"):
        resolve(
            parse_fixed_time("1mo", on="first business day"),
            base=NOON,
            zone="UTC",
            rules=Rules(calendar="closed"),
            calendar=closed,
        )


# -- open time, against a count minute by minute ------------------------------------------------------------------------

HOURS = tuple(
    map(
        parse_hours,
        (
            "mon-fri 09:00-17:00",
            "mon-thu 08:00-12:00,13:00-17:30; fri 08:00-12:00; sat 10:00-11:15",
            "22:00-06:00",
            "fri 20:00-04:00; sun 00:00-24:00",
            "mon-sun 01:30-02:30,02:30-03:45",
        ),
    )
)
ZONES = ("Europe/Berlin", "America/New_York", "America/Havana", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC")
CHANGES = (
    date(2026, 3, 7),
    date(2026, 3, 27),
    date(2026, 4, 4),
    date(2026, 10, 3),
    date(2026, 10, 23),
    date(2026, 10, 31),
)


@cache
def _calendar(index: int) -> Calendar:
    holidays = {day + timedelta(days=3): "a holiday" for day in CHANGES}
    return Calendar("mine", work_week=frozenset(range(1, 8)), holidays_of=lambda _: holidays, hours=HOURS[index])


@cache
def _open_minutes(index: int, zone: str, start: datetime) -> bytes:
    """Whether each minute from ``start`` on is open, by what the clocks show then."""
    calendar = _calendar(index)

    def opens(day: date) -> bool:
        return day not in calendar.holidays_of(day.year)

    at, found = start, bytearray()
    for _ in range(MINUTES):
        found.append(is_within(shown(at, zone), HOURS[index], opens))
        at += timedelta(minutes=1)
    return bytes(found)


MINUTES = 12 * 24 * 60


@pytest.mark.usefixtures("uncounted")
def test_open_time_as_counted_minute_by_minute() -> None:
    """Around changes of the clocks, over nights, weekends and holidays, on and back."""
    chance, tried = chance_of(3), 0
    for _ in range(number(12)):
        index, zone, day = chance.randrange(len(HOURS)), chance.choice(ZONES), chance.choice(CHANGES)
        start = datetime.combine(day, time(), tzinfo=UTC) - timedelta(days=4)
        open_minutes = _open_minutes(index, zone, start)
        rules, calendar = Rules(calendar="mine"), _calendar(index)
        for _ in range(100):
            minute, count = chance.randrange(MINUTES), chance.randrange(1, 2400)
            base = start + timedelta(minutes=minute)
            span = Duration(business_time=timedelta(minutes=count))
            ahead = [past for past in range(minute, MINUTES) if open_minutes[past]][:count]
            if len(ahead) == count:
                found = IntentResolver(FixedTime(span), zone, rules, calendar).resolve(base).at
                assert found == start + timedelta(minutes=ahead[-1] + 1), (index, zone, base, count)
                tried += 1
            behind = [past for past in range(minute) if open_minutes[past]][-count:]
            if len(behind) == count:
                back = UntilDate(base, Offset(span, is_back=True))
                found = IntentResolver(back, zone, rules, calendar).delay(base).at
                assert found == start + timedelta(minutes=behind[0]), (index, zone, base, -count)
                tried += 1
    assert tried > 500


OFFICE = Rules(window=parse_hours("mon-fri 09:00-17:00"))
FRIDAY = datetime(2026, 11, 27, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("duration", "base", "at"),
    [
        ("4bh", FRIDAY, datetime(2026, 11, 30, 11, tzinfo=UTC)),
        ("2bh", FRIDAY, datetime(2026, 11, 27, 17, tzinfo=UTC)),  # at closing time, and not on Monday
        ("8bh", datetime(2026, 11, 28, 3, tzinfo=UTC), datetime(2026, 11, 30, 17, tzinfo=UTC)),
        ("40bh", FRIDAY, datetime(2026, 12, 4, 15, tzinfo=UTC)),
    ],
)
def test_open_time_of_a_window(duration: str, base: datetime, at: datetime) -> None:
    assert resolve(parse_fixed_time(duration), base=base, zone="UTC", rules=OFFICE).at == at
    query = EventQuery(("email_open",), timeout=parse_duration(duration, business=True), rules=OFFICE)
    deadline = query.deadline(base, "UTC")
    assert deadline is not None
    assert deadline.at == at


def test_open_time_of_a_window_on_business_days_alone() -> None:
    calendar = Calendar("mine", holidays_of=lambda _: {date(2026, 11, 30): "a holiday"})
    rules = Rules(window=parse_hours("09:00-17:00"), calendar="mine")
    found = resolve(parse_fixed_time("4bh"), base=FRIDAY, zone="UTC", rules=rules, calendar=calendar)
    assert found.at == datetime(2026, 12, 1, 11, tzinfo=UTC)


def test_a_window_beside_opening_hours_holds_back_closing_time() -> None:
    calendar = Calendar("mine", hours=parse_hours("mon-fri 09:00-17:00"))
    rules = Rules(window=parse_hours("10:00-16:00"), calendar="mine")
    found = resolve(parse_fixed_time("2bh"), base=FRIDAY, zone="UTC", rules=rules, calendar=calendar)
    assert found.at == datetime(2026, 11, 30, 10, tzinfo=UTC)
    within = resolve(parse_fixed_time("0.5bh"), base=FRIDAY, zone="UTC", rules=rules, calendar=calendar)
    assert within.at == datetime(2026, 11, 27, 15, 30, tzinfo=UTC)


def test_open_time_needs_to_open() -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="nothing says when it is open"):
        resolve(parse_fixed_time("4bh"), base=FRIDAY, zone="UTC")
    never = Calendar("never", work_week=frozenset(), hours=parse_hours("09:00-17:00"))
    with pytest.raises(NoOpeningError, match="does not open within 400 days"):
        resolve(parse_fixed_time("4bh"), base=FRIDAY, zone="UTC", rules=Rules(calendar="never"), calendar=never)
    seldom = Rules(window=parse_hours("sun 09:00-09:01"))
    with pytest.raises(NoOpeningError, match="within ten years"):
        resolve(parse_fixed_time("100bh"), base=FRIDAY, zone="UTC", rules=seldom)
