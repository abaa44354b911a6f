"""Waits that come again: one open at a time, none twice, none left out, and nothing in bursts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.scene import NOON, Scene
from waitctl import Late, Rules, Settings, WaitSpec, WaitStepExecution, parse_hours
from waitctl.application.contacts import ContactInput, ContactService
from waitctl.application.waits.recurring import RecurrenceService
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    ConflictError,
    InvalidRecurrenceError,
    RecurrenceNotFoundError,
    WaitAlreadyOpenError,
)
from waitctl.domain.months import parse_day_of_month
from waitctl.domain.recurrence import Recurrence, RecurrenceRule, RecurrenceStatus
from waitctl.infrastructure.config import CalendarConfig

BERLIN = "Europe/Berlin"
HOURLY = RecurrenceRule(every=parse_duration("1h"))


def every(text: str, **options: Any) -> RecurrenceRule:
    return RecurrenceRule(every=parse_duration(text, business=True), **options)


@pytest.fixture
def recurring(scene: Scene) -> RecurrenceService:
    return RecurrenceService(scene.database, actor="test")


def open_waits(scene: Scene) -> list[WaitStepExecution]:
    return [each.wait for each in scene.waits.list_waits(limit=1000)[0] if each.wait.status.is_open]


def due(scene: Scene, recurring: RecurrenceService, recurrence: Recurrence, count: int) -> list[datetime]:
    """When it comes so many times, with a tick at each of its instants."""
    found = []
    for _ in range(count):
        [wait] = open_waits(scene)
        assert wait.scheduled_at is not None
        assert wait.id == recurring.get(recurrence.id).wait_id
        found.append(wait.scheduled_at)
        scene.database.as_of = wait.scheduled_at
        assert scene.tick().resumed == 1
    return found


def test_the_next_is_made_when_one_ends(scene: Scene, recurring: RecurrenceService) -> None:
    made = recurring.create(HOURLY, WaitSpec("e", contact_id="ada", handler="nudge", context={"n": 1}))
    assert made.created
    [first] = open_waits(scene)
    assert (first.scheduled_at, first.contact_id, first.handler) == (NOON + timedelta(hours=1), "ada", "nudge")
    assert first.wait_config["recurrence"] == made.recurrence.id
    assert (made.recurrence.occurrence, made.recurrence.next_at) == (1, first.scheduled_at)

    assert due(scene, recurring, made.recurrence, 5) == [NOON + timedelta(hours=n) for n in range(1, 6)]

    assert recurring.get(made.recurrence.id).occurrence == 6
    assert len({wait.wait.id for wait in scene.waits.list_waits()[0]}) == 6
    assert len(scene.sql("SELECT id FROM workflow_wait_deliveries")) == 5
    [last] = open_waits(scene)
    assert scene.waits.get_history(last.id)[0].reason.endswith("created: it comes again")


def test_ordinary_ticks_never_look_for_it(scene: Scene, recurring: RecurrenceService) -> None:
    """Beside another that is not due, a batch is as it ever was: nothing more is asked."""
    recurring.create(every("1d"), WaitSpec("later"))
    scene.create("10m")
    assert scene.at(10).tick().resumed == 1
    assert len(open_waits(scene)) == 1


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        (RecurrenceRule(cron="0 9 * * mon-fri"), ["02T08:00", "03T08:00", "04T08:00", "05T08:00", "06T08:00"]),
        (RecurrenceRule(rrule="FREQ=WEEKLY;BYDAY=MO,WE"), ["02T12:00", "04T12:00", "09T12:00"]),
        (every("1d", at=None), ["02T12:00", "03T12:00"]),
        (RecurrenceRule(cron="30 1-2 * * *"), ["02T00:30", "02T01:30", "03T00:30"]),
    ],
)
def test_rules_in_a_zone(scene: Scene, recurring: RecurrenceService, rule: RecurrenceRule, wanted: list[str]) -> None:
    made = recurring.create(rule, WaitSpec("e", timezone=BERLIN))
    found = due(scene, recurring, made.recurrence, len(wanted))
    assert [f"{at:%dT%H:%M}" for at in found] == wanted


def test_days_keep_the_wall_clock_over_a_change(scene: Scene, recurring: RecurrenceService) -> None:
    scene.database.as_of = datetime(2026, 3, 27, 8, tzinfo=UTC)  # 09:00 in Berlin; the clocks change on the 29th
    made = recurring.create(every("1d"), WaitSpec("e", timezone=BERLIN))
    assert [at.hour for at in due(scene, recurring, made.recurrence, 3)] == [8, 7, 7]


def test_a_gap_and_a_fold(scene: Scene, recurring: RecurrenceService) -> None:
    """02:30 in Berlin: moved past the gap in March, met once in October."""
    made = recurring.create(RecurrenceRule(cron="30 2 28-30 3 *"), WaitSpec("gap", timezone=BERLIN))
    found = due(scene, recurring, made.recurrence, 3)
    assert [f"{at:%dT%H:%M}" for at in found] == ["28T01:30", "29T01:30", "30T00:30"]
    recurring.stop(made.recurrence.id)
    scene.database.as_of = datetime(2026, 10, 24, 12, tzinfo=UTC)
    fold = recurring.create(RecurrenceRule(cron="30 2 * * *"), WaitSpec("fold", timezone=BERLIN))
    found = due(scene, recurring, fold.recurrence, 2)
    assert [f"{at:%dT%H:%M}" for at in found] == ["25T00:30", "26T01:30"]


def test_months_are_counted_from_the_start_with_fixed(scene: Scene, recurring: RecurrenceService) -> None:
    scene.database.as_of = datetime(2026, 1, 31, 12, tzinfo=UTC)
    fixed = recurring.create(every("1mo", fixed=True), WaitSpec("fixed"))
    assert [f"{at:%m-%d}" for at in due(scene, recurring, fixed.recurrence, 3)] == ["02-28", "03-31", "04-30"]
    recurring.stop(fixed.recurrence.id)
    scene.database.as_of = datetime(2026, 1, 31, 12, tzinfo=UTC)
    on = recurring.create(every("1mo", on=parse_day_of_month("last friday")), WaitSpec("on"))
    assert [f"{at:%m-%d}" for at in due(scene, recurring, on.recurrence, 3)] == ["02-27", "03-27", "04-24"]


def test_through_a_calendar_and_a_window(scene: Scene) -> None:
    """A holiday moves one to the next business day, where it takes the place of that day's own."""
    company = CalendarConfig("company", extra={NOON.date() + timedelta(days=2): "closed"})  # Tuesday
    settings = Settings(scene.url, calendars={"company": company})
    recurring = RecurrenceService(scene.database, settings=settings)
    rules = Rules(calendar="company", window=parse_hours("09:00-17:00"))
    made = recurring.create(RecurrenceRule(cron="0 8 * * *"), WaitSpec("e"), rules=rules)
    assert [f"{at:%d %H}" for at in recurring.upcoming(made.recurrence)] == [
        "02 09",
        "04 09",
        "05 09",
        "06 09",
        "09 09",
    ]


def test_a_year_of_mondays(scene: Scene, recurring: RecurrenceService) -> None:
    """Played tick by tick, over both changes of the clocks; on a holiday it is the Tuesday."""
    scene.database.as_of = datetime(2026, 1, 1, tzinfo=UTC)
    made = recurring.create(
        RecurrenceRule(cron="0 9 * * mon"), WaitSpec("e", timezone=BERLIN), rules=Rules(calendar="DE-BY")
    )
    zone = ZoneInfo(BERLIN)
    found = [at.astimezone(zone) for at in due(scene, recurring, made.recurrence, 52)]
    mondays = [datetime(2026, 1, 5, 9, tzinfo=zone) + timedelta(weeks=n) for n in range(52)]
    closed = {(4, 6), (5, 25)}  # Easter, Whitsun
    assert found == [day + timedelta(days=(day.month, day.day) in closed) for day in mondays]
    assert scene.rescheduling.replan().changes == ()
    [wait] = open_waits(scene)
    assert scene.rescheduling.explain_wait(wait.id)[1][-1] == f"occurrence 53 of the recurrence {made.recurrence.id}"


# -- its end -------------------------------------------------------------------------------------------------------------


def test_so_many_times(scene: Scene, recurring: RecurrenceService) -> None:
    made = recurring.create(every("1h", count=3), WaitSpec("e"))
    due(scene, recurring, made.recurrence, 3)
    over = recurring.get(made.recurrence.id)
    assert (over.status, over.occurrence, over.wait_id, over.next_at) == (RecurrenceStatus.FINISHED, 3, None, None)
    assert open_waits(scene) == []
    assert recurring.create(every("1h", count=3), WaitSpec("e")).created


@pytest.mark.parametrize(
    "rule",
    [
        every("1h", until=NOON + timedelta(hours=2, minutes=30)),
        every("1h", fixed=True, until=NOON + timedelta(hours=2)),
        RecurrenceRule(cron="0 * * * *", until=NOON + timedelta(hours=2)),
        RecurrenceRule(rrule="FREQ=HOURLY;COUNT=3"),  # the start itself is the first of the rule
        RecurrenceRule(rrule="RRULE:FREQ=HOURLY;UNTIL=20260301T140000Z"),
    ],
)
def test_until_then(scene: Scene, recurring: RecurrenceService, rule: RecurrenceRule) -> None:
    made = recurring.create(rule, WaitSpec("e", timezone=BERLIN))
    assert due(scene, recurring, made.recurrence, 2) == [NOON + timedelta(hours=1), NOON + timedelta(hours=2)]
    assert recurring.get(made.recurrence.id).status is RecurrenceStatus.FINISHED


def test_an_event_stops_it(scene: Scene, recurring: RecurrenceService) -> None:
    spec = WaitSpec("e", contact_id="ada", handler="nudge")
    made = recurring.create(HOURLY, spec, stop_on="email_click,form_submit")
    other = recurring.create(HOURLY, WaitSpec("o", contact_id="bob"), stop_on="email_click")
    scene.at(60).tick()
    scene.record("form_submit", "ada")
    stopped = recurring.get(made.recurrence.id)
    assert (stopped.status, stopped.reason) == (RecurrenceStatus.STOPPED, "stopped by an event")
    assert {wait.workflow_execution_id for wait in open_waits(scene)} == {"o"}
    assert recurring.get(other.recurrence.id).status is RecurrenceStatus.ACTIVE
    scene.sql("INSERT INTO workflow_events (event_type, contact_id) VALUES ('email_click', 'bob')")
    scene.at(70).tick()
    assert recurring.get(other.recurrence.id).status is RecurrenceStatus.STOPPED
    assert open_waits(scene) == []


def test_an_event_that_has_come_already(scene: Scene, recurring: RecurrenceService) -> None:
    scene.record("email_click", "ada")
    with pytest.raises(ConflictError, match="has come already"):
        recurring.create(HOURLY, WaitSpec("e", contact_id="ada"), stop_on="email_click")
    assert recurring.list_recurrences() == []
    assert scene.waits.list_waits()[0] == []


ENDINGS: list[Callable[[Scene, WaitStepExecution], object]] = [
    lambda scene, wait: scene.waits.cancel_wait(wait.id),
    lambda scene, _: scene.waits.cancel_execution("e"),
]


@pytest.mark.parametrize("cancel", ENDINGS)
def test_with_its_wait_it_is_cancelled(
    scene: Scene, recurring: RecurrenceService, cancel: Callable[[Scene, WaitStepExecution], object]
) -> None:
    made = recurring.create(HOURLY, WaitSpec("e", contact_id="ada"), stop_on="email_click")
    [wait] = [each for each in open_waits(scene) if each.scheduled_at]
    cancel(scene, wait)
    stopped = recurring.get(made.recurrence.id)
    assert (stopped.status, stopped.reason) == (RecurrenceStatus.STOPPED, "its wait was cancelled")
    assert open_waits(scene) == []


def test_resumed_by_hand_it_goes_on(scene: Scene, recurring: RecurrenceService) -> None:
    """A span counts from there; what goes by a rule keeps to it."""
    span = recurring.create(HOURLY, WaitSpec("span"))
    rule = recurring.create(RecurrenceRule(cron="0 * * * *"), WaitSpec("rule"))
    scene.at(20)
    for made in (span, rule):
        scene.waits.resume_wait(made.recurrence.wait_id or "")
    found = {wait.workflow_execution_id: wait.scheduled_at for wait in open_waits(scene)}
    assert found == {"span": NOON + timedelta(minutes=80), "rule": NOON + timedelta(hours=2)}


# -- what was missed -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "late", "wanted"),
    [
        (HOURLY, 600, 660),  # from when it really ended
        (HOURLY, 63, 120),  # a jitter of cron moves nothing
        (every("1h", fixed=True), 610, 660),
        (RecurrenceRule(cron="0 * * * *"), 610, 660),
        (RecurrenceRule(rrule="FREQ=HOURLY"), 600, 660),
    ],
)
def test_an_outage_is_no_burst(
    scene: Scene, recurring: RecurrenceService, rule: RecurrenceRule, late: int, wanted: int
) -> None:
    recurring.create(rule, WaitSpec("e", handler="nudge"))
    assert scene.at(late).tick().resumed == 1
    assert scene.tick().resumed == 0
    [wait] = open_waits(scene)
    assert wait.scheduled_at == NOON + timedelta(minutes=wanted)


def test_missed_ones_go_by_the_late_policy(scene: Scene, recurring: RecurrenceService) -> None:
    skipped = recurring.create(
        RecurrenceRule(cron="0 * * * *"), WaitSpec("skip", handler="nudge"), rules=Rules(late=Late.SKIP)
    )
    window = Rules(window=parse_hours("09:00-17:00"))
    moved = recurring.create(RecurrenceRule(cron="0 9-16 * * *"), WaitSpec("move", handler="nudge"), rules=window)
    scene.at(8 * 60).tick()  # 20:00: both were due at 13:00
    assert scene.sql("SELECT id FROM workflow_wait_deliveries") == []
    nine = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert {wait.workflow_execution_id: wait.scheduled_at for wait in open_waits(scene)} == {
        "skip": datetime(2026, 3, 1, 21, tzinfo=UTC),
        "move": nine,
    }
    assert recurring.get(moved.recurrence.id).next_at == nine
    assert recurring.get(skipped.recurrence.id).occurrence == 2
    recurring.stop(skipped.recurrence.id)
    assert due(scene, recurring, moved.recurrence, 2) == [nine, nine + timedelta(hours=1)]


def test_a_short_span_that_a_tick_cannot_keep_up_with(scene: Scene, recurring: RecurrenceService) -> None:
    recurring.create(every("1m"), WaitSpec("e"))
    assert scene.at(4).tick().resumed == 1
    [wait] = open_waits(scene)
    assert wait.scheduled_at == NOON + timedelta(minutes=5)


def test_a_wait_that_was_moved_is_found_when_it_is_due(scene: Scene, recurring: RecurrenceService) -> None:
    made = recurring.create(every("2h"), WaitSpec("e"))
    scene.rescheduling.reschedule_wait(made.recurrence.wait_id or "", by="-90m")
    assert scene.at(30).tick().resumed == 1
    [wait] = open_waits(scene)
    assert wait.scheduled_at == NOON + timedelta(minutes=150)


def test_what_ended_behind_its_back_goes_on_with_the_next_tick(scene: Scene, recurring: RecurrenceService) -> None:
    made = recurring.create(HOURLY, WaitSpec("e"))
    scene.sql("UPDATE workflow_wait_executions SET status = 'resumed', resolution = 'due', resolved_at = scheduled_at")
    scene.at(60).tick()
    assert [wait.id for wait in open_waits(scene)] == [recurring.get(made.recurrence.id).wait_id]


def test_spread_does_not_add_up(scene: Scene, recurring: RecurrenceService) -> None:
    made = recurring.create(HOURLY, WaitSpec("e"), rules=Rules(spread=parse_duration("4m")))
    found = due(scene, recurring, made.recurrence, 30)
    late = [at - NOON - timedelta(hours=number) for number, at in enumerate(found, 1)]
    assert all(timedelta() <= each < timedelta(minutes=4) for each in late)


# -- the same again ------------------------------------------------------------------------------------------------------


def test_the_same_create_finds_it(scene: Scene, recurring: RecurrenceService) -> None:
    spec = WaitSpec("e", contact_id="ada")
    made = recurring.create(HOURLY, spec, stop_on="email_click")
    scene.at(60).tick()
    again = recurring.create(HOURLY, spec, stop_on="email_click")
    assert (again.created, again.recurrence.id) == (False, made.recurrence.id)
    with pytest.raises(WaitAlreadyOpenError, match="another recurrence"):
        recurring.create(every("2h"), spec)
    replaced = recurring.create(every("2h"), spec, replace_open=True)
    assert recurring.get(made.recurrence.id).reason == "replaced"
    assert [wait.id for wait in open_waits(scene)] == [replaced.recurrence.wait_id]


def test_the_step_has_another_wait(scene: Scene, recurring: RecurrenceService) -> None:
    scene.create("1d")
    with pytest.raises(WaitAlreadyOpenError):
        recurring.create(HOURLY, WaitSpec("e", "wait"))
    assert recurring.list_recurrences() == []


def test_a_dry_run_says_when_it_comes(scene: Scene, recurring: RecurrenceService) -> None:
    rule = RecurrenceRule(cron="0 9 * * mon-fri", count=2)
    found = recurring.create(rule, WaitSpec("e", timezone=BERLIN), dry_run=True)
    assert found.explanation == (
        "recurring cron 0 9 * * mon-fri in Europe/Berlin, 2 times",
        "occurrence 1: 2026-03-02 09:00:00 Europe/Berlin",
        "occurrence 2: 2026-03-03 09:00:00 Europe/Berlin",
    )
    assert recurring.list_recurrences() == []


# -- by hand -------------------------------------------------------------------------------------------------------------


def test_paused_and_going_on(scene: Scene, recurring: RecurrenceService) -> None:
    made = recurring.create(RecurrenceRule(cron="0 * * * *"), WaitSpec("e", contact_id="ada"), stop_on="email_click")
    assert recurring.pause(made.recurrence.id[-12:], reason="holiday").status is RecurrenceStatus.PAUSED
    assert recurring.pause(made.recurrence.id).reason == "holiday"
    scene.at(300).tick()
    assert [wait.step_id for wait in open_waits(scene)] == ["wait.stop"]
    assert recurring.unpause(made.recurrence.id).status is RecurrenceStatus.ACTIVE
    assert recurring.unpause(made.recurrence.id).occurrence == 2
    [wait] = [wait for wait in open_waits(scene) if wait.scheduled_at]
    assert wait.scheduled_at == NOON + timedelta(hours=6)
    recurring.stop(made.recurrence.id)
    assert recurring.stop(made.recurrence.id).reason == "by hand"
    for call in (recurring.pause, recurring.unpause):
        with pytest.raises(ConflictError, match="stopped: by hand"):
            call(made.recurrence.id)
    assert open_waits(scene) == []
    with pytest.raises(RecurrenceNotFoundError):
        recurring.get("01900000-0000-7000-8000-000000000000")


def test_lists(scene: Scene, recurring: RecurrenceService) -> None:
    first = recurring.create(HOURLY, WaitSpec("a", contact_id="ada")).recurrence
    second = recurring.create(HOURLY, WaitSpec("b", contact_id="bob")).recurrence
    recurring.stop(first.id)
    assert [each.id for each in recurring.list_recurrences()] == [second.id, first.id]
    assert [each.id for each in recurring.list_recurrences(statuses=[RecurrenceStatus.STOPPED])] == [first.id]
    assert [each.id for each in recurring.list_recurrences(contact="BOB ".lower())] == [second.id]
    assert [each.id for each in recurring.list_recurrences(execution="a")] == [first.id]
    assert [each.id for each in recurring.list_recurrences(after=second.id, limit=1)] == [first.id]


def test_the_zone_of_the_contact_is_looked_up_each_time(scene: Scene, recurring: RecurrenceService) -> None:
    contacts = ContactService(scene.database)
    contacts.set_contact(ContactInput("ada", BERLIN))
    spec = WaitSpec("e", contact_id="ada", zone_of_contact=True)
    made = recurring.create(RecurrenceRule(cron="0 9 * * *"), spec)
    contacts.set_contact(ContactInput("ada", "Asia/Tokyo"))
    found = due(scene, recurring, made.recurrence, 2)
    assert found == [datetime(2026, 3, 2, 8, tzinfo=UTC), datetime(2026, 3, 3, 0, tzinfo=UTC)]
    contacts.forget_contact("ada")
    assert open_waits(scene) == []
    assert recurring.get(made.recurrence.id).status is RecurrenceStatus.STOPPED


@pytest.mark.parametrize(
    "rule",
    [
        RecurrenceRule(),
        RecurrenceRule(every=parse_duration("1h"), cron="0 * * * *"),
        every("30s"),
        every("1h", count=0),
        every("1d", until=NOON),
        every("3bd", fixed=True),
        RecurrenceRule(cron="* * * * * *"),
        RecurrenceRule(cron="0 9 * *"),
        RecurrenceRule(cron="0 0 31 2 *"),
        RecurrenceRule(cron="61 * * * *"),
        RecurrenceRule(cron="0 9 * * *", on=parse_day_of_month("15")),
        RecurrenceRule(rrule="FREQ=SECONDLY"),
        RecurrenceRule(rrule="FREQ=NEVER"),
        RecurrenceRule(rrule="every monday"),
        RecurrenceRule(rrule="FREQ=DAILY;UNTIL=20200101T000000Z"),
        RecurrenceRule(rrule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=31"),
        RecurrenceRule(rrule="DTSTART:20200101T000000\nRRULE:FREQ=DAILY"),
    ],
)
def test_what_nobody_can_follow(scene: Scene, recurring: RecurrenceService, rule: RecurrenceRule) -> None:
    with pytest.raises(InvalidRecurrenceError):
        recurring.create(rule, WaitSpec("e", timezone=BERLIN))
    assert recurring.list_recurrences() == []
