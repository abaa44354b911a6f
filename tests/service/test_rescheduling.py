"""Why a wait ends when it does, another instant for it, and plans made anew."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import partial
from typing import Any

import pytest

from tests.scene import NOON, Scene
from tests.unit.wall_clocks import zone_of
from waitctl import (
    EventService,
    ReschedulingService,
    Rules,
    Settings,
    WaitFilter,
    WaitSchedulingService,
    WaitSpec,
    WaitStepExecution,
    parse_hours,
)
from waitctl.application.waits.planning import MoveOptions, MovePlanner
from waitctl.domain.errors import (
    IllegalTransitionError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    InvalidWaitDurationError,
    NoOpeningError,
    ReplanTooLargeError,
    WaitExecutionExpiredError,
    WaitExecutionNotFoundError,
)
from waitctl.infrastructure.config import CalendarConfig
from waitctl.infrastructure.zone_rules import tzdata_version

OFFICE = Rules(window=parse_hours("mon-fri 09:00-17:00"))
HOUR = timedelta(hours=1)


def company(scene: Scene, **calendar: Any) -> Settings:
    return Settings(scene.url, calendars={"company": CalendarConfig("company", **calendar)})


# -- explain -----------------------------------------------------------------------------------------------------------


def test_explains_what_was_asked_and_what_moved_it(scene: Scene) -> None:
    wait = scene.create("1bd", rules=OFFICE, timezone="Europe/Berlin").wait
    found, lines = scene.rescheduling.explain_wait(wait.id[-12:])
    assert found.wait.id == wait.id
    assert lines == (
        "fixed-time 1bd: 1 business day after 2026-03-01 13:00:00 Europe/Berlin, at the same wall clock",
        "business days: 1 on from Sunday 2026-03-01 by mon-fri is Monday 2026-03-02",
    )


def test_explains_what_was_asked_under_the_window_of_then(scene: Scene) -> None:
    wait = scene.create("6h", rules=OFFICE).wait
    scene.at(1).rescheduling.reschedule_wait(wait.id, window="sat 10:00-11:00")
    _, moved, change = scene.rescheduling.explain_wait(wait.id)[1]
    assert moved.startswith("window: Sunday 2026-03-01 18:00 is outside mon-fri 09:00-17:00")
    assert "rescheduled: window sat 10:00-11:00, 2026-03-07T10:00:00Z" in change


def test_explains_from_the_stored_base(scene: Scene) -> None:
    wait = scene.create("3d", base=NOON - timedelta(days=10)).wait
    assert "after 2026-02-19 12:00:00 UTC" in scene.at(600).rescheduling.explain_wait(wait.id)[1][0]


def test_explains_changes_since(scene: Scene) -> None:
    wait = scene.create("1d").wait
    scene.at(1).rescheduling.reschedule_wait(wait.id, by="+2h", reason="they asked for it")
    *_, change = scene.rescheduling.explain_wait(wait.id)[1]
    assert change == "then: as of 2026-03-01T12:01:00Z: they asked for it, by test at 2026-03-01T12:01:00Z"


def test_explains_an_event_wait(scene: Scene) -> None:
    wait = scene.listen(timeout="2bd", rules=OFFICE)
    assert scene.rescheduling.explain_wait(wait.id)[1] == (
        "for-event email_open of ada, received in the last 1m or later",
        "deadline: 2bd on",
        "business days: 2 on from Sunday 2026-03-01 by mon-fri is Tuesday 2026-03-03",
        "window: an event that comes outside mon-fri 09:00-17:00 schedules the wait for the next opening",
    )


def test_explains_that_holidays_have_changed(scene: Scene) -> None:
    before = WaitSchedulingService(scene.database, settings=company(scene))
    wait = before.create_fixed_time_wait("1bd", WaitSpec("e"), rules=Rules(calendar="company")).wait
    after = ReschedulingService(scene.database, settings=company(scene, extra={date(2026, 3, 2): "Founders' Day"}))
    lines = after.explain_wait(wait.id)[1]
    assert "Monday 2026-03-02 (Founders' Day)" in lines[1]
    assert lines[-1].startswith("zone rules or holidays have changed since: today it would be 2026-03-03 12:00:00 UTC")


def test_nothing_to_explain(scene: Scene) -> None:
    with pytest.raises(WaitExecutionNotFoundError):
        scene.rescheduling.explain_wait("00000000-0000-7000-8000-000000000000")


# -- reschedule --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "at"),
    [
        ({"at": "2026-03-05T10:00:00Z"}, datetime(2026, 3, 5, 10, tzinfo=UTC)),
        ({"at": "2026-03-05 10:00"}, datetime(2026, 3, 5, 9, tzinfo=UTC)),
        ({"by": "+2h"}, NOON + 26 * HOUR),
        ({"by": "-2h"}, NOON + 22 * HOUR),
        ({"by": "30d"}, datetime(2026, 4, 1, 11, tzinfo=UTC)),  # by the clocks, which change meanwhile
        ({"by": "+3bd"}, NOON + 4 * 24 * HOUR),
        ({"window": "tue 18:00-20:00"}, NOON + 53 * HOUR),
    ],
)
def test_another_instant(scene: Scene, how: dict[str, str], at: datetime) -> None:
    wait = scene.create("1d", timezone="Europe/Berlin").wait
    found, _ = scene.at(1).rescheduling.reschedule_wait(wait.id, **how)
    assert found.wait.scheduled_at == at
    assert scene.get(wait).scheduled_at == at
    line = scene.waits.get_history(wait.id)[-1]
    assert (line.from_status, line.to_status, line.actor) == ("scheduled", "scheduled", "test")
    assert line.reason.startswith("as of 2026-03-01T12:01:00Z: rescheduled: ")
    assert scene.create("1d", timezone="Europe/Berlin").wait.id == wait.id  # still the same wait


def test_another_instant_keeps_to_the_window(scene: Scene) -> None:
    wait = scene.create("1d", rules=OFFICE).wait
    found, why = scene.rescheduling.reschedule_wait(wait.id, at="2026-03-03T18:00:00Z")
    assert found.wait.scheduled_at == datetime(2026, 3, 4, 9, tzinfo=UTC)
    assert why[1].startswith("window: Tuesday 2026-03-03 18:00 is outside mon-fri 09:00-17:00")


def test_window_taken_away(scene: Scene) -> None:
    wait = scene.create("6h", rules=OFFICE).wait
    assert wait.late_policy == "next-window"
    found, _ = scene.rescheduling.reschedule_wait(wait.id, window="none")
    assert (found.wait.scheduled_at, found.wait.late_policy) == (NOON + 6 * HOUR, None)
    again, _ = scene.at(7 * 60).rescheduling.reschedule_wait(wait.id, window="mon 10:00-11:00")
    assert again.wait.scheduled_at == NOON + 22 * HOUR


def test_deadline_of_an_event_wait(scene: Scene) -> None:
    wait = scene.listen(timeout="1h", grace="10m")
    found, _ = scene.rescheduling.reschedule_wait(wait.id, by="+1h")
    assert found.wait.timeout_at == NOON + 2 * HOUR
    assert [listener.expires_at for listener in found.wait.listeners] == [NOON + 2 * HOUR + timedelta(minutes=10)]
    assert scene.at(90).tick().timed_out == 0
    assert scene.record().matched == (wait.id,)


def test_deadline_where_there_was_none(scene: Scene) -> None:
    wait = scene.listen(timeout=None)
    with pytest.raises(InvalidWaitConfigurationError, match="no deadline to move"):
        scene.rescheduling.reschedule_wait(wait.id, by="+1h")
    scene.rescheduling.reschedule_wait(wait.id, at="2026-03-01T13:00:00Z")
    assert scene.at(60).tick().timed_out == 1


def test_window_of_an_event_wait(scene: Scene) -> None:
    wait = scene.listen(timeout="2d")
    scene.rescheduling.reschedule_wait(wait.id, window="mon 09:00-10:00")
    scene.record()
    assert (scene.get(wait).status, scene.get(wait).scheduled_at) == ("scheduled", NOON + 21 * HOUR)
    scene.rescheduling.reschedule_wait(wait.id, window="none")
    assert scene.get(wait).status == "scheduled"


def test_window_of_a_wait_that_its_event_scheduled(scene: Scene) -> None:
    """The event came on Sunday at noon, outside the window; it is Sunday still."""
    wait = scene.listen(timeout="2d", rules=OFFICE)
    scene.record()
    scene.at(30)
    for window, opens in (
        ("sun 15:00-16:00", NOON + 3 * HOUR),
        ("sat", NOON + 132 * HOUR),
        ("11:00-13:00", NOON + HOUR / 2),
        ("mon 07:00-08:00", NOON + 19 * HOUR),
        ("none", NOON + HOUR / 2),
    ):
        found, why = scene.rescheduling.reschedule_wait(wait.id, window=window)
        assert found.wait.scheduled_at == opens, window
        assert why[0].endswith(("came at 2026-03-01 12:00:00 UTC", "from 2026-03-01 12:30:00 UTC on"))


def test_window_that_has_closed_today_opens_tomorrow_and_a_replan_leaves_it_so(scene: Scene) -> None:
    wait = scene.create("6h", rules=OFFICE).wait
    found, why = scene.at(11 * 60).rescheduling.reschedule_wait(wait.id, window="18:00-20:00")
    assert found.wait.scheduled_at == NOON + 30 * HOUR
    assert why[0] == "that instant has passed: from 2026-03-01 23:00:00 UTC on"
    assert scene.rescheduling.replan().changes == ()


def test_what_was_set_by_hand_need_not_be_a_weekday_that_was_asked_for(scene: Scene) -> None:
    wait = scene.waits.create_until_time_wait("09:00", WaitSpec("e"), days="mon-fri").wait
    found, _ = scene.rescheduling.reschedule_wait(wait.id, at="2026-03-08 10:00")  # a Sunday
    assert found.wait.scheduled_at == datetime(2026, 3, 8, 10, tzinfo=UTC)
    assert scene.rescheduling.replan().changes == ()


@pytest.mark.parametrize("how", [{"at": "2026-03-05T10:00:00Z"}, {"by": "2h"}, {"window": "10:00-11:00"}])
def test_another_instant_is_by_the_zone_rules_of_today(scene: Scene, how: dict[str, str]) -> None:
    today = tzdata_version("UTC")
    assert today is not None and re.fullmatch(r"20\d\d[a-z]+", today)
    wait = scene.create("1d").wait
    assert wait.wait_config["tzdata"] == today
    written = json.dumps(wait.wait_config | {"tzdata": "1999a"})
    scene.sql(f"UPDATE workflow_wait_executions SET wait_config = '{written}'".replace(":", r"\:"))
    found, _ = scene.rescheduling.reschedule_wait(wait.id, **how)
    assert found.wait.wait_config["tzdata"] == today


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({}, InvalidWaitConfigurationError),
        ({"at": "2026-03-05T10:00:00Z", "by": "1h"}, InvalidWaitConfigurationError),
        ({"at": "tomorrow"}, InvalidWaitDateError),
        ({"at": "2026-03-01T11:00:00Z"}, InvalidWaitDateError),
        ({"by": "-2d"}, InvalidWaitDateError),
        ({"by": "0"}, InvalidWaitDurationError),
        ({"window": "whenever"}, InvalidWaitConfigurationError),
        ({"window": "mon 09:00-10:00,09:30-11:00"}, InvalidWaitConfigurationError),
    ],
)
def test_what_cannot_be(scene: Scene, how: dict[str, str], error: type[Exception]) -> None:
    wait = scene.create("1d").wait
    with pytest.raises(error):
        scene.rescheduling.reschedule_wait(wait.id, **how)
    assert len(scene.waits.get_history(wait.id)) == 1
    assert scene.get(wait) == wait


def test_window_that_its_calendar_never_opens(scene: Scene) -> None:
    wait = scene.create("1d", rules=Rules(calendar="DE")).wait
    with pytest.raises(NoOpeningError):
        scene.rescheduling.reschedule_wait(wait.id, window="sun")


def test_ended_waits_stay_as_they_are(scene: Scene) -> None:
    done, timed_out = scene.create("1h").wait, scene.listen(execution="b", timeout="1h")
    scene.at(60).tick()
    with pytest.raises(IllegalTransitionError, match="cannot be rescheduled: it ended when it was due"):
        scene.rescheduling.reschedule_wait(done.id, by="1h")
    with pytest.raises(WaitExecutionExpiredError):
        scene.rescheduling.reschedule_wait(timed_out.id, by="1h")


# -- replan ------------------------------------------------------------------------------------------------------------


def on_a_company_day(scene: Scene, count: int = 1, **options: Any) -> list[WaitStepExecution]:
    service = WaitSchedulingService(scene.database, settings=company(scene))
    rules = Rules(calendar="company")
    return [
        service.create_fixed_time_wait("1bd", WaitSpec(f"e{number}", **options), rules=rules).wait
        for number in range(count)
    ]


def test_new_holiday_moves_what_was_asked(scene: Scene) -> None:
    (wait,) = on_a_company_day(scene)
    plain = scene.create("1d", "plain").wait
    service = ReschedulingService(scene.database, settings=company(scene, extra={date(2026, 3, 2): "Founders' Day"}))
    plan = service.replan()
    assert (plan.checked, plan.applied, plan.failed) == (2, 0, ())
    (change,) = plan.changes
    assert (change.wait.id, change.before, change.after) == (wait.id, NOON + 24 * HOUR, NOON + 48 * HOUR)
    assert "Founders' Day" in change.why[1]
    assert scene.get(wait).scheduled_at == wait.scheduled_at
    assert service.replan(apply=True).applied == 1
    assert scene.get(wait).scheduled_at == NOON + 48 * HOUR
    assert scene.get(plain) == plain
    assert "replanned: 2026-03-02T12:00:00Z → 2026-03-03T12:00:00Z" in scene.waits.get_history(wait.id)[-1].reason
    assert service.replan(apply=True).changes == ()


def test_deadlines_in_business_days_move_too(scene: Scene) -> None:
    settings = company(scene)
    scene.waits = WaitSchedulingService(scene.database, settings=settings)
    wait = scene.listen(timeout="1bd", grace="1h", rules=Rules(calendar="company"))
    changed = company(scene, extra={date(2026, 3, 2): "Founders' Day"})
    assert ReschedulingService(scene.database, settings=changed).replan(apply=True).applied == 1
    after = scene.get(wait)
    assert after.timeout_at == NOON + 48 * HOUR
    assert [listener.expires_at for listener in after.listeners] == [NOON + 49 * HOUR]


def test_another_zone_for_a_contact(scene: Scene) -> None:
    ada = scene.waits.create_until_time_wait("09:00", WaitSpec("a", contact_id="ada")).wait
    bob = scene.waits.create_until_time_wait("09:00", WaitSpec("b", contact_id="bob")).wait
    plan = scene.rescheduling.replan(WaitFilter(contact_id="ada"), zone="Asia/Tokyo", apply=True)
    assert (plan.checked, plan.applied) == (1, 1)
    assert scene.get(ada).timezone == "Asia/Tokyo"
    assert scene.get(ada).scheduled_at == NOON + 12 * HOUR
    assert scene.get(bob) == bob
    assert scene.waits.create_until_time_wait("09:00", WaitSpec("b", contact_id="bob")).created is False


def test_time_of_day_in_another_zone_is_the_next_one_after_now(scene: Scene) -> None:
    spec = WaitSpec("e", timezone="Europe/Berlin")
    scene.database.as_of = datetime(2026, 3, 2, 15, tzinfo=UTC)
    wait = scene.waits.create_until_time_wait("09:00", spec).wait
    scene.database.as_of = datetime(2026, 3, 3, 7, 30, tzinfo=UTC)
    (change,) = scene.rescheduling.replan(zone="Asia/Tokyo", apply=True).changes
    assert (change.to_json()["timezone"], change.to_json()["to_timezone"]) == ("Europe/Berlin", "Asia/Tokyo")
    assert scene.get(wait).scheduled_at == datetime(2026, 3, 4, tzinfo=UTC)
    assert "zone Europe/Berlin → Asia/Tokyo" in scene.waits.get_history(wait.id)[-1].reason
    assert scene.rescheduling.replan().changes == ()
    assert scene.waits.create_until_time_wait("09:00", replace(spec, timezone="Asia/Tokyo")).created is False


def test_time_of_day_that_was_planned_anew_stays_where_its_window_put_it(scene: Scene) -> None:
    spec, rules = WaitSpec("e", timezone="Europe/Berlin"), Rules(window=parse_hours("10:00-11:00"))
    scene.database.as_of = datetime(2026, 3, 2, 15, tzinfo=UTC)
    wait = scene.waits.create_until_time_wait("09:00", spec, rules=rules).wait
    scene.database.as_of = datetime(2026, 3, 3, 7, 30, tzinfo=UTC)
    scene.rescheduling.replan(zone="Asia/Tokyo", apply=True)
    assert scene.get(wait).scheduled_at == datetime(2026, 3, 4, 1, tzinfo=UTC)
    scene.database.as_of = datetime(2026, 3, 4, 0, 30, tzinfo=UTC)  # 09:30 in Tokyo: 10:00 is still to come
    assert scene.rescheduling.replan().changes == ()


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("hours", [0.5, 9, 23.5])
def test_replan_never_makes_a_wait_due_that_was_not(scene: Scene, zone: str, hours: float) -> None:
    """Against the standard library: a time of day comes after now, everything else as asked or not at all."""
    create = scene.waits
    base = [WaitSpec(f"{kind}{hour}", timezone="Europe/Berlin") for kind in "tdf" for hour in range(24)]
    times, dates, days = base[:24], base[24:48], base[48:]
    tomorrow = "2026-03-02"
    for hour in range(24):
        create.create_until_time_wait(f"{hour}:00", times[hour])
        create.create_until_date_wait(f"{tomorrow} {hour:02}:00", dates[hour])
        create.create_fixed_time_wait("1d", days[hour], at=f"{hour}:00")
    scene.listen(execution="parked", rules=OFFICE, timeout="2d", timezone="Europe/Berlin")
    scene.record()
    scene.listen(contact="bob", execution="deadline", timeout="1bd", rules=Rules(calendar="DE"))
    now = scene.at(hours * 60 + 1).database.as_of
    assert now is not None
    scene.tick()  # what is due by then has ended

    plan = scene.rescheduling.replan(zone=zone, apply=True)

    assert scene.tick().did_nothing
    failed = {wait_id for wait_id, _ in plan.failed}
    place = zone_of(zone)
    for spec in base:
        found = create.get_step_status(spec.workflow_execution_id, "wait").wait
        if not found.status.is_open:
            continue
        hour = int(spec.workflow_execution_id[1:])
        if spec in times:
            today = now.astimezone(place).date()
            candidates = [datetime.combine(today + timedelta(days), time(hour), place) for days in (0, 1)]
            assert (found.scheduled_at, found.timezone) == (min(at for at in candidates if at > now), zone)
            continue
        first = date(2026, 3, 2)
        day = first if spec in dates else NOON.astimezone(place).date() + timedelta(days=1)
        expected = datetime.combine(day, time(hour), place)
        assert (found.scheduled_at == expected) == (expected > now) == (found.id not in failed), spec
        assert found.timezone == (zone if expected > now else "Europe/Berlin")


def test_deadline_that_has_passed_unseen_is_not_planned_away(scene: Scene) -> None:
    service = ReschedulingService(scene.database, settings=company(scene))
    scene.waits = WaitSchedulingService(scene.database, settings=company(scene))
    wait = scene.listen(timeout="1bd", rules=Rules(calendar="company"))
    scene.at(25 * 60)
    closed = ReschedulingService(scene.database, settings=company(scene, extra={date(2026, 3, 2): "Founders' Day"}))
    assert closed.replan(apply=True).changes == service.replan().changes == ()
    assert scene.tick().timed_out == 1
    assert scene.get(wait).timeout_at == NOON + 24 * HOUR


def test_local_time_set_by_hand_is_kept_as_it_was_given(scene: Scene) -> None:
    wait = scene.create("1d", timezone="Europe/Berlin", rules=OFFICE).wait
    found, why = scene.rescheduling.reschedule_wait(wait.id, at="2026-11-12 08:00")
    assert found.wait.wait_config["rescheduled"] == {"at": "2026-11-12T08:00:00"}
    assert found.wait.scheduled_at == datetime(2026, 11, 12, 8, tzinfo=UTC)  # the window opens at nine
    assert why[0] == "until-date 2026-11-12 08:00: that local time in Europe/Berlin"
    lines = scene.rescheduling.explain_wait(wait.id)[1]
    assert "set otherwise than asked: until-date 2026-11-12 08:00: that local time in Europe/Berlin" in lines
    assert scene.rescheduling.replan().changes == ()
    (change,) = scene.rescheduling.replan(zone="Asia/Tokyo", apply=True).changes
    assert change.why[0].endswith("2026-11-12 08:00: that local time in Asia/Tokyo")
    assert scene.get(wait).scheduled_at == datetime(2026, 11, 12, tzinfo=UTC)


def test_local_deadline_set_by_hand_is_kept_as_it_was_given(scene: Scene) -> None:
    wait = scene.listen(timeout="1h", grace="10m", timezone="Europe/Berlin")
    scene.rescheduling.reschedule_wait(wait.id, at="2026-11-12 08:00")
    assert scene.get(wait).wait_config["rescheduled"] == {"deadline": "2026-11-12T08:00:00"}
    assert scene.get(wait).timeout_at == datetime(2026, 11, 12, 7, tzinfo=UTC)
    scene.rescheduling.replan(zone="Asia/Tokyo", apply=True)
    after = scene.get(wait)
    assert after.timeout_at == datetime(2026, 11, 11, 23, tzinfo=UTC)
    assert [listener.expires_at for listener in after.listeners] == [datetime(2026, 11, 11, 23, 10, tzinfo=UTC)]


def test_explains_that_a_local_time_set_by_hand_means_another_instant_today(scene: Scene) -> None:
    before = ReschedulingService(scene.database, settings=company(scene))
    (wait,) = on_a_company_day(scene)
    before.reschedule_wait(wait.id, at="2026-03-05 10:00")
    after = ReschedulingService(scene.database, settings=company(scene, extra={date(2026, 3, 5): "Strike"}))
    assert "today it would be 2026-03-06 10:00:00 UTC" in after.explain_wait(wait.id)[1][-1]


def test_what_was_set_by_hand_stays(scene: Scene) -> None:
    (wait,) = on_a_company_day(scene)
    service = ReschedulingService(scene.database, settings=company(scene))
    service.reschedule_wait(wait.id, at="2026-03-05T10:00:00Z")
    assert service.replan().changes == ()
    closed = ReschedulingService(scene.database, settings=company(scene, extra={date(2026, 3, 5): "Strike"}))
    assert [change.after for change in closed.replan().changes] == [datetime(2026, 3, 6, 10, tzinfo=UTC)]
    deadline = scene.listen(timeout="1h")
    service.reschedule_wait(deadline.id, by="1h")
    assert service.replan().changes == ()


def test_what_a_tick_moved_and_what_an_event_scheduled_stays(scene: Scene) -> None:
    scene.create("22h", "late", rules=OFFICE)
    parked = scene.listen(execution="parked", rules=OFFICE)
    scene.record()
    assert scene.get(parked).status == "scheduled"
    assert scene.at(39 * 60).tick().moved == 2
    assert scene.rescheduling.replan().changes == ()


def test_what_an_event_scheduled_follows_its_calendar_both_ways(scene: Scene) -> None:
    closed = company(scene, extra={date(2026, 3, 2): "Strike"})
    scene.database.as_of = NOON - timedelta(minutes=10)
    scene.waits = WaitSchedulingService(scene.database, settings=closed)
    scene.events = EventService(scene.database, settings=closed)
    wait = scene.listen(rules=Rules(calendar="company"), timeout="5d")
    scene.at(0).record()
    assert scene.get(wait).scheduled_at == NOON + 48 * HOUR
    scene.at(90)
    assert ReschedulingService(scene.database, settings=closed).replan().changes == ()
    service = ReschedulingService(scene.database, settings=company(scene))  # the strike is off
    (change,) = service.replan(apply=True).changes
    assert (change.after, change.why[0]) == (NOON + 24 * HOUR, "its event came at 2026-03-01 12:00:00 UTC")
    assert scene.get(wait).scheduled_at == NOON + 24 * HOUR
    scene.sql("DELETE FROM workflow_events")  # as retention does: when it was taken counts
    assert service.replan().changes == ()


def test_overdue_waits_are_left_to_the_tick(scene: Scene) -> None:
    on_a_company_day(scene)
    closed = ReschedulingService(
        scene.at(25 * 60).database, settings=company(scene, extra={date(2026, 3, 2): "Founders' Day"})
    )
    assert closed.replan().checked == 0


def test_cap(scene: Scene) -> None:
    waits = on_a_company_day(scene, 3)
    service = ReschedulingService(scene.database, settings=company(scene, extra={date(2026, 3, 2): "Founders' Day"}))
    with pytest.raises(ReplanTooLargeError, match="3 waits would change, more than 2"):
        service.replan(apply=True, cap=2)
    assert len(service.replan(cap=2).changes) == 3  # the diff can be looked at
    assert scene.get(waits[0]).scheduled_at == waits[0].scheduled_at
    assert service.replan(apply=True, cap=3).applied == 3


def test_calendar_that_this_host_does_not_know_is_reported(scene: Scene) -> None:
    (wait,) = on_a_company_day(scene)
    plan = scene.rescheduling.replan(apply=True)
    assert plan.failed == ((wait.id, "'company' is not a calendar"),)
    assert (plan.changes, plan.applied) == ((), 0)


def test_pages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    from waitctl.application.waits import rescheduling

    on_a_company_day(scene, 5)
    monkeypatch.setattr(rescheduling, "_PAGE", 2)
    service = ReschedulingService(scene.database, settings=company(scene, extra={date(2026, 3, 2): "Founders' Day"}))
    assert (service.replan(apply=True).checked, service.replan().changes) == (5, ())


def test_changed_meanwhile_is_not_overwritten(scene: Scene) -> None:
    """A plan lands only where the wait still is as the plan saw it."""
    from waitctl.infrastructure.store import rescheduling as store

    wait = scene.create("1d").wait
    assert wait.scheduled_at is not None
    change = store.Rescheduled(wait.id, wait.scheduled_at, NOON + HOUR, wait.wait_config, None, "UTC", "planned")
    stale = replace(change, expected_at=NOON)
    for each, landed in ((stale, set()), (change, {wait.id}), (change, set())):
        reschedule = partial(store.reschedule_waits, changes=[each], now=NOON, actor="test")
        assert scene.database.write(reschedule) == landed


@pytest.mark.parametrize(
    ("by", "instant"),
    [
        ("-1d", "2026-03-28T01:30:00+00:00"),
        ("+1d", "2026-03-30T00:30:00+00:00"),
        ("1mo", "2026-04-29T00:30:00+00:00"),
        ("-24h", "2026-03-28T01:30:00+00:00"),
        ("+2h", "2026-03-29T03:30:00+00:00"),
    ],
)
@pytest.mark.parametrize("moved", [False, True])
def test_days_are_counted_from_the_local_time_that_was_meant(scene: Scene, by: str, instant: str, moved: bool) -> None:
    """Saturday 23:30, which the clocks of Nuuk show as Sunday 00:30, whether created or set by hand."""
    spec = WaitSpec("order-1", timezone="America/Nuuk")
    wait = scene.waits.create_until_date_wait("2026-03-20 12:00" if moved else "2026-03-28 23:30", spec).wait
    if moved:
        scene.rescheduling.reschedule_wait(wait.id, at="2026-03-28 23:30")
    planner = MovePlanner(scene.database)
    with scene.database.read() as connection:
        [planned] = planner.plan(connection, [wait.id], MoveOptions(by=by))
    found, _ = scene.rescheduling.reschedule_wait(wait.id, by=by)
    assert found.wait.scheduled_at == datetime.fromisoformat(instant)
    assert planned.due is not None
    assert datetime.fromisoformat(planned.due) == found.wait.scheduled_at
