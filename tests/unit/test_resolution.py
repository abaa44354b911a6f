"""The instant is right on every date and in every zone: properties, and the standard library as the oracle."""

from __future__ import annotations

import zoneinfo
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import pytest
import whenever
from hypothesis import example, given
from hypothesis import strategies as st
from whenever import Instant, PlainDateTime, Time

from tests.unit.test_hours import opening_hours
from tests.unit.wall_clocks import all_changes, all_zones, is_within, kind_of, read, readings, shown
from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import Duration, Offset, format_duration
from waitctl.domain.errors import CalendarRangeError, InvalidWaitTimeError, NoOpeningError
from waitctl.domain.hours import OpeningHours, parse_hours
from waitctl.domain.instants import Adjustment, Dst, to_zone
from waitctl.domain.intents import FixedTime, Intent, Rules, UntilDate, UntilTime
from waitctl.domain.schedule import IntentResolver, Schedule, resolve

GUESSES = (Dst.COMPATIBLE, Dst.EARLIER, Dst.LATER)
RULES = {dst: Rules(dst=dst) for dst in GUESSES}


# -- against zoneinfo, around every change of every clock ----------------------------------------------------------------


def test_oracle_reads_the_same_rules() -> None:
    assert tuple(map(str, whenever.get_tzpath())) == zoneinfo.TZPATH
    assert set(all_zones()) <= zoneinfo.available_timezones()
    assert len(all_zones()) > 400


def test_every_change_is_known() -> None:
    """Both libraries know the same changes: none hides between the weeks that the oracle looks at."""
    end = datetime(2041, 1, 1, tzinfo=UTC)
    for zone, known in all_changes().items():
        found = []
        at = Instant.from_utc(2000, 1, 1).to_tz(zone)
        while (change := at.next_transition()) is not None and change.to_stdlib() < end:
            if change.subtract(seconds=1).offset != change.offset:
                found.append(change.to_stdlib().astimezone(UTC))
            at = change
        assert found == known, zone
    assert sum(map(len, all_changes().values())) > 10_000


AROUND = [timedelta(minutes=minutes) for minutes in (-120, -30, 0, 15, 120)] + [timedelta(seconds=-1)]


@pytest.mark.usefixtures("uncounted")
def test_local_times_around_every_change() -> None:
    """Up to two hours before and after each, by the clocks as they were and as they became, by every rule."""
    for zone, known in all_changes().items():
        for change in known:
            before = shown(change - timedelta(seconds=1), zone) + timedelta(seconds=1)
            for local in {wall + step for wall in (before, shown(change, zone)) for step in AROUND}:
                expected = readings(local, zone)
                kind, asked = kind_of(expected), PlainDateTime(local)
                for dst, at in expected.items():
                    found, adjusted = to_zone(asked, zone, dst)
                    assert found.to_instant().to_stdlib() == at, (zone, local, dst)
                    assert (adjusted.kind if adjusted else None) == kind, (zone, local, dst)


def test_dates_at_every_change() -> None:
    """From the intent to the instant, at the first time that clocks skip or show once more."""
    for zone, known in all_changes().items():
        for change in known:
            walls = shown(change - timedelta(seconds=1), zone) + timedelta(seconds=1), shown(change, zone)
            expected = readings(min(walls), zone)
            intent = UntilDate(PlainDateTime(min(walls)))
            for dst, at in expected.items():
                schedule = resolve(intent, base=change, zone=zone, rules=RULES[dst])
                assert (schedule.at, said(schedule)) == (at, kind_of(expected)), (zone, change, dst)
                assert said(schedule) is not None


def said(schedule: Schedule) -> str | None:
    """What the explanation says of the clocks."""
    return next((move.kind for move in schedule.moves if isinstance(move, Adjustment)), None)


def judged(schedule: Schedule, zone: str) -> datetime:
    """The local time that rules about days judge: what was meant, where a gap leads from there to another day."""
    last, here = schedule.moves[-1] if schedule.moves else None, shown(schedule.at, zone)
    if isinstance(last, Adjustment) and (last.kind, last.zone) == ("gap", zone):
        meant = last.asked.to_stdlib()
        return here if meant.date() == here.date() else meant
    return here


# -- properties ----------------------------------------------------------------------------------------------------------


@st.composite
def places(draw: st.DrawFn) -> tuple[str, datetime]:
    """A zone and an instant, as often as not near one at which its clocks jump."""
    zone = draw(st.sampled_from(all_zones()))
    at = draw(st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 1), timezones=st.just(UTC)))
    change = Instant(at).to_tz(zone).next_transition() if draw(st.booleans()) else None
    if change is not None and change.year <= 2100:
        at = change.to_stdlib().astimezone(UTC) + timedelta(minutes=draw(st.integers(-36 * 60, 36 * 60)))
    return zone, at


TIMES = st.builds(time, st.integers(0, 23), st.sampled_from([0, 15, 30, 45, 59]))
COUNTS = st.integers(1, 400)
DST = st.sampled_from(GUESSES)
SAME_EVERY_DAY = st.sampled_from(
    [
        parse_hours("mon-fri 09:00-12:00,13:00-17:00"),
        parse_hours("22:00-06:00"),
        parse_hours("02:30-02:45,23:50-00:10"),
    ]
)
WINDOWS = SAME_EVERY_DAY | st.just(parse_hours("fri-mon 01:00-23:00; wed 23:30-00:30"))


def fixed(count: int, at: time | None = None) -> FixedTime:
    return FixedTime(Duration(count), None if at is None else Time(at.hour, at.minute, at.second))


def daily(at: time, days: frozenset[int] | None = None) -> UntilTime:
    return UntilTime(Time(at.hour, at.minute, at.second), days)


ALWAYS = parse_hours("00:00-11:00,12:00-24:00")
SHIFTS = (parse_hours("08:00-18:00"), parse_hours("20:00-04:00"))


@st.composite
def asked_for(draw: st.DrawFn) -> tuple[Intent, Rules, Calendar | None]:
    """An intent and rules that leave an opening: Friday passes them all, whatever the zone of the calendar."""
    days = draw(st.none() | st.sets(st.integers(1, 7)).map(lambda days: frozenset(days | {5})))
    holidays = draw(st.sets(st.tuples(st.integers(1, 12), st.integers(1, 28)), max_size=12))
    calendar = Calendar(
        "mine",
        work_week=draw(st.sets(st.integers(1, 7)).map(frozenset)) | {5},
        holidays_of=lambda year: {date(year, month, day): "holiday" for month, day in holidays},
        hours=None if days else draw(st.none() | st.sampled_from(SHIFTS)),
        zone=None if days else draw(st.none() | st.sampled_from(all_zones())),
    )
    intent: Intent = draw(
        st.one_of(
            st.builds(fixed, COUNTS),
            st.builds(fixed, COUNTS, TIMES),
            st.builds(lambda count: FixedTime(Duration(business_days=count)), st.integers(1, 60)),
            st.builds(lambda minutes: FixedTime(Duration(time=timedelta(minutes=minutes))), st.integers(1, 600_000)),
            st.builds(daily, TIMES),
        )
        if days is None
        else st.builds(daily, TIMES, st.just(days))
    )
    window = draw(st.none() | (st.just(ALWAYS) if calendar.hours or calendar.zone else SAME_EVERY_DAY))
    return intent, Rules(dst=draw(DST), window=window), draw(st.sampled_from([calendar, None]))


@given(places(), TIMES, DST)
@example(("America/St_Johns", datetime(2010, 11, 7, 2, 30, 30, tzinfo=UTC)), time(23, 30), Dst.LATER)
@example(("America/Nuuk", datetime(2026, 3, 29, 1, 10, tzinfo=UTC)), time(23, 30), Dst.COMPATIBLE)
@example(("Pacific/Apia", datetime(2011, 12, 30, 9, 59, tzinfo=UTC)), time(23, 59), Dst.EARLIER)
def test_until_time_is_the_next_that_the_clocks_show(place: tuple[str, datetime], at: time, dst: Dst) -> None:
    zone, base = place
    today = shown(base, zone).date()
    schedule = resolve(daily(at), base=base, zone=zone, rules=Rules(dst=dst))
    # Of yesterday only what the clocks show once more: what they skipped then is past.
    days = [datetime.combine(today + timedelta(days=days), at) for days in range(-1, 4)]
    assert schedule.at == next(
        found
        for local in days
        if (found := read(local, zone, dst)) > base
        and not (local == days[0] and kind_of(readings(local, zone)) == "gap")
    )
    if said(schedule) != "gap":
        assert shown(schedule.at, zone).time() == at


@given(places(), COUNTS, TIMES, DST)
def test_days_at_a_time_are_calendar_days(place: tuple[str, datetime], count: int, at: time, dst: Dst) -> None:
    zone, base = place
    local = datetime.combine(shown(base, zone).date() + timedelta(days=count), at)
    schedule = resolve(fixed(count, at), base=base, zone=zone, rules=Rules(dst=dst))
    expected = read(local, zone, dst)
    # A day that is left out, read backwards, would be over.
    assert schedule.at == (expected if expected > base else read(local, zone, Dst.LATER))
    assert (said(schedule) == "gap") == (shown(schedule.at, zone) != local)


@given(places(), COUNTS, DST)
@example(("Europe/Berlin", datetime(2026, 10, 24, 0, 30, tzinfo=UTC)), 1, Dst.LATER)
@example(("Europe/Berlin", datetime(2026, 3, 28, 1, 30, tzinfo=UTC)), 1, Dst.EARLIER)
@example(("Pacific/Apia", datetime(2011, 12, 29, 20, tzinfo=UTC)), 1, Dst.EARLIER)
def test_days_by_a_calendar_keep_the_wall_clock(place: tuple[str, datetime], count: int, dst: Dst) -> None:
    zone, base = place
    local = shown(base, zone) + timedelta(days=count)
    every_day = Calendar("every day", work_week=frozenset(range(1, 8)))
    schedule = resolve(fixed(count), base=base, zone=zone, rules=Rules(dst=dst), calendar=every_day)
    expected = read(local, zone, dst)
    assert schedule.at == (expected if expected > base else read(local, zone, Dst.LATER))
    assert (said(schedule) == "gap") == (shown(schedule.at, zone) != local)


@given(places(), st.timedeltas(timedelta(seconds=1), timedelta(days=400)))
def test_elapsed_time_is_elapsed_time(place: tuple[str, datetime], span: timedelta) -> None:
    zone, base = place
    schedule = resolve(FixedTime(Duration(span.days, span - timedelta(days=span.days))), base=base, zone=zone)
    assert schedule.at == base + span and not schedule.moves


@given(places(), asked_for())
@example(
    ("UTC", datetime(2000, 12, 1, tzinfo=UTC)),  # a Friday: its night lasts into the weekend
    (fixed(1), Rules(window=parse_hours("22:00-06:00")), Calendar("mine")),
)
def test_result_is_after_its_base_and_within_all_rules(
    place: tuple[str, datetime], asked: tuple[Intent, Rules, Calendar | None]
) -> None:
    (zone, base), (intent, rules, calendar) = place, asked
    schedule = resolve(intent, base=base, zone=zone, rules=rules, calendar=calendar)
    assert schedule.at > base
    assert schedule.explanation[0].startswith(in_words(intent))
    local = judged(schedule, zone)
    assert rules.window is None or is_within(local, rules.window) or is_within(shown(schedule.at, zone), rules.window)
    if isinstance(intent, UntilTime) and intent.days is not None:
        assert local.isoweekday() in intent.days
    if calendar is not None:
        there = local if calendar.zone in {None, zone} else shown(schedule.at, calendar.zone)
        if calendar.hours is not None:
            assert is_within(there, calendar.hours, partial(is_workday, calendar))
        elif not is_workday(calendar, there.date()):  # then what a window began on a business day lasts into it
            assert rules.window is not None and calendar.zone is None
            assert is_within(local, rules.window, partial(is_workday, calendar))


@given(places(), asked_for())
def test_result_passes_its_own_rules_unmoved(
    place: tuple[str, datetime], asked: tuple[Intent, Rules, Calendar | None]
) -> None:
    (zone, base), (intent, rules, calendar) = place, asked
    resolver = IntentResolver(intent, zone, rules, calendar)
    schedule = resolver.resolve(base)
    if judged(schedule, zone) == shown(schedule.at, zone):  # else the instant alone does not say what was meant
        assert resolver.opening_rules.next_opening(schedule.at) == (schedule.at, ())


DURATIONS = st.builds(Duration, st.integers(1, 3000), st.timedeltas(timedelta(0), timedelta(hours=23))) | st.builds(
    lambda count: Duration(business_days=count), st.integers(1, 400)
)
DATES = st.datetimes(datetime(1970, 1, 2), datetime(2100, 12, 1))
ANYTHING: st.SearchStrategy[Intent] = st.one_of(
    st.builds(FixedTime, DURATIONS),
    st.builds(
        lambda at, offset: UntilDate(at if at.tzinfo else PlainDateTime(at), offset),
        DATES | DATES.map(lambda at: at.replace(tzinfo=UTC)),
        st.none() | st.builds(Offset, DURATIONS, st.booleans()),
    ),
    st.builds(daily, TIMES, st.none() | st.sets(st.integers(1, 7), min_size=1).map(frozenset)),
)


@st.composite
def any_calendar(draw: st.DrawFn) -> Calendar:
    """Also one that never opens, or knows these years alone."""
    return Calendar(
        "any",
        work_week=draw(st.sets(st.integers(1, 7)).map(frozenset)),
        holidays_of=lambda year: {date(year, 5, day): "holiday" for day in range(1, 32)},
        years=draw(st.sampled_from([range(1, 10000), range(1970, 2101)])),
        hours=draw(st.none() | opening_hours()),
        zone=draw(st.none() | st.sampled_from(all_zones())),
    )


@given(places(), ANYTHING, st.sampled_from(Dst), st.none() | opening_hours(), st.none() | any_calendar())
def test_whatever_is_asked_is_answered_by_its_rules_or_refused(
    place: tuple[str, datetime], intent: Intent, dst: Dst, window: OpeningHours | None, calendar: Calendar | None
) -> None:
    zone, base = place
    resolver = IntentResolver(intent, zone, Rules(dst=dst, window=window), calendar)
    try:
        schedule = resolver.resolve(base)
        at, local = schedule.at, judged(schedule, zone)
        if isinstance(intent, UntilDate) and intent.is_before:  # then it goes back, where others go on
            assert at <= resolver.delay(base).at
        else:
            assert at >= resolver.delay(base).at
        assert local != shown(at, zone) or resolver.opening_rules.next_opening(at) == (at, ())
    except (NoOpeningError, CalendarRangeError, InvalidWaitTimeError):
        assert window or calendar or dst is Dst.REJECT
        return
    assert isinstance(intent, UntilDate) or at > base
    assert window is None or is_within(shown(at, zone), window) or is_within(local, window)
    if calendar is not None:
        there = local if calendar.zone in {None, zone} else shown(at, calendar.zone)
        days = (there.date() - timedelta(days=past) for past in (0, 1))  # hours past midnight are of the day before
        assert any(is_workday(calendar, day) for day in days)
        assert calendar.hours is None or is_within(there, calendar.hours, partial(is_workday, calendar))


def in_words(intent: Intent) -> str:
    match intent:
        case FixedTime(duration, None):
            return f"fixed-time {format_duration(duration)}: "
        case FixedTime(duration, at):
            return f"fixed-time {format_duration(duration)} --at {str(at)[:5]}: "
        case _:
            return f"until-time {intent.time}: " if isinstance(intent, UntilTime) else "until-date "


def is_workday(calendar: Calendar, day: date) -> bool:
    return day.isoweekday() in calendar.work_week and day not in calendar.holidays_of(day.year)


@given(places(), st.timedeltas(timedelta(0), timedelta(days=3)), COUNTS, TIMES, DST, st.none() | WINDOWS)
@example(
    ("America/St_Johns", datetime(2010, 11, 7, 2, 30, 30, tzinfo=UTC)),
    timedelta(minutes=10),
    1,
    time(23, 30),
    Dst.LATER,
    None,
)
def test_results_grow_with_their_base(
    place: tuple[str, datetime], later: timedelta, count: int, at: time, dst: Dst, window: OpeningHours | None
) -> None:
    zone, base = place
    rules = Rules(dst=dst, window=window)
    elapsed: Sequence[Intent] = [FixedTime(Duration(time=timedelta(hours=count))), daily(at)]
    for intent in elapsed:
        resolver = IntentResolver(intent, zone, rules)
        assert resolver.resolve(base).at <= resolver.resolve(base + later).at
    by_date = IntentResolver(fixed(count, at), zone, rules)
    first, second = sorted((base, base + later), key=lambda instant: shown(instant, zone).date())
    assert by_date.resolve(first).at <= by_date.resolve(second).at


@given(places(), TIMES, WINDOWS)
def test_reject_is_an_answer_without_a_guess(place: tuple[str, datetime], at: time, window: OpeningHours) -> None:
    """Where nothing was decided, reject answers as compatible does; else it is refused."""
    zone, base = place
    for intent in (daily(at), fixed(1, at)):
        for rules in (Rules(), Rules(window=window)):
            schedule = resolve(intent, base=base, zone=zone, rules=rules)
            strict = IntentResolver(intent, zone, Rules(dst=Dst.REJECT, window=rules.window))
            guessed = schedule.moves[0] if schedule.moves else None
            meant = guessed.asked.to_stdlib() if isinstance(guessed, Adjustment) and guessed.kind == "gap" else None
            if meant and rules.window and is_within(meant, rules.window):  # the gap alone moved it
                with pytest.raises(InvalidWaitTimeError, match="does not exist"):
                    strict.resolve(base)
            elif schedule.moves and isinstance(schedule.moves[-1], Adjustment):
                with pytest.raises(schedule.moves[-1].refusal.__class__, match=schedule.moves[-1].zone):
                    strict.resolve(base)
            else:
                assert strict.resolve(base).at == schedule.at
