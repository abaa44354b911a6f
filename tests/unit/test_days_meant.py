"""A rule about days judges the local day that was meant, wherever clocks skip over midnight.

The model walks through days and minutes by the standard library, in every zone and at every such gap until 2040.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import partial

import pytest
from whenever import PlainDateTime, Time

from tests.unit.wall_clocks import gaps, gaps_to_another_day, is_within, readings, shown
from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import Duration, Offset
from waitctl.domain.errors import InvalidWaitTimeError
from waitctl.domain.hours import OpeningHours, parse_hours
from waitctl.domain.instants import Dst, format_instant, parse_instant
from waitctl.domain.intents import FixedTime, Intent, Rules, UntilDate, UntilTime, parse_fixed_time, parse_until_time
from waitctl.domain.listeners import EventQuery
from waitctl.domain.opening_rules import OpeningRules
from waitctl.domain.schedule import Schedule, resolve

GUESSES = (Dst.COMPATIBLE, Dst.EARLIER, Dst.LATER)
MONDAY_TO_SATURDAY = Calendar("mon-sat", work_week=frozenset(range(1, 7)))
DAY = timedelta(days=1)
LEFT_OUT = date(2011, 12, 30)
"""The day that Apia and Fakaofo had not."""


@pytest.mark.parametrize(
    ("intent", "zone", "base", "dst", "calendar", "instant"),
    [
        (
            parse_until_time("23:30", "sat"),
            "America/Nuuk",
            datetime(2026, 3, 28, 12, tzinfo=UTC),
            Dst.COMPATIBLE,
            None,
            "2026-03-29T01:30:00Z",
        ),
        (
            parse_fixed_time("1bd", "23:30"),
            "America/Nuuk",
            datetime(2027, 3, 26, 12, tzinfo=UTC),
            Dst.COMPATIBLE,
            MONDAY_TO_SATURDAY,
            "2027-03-28T01:30:00Z",
        ),
        (
            parse_until_time("00:30", "sun"),
            "America/Santiago",
            datetime(2026, 9, 5, 12, tzinfo=UTC),
            Dst.EARLIER,
            None,
            "2026-09-06T03:30:00Z",
        ),
        (
            parse_until_time("09:00", "fri"),
            "Pacific/Apia",
            datetime(2011, 12, 29, 20, tzinfo=UTC),
            Dst.COMPATIBLE,
            None,
            "2011-12-30T19:00:00Z",
        ),
    ],
)
def test_known_nights(
    intent: Intent, zone: str, base: datetime, dst: Dst, calendar: Calendar | None, instant: str
) -> None:
    schedule = resolve(intent, base=base, zone=zone, rules=Rules(dst=dst), calendar=calendar)
    assert format_instant(schedule.at) == instant
    assert "for rules about days it stays" in schedule.explanation[-1]
    with pytest.raises(InvalidWaitTimeError, match="does not exist"):
        resolve(intent, base=base, zone=zone, rules=Rules(dst=Dst.REJECT), calendar=calendar)


def cases() -> Iterator[tuple[str, datetime, frozenset[int]]]:
    """A zone, a local time that is skipped, and weekdays: the one that was meant, its neighbours, all others."""
    for zone, local in gaps_to_another_day():
        if local.date() == LEFT_OUT:  # read backwards, the whole day would be before its base
            continue
        meant = local.isoweekday()
        for days in ({meant}, {meant % 7 + 1}, {(meant - 2) % 7 + 1}, set(range(1, 8)) - {meant}):
            yield zone, local, frozenset(days)


def first_that_counts(start: date, days: frozenset[int]) -> date:
    return next(day for count in range(8) if (day := start + count * DAY).isoweekday() in days)


def answer(intent: Intent, base: datetime, zone: str, calendar: Calendar | None, dst: Dst) -> Schedule:
    return resolve(intent, base=base, zone=zone, rules=Rules(dst=dst), calendar=calendar)


def is_guess(local: datetime, zone: str) -> bool:
    return len(set(readings(local, zone).values())) > 1


def check(zone: str, local: datetime, named: datetime, resolved: Callable[[Dst], Schedule]) -> None:
    """``local`` is meant: every rule reads it so. Of ``reject`` no guess is wanted, about what was ``named`` either."""
    expected = readings(local, zone)
    for dst in GUESSES:
        assert resolved(dst).at == expected[dst], (zone, local, dst)
    if is_guess(local, zone) or is_guess(named, zone):
        with pytest.raises(InvalidWaitTimeError):
            resolved(Dst.REJECT)
    else:
        assert resolved(Dst.REJECT).at == expected[Dst.LATER]


def test_there_are_such_gaps_in_many_zones() -> None:
    assert len({zone for zone, _ in gaps_to_another_day()}) > 30
    assert {"America/Nuuk", "America/Santiago", "Pacific/Apia"} <= {zone for zone, _ in gaps_to_another_day()}


@pytest.mark.usefixtures("uncounted")
def test_weekdays_and_calendars_judge_the_day_that_was_meant() -> None:
    for zone, local, days in cases():
        base = readings(datetime.combine(local.date() - DAY, time(12)), zone)[Dst.LATER]
        start = shown(base, zone).date()
        at = Time(local.hour, local.minute, local.second)
        calendar = Calendar("mine", work_week=days)
        today = start + (local.time() <= time(12)) * DAY
        tomorrow, day_before = start + DAY, PlainDateTime(local - DAY)
        asked: list[tuple[Intent, Calendar | None, date]] = [
            (UntilTime(at, days), None, today),
            (UntilTime(at), calendar, today),
            (FixedTime(Duration(1), at), calendar, tomorrow),
            (FixedTime(Duration(business_days=1), at), calendar, tomorrow),
            (UntilDate(day_before, Offset(Duration(1))), calendar, tomorrow),
            (UntilDate(day_before, Offset(Duration(business_days=1))), calendar, tomorrow),
        ]
        for intent, known, first in asked:
            meant = datetime.combine(first_that_counts(first, days), local.time())
            # A date is rejected as it was named, even one that a calendar would move.
            named = local if isinstance(intent, UntilDate) and intent.offset == Offset(Duration(1)) else meant

            resolved = partial(answer, intent, base, zone, known)
            check(zone, meant, named, resolved)


@pytest.mark.usefixtures("uncounted")
def test_windows_judge_the_day_that_was_meant() -> None:
    """Whole days, or their last and first hours: what is meant in them passes, what is not waits for the next minute."""
    for zone, local, days in cases():
        if local.year < 2022:  # to walk by minutes takes its time
            continue
        for spans in ([(0, 1440)], [(0, 120), (1200, 1440)]):
            window = OpeningHours({day: tuple(spans) for day in days})
            for dst in GUESSES:
                at = readings(local, zone)[dst]
                meant_passes = shown(at, zone).date() != local.date() and is_open(window, local)
                expected = at if meant_passes else first_open_minute(window, at, zone)
                schedule = resolve(
                    UntilDate(PlainDateTime(local)), base=at, zone=zone, rules=Rules(dst=dst, window=window)
                )
                assert schedule.at == expected, (zone, local, str(window), dst)


def is_open(window: OpeningHours, local: datetime) -> bool:
    minute = local.hour * 60 + local.minute
    return any(start <= minute < end for start, end in window.intervals.get(local.isoweekday(), ()))


def first_open_minute(window: OpeningHours, at: datetime, zone: str) -> datetime:
    while not is_open(window, shown(at, zone)):
        local = shown(at, zone)
        whole = at - timedelta(seconds=local.second)
        at = whole + timedelta(minutes=30 - local.minute % 30)
    return at


def test_reject_never_slides_past_a_time_that_the_window_would_take() -> None:
    """Half past two was asked for and the window holds it: what moves it is the gap alone."""
    for window in ("02:00-03:00", "sun 02:00-03:00", "sat 22:00-03:00"):
        rules = Rules(dst=Dst.REJECT, window=parse_hours(window))
        with pytest.raises(InvalidWaitTimeError, match="2026-03-29 02:30 does not exist in Europe/Berlin"):
            resolve(
                parse_fixed_time("1d", "02:30"),
                base=datetime(2026, 3, 28, 12, tzinfo=UTC),
                zone="Europe/Berlin",
                rules=rules,
            )


def test_night_that_began_on_a_business_day_holds_what_was_meant_in_it() -> None:
    """Saturday 23:30 lies in Saturday's hours; where Saturday is off, Sunday's are no way out, and have ended at 23:30."""
    at = datetime(2026, 3, 28, 12, tzinfo=UTC)
    for hours, instant in (
        ("mon-sat 20:00-24:00", "2026-03-29T01:30:00Z"),
        ("sun 00:00-06:00", "2026-04-05T01:00:00Z"),
    ):
        calendar = Calendar("shifts", work_week=parse_hours(hours).days, hours=parse_hours(hours))
        schedule = resolve(parse_until_time("23:30"), base=at, zone="America/Nuuk", rules=Rules(), calendar=calendar)
        assert format_instant(schedule.at) == instant


def test_next_opening_never_lies_before_its_start() -> None:
    """Late on a Saturday off, Sunday's midnight is skipped: read backwards it would be an hour ago."""
    calendar = Calendar("mine", work_week=frozenset({7, 1, 2, 3, 4, 5}))
    rules = OpeningRules("America/Santiago", Rules(dst=Dst.EARLIER, quiet=parse_hours("07:00-22:00")), calendar)
    now = datetime(2026, 9, 6, 3, 30, tzinfo=UTC)
    assert rules.next_opening(now)[0] == datetime(2026, 9, 6, 4, tzinfo=UTC)


NUUK, BERLIN, SANTIAGO = "America/Nuuk", "Europe/Berlin", "America/Santiago"


@pytest.mark.parametrize(
    ("window", "dst", "zone", "base", "instant"),
    [
        ("sat 23:30-23:50", Dst.COMPATIBLE, NUUK, "2026-03-28T20:30:00Z", "2026-03-29T01:30:00Z"),
        ("sat 23:30-23:50", Dst.EARLIER, NUUK, "2026-03-28T20:30:00Z", "2026-03-29T00:30:00Z"),
        ("sat 23:30-23:50", Dst.REJECT, NUUK, "2026-03-28T20:30:00Z", None),
        ("02:10-02:40", Dst.COMPATIBLE, BERLIN, "2026-03-29T00:30:00Z", "2026-03-29T01:10:00Z"),
        ("02:10-02:40", Dst.COMPATIBLE, BERLIN, "2026-03-29T01:15:00Z", "2026-03-29T01:15:00Z"),
        ("02:10-02:40", Dst.REJECT, BERLIN, "2026-03-29T00:30:00Z", None),
        ("02:10-02:40", Dst.REJECT, BERLIN, "2026-03-29T01:15:00Z", None),
        ("02:30-05:00", Dst.EARLIER, BERLIN, "2026-03-29T00:00:00Z", "2026-03-29T00:30:00Z"),
        ("02:30-05:00", Dst.REJECT, BERLIN, "2026-03-29T00:00:00Z", None),
        ("02:30-05:00", Dst.REJECT, BERLIN, "2026-03-29T01:45:00Z", "2026-03-29T01:45:00Z"),
        ("sun 00:00-02:00", Dst.EARLIER, SANTIAGO, "2026-09-05T12:00:00Z", "2026-09-06T03:00:00Z"),
        ("sun 00:00-02:00", Dst.COMPATIBLE, SANTIAGO, "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z"),
        ("sun 00:00-02:00", Dst.REJECT, SANTIAGO, "2026-09-05T12:00:00Z", None),
    ],
)
def test_opening_that_clocks_skip(window: str, dst: Dst, zone: str, base: str, instant: str | None) -> None:
    at = parse_instant(base, "base")
    rules, now = Rules(dst=dst, window=parse_hours(window)), parse_fixed_time("0", zero=True)
    if instant is None:
        with pytest.raises(InvalidWaitTimeError, match="does not exist"):
            resolve(now, base=at, zone=zone, rules=rules)
        return
    schedule = resolve(now, base=at, zone=zone, rules=rules)
    assert format_instant(schedule.at) == instant
    assert instant == base or schedule.explanation[-1].startswith("gap: ")


@pytest.mark.usefixtures("uncounted")
def test_every_gate_opens_on_the_day_that_was_meant() -> None:
    """A window, opening hours, a deadline: each starts at a time that clocks skip, in every zone that has such a gap."""
    seen = 0
    for zone, local in gaps(range(2010, 2029)):
        if local.second or (local.year < 2026 and local.date() != LEFT_OUT):
            continue
        expected, minute, weekday = readings(local, zone), 60 * local.hour + local.minute, local.isoweekday()
        base = expected[Dst.EARLIER] - timedelta(hours=6)
        until = format_instant(base)
        hours = OpeningHours({weekday: ((minute, minute + 20),)})
        for dst in Dst:
            for calendar in (None, Calendar("mine", work_week=frozenset(range(1, 8)), hours=hours)):
                rules = Rules(dst=dst, window=None if calendar else hours, calendar="mine" if calendar else None)
                deadline = EventQuery(("reply",), until=until, timeout_window=True, rules=rules)
                found = (
                    partial(resolve, FixedTime(Duration()), base=base, zone=zone, rules=rules, calendar=calendar),
                    partial(deadline.deadline, base, zone, calendar),
                )
                for each in found:
                    if dst is Dst.REJECT:
                        with pytest.raises(InvalidWaitTimeError, match="does not exist"):
                            each()
                    else:
                        schedule = each()
                        assert schedule is not None and schedule.at == expected[dst], (zone, local, dst)
                        assert "for rules" in str(schedule.moves[-1]) or local.date() == shown(schedule.at, zone).date()
                        seen += 1
    assert seen > 1000


@pytest.mark.parametrize("dst", GUESSES)
def test_calendar_lets_pass_what_a_gap_moved_into_a_day_off(dst: Dst) -> None:
    """Saturday's window lies on Sunday, by the clocks of Nuuk, and Sunday's in Santiago on Saturday, read backwards."""
    for zone, window, local in (
        (NUUK, "sat 23:30-23:50", datetime(2026, 3, 28, 23, 30)),
        (SANTIAGO, "sun 00:00-00:30", datetime(2026, 9, 6)),
    ):
        hours = parse_hours(window)
        opening_rules = OpeningRules(zone, Rules(dst=dst, window=hours), Calendar("mine", work_week=hours.days))
        inside = readings(local, zone)[dst] + timedelta(minutes=5)
        assert opening_rules.next_opening(inside) == (inside, ())


@pytest.mark.parametrize("dst", GUESSES)
@pytest.mark.parametrize("quiet", ["22:00-02:00", "22:00-02:30", "03:10-02:30", "02:10-02:40", "00:00-03:30"])
def test_no_gap_leads_into_quiet_hours(quiet: str, dst: Dst) -> None:
    hours = parse_hours(quiet)
    opening_rules = OpeningRules(BERLIN, Rules(dst=dst, quiet=hours))
    for minutes in range(0, 360, 10):
        asked = datetime(2026, 3, 28, 22, tzinfo=UTC) + timedelta(minutes=minutes)
        assert not is_within(shown(opening_rules.next_opening(asked)[0], BERLIN), hours)
