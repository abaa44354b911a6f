"""Durations: every form that is read, every one that is refused."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitctl.domain.durations import (
    MAX_DURATION,
    Duration,
    Offset,
    TimeUnit,
    format_duration,
    format_timedelta,
    parse_duration,
    parse_offset,
)
from waitctl.domain.errors import InvalidTimeoutError, InvalidWaitDurationError

DURATIONS = st.builds(
    Duration,
    days=st.integers(0, MAX_DURATION.days - 1),
    time=st.timedeltas(timedelta(0), timedelta(days=1)),
).filter(lambda duration: duration.elapsed > timedelta(0))


@pytest.mark.parametrize(
    ("text", "days", "time"),
    [
        ("90m", 0, timedelta(minutes=90)),
        ("2h30m", 0, timedelta(hours=2, minutes=30)),
        ("2h 30m", 0, timedelta(hours=2, minutes=30)),
        ("30m2h", 0, timedelta(hours=2, minutes=30)),
        ("3d", 3, timedelta()),
        ("1w", 7, timedelta()),
        ("1w2d", 9, timedelta()),
        ("3 days", 3, timedelta()),
        ("1 day", 1, timedelta()),
        ("  5 Minutes ", 0, timedelta(minutes=5)),
        ("45sec", 0, timedelta(seconds=45)),
        ("1hr", 0, timedelta(hours=1)),
        ("1.5h", 0, timedelta(minutes=90)),
        ("1.5d", 1, timedelta(hours=12)),
        ("0.5w", 3, timedelta(hours=12)),
        ("0.000001s", 0, timedelta(microseconds=1)),
        ("0h5m", 0, timedelta(minutes=5)),
        ("PT36H", 0, timedelta(hours=36)),
        ("pt36h", 0, timedelta(hours=36)),
        ("P3D", 3, timedelta()),
        ("P1W", 7, timedelta()),
        ("P3DT4H5M6S", 3, timedelta(hours=4, minutes=5, seconds=6)),
        ("PT1.5H", 0, timedelta(minutes=90)),
        ("PT1,5H", 0, timedelta(minutes=90)),
        ("PT1H30.5M", 0, timedelta(hours=1, minutes=30, seconds=30)),
        ("PT1.0H30M", 0, timedelta(hours=1, minutes=30)),
        ("1.5h30m", 0, timedelta(hours=2)),
        ("3653d", 3653, timedelta()),
    ],
)
def test_reads(text: str, days: int, time: timedelta) -> None:
    assert parse_duration(text) == Duration(days, time)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0", "more than zero"),
        ("0m", "more than zero"),
        ("0d", "more than zero"),
        ("PT0S", "more than zero"),
        ("-3d", "no sign"),
        ("+3d", "no sign"),
        ("\u22123d", "no sign"),
        ("3 fortnights", "'fortnights'"),
        ("1mo", "months and years"),
        ("1 month", "months and years"),
        ("2y", "months and years"),
        ("1 Year", "months and years"),
        ("P1Y", "months and years"),
        ("P1M", "months and years"),
        ("1M", "minutes or months"),
        ("P1Y2M3DT4H", "months and years"),
        ("3654d", "ten years"),
        ("522w", "ten years"),
        ("3653d1s", "ten years"),
        ("9" * 400 + "d", "ten years"),
        ("3d3d", "twice"),
        ("1h60min30m", "twice"),
        ("0.0000001s", "microsecond"),
        ("", "not a duration"),
        ("   ", "not a duration"),
        ("3", "not a duration"),
        ("d", "not a duration"),
        ("3d4", "not a duration"),
        ("3d, 4h", "not a duration"),
        ("1e3s", "'e'"),
        ("three days", "not a duration"),
        ("\u0663d", "not a duration"),
        ("PT1.5H30M", "only the last part"),
        ("P1.5DT2H", "only the last part"),
        ("P0.5W1D", "only the last part"),
        ("P", "not a duration"),
        ("PT", "not a duration"),
        ("P3", "not a duration"),
        ("P3DT", "not a duration"),
        ("PT3", "not a duration"),
        ("PT3H2H", "not a duration"),
        ("inf d", "not a duration"),
        (".5h", "not a duration"),
        ("3d\0", "not a duration"),
    ],
)
def test_refuses(text: str, says: str) -> None:
    with pytest.raises(InvalidWaitDurationError, match=says):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "business_days"),
    [("1bd", 1), ("3 BD", 3), ("3 business days", 3), ("1 Business  Day", 1), ("2600bd", 2600), ("3.0bd", 3)],
)
def test_reads_business_days(text: str, business_days: int) -> None:
    assert parse_duration(text, business=True) == Duration(business_days=business_days)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0bd", "not between 1 and 2,600"),
        ("2601bd", "not between 1 and 2,600"),
        ("9" * 40 + "bd", "not between 1 and 2,600"),
        ("1.5bd", "stand alone, and are whole"),
        ("0.5bd", "stand alone, and are whole"),
        ("1bd2h", "stand alone, and are whole"),
        ("1d 1bd", "stand alone, and are whole"),
        ("1bd 1 business day", "twice"),
        ("P3BD", "not a duration"),
    ],
)
def test_refuses_business_days(text: str, says: str) -> None:
    with pytest.raises(InvalidWaitDurationError, match=says):
        parse_duration(text, business=True)


def test_business_days_have_their_places() -> None:
    with pytest.raises(InvalidWaitDurationError, match="have no place here"):
        parse_duration("3bd")


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("2h", Offset(Duration(time=timedelta(hours=2)))),
        ("+1d", Offset(Duration(1))),
        ("-1d", Offset(Duration(1), is_back=True)),
        ("\u22123bd", Offset(Duration(business_days=3), is_back=True)),
        (" - 1w ", Offset(Duration(7), is_back=True)),
    ],
)
def test_offsets(text: str, offset: Offset) -> None:
    assert parse_offset(text) == offset == parse_offset(str(offset))
    assert offset.sign == (-1 if offset.is_back else 1)


@pytest.mark.parametrize("text", ["", "-", "--1d", "+-1d", "-0d", "1d-"])
def test_offsets_that_are_none(text: str) -> None:
    with pytest.raises(InvalidWaitDurationError):
        parse_offset(text)


def test_refusal_is_of_the_kind_that_the_caller_names() -> None:
    with pytest.raises(InvalidTimeoutError):
        parse_duration("soon", error=InvalidTimeoutError)


@pytest.mark.parametrize("text", ["0", "0m", "PT0S"])
def test_zero_where_it_is_allowed(text: str) -> None:
    assert parse_duration(text, zero=True) == Duration()


def test_months_hint_at_what_to_write_instead() -> None:
    with pytest.raises(InvalidWaitDurationError) as caught:
        parse_duration("1mo")
    assert caught.value.hint == "count in days or weeks; 1m is one minute, 1mo one month"


@given(DURATIONS)
def test_parse_reads_what_format_wrote(duration: Duration) -> None:
    assert parse_duration(format_duration(duration)) == duration
    assert format_duration(duration) == str(duration)


@given(st.integers(1, 2600))
def test_parse_reads_the_business_days_that_format_wrote(count: int) -> None:
    duration = Duration(business_days=count)
    assert parse_duration(format_duration(duration), business=True) == duration


def iso(duration: Duration) -> str:
    """As ISO 8601 has it, in whole weeks where it can."""
    seconds, micros = divmod(duration.time // timedelta(microseconds=1), 1_000_000)
    weeks, days = divmod(duration.days, 7)
    clock = f"T{seconds // 3600}H{seconds // 60 % 60}M{seconds % 60}.{micros:06}S"
    return f"P{weeks}W{days}D{clock}"


@given(DURATIONS)
def test_iso_8601_means_the_same(duration: Duration) -> None:
    written = iso(duration)
    assert parse_duration(written).elapsed == duration.elapsed
    assert parse_duration(written.lower().replace(".", ",")) == parse_duration(written)
    assert format_duration(parse_duration(written)) == format_duration(duration)


@given(st.text(max_size=20) | st.from_regex(r"P?T?[0-9.]{1,4}[smhdwPTHMSDWY]{1,3}", fullmatch=True))
def test_any_text_is_a_duration_or_refused(text: str) -> None:
    try:
        duration = parse_duration(text)
    except InvalidWaitDurationError:
        return
    assert timedelta(0) < duration.elapsed <= MAX_DURATION


@pytest.mark.parametrize(
    ("unit", "elapsed"),
    [
        (TimeUnit.MINUTES, timedelta(minutes=3)),
        (TimeUnit.HOURS, timedelta(hours=3)),
        (TimeUnit.DAYS, timedelta(days=3)),
        (TimeUnit.WEEKS, timedelta(weeks=3)),
    ],
)
def test_of_a_unit(unit: TimeUnit, elapsed: timedelta) -> None:
    assert Duration.of(3, unit).elapsed == elapsed


@pytest.mark.parametrize("amount", [0, -1, 100_000])
def test_of_a_unit_refuses_what_the_text_refuses(amount: int) -> None:
    with pytest.raises(InvalidWaitDurationError):
        Duration.of(amount, TimeUnit.DAYS)


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(), "0 s"),
        (timedelta(milliseconds=900), "0 s"),
        (timedelta(seconds=45), "45 s"),
        (timedelta(minutes=-2), "2 min"),
        (timedelta(days=1), "1 day"),
        (timedelta(days=2, hours=3, minutes=4), "2 days 3 h"),
        (timedelta(days=2, minutes=59), "2 days"),
        (timedelta(hours=25), "1 day 1 h"),
        (timedelta(hours=2, seconds=59), "2 h"),
        (timedelta(minutes=2, seconds=1), "2 min 1 s"),
    ],
)
def test_spans_for_people(span: timedelta, text: str) -> None:
    assert format_timedelta(span) == text
