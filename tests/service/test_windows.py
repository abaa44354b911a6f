"""Windows and late policies over time: events outside the window, recovery after an outage."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.scene import MINUTE, NOON, Scene
from waitctl import EventQuery, Late, Rules, Settings, Tick, TickReport, WaitStepExecution, parse_hours
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.instants import Dst
from waitctl.infrastructure.config import CalendarConfig
from waitctl.infrastructure.zone_rules import tzdata_version

# The scene starts on Sunday 2026-03-01 at noon, in UTC.
MONDAY_9 = NOON + timedelta(hours=21)
OFFICE = Rules(window=parse_hours("mon-fri 09:00-17:00"))


def gated(scene: Scene, execution: str = "e", **options: Any) -> WaitStepExecution:
    return scene.listen(execution=execution, rules=OFFICE, handler="nudge", **options)


# -- events outside the window -----------------------------------------------------------------------------------------


def test_event_outside_the_window_schedules_the_wait(scene: Scene) -> None:
    wait = gated(scene, timeout="2h")
    result = scene.at(1).record()
    assert result.matched == ()
    parked = scene.get(wait)
    assert (parked.status, parked.scheduled_at, parked.timeout_at) == ("scheduled", MONDAY_9, None)
    assert (parked.resolution, parked.resolution_event_id, parked.deliveries) == (None, result.event_id, ())
    assert [listener.status for listener in parked.listeners] == ["matched"]
    assert "outside the window: scheduled for 2026-03-02T09:00:00Z" in scene.waits.get_history(wait.id)[-1].reason
    assert scene.at(180).tick().timed_out == 0  # the deadline is off

    assert scene.at(21 * 60).tick().resumed == 1
    ended = scene.get(wait)
    assert (ended.status, ended.resolution, ended.resolution_event_id) == ("resumed", "event", result.event_id)
    assert ended.late_seconds == 0
    assert [delivery.outcome for delivery in ended.deliveries] == ["event"]


@pytest.mark.parametrize("dst", Dst)
def test_an_event_before_an_opening_that_the_clocks_skip(scene: Scene, dst: Dst) -> None:
    """Saturday 23:30 in Nuuk, a gap over midnight: nobody is there whom reject could refuse, and no day is left out."""
    rules = Rules(window=parse_hours("sat 23:30-23:50"), dst=dst)
    scene.database.as_of = datetime(2026, 3, 27, 20, 30, tzinfo=UTC) - timedelta(days=7)
    wait = scene.listen(rules=rules, timezone="America/Nuuk", handler="nudge", timeout=None)
    scene.database.as_of = datetime(2026, 3, 28, 20, 30, tzinfo=UTC)
    scene.record()
    opens_at = datetime(2026, 3, 29, 0 if dst is Dst.EARLIER else 1, 30, tzinfo=UTC)
    assert (scene.get(wait).status, scene.get(wait).scheduled_at) == ("scheduled", opens_at)


@pytest.mark.parametrize("dst", Dst)
def test_a_late_wait_before_an_opening_that_the_clocks_skip(scene: Scene, dst: Dst) -> None:
    rules = Rules(window=parse_hours("sat 23:30-23:50"), dst=dst)
    scene.database.as_of = datetime(2026, 3, 21, 20, 30, tzinfo=UTC)
    wait = scene.create("1h", rules=rules, timezone="America/Nuuk").wait
    assert wait.scheduled_at == datetime(2026, 3, 22, 1, 30, tzinfo=UTC)
    scene.database.as_of = datetime(2026, 3, 28, 20, 30, tzinfo=UTC)
    assert (scene.tick().moved, scene.get(wait).status) == (1, "scheduled")
    assert scene.get(wait).scheduled_at == datetime(2026, 3, 29, 0 if dst is Dst.EARLIER else 1, 30, tzinfo=UTC)


def test_zone_rules_are_noted_wherever_they_decide(scene: Scene) -> None:
    today = tzdata_version("UTC")
    assert gated(scene, timeout=None).wait_config["tzdata"] == today
    assert scene.listen(execution="deadline").wait_config["tzdata"] == today
    assert "tzdata" not in scene.listen(execution="neither", timeout=None).wait_config


def test_event_inside_the_window_resumes_at_once(scene: Scene) -> None:
    wait = gated(scene, timeout="2d")
    scene.at(22 * 60)
    assert scene.record().matched == (wait.id,)
    assert scene.get(wait).status == "resumed"


def test_look_back_finds_an_event_outside_the_window(scene: Scene) -> None:
    scene.record()
    wait = gated(scene)
    assert (wait.status, wait.scheduled_at) == ("scheduled", MONDAY_9)


def test_inbox_table_and_a_tick_that_comes_late(scene: Scene) -> None:
    """Received in the window, correlated long after it closed: now counts, and at night nothing goes out."""
    wait = gated(scene, timeout="3d")
    scene.insert_event()
    scene.sql(
        "UPDATE workflow_events SET received_at = :at", at=text_of(scene, MONDAY_9 + timedelta(hours=7, minutes=58))
    )
    scene.at(21 * 60 + 8 * 60 + 2).tick()  # 17:02, within the tolerance
    assert scene.get(wait).status == "resumed"
    night = gated(scene, "night", timeout="3d")
    scene.insert_event()
    scene.sql(
        "UPDATE workflow_events SET received_at = :at WHERE correlated_at IS NULL",
        at=text_of(scene, MONDAY_9 + timedelta(hours=8, minutes=2)),
    )
    scene.at(21 * 60 + 18 * 60).tick()
    assert (scene.get(night).status, scene.get(night).scheduled_at) == ("scheduled", MONDAY_9 + timedelta(days=1))


def text_of(scene: Scene, at: object) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S.%f}" + ("" if scene.database.is_sqlite else "+00")


def test_parked_wait_can_be_cancelled_and_releases_its_event(scene: Scene) -> None:
    wait = gated(scene)
    event = scene.at(1).record()
    scene.waits.cancel_wait(wait.id)
    again = scene.listen(execution="e", step_id="again", lookback="5m")
    assert again.resolution_event_id == event.event_id


def test_parked_wait_can_be_resumed_by_hand(scene: Scene) -> None:
    wait = gated(scene)
    scene.record()
    scene.at(5)
    assert scene.waits.resume_wait(wait.id).wait.resolution == "manual"
    assert scene.at(21 * 60).tick().resumed == 0


def test_what_an_exclusive_wait_took_outside_its_window_is_taken(scene: Scene) -> None:
    first = gated(scene, "a", exclusive=True)
    second = scene.at(1).listen(execution="b", exclusive=True, timeout="2d", lookback="5m")
    scene.record()
    third = scene.listen(execution="c", exclusive=True, timeout="2d", lookback="5m")
    assert scene.statuses(first, second, third) == "scheduled waiting waiting"


def test_calendar_alone_gates_an_event(scene: Scene) -> None:
    wait = scene.listen(rules=Rules(calendar="DE"), timeout="2d")
    scene.record()
    assert scene.get(wait).scheduled_at == NOON + timedelta(days=1)


def test_calendar_of_another_host_leaves_the_window_to_decide(scene: Scene) -> None:
    known = Settings(scene.url, calendars={"company": CalendarConfig("company", base="DE")})
    from waitctl import WaitSchedulingService, WaitSpec

    waits = WaitSchedulingService(scene.database, settings=known)
    rules = Rules(calendar="company", window=parse_hours("10:00-11:00"))
    query = EventQuery(("email_open",), rules=rules, timeout=parse_duration("2d"))
    wait = waits.create_event_wait(query, WaitSpec("e", contact_id="ada")).wait
    scene.insert_event()
    scene.sql("UPDATE workflow_events SET received_at = :at", at=text_of(scene, NOON))
    run = Tick(scene.database, Settings(scene.url))
    run.run()
    assert run.unknown_calendars == {"company"}
    assert scene.get(wait).scheduled_at == NOON + timedelta(hours=22)


def test_timeout_is_decided_on_time_unless_it_keeps_to_the_window(scene: Scene) -> None:
    """Sunday at one in the afternoon is no time to send anything; Monday at nine is."""
    options: dict[str, Any] = {"rules": OFFICE, "timeout": "1h", "grace": "5m", "handler": "nudge"}
    plain = scene.listen(execution="plain", **options)
    kept = scene.listen(execution="kept", timeout_window=True, **options)
    assert (plain.timeout_at, kept.timeout_at) == (NOON + timedelta(hours=1), MONDAY_9)
    assert [listener.expires_at for listener in kept.listeners] == [MONDAY_9 + timedelta(minutes=5)]
    explained, moved = (scene.rescheduling.explain_wait(wait.id)[1] for wait in (plain, kept))
    assert explained[2].startswith("timeout: decided on time though nothing is open then, and delivered at once")
    assert moved[1] == "deadline: 1h on"
    assert moved[2].startswith("window: Sunday 2026-03-01 13:00 is outside mon-fri 09:00-17:00; moved")
    assert (scene.at(65).tick().timed_out, scene.at(21 * 60 + 5).tick().timed_out) == (1, 1)
    assert [delivery.outcome for delivery in scene.get(kept).deliveries] == ["timeout"]


def test_timeout_that_keeps_to_the_window_follows_another_one(scene: Scene) -> None:
    kept = scene.listen(rules=OFFICE, timeout="1h", timeout_window=True)
    assert scene.rescheduling.replan().changes == ()
    found, _ = scene.rescheduling.reschedule_wait(kept.id, window="tue 10:00-11:00")
    assert found.wait.timeout_at == MONDAY_9 + timedelta(hours=25)
    assert scene.rescheduling.replan().changes == ()
    assert scene.rescheduling.reschedule_wait(kept.id, window="none")[0].wait.timeout_at == NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    "query",
    [
        EventQuery(("email_open",), timeout_window=True),
        EventQuery(("email_open",), timeout=parse_duration("1h"), timeout_window=True),
        EventQuery(("email_open",), rules=OFFICE, timeout_window=True),
    ],
)
def test_timeout_window_needs_both(query: EventQuery) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="--timeout-window needs"):
        query.checked()
    assert EventQuery.from_config(query.to_config()) == query


def test_deadline_in_business_days(scene: Scene) -> None:
    wait = scene.listen(timeout="2bd", grace="1h", rules=Rules(calendar="US-CA"))
    assert wait.timeout_at == NOON + timedelta(days=2)
    assert [listener.expires_at for listener in wait.listeners] == [NOON + timedelta(days=2, hours=1)]


# -- recovery after an outage ------------------------------------------------------------------------------------------


def test_jitter_moves_nothing(scene: Scene) -> None:
    wait = scene.create("29h", rules=OFFICE).wait  # Monday 17:00 is closed: Tuesday 09:00
    assert wait.scheduled_at == MONDAY_9 + timedelta(days=1)
    scene.create("28h59m", "jitter", rules=OFFICE)
    report = scene.at(29 * 60 + 4).tick()
    assert (report.resumed, report.moved) == (1, 0)


def test_recovery_at_night_moves_to_the_next_opening_once(scene: Scene) -> None:
    wait = scene.create("22h", rules=OFFICE, handler="nudge").wait
    plain = scene.create("22h", "plain", handler="nudge").wait
    night = 39 * 60  # Tuesday 03:00
    dry = scene.at(night).tick(dry_run=True)
    assert dry.ids is not None
    assert (dry.ids["moved"], dry.ids["resumed"]) == ([wait.id], [plain.id])
    report = scene.tick()
    assert (report.moved, report.resumed, report.remaining_due, report.did_nothing) == (1, 1, 0, False)
    moved = scene.get(wait)
    assert (moved.status, moved.scheduled_at) == ("scheduled", MONDAY_9 + timedelta(days=1))
    assert moved.wait_config["rescheduled"] == {"at": "2026-03-03T09:00:00Z"}
    assert moved.wait_config["tzdata"] == tzdata_version("UTC")
    assert scene.get(plain).late_seconds == 17 * 3600
    assert "17 h late: moved to the next opening" in scene.waits.get_history(wait.id)[-1].reason
    assert scene.tick().moved == 0
    assert scene.at(45 * 60).tick().resumed == 1
    assert [delivery.outcome for delivery in scene.get(wait).deliveries] == ["due"]


def test_late_seconds_of_what_was_moved_count_from_when_it_was_first_due(scene: Scene) -> None:
    """Due on Monday at ten, found late at three in the night, and again at four on Wednesday."""
    wait = scene.create("22h", rules=OFFICE, handler="nudge").wait
    parked = gated(scene, "parked")
    scene.record()
    scene.at(39 * 60).tick()
    assert scene.at(63 * 60).tick().moved == 2
    assert scene.get(wait).wait_config["first_due_at"] == "2026-03-02T10:00:00Z"
    assert scene.at(69 * 60 + 1).tick().resumed == 2  # Wednesday, 09:01
    assert scene.get(wait).late_seconds == 47 * 3600 + 60
    assert scene.get(parked).late_seconds == 48 * 3600 + 60
    assert scene.create("22h", rules=OFFICE, handler="nudge", idempotency_key="k").created


def test_late_seconds_of_what_was_moved_late_are_those_of_the_tick_that_ends_it_late(scene: Scene) -> None:
    wait = scene.create("22h", rules=OFFICE).wait
    scene.at(39 * 60).tick()
    assert scene.at(46 * 60).tick().resumed == 1  # an hour after it opened
    assert scene.get(wait).late_seconds == 24 * 3600
    assert scene.create("22h", rules=OFFICE, base=NOON, execution="f").created


def test_what_is_moved_by_hand_is_not_late_any_more(scene: Scene) -> None:
    for execution, how in (("a", {"by": "+1h"}), ("b", {"at": "2026-03-03 10:00"}), ("c", {"window": "10:00-11:00"})):
        wait = scene.at(0).create("22h", execution, rules=OFFICE).wait
        scene.at(39 * 60).tick()
        again = scene.create("22h", execution, rules=OFFICE)
        assert (again.created, again.wait.id) == (False, wait.id)
        scene.rescheduling.reschedule_wait(wait.id, **how)
        assert scene.at(46 * 60).tick().resumed == 1
        assert scene.get(wait).late_seconds == 0, how


def test_recovery_while_the_window_is_open_fires_late(scene: Scene) -> None:
    wait = scene.create("22h", rules=OFFICE, handler="nudge").wait
    assert scene.at(25 * 60).tick().resumed == 1
    ended = scene.get(wait)
    assert (ended.late_seconds, ended.resolution, len(ended.deliveries)) == (3 * 3600, "due", 1)
    assert scene.waits.get_history(wait.id)[-1].reason == "as of 2026-03-02T13:00:00Z: due, 3 h late"


@pytest.mark.parametrize(
    ("rules", "minutes", "outcome"),
    [
        (Rules(late=Late.FIRE, window=OFFICE.window), 39 * 60, ("resumed", 1)),
        (Rules(late=Late.SKIP), 22 * 60 + 5, ("resumed", 1)),
        (Rules(late=Late.SKIP), 22 * 60 + 6, ("resumed", 0)),
        (Rules(late=Late.SKIP, max_late=parse_duration("1h")), 23 * 60, ("resumed", 1)),
        (Rules(late=Late.SKIP, max_late=parse_duration("1h")), 23 * 60 + 1, ("resumed", 0)),
        (Rules(max_late=parse_duration("1h")), 23 * 60 + 1, ("resumed", 0)),
        (Rules(late=Late.NEXT_WINDOW, window=OFFICE.window, max_late=parse_duration("1d")), 39 * 60, ("scheduled", 0)),
        (Rules(late=Late.NEXT_WINDOW, calendar="DE"), 7 * 24 * 60, ("scheduled", 0)),
        (Rules(calendar="DE"), 7 * 24 * 60, ("resumed", 1)),
    ],
)
def test_late_policies(scene: Scene, rules: Rules, minutes: int, outcome: tuple[str, int]) -> None:
    wait = scene.create("22h", rules=rules, handler="nudge").wait
    scene.at(minutes).tick()
    ended = scene.get(wait)
    assert (ended.status, len(ended.deliveries)) == outcome
    assert ended.resolution == (None if outcome[0] == "scheduled" else "due")


def test_skipped_wait_says_so(scene: Scene) -> None:
    wait = scene.create("1h", rules=Rules(late=Late.SKIP), handler="nudge").wait
    scene.at(120).tick()
    assert scene.waits.get_history(wait.id)[-1].reason == "as of 2026-03-01T14:00:00Z: skipped: 1 h late"


def test_parked_wait_that_is_late_keeps_to_its_window(scene: Scene) -> None:
    wait = gated(scene)
    event = scene.record()
    assert scene.at(39 * 60).tick().moved == 1
    assert scene.at(45 * 60).tick().resumed == 1
    assert (scene.get(wait).resolution, scene.get(wait).resolution_event_id) == ("event", event.event_id)


def test_many_late_waits_in_small_batches_are_judged_once_each(scene: Scene) -> None:
    for number in range(7):
        scene.create("22h", f"e{number}", rules=OFFICE)
    report: TickReport = scene.at(39 * 60).tick(batch_size=2)
    assert (report.moved, report.resumed, report.remaining_due, report.stopped) == (7, 0, 0, "idle")


def test_late_tolerance_is_a_setting(scene: Scene) -> None:
    wait = scene.create("28h", rules=OFFICE).wait
    settings = Settings(scene.url, late_tolerance=timedelta(days=1))
    assert Tick(scene.at(39 * 60).database, settings).run().resumed == 1
    assert scene.get(wait).late_seconds == 11 * 3600


def test_only_due_is_judged(scene: Scene) -> None:
    scene.create("22h", rules=OFFICE)
    assert scene.at(22 * 60 - 1).tick().did_nothing
    assert scene.database.as_of == NOON + (22 * 60 - 1) * MINUTE


@pytest.mark.parametrize(
    ("rules", "opening"),
    [
        (Rules(calendar="DE", window=OFFICE.window), MONDAY_9),
        (Rules(calendar="DE", window=parse_hours("tue 10:00-11:00; mon 14:00-15:00")), MONDAY_9 + timedelta(hours=5)),
        (Rules(calendar="DE"), NOON + timedelta(hours=33)),
    ],
)
def test_after_days_off_the_next_opening_is_the_first(scene: Scene, rules: Rules, opening: object) -> None:
    """Nobody meant Sunday 21:00: the window opens as soon as Monday does."""
    wait = scene.listen(rules=rules, timeout="2d")
    scene.at(9 * 60).record()
    assert scene.get(wait).scheduled_at == opening


def test_late_wait_keeps_its_own_clock_where_there_is_no_window(scene: Scene) -> None:
    wait = scene.create("22h", rules=Rules(late=Late.NEXT_WINDOW, calendar="DE")).wait  # Monday 10:00
    assert scene.at(6 * 24 * 60 + 8 * 60).tick().moved == 1  # Saturday 20:00
    assert scene.get(wait).scheduled_at == NOON + timedelta(days=7, hours=22)
