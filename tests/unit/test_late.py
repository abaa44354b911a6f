"""What becomes of a late wait: every branch of the policy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import Duration, parse_duration
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.hours import parse_hours
from waitctl.domain.instants import Dst
from waitctl.domain.intents import Rules
from waitctl.domain.late import LATE_TOLERANCE, Fire, Late, Move, Skip, Verdict, judge_late, late_policy
from waitctl.domain.opening_rules import OpeningRules

WINDOW = parse_hours("mon-fri 09:00-17:00")
MONDAY_NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
NIGHT = datetime(2026, 6, 2, 3, tzinfo=UTC)  # Tuesday
MORNING = Move(datetime(2026, 6, 2, 9, tzinfo=UTC))
OPEN = datetime(2026, 6, 2, 10, tzinfo=UTC)
WORKDAYS = Calendar("workdays")
OFFICE = Calendar("office", hours=WINDOW)


def opening_rules(rules: Rules, calendar: Calendar | None = None) -> OpeningRules:
    return OpeningRules("UTC", rules, calendar)


def verdict(
    rules: Rules,
    late: timedelta,
    now: datetime = NIGHT,
    *,
    calendar: Calendar | None = None,
    tolerance: timedelta = LATE_TOLERANCE,
) -> Verdict:
    return judge_late(rules, opening_rules(rules, calendar), scheduled_at=now - late, now=now, tolerance=tolerance)


def hours(amount: float) -> timedelta:
    return timedelta(hours=amount)


@pytest.mark.parametrize(
    ("rules", "calendar", "policy"),
    [
        (Rules(), None, None),
        (Rules(window=WINDOW), None, Late.NEXT_WINDOW),
        (Rules(calendar="office"), OFFICE, Late.NEXT_WINDOW),
        (Rules(calendar="workdays"), WORKDAYS, None),  # no hours: nothing can be closed
        (Rules(calendar="workdays", window=WINDOW), WORKDAYS, Late.NEXT_WINDOW),
        (Rules(late=Late.FIRE), None, None),
        (Rules(late=Late.FIRE, window=WINDOW), None, None),
        (Rules(late=Late.NEXT_WINDOW, window=WINDOW), None, Late.NEXT_WINDOW),
        (Rules(late=Late.NEXT_WINDOW, calendar="workdays"), WORKDAYS, Late.NEXT_WINDOW),
        (Rules(late=Late.SKIP), None, Late.SKIP),
        (Rules(late=Late.SKIP, window=WINDOW), None, Late.SKIP),
        (Rules(max_late=Duration(1)), None, Late.SKIP),
        (Rules(max_late=Duration()), None, Late.SKIP),
        (Rules(max_late=Duration(1), window=WINDOW), None, Late.NEXT_WINDOW),
    ],
)
def test_policy_that_is_stored(rules: Rules, calendar: Calendar | None, policy: Late | None) -> None:
    assert late_policy(rules, opening_rules(rules, calendar)) is policy
    if policy is None:  # then nothing but fire ever comes of it, and a tick need not look
        for late in (timedelta(0), LATE_TOLERANCE, hours(1), timedelta(days=400)):
            assert verdict(rules, late, calendar=calendar) == Fire()


@pytest.mark.parametrize("rules", [Rules(window=WINDOW), Rules(late=Late.SKIP), Rules(max_late=Duration())])
def test_what_is_within_the_tolerance_is_not_late(rules: Rules) -> None:
    assert verdict(rules, timedelta(0)) == Fire()
    assert verdict(rules, LATE_TOLERANCE) == Fire()
    assert verdict(rules, LATE_TOLERANCE + timedelta(microseconds=1)) != Fire()
    assert verdict(rules, hours(2), tolerance=hours(2)) == Fire()
    assert verdict(rules, hours(2) + timedelta(microseconds=1), tolerance=hours(2)) != Fire()


def test_default_waits_for_the_next_opening() -> None:
    rules = Rules(window=WINDOW)
    assert verdict(rules, hours(6)) == MORNING
    assert verdict(rules, hours(6), OPEN) == Fire()  # late, but open
    assert verdict(rules, hours(6), OPEN.replace(hour=16, minute=59)) == Fire()
    assert verdict(rules, hours(6), OPEN.replace(hour=17)) == Move(datetime(2026, 6, 3, 9, tzinfo=UTC))
    assert verdict(rules, hours(6), datetime(2026, 6, 6, 12, tzinfo=UTC)) == Move(datetime(2026, 6, 8, 9, tzinfo=UTC))


def test_default_with_opening_hours_of_a_calendar() -> None:
    rules = Rules(calendar="office")
    assert verdict(rules, hours(6), calendar=OFFICE) == MORNING
    assert verdict(rules, hours(1), OPEN, calendar=OFFICE) == Fire()


def test_default_without_anything_that_closes_fires() -> None:
    assert verdict(Rules(), timedelta(days=30)) == Fire()
    saturday = datetime(2026, 6, 6, 12, tzinfo=UTC)
    assert verdict(Rules(calendar="workdays"), hours(30), saturday, calendar=WORKDAYS) == Fire()


def test_next_window_by_a_calendar_of_days_keeps_the_waits_own_clock() -> None:
    rules = Rules(late=Late.NEXT_WINDOW, calendar="workdays")
    saturday = datetime(2026, 6, 6, 12, tzinfo=UTC)
    assert verdict(rules, hours(30), saturday, calendar=WORKDAYS) == Move(datetime(2026, 6, 8, 6, tzinfo=UTC))
    assert verdict(rules, hours(30), MONDAY_NOON, calendar=WORKDAYS) == Fire()


def test_explicit_fire_always_fires() -> None:
    for late in (hours(1), timedelta(days=1000)):
        assert verdict(Rules(late=Late.FIRE, window=WINDOW), late) == Fire()


def test_skip_without_a_limit_skips_what_is_late() -> None:
    assert verdict(Rules(late=Late.SKIP), hours(1)) == Skip()
    assert verdict(Rules(late=Late.SKIP, window=WINDOW), hours(1), OPEN) == Skip()


@pytest.mark.parametrize(
    ("rules", "up_to"),
    [
        (Rules(late=Late.SKIP, max_late=Duration(time=hours(2))), Fire()),
        (Rules(late=Late.SKIP, max_late=Duration(time=hours(2)), window=WINDOW), Fire()),
        (Rules(max_late=Duration(time=hours(2))), Fire()),
        (Rules(max_late=Duration(time=hours(2)), window=WINDOW), MORNING),
        (Rules(late=Late.NEXT_WINDOW, max_late=Duration(time=hours(2)), window=WINDOW), MORNING),
    ],
)
def test_past_its_limit_a_wait_is_skipped(rules: Rules, up_to: Verdict) -> None:
    assert verdict(rules, LATE_TOLERANCE) == Fire()
    assert verdict(rules, hours(1)) == up_to
    assert verdict(rules, hours(2)) == up_to
    assert verdict(rules, hours(2) + timedelta(microseconds=1)) == Skip()


def test_limit_below_the_tolerance_waits_for_the_tolerance() -> None:
    rules = Rules(max_late=parse_duration("1m"))
    assert verdict(rules, LATE_TOLERANCE) == Fire()
    assert verdict(rules, LATE_TOLERANCE + timedelta(seconds=1)) == Skip()
    assert verdict(rules, timedelta(seconds=90), tolerance=timedelta(minutes=1)) == Skip()


def test_limit_counts_days_as_elapsed_time() -> None:
    rules = Rules(max_late=parse_duration("1d12h"))
    assert verdict(rules, hours(36)) == Fire()
    assert verdict(rules, hours(36.1)) == Skip()


def test_what_nothing_lets_pass_any_more_fires() -> None:
    never = Rules(window=parse_hours("sat"), calendar="workdays")
    assert verdict(never, hours(6), calendar=WORKDAYS) == Fire()
    ended = Calendar("ended", hours=WINDOW, years=range(2020, 2026))
    assert verdict(Rules(calendar="ended"), hours(6), calendar=ended) == Fire()
    # The window opens in the fold of an October night, which reject does not choose from.
    reject = Rules(dst=Dst.REJECT, window=parse_hours("02:30-05:00"))
    at = datetime(2026, 10, 24, 12, tzinfo=UTC)
    in_berlin = OpeningRules("Europe/Berlin", reject)
    assert judge_late(reject, in_berlin, scheduled_at=at - hours(6), now=at, tolerance=LATE_TOLERANCE) == Fire()


def test_rules_that_do_not_go_together() -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="needs a --window or a --calendar"):
        Rules(late=Late.NEXT_WINDOW).checked()
    with pytest.raises(InvalidWaitConfigurationError, match="takes no --max-late"):
        Rules(late=Late.FIRE, max_late=Duration(1)).checked()
    for rules in (Rules(late=Late.NEXT_WINDOW, calendar="x"), Rules(late=Late.SKIP, max_late=Duration(1)), Rules()):
        assert rules.checked() is rules


@pytest.mark.parametrize(
    "rules",
    [
        Rules(),
        Rules(Dst.REJECT, "DE-BY", WINDOW, Late.SKIP, Duration(1)),
        Rules(late=Late.NEXT_WINDOW, window=parse_hours("fri-mon 22:00-06:00")),
        Rules(max_late=Duration()),
    ],
)
def test_rules_as_the_wait_keeps_them(rules: Rules) -> None:
    assert Rules.from_config(rules.to_config()) == rules
