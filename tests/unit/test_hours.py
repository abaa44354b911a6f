"""Opening hours as they are read and written, and the gate that they are: half-open, in a zone, through gaps and folds."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from whenever import Instant

from tests.unit.wall_clocks import changes, kind_of, read, readings, shown
from waitctl.domain.errors import InvalidWaitConfigurationError, NoOpeningError
from waitctl.domain.hours import DAY, Gate, OpeningHours, format_days, format_hours, parse_days, parse_hours
from waitctl.domain.instants import Dst, format_instant, parse_instant

WEEK = 7 * DAY


@st.composite
def opening_hours(draw: st.DrawFn) -> OpeningHours:
    """Any week: moments at which a door opens and closes by turns, at most a day apart."""
    moments = sorted(draw(st.sets(st.integers(0, WEEK - 1), min_size=2, max_size=14)))
    moments = [*moments, moments[0] + WEEK][draw(st.integers(0, 1)) :]
    intervals: dict[int, list[tuple[int, int]]] = {}
    for opens, closes in zip(moments[::2], moments[1::2], strict=False):
        day, start = divmod(opens % WEEK, DAY)
        longest = DAY if start == 0 else start + DAY - 1
        intervals.setdefault(day + 1, []).append((start, min(start + closes - opens, longest)))
    return OpeningHours({day: tuple(sorted(intervals[day])) for day in sorted(intervals)})


@given(opening_hours())
@example(OpeningHours(dict.fromkeys(range(1, 8), ((0, DAY),))))
@example(OpeningHours({7: ((22 * 60, DAY + 6 * 60),)}))
def test_parse_reads_what_format_wrote(hours: OpeningHours) -> None:
    assert parse_hours(format_hours(hours)) == hours
    assert str(hours) == format_hours(hours)


@given(st.sets(st.integers(1, 7), min_size=1).map(frozenset))
def test_days_are_read_as_they_were_written(days: frozenset[int]) -> None:
    assert parse_days(format_days(days)) == days


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("mon-fri", {1, 2, 3, 4, 5}),
        ("fri-mon", {5, 6, 7, 1}),
        ("sun-sun", {7}),
        ("mon-sun", {1, 2, 3, 4, 5, 6, 7}),
        ("tue-mon", {1, 2, 3, 4, 5, 6, 7}),
        ("sat,sun,wed", {3, 6, 7}),
        ("Monday - THURS , sat", {1, 2, 3, 4, 6}),
    ],
)
def test_days(text: str, days: set[int]) -> None:
    assert parse_days(text) == days


@pytest.mark.parametrize(
    "text", ["", "mo", "monda y", "mon-", "-mon", "mon-tue-wed", "mon,,tue", "mon,", "1-5", "moon"]
)
def test_days_that_are_none(text: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="names no weekdays"):
        parse_days(text)


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("mon-fri 09:00-12:00,13:00-17:00", None),
        ("mon-fri 13:00-17:00 , 9:00 - 12:00", "mon-fri 09:00-12:00,13:00-17:00"),
        ("mon-fri 09:00-17:00; sat 10:00-14:00", None),
        ("mon-fri 09:00-17:00; sat 10:00-14:00 ; ", "mon-fri 09:00-17:00; sat 10:00-14:00"),
        ("mon 09:00-17:00;", "mon 09:00-17:00"),
        ("mon 09:00-10:00; mon 11:00-12:00", "mon 09:00-10:00,11:00-12:00"),
        ("mon 09:00-10:00,10:00-11:00", None),
        ("22:00-06:00", None),
        ("22:00-24:00", None),
        ("22:00-00:00", "22:00-24:00"),
        ("fri-mon 09:00-17:00", None),
        ("sat,sun", "sat,sun 00:00-24:00"),
        ("mon-sun", "00:00-24:00"),
        ("mon 22:00-06:00; tue 06:00-07:00", None),
        ("sun 22:00-06:00; mon 06:00-07:00", "mon 06:00-07:00; sun 22:00-06:00"),
    ],
)
def test_hours_are_written_in_one_way(text: str, written: str | None) -> None:
    assert format_hours(parse_hours(text)) == (written or text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "cannot be read"),
        (";", "cannot be read"),
        ("mon 09:00-17:00;;", "cannot be read"),
        ("; mon 09:00-17:00", "cannot be read"),
        ("9-17", "cannot be read"),
        ("mon 09:00", "cannot be read"),
        ("09:00-17:00 mon", "cannot be read"),
        ("mon tue 09:00-17:00", "cannot be read"),
        ("mon 09:00-12:00 13:00-17:00", "cannot be read"),
        ("mon 09:00-12:00,", "cannot be read"),
        ("mon 09:00-12:00,tue", "cannot be read"),
        ("\u0669:00-17:00", "cannot be read"),
        ("moon 09:00-17:00", "names no weekdays"),
        ("09:60-17:00", "no time of day"),
        ("24:00-06:00", "no time of day"),
        ("09:00-24:01", "no time of day"),
        ("09:00-25:00", "no time of day"),
        ("09:00-09:00", "is empty"),
        ("00:00-00:00", "is empty"),
        ("09:00-12:00,11:59-13:00", "overlap at mon 11:59"),
        ("mon 09:00-12:00; mon-fri 10:00-11:00", "overlap at mon 10:00"),
        ("mon 09:00-12:00; mon 09:00-12:00", "overlap at mon 09:00"),
        ("mon 22:00-06:00; tue 05:59-07:00", "overlap at tue 05:59"),
        ("sun 22:00-06:00; mon 05:00-07:00", "overlap at mon 05:00"),
        ("sun 22:00-06:00; mon", "overlap at mon 00:00"),
        ("22:00-06:00,05:00-07:00", "overlap at tue 05:00"),
        ("08:00-07:45,07:30-07:50", "overlap at tue 07:30"),
    ],
)
def test_hours_that_are_none(text: str, says: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match=says) as caught:
        parse_hours(text, "--window")
    assert "--window" in caught.value.message or "weekdays" in says


@given(st.text("montuewdhfrisa 0123456789:,-;", max_size=24))
def test_any_text_is_hours_or_refused(text: str) -> None:
    try:
        hours = parse_hours(text)
    except InvalidWaitConfigurationError:
        return
    assert parse_hours(str(hours)) == hours


def test_what_the_hours_say_about_themselves() -> None:
    assert parse_hours("fri-sun 09:00-17:00").days == {5, 6, 7}
    assert not parse_hours("22:00-24:00").runs_past_midnight
    assert parse_hours("mon 09:00-17:00; tue 22:00-00:01").runs_past_midnight


def through(gate: Gate, at: str) -> str | None:
    """The next opening, or None when it is open at that time."""
    passed = gate.pass_through(Instant(parse_instant(at, "at")).to_tz(gate.zone))
    return None if passed is None else format_instant(passed.to_stdlib())


@pytest.mark.parametrize(
    ("hours", "at", "opens"),
    [  # 2026-06-01 is a Monday
        ("09:00-17:00", "2026-06-01T09:00:00Z", None),
        ("09:00-17:00", "2026-06-01T08:59:59.999999Z", "2026-06-01T09:00:00Z"),
        ("09:00-17:00", "2026-06-01T16:59:59.999999Z", None),
        ("09:00-17:00", "2026-06-01T17:00:00Z", "2026-06-02T09:00:00Z"),
        ("09:00-12:00,13:00-17:00", "2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z"),
        ("09:00-12:00,12:00-17:00", "2026-06-01T12:00:00Z", None),
        ("mon-fri 09:00-17:00", "2026-06-05T17:00:00Z", "2026-06-08T09:00:00Z"),
        ("mon-fri", "2026-06-05T23:59:59Z", None),
        ("mon-fri", "2026-06-06T00:00:00Z", "2026-06-08T00:00:00Z"),
        ("mon 10:00-11:00", "2026-06-01T11:00:00Z", "2026-06-08T10:00:00Z"),
        # An overnight interval belongs to the day it opens.
        ("22:00-06:00", "2026-06-01T05:59:59Z", None),
        ("22:00-06:00", "2026-06-01T06:00:00Z", "2026-06-01T22:00:00Z"),
        ("mon-fri 22:00-06:00", "2026-06-06T05:00:00Z", None),
        ("mon-fri 22:00-06:00", "2026-06-01T05:00:00Z", "2026-06-01T22:00:00Z"),
        ("mon-fri 22:00-06:00", "2026-06-06T22:00:00Z", "2026-06-08T22:00:00Z"),
        ("sun 22:00-06:00", "2026-06-01T05:00:00Z", None),
    ],
)
def test_gate_is_half_open_and_belongs_to_the_day_it_opens(hours: str, at: str, opens: str | None) -> None:
    gate = Gate(parse_hours(hours), "UTC")
    assert through(gate, at) == opens
    assert gate.is_open(Instant(parse_instant(at, "at")).to_tz("UTC")) == (opens is None)


GAP, FOLD = "2026-03-29", "2026-10-25"  # in Berlin 02:00 becomes 03:00 (01:00Z), and 03:00 becomes 02:00 (01:00Z)


@pytest.mark.parametrize(
    ("hours", "dst", "at", "opens"),
    [
        # A start in the gap: past it by its length, or with "earlier" before it by its length.
        ("02:30-05:00", Dst.COMPATIBLE, f"{GAP}T00:00:00Z", f"{GAP}T01:30:00Z"),
        ("02:30-05:00", Dst.LATER, f"{GAP}T00:00:00Z", f"{GAP}T01:30:00Z"),
        ("02:30-05:00", Dst.EARLIER, f"{GAP}T00:00:00Z", f"{GAP}T00:30:00Z"),
        ("02:30-05:00", Dst.EARLIER, f"{GAP}T02:59:59Z", None),
        ("02:30-05:00", Dst.EARLIER, f"{GAP}T03:00:00Z", "2026-03-30T00:30:00Z"),
        # An end in the gap: there is no time within it that clocks show.
        ("01:00-02:30", Dst.COMPATIBLE, f"{GAP}T00:59:59Z", None),
        ("01:00-02:30", Dst.COMPATIBLE, f"{GAP}T01:00:00Z", f"{GAP}T23:00:00Z"),
        # The whole interval in the gap: it opens all the same, for as long.
        ("02:10-02:40", Dst.COMPATIBLE, f"{GAP}T00:00:00Z", f"{GAP}T01:10:00Z"),
        ("02:10-02:40", Dst.COMPATIBLE, f"{GAP}T01:39:59Z", None),
        ("02:10-02:40", Dst.COMPATIBLE, f"{GAP}T01:40:00Z", "2026-03-30T00:10:00Z"),
        ("02:10-02:40", Dst.EARLIER, f"{GAP}T00:00:00Z", f"{GAP}T00:10:00Z"),
        ("02:10-02:40", Dst.EARLIER, f"{GAP}T00:40:00Z", "2026-03-30T00:10:00Z"),
        ("02:00-03:00", Dst.LATER, f"{GAP}T00:00:00Z", f"{GAP}T01:00:00Z"),
        # It would be over before it opens: it moves as a whole.
        ("02:30-03:10", Dst.COMPATIBLE, f"{GAP}T00:00:00Z", f"{GAP}T01:30:00Z"),
        ("02:30-03:10", Dst.COMPATIBLE, f"{GAP}T02:09:59Z", None),
        ("02:30-03:10", Dst.COMPATIBLE, f"{GAP}T02:10:00Z", "2026-03-30T00:30:00Z"),
        ("02:30-03:10", Dst.EARLIER, f"{GAP}T01:09:59Z", None),
        ("02:30-03:10", Dst.EARLIER, f"{GAP}T01:10:00Z", "2026-03-30T00:30:00Z"),
        # A start in the fold: the first of the two, or with "later" the second.
        ("02:30-05:00", Dst.COMPATIBLE, f"{FOLD}T00:00:00Z", f"{FOLD}T00:30:00Z"),
        ("02:30-05:00", Dst.EARLIER, f"{FOLD}T00:00:00Z", f"{FOLD}T00:30:00Z"),
        ("02:30-05:00", Dst.LATER, f"{FOLD}T00:30:00Z", f"{FOLD}T01:30:00Z"),
        ("02:30-05:00", Dst.COMPATIBLE, f"{FOLD}T01:10:00Z", f"{FOLD}T01:30:00Z"),  # 02:10 again: closed once more
        # An end in the fold: open while clocks show a time before it, both times.
        ("01:00-02:30", Dst.COMPATIBLE, f"{FOLD}T00:30:00Z", f"{FOLD}T01:00:00Z"),
        ("01:00-02:30", Dst.COMPATIBLE, f"{FOLD}T01:29:59Z", None),
        ("01:00-02:30", Dst.COMPATIBLE, f"{FOLD}T01:30:00Z", "2026-10-26T00:00:00Z"),
        # The whole interval in the fold: twice, or with "later" once.
        ("02:10-02:40", Dst.COMPATIBLE, f"{FOLD}T00:40:00Z", f"{FOLD}T01:10:00Z"),
        ("02:10-02:40", Dst.LATER, f"{FOLD}T00:00:00Z", f"{FOLD}T01:10:00Z"),
        # Two intervals that meet in the fold: each opens twice, by turns.
        ("01:00-02:30,02:30-04:00", Dst.COMPATIBLE, f"{FOLD}T00:40:00Z", None),
        ("01:00-02:30,02:30-04:00", Dst.COMPATIBLE, f"{FOLD}T01:10:00Z", None),
        ("01:00-02:20,02:40-04:00", Dst.COMPATIBLE, f"{FOLD}T00:20:00Z", f"{FOLD}T00:40:00Z"),
        ("01:00-02:20,02:40-04:00", Dst.COMPATIBLE, f"{FOLD}T01:20:00Z", f"{FOLD}T01:40:00Z"),
        # Around both: a night of seven hours, and one of nine.
        ("22:00-06:00", Dst.COMPATIBLE, f"{GAP}T03:59:59Z", None),
        ("22:00-06:00", Dst.COMPATIBLE, f"{GAP}T04:00:00Z", f"{GAP}T20:00:00Z"),
        ("22:00-06:00", Dst.COMPATIBLE, f"{FOLD}T04:59:59Z", None),
        ("22:00-06:00", Dst.COMPATIBLE, f"{FOLD}T05:00:00Z", f"{FOLD}T21:00:00Z"),
    ],
)
def test_gate_around_a_gap_and_a_fold(hours: str, dst: Dst, at: str, opens: str | None) -> None:
    assert through(Gate(parse_hours(hours), "Europe/Berlin", dst), at) == opens


def test_gate_when_clocks_go_back_past_midnight() -> None:
    """In St. John's 00:01 on Sunday 2010-11-07 became 23:01 on Saturday (at 02:31Z)."""
    evening = Gate(parse_hours("sat 23:30-23:40; sun 00:00-00:30"), "America/St_Johns")
    assert (
        through(evening, "2010-11-07T02:10:00Z") == "2010-11-07T02:30:00Z"
    )  # Sunday's first minute, not Saturday's 23:30
    assert through(evening, "2010-11-07T02:31:00Z") == "2010-11-07T03:00:00Z"  # Saturday's 23:30 again
    assert through(evening, "2010-11-07T03:10:00Z") == "2010-11-07T03:30:00Z"  # Sunday's midnight again
    saturdays = Gate(parse_hours("sat 23:00-24:00"), "America/St_Johns")
    assert through(saturdays, "2010-11-07T02:30:30Z") == "2010-11-07T02:31:00Z"
    assert saturdays.is_open(Instant.from_utc(2010, 11, 7, 3).to_tz("America/St_Johns"))


@pytest.mark.parametrize(
    ("hours", "day", "says"),
    [
        ("02:30-05:00", GAP, "gap: 2026-03-29 02:30 does not exist in Europe/Berlin"),
        ("02:30-05:00", FOLD, "fold: 2026-10-25 02:30 comes twice in Europe/Berlin"),
        ("03:00-05:00", FOLD, None),
        ("01:00-02:30", GAP, None),
    ],
)
def test_gate_knows_which_openings_start_in_a_gap_or_a_fold(hours: str, day: str, says: str | None) -> None:
    gate = Gate(parse_hours(hours), "Europe/Berlin", Dst.REJECT)
    opened = gate.pass_through(
        Instant(parse_instant(f"{day} 00:00:00-03:00", "at")).subtract(hours=12).to_tz(gate.zone)
    )
    assert opened is not None
    adjusted = gate.adjusted.get(opened)
    assert adjusted is None if says is None else str(adjusted).startswith(says)


def test_gate_opens_only_on_its_dates() -> None:
    gate = Gate(parse_hours("22:00-06:00"), "UTC", opens_on=lambda day: day.day % 10 == 0)
    assert through(gate, "2026-06-01T00:00:00Z") == "2026-06-10T22:00:00Z"
    assert through(gate, "2026-06-11T05:00:00Z") is None
    assert through(gate, "2026-06-11T06:00:00Z") == "2026-06-20T22:00:00Z"


def test_gate_that_never_opens_says_so() -> None:
    gate = Gate(parse_hours("09:00-17:00"), "UTC", opens_on=lambda _: False)
    with pytest.raises(NoOpeningError, match="09:00-17:00 in UTC does not open within 400 days of 2026-06-01"):
        through(gate, "2026-06-01T00:00:00Z")


def test_gate_forgets_days_but_not_what_it_is() -> None:
    gate = Gate(parse_hours("09:00-17:00"), "Europe/Berlin")
    for day in range(5000):
        at = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=day)
        passed = gate.pass_through(Instant(at).to_tz(gate.zone))
        assert passed is not None and shown(passed.to_stdlib(), gate.zone).hour == 9
    assert len(gate._days) <= 4097


# Whole minutes, so that an oracle can go through them one by one: jumps of 30, 60, 120 minutes, at and past midnight.
CHANGES = [
    (zone, at)
    for zone, years in {
        "Europe/Berlin": range(2026, 2027),
        "Australia/Lord_Howe": range(2026, 2027),
        "Africa/Cairo": range(2026, 2027),
        "America/Havana": range(2026, 2027),
        "America/Nuuk": range(2026, 2027),
        "America/St_Johns": range(2010, 2011),
        "America/Santiago": range(2026, 2027),
        "Antarctica/Troll": range(2026, 2027),
        "Pacific/Apia": range(2011, 2012),
    }.items()
    for at in changes(zone, years)
]


@st.composite
def daily_hours(draw: st.DrawFn) -> OpeningHours:
    """The same intervals every day, on the quarter of an hour; the last may run past midnight."""
    quarters = sorted(draw(st.sets(st.integers(0, 95), min_size=2, max_size=6)))
    spans = [(15 * start, 15 * end) for start, end in zip(quarters[::2], quarters[1::2], strict=False)]
    if len(quarters) % 2:
        spans.append((15 * quarters[-1], 15 * quarters[0] + DAY))
    return OpeningHours(dict.fromkeys(range(1, 8), tuple(spans)))


def is_open(at: datetime, hours: OpeningHours, zone: str, dst: Dst) -> bool:
    """By the wall clock alone: it shows a time within, and the start as the DST rule reads it has passed.

    Of what starts in a gap both ends are read by the rule; what that leaves nothing of keeps its length.
    """
    local = shown(at, zone)
    for past in (2, 1, 0, -1):
        day = local.date() - timedelta(days=past)
        midnight = datetime.combine(day, datetime.min.time())
        for start, end in hours.intervals.get(day.isoweekday(), ()):
            opens, closes = midnight + timedelta(minutes=start), midnight + timedelta(minutes=end)
            first = read(opens, zone, dst)
            if kind_of(readings(opens, zone)) == "gap":
                last = read(closes, zone, dst)
                if first <= at < (last if last > first else first + (closes - opens)):
                    return True
            elif opens <= local < closes and at >= first:
                return True
    return False


@given(
    change=st.sampled_from(CHANGES),
    minutes=st.integers(-26 * 60, 3 * 60),
    hours=daily_hours(),
    dst=st.sampled_from([Dst.COMPATIBLE, Dst.EARLIER, Dst.LATER]),
)
@example(("America/St_Johns", datetime(2010, 11, 7, 2, 31, tzinfo=UTC)), -1, parse_hours("23:00-24:00"), Dst.COMPATIBLE)
@example(
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)), -20, parse_hours("01:00-02:30,02:30-04:00"), Dst.LATER
)
@example(("America/Nuuk", datetime(2026, 3, 29, 1, tzinfo=UTC)), -60, parse_hours("23:30-23:45"), Dst.COMPATIBLE)
@example(("America/Santiago", datetime(2026, 9, 6, 4, tzinfo=UTC)), -90, parse_hours("00:00-00:15"), Dst.EARLIER)
def test_gate_opens_when_the_wall_clock_says_so(
    change: tuple[str, datetime], minutes: int, hours: OpeningHours, dst: Dst
) -> None:
    zone, changed = change
    asked = at = changed + timedelta(minutes=minutes)
    gate = Gate(hours, zone, dst)
    opened = gate.pass_through(Instant(at).to_tz(zone))
    while not is_open(at, hours, zone, dst):
        at += timedelta(minutes=1)
    assert (asked if opened is None else opened.to_stdlib()) == at
    assert gate.is_open(Instant(asked).to_tz(zone)) == (asked == at)


def test_the_days_of_apia_leave_one_out() -> None:
    gate = Gate(parse_hours("09:00-17:00"), "Pacific/Apia")
    opened = gate.pass_through(Instant(read(datetime(2011, 12, 29, 17), gate.zone)).to_tz(gate.zone))
    assert opened is not None
    assert shown(opened.to_stdlib(), gate.zone) == datetime(2011, 12, 31, 9)
    assert shown(opened.to_stdlib(), gate.zone).date() - date(2011, 12, 29) == timedelta(days=2)
