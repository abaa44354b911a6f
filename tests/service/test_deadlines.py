"""Deadlines of event waits: durations in days, times of day, instants, and calendars that count without holding back."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.scene import NOON, Scene
from waitctl import EventQuery, Rules, WaitSpec, parse_hours
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    InvalidTimeoutError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    WaitAlreadyOpenError,
)
from waitctl.domain.instants import parse_instant
from waitctl.domain.intents import parse_time_of_day

OFFICE = parse_hours("mon-fri 09:00-17:00")
SUNDAY = NOON  # 2026-03-01 is one


def unless_paid(scene: Scene, timeout: str | None = None, *, execution: str = "e", **options: Any) -> Any:
    query = EventQuery(("form_submit",), timeout=parse_duration(timeout, business=True) if timeout else None, **options)
    spec = WaitSpec(execution, contact_id="ada", timezone="Europe/Berlin")
    return scene.waits.create_event_wait(query, spec)


def test_so_many_business_days_at_a_time_of_day(scene: Scene) -> None:
    at = parse_time_of_day("9")
    found = unless_paid(scene, "3bd", at=at, timeout_calendar="DE").wait
    assert found.timeout_at == datetime(2026, 3, 4, 8, tzinfo=UTC)
    good_friday = unless_paid(scene.at(31 * 24 * 60), "3bd", execution="easter", at=at, timeout_calendar="DE").wait
    assert good_friday.timeout_at == datetime(2026, 4, 8, 7, tzinfo=UTC)  # Thursday, and past Easter Tuesday, Wednesday
    why = scene.rescheduling.explain_wait(found.id)[1]
    assert any(line == "deadline: 3bd on, at 09:00, counted by DE" for line in why)


def test_a_calendar_that_counts_holds_no_event_back(scene: Scene) -> None:
    counted = unless_paid(scene, "3bd", timeout_calendar="DE").wait
    held = unless_paid(scene, "3bd", execution="held", rules=Rules(calendar="DE")).wait
    result = scene.at(1).record("form_submit")  # on a Sunday
    assert result.matched == (counted.id,)
    [waiting] = result.held
    assert (waiting.wait_id, waiting.until, waiting.timezone) == (
        held.id,
        parse_instant("2026-03-02T12:01:00Z", "until"),
        "Europe/Berlin",
    )
    assert scene.record("form_submit").held == ()


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        ("2026-03-07T18:00:00+01:00", "2026-03-07T17:00:00Z"),
        ("2026-03-07 18:00", "2026-03-07T17:00:00Z"),
        ("2026-03-07", "2026-03-06T23:00:00Z"),
    ],
)
def test_until_an_instant_as_until_date_reads_it(scene: Scene, until: str, expected: str) -> None:
    wait = unless_paid(scene, until=until).wait
    assert wait.timeout_at == parse_instant(expected, "expected")
    assert wait.wait_config["until"] == until
    assert scene.get(wait).listeners[0].expires_at == wait.timeout_at
    assert any(line == f"deadline: until {until}" for line in scene.rescheduling.explain_wait(wait.id)[1])


def test_a_deadline_within_the_window(scene: Scene) -> None:
    rules, saturday = Rules(window=OFFICE), "2026-03-07 18:00"
    moved = unless_paid(scene, until=saturday, timeout_window=True, rules=rules).wait
    assert moved.timeout_at == datetime(2026, 3, 9, 8, tzinfo=UTC)
    on_time = unless_paid(scene, execution="b", until=saturday, rules=rules).wait
    assert on_time.timeout_at == datetime(2026, 3, 7, 17, tzinfo=UTC)
    counted = unless_paid(
        scene,
        "6bd",
        execution="c",
        at=parse_time_of_day("20:00"),
        timeout_calendar="DE",
        timeout_window=True,
        rules=rules,
    ).wait
    assert counted.timeout_at == datetime(2026, 3, 10, 8, tzinfo=UTC)  # Monday 20:00, so Tuesday 09:00


def test_the_same_command_after_its_deadline_finds_its_wait(scene: Scene) -> None:
    made = unless_paid(scene, until="2026-03-02")
    again = unless_paid(scene.at(2 * 24 * 60), until="2026-03-02")
    assert (again.created, again.wait.id) == (False, made.wait.id)
    with pytest.raises(InvalidTimeoutError, match="the deadline has passed"):
        unless_paid(scene, execution="new", until="2026-03-02")


def test_what_was_asked_is_what_makes_two_waits_the_same(scene: Scene) -> None:
    assert unless_paid(scene, "3bd", timeout_calendar="DE").created
    assert not unless_paid(scene, "3bd", timeout_calendar="DE").created
    with pytest.raises(WaitAlreadyOpenError):
        unless_paid(scene, "3bd", timeout_calendar="DE", at=parse_time_of_day("9"))


def test_a_deadline_is_replanned_by_what_was_asked(scene: Scene) -> None:
    wait = unless_paid(scene, until="2026-03-07 18:00").wait
    [change] = scene.rescheduling.replan(zone="Asia/Tokyo", apply=True).changes
    assert change.after == datetime(2026, 3, 7, 9, tzinfo=UTC) == scene.get(wait).timeout_at


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"timeout": "3d", "until": "2026-03-07"}, InvalidWaitConfigurationError, "name one of them"),
        ({"at": parse_time_of_day("9")}, InvalidWaitConfigurationError, "--at needs a --timeout"),
        ({"timeout": "2h", "at": parse_time_of_day("9")}, InvalidWaitConfigurationError, "only whole days"),
        ({"until": "soon"}, InvalidWaitDateError, "'soon' is not a date"),
        ({"until": "2026-03-07", "timeout_window": True}, InvalidWaitConfigurationError, "--window-calendar"),
    ],
)
def test_what_does_not_go_together(scene: Scene, options: dict[str, Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        unless_paid(scene, **options)
