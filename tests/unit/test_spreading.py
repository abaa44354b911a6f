"""Ramps: even, stable, and inside what is open."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.hours import OpeningHours, parse_hours
from waitctl.domain.intents import Intent, Rules, parse_fixed_time, parse_until_date, parse_until_time
from waitctl.domain.listeners import EventQuery
from waitctl.domain.schedule import IntentResolver
from waitctl.domain.spreading import share_of
from waitctl.infrastructure.ids import new_id

EIGHT = datetime(2026, 11, 27, 8, tzinfo=UTC)  # a Friday
NINE = EIGHT + timedelta(hours=1)
HALF_AN_HOUR = timedelta(minutes=30)


def rules(spread: str = "30m", *, window: OpeningHours | None = None, calendar: str | None = None) -> Rules:
    return Rules(spread=parse_duration(spread), window=window, calendar=calendar)


def instants(intent: Intent, asked: Rules, count: int = 200, calendar: Calendar | None = None) -> list[datetime]:
    resolver = IntentResolver(intent, "UTC", asked, calendar)
    return [resolver.resolve(EIGHT, new_id()).at for _ in range(count)]


@given(st.uuids().map(str), st.timedeltas(timedelta(), timedelta(days=7)))
def test_a_share_is_less_than_the_span_and_always_the_same(wait_id: str, span: timedelta) -> None:
    share = share_of(wait_id, span)
    assert timedelta() <= share
    assert share < span or not span
    assert share == share_of(wait_id, span)


def test_the_shares_of_many_ids_are_even() -> None:
    """As dice are: no minute of thirty has a tenth more or less than its part of 100,000."""
    counts = [0] * 30
    for _ in range(100_000):
        counts[share_of(new_id(), HALF_AN_HOUR) // timedelta(minutes=1)] += 1
    assert min(counts) > 3000
    assert max(counts) < 3667


@pytest.mark.parametrize(
    "intent", [parse_until_time("9"), parse_fixed_time("1h"), parse_until_date("2026-11-27T09:00Z")]
)
def test_every_form_is_spread(intent: Intent) -> None:
    found = instants(intent, rules())
    assert all(NINE <= at < NINE + HALF_AN_HOUR for at in found)
    assert len(set(found)) > 100


def test_of_a_deadline_too() -> None:
    query = EventQuery(("email_open",), timeout=parse_duration("1h"), rules=rules()).checked()
    found = [query.deadline(EIGHT, "UTC", wait_id=new_id()) for _ in range(100)]
    assert all(deadline and NINE <= deadline.at < NINE + HALF_AN_HOUR for deadline in found)
    assert len({deadline.at for deadline in found if deadline}) > 50


@pytest.mark.parametrize("timeout_window", [False, True])
@pytest.mark.parametrize("asked", [{"until": "2026-11-27T09:00:00Z"}, {"timeout": parse_duration("1h")}])
def test_of_a_deadline_that_another_calendar_counts(asked: dict[str, Any], timeout_window: bool) -> None:
    """What the window of the wait leaves of the span counts for a deadline that goes by the window."""
    window = rules(window=parse_hours("07:00-09:10"))
    query = EventQuery(
        ("email_open",), **asked, rules=window, timeout_window=timeout_window, timeout_calendar="mine"
    ).checked()
    mine = Calendar("mine", hours=parse_hours("mon-fri 00:00-09:05"))
    found = [query.deadline(EIGHT, "UTC", None, mine, wait_id=new_id()) for _ in range(200)]
    room = timedelta(minutes=10) if timeout_window else HALF_AN_HOUR
    assert all(each and NINE <= each.at < NINE + room and each.before_spread == NINE for each in found)
    assert max(each.at for each in found if each) > NINE + room * 0.8


@pytest.mark.parametrize(
    "window", ["09:00-09:10", "fri 08:30-09:10; sat 10:00-11:00", "mon-fri 22:00-09:10", "09:00-09:05,09:05-09:10"]
)
def test_inside_the_window(window: str) -> None:
    found = instants(parse_until_time("9"), rules(window=parse_hours(window)))
    assert all(NINE <= at < NINE + timedelta(minutes=10) for at in found)
    assert max(found) > NINE + timedelta(minutes=8)
    last = IntentResolver(parse_until_time("9"), "UTC", rules(window=parse_hours(window))).resolve(EIGHT, new_id())
    assert "within the 10 min that are left" in last.explanation[-1]


def test_what_a_window_held_back_is_spread_from_its_opening() -> None:
    opens = NINE + timedelta(hours=1)
    found = instants(parse_until_time("9"), rules(window=parse_hours("10:00-12:00")))
    assert all(opens <= at < opens + HALF_AN_HOUR for at in found)


def test_on_the_business_day() -> None:
    """A day off begins at midnight: nothing is spread into it."""
    calendar = Calendar("mine")
    found = instants(parse_until_time("23:30"), rules("2h", calendar="mine"), calendar=calendar)
    midnight = datetime(2026, 11, 28, tzinfo=UTC)
    assert all(midnight - HALF_AN_HOUR <= at < midnight for at in found)
    through_the_week = parse_until_date("2026-11-30T09:00Z")
    assert max(instants(through_the_week, rules("7d", calendar="mine"), calendar=calendar)) > datetime(
        2026, 12, 4, tzinfo=UTC
    )


def test_before_a_date() -> None:
    found = instants(parse_until_date("2026-11-27T09:10Z", "-10m"), rules())
    assert all(NINE <= at < NINE + timedelta(minutes=10) for at in found)


def test_not_without_an_id() -> None:
    assert IntentResolver(parse_until_time("9"), "UTC", rules()).resolve(EIGHT).at == NINE
    none = Rules(spread=parse_duration("0", zero=True))
    assert len(IntentResolver(parse_until_time("9"), "UTC", none).resolve(EIGHT, new_id()).explanation) == 1


def test_rules_are_read_back() -> None:
    assert Rules.from_config(rules().to_config()) == rules()
    assert "spread" not in Rules(spread=parse_duration("0", zero=True)).to_config()


@pytest.mark.parametrize("spread", ["8d", "1w1s"])
def test_no_more_than_a_week(spread: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="more than a week"):
        rules(spread).checked()
