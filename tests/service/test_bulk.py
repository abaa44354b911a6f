"""Many waits changed at once: planned, applied, undone; and everything that stands in the way."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from tests.invariants import invariants
from tests.scene import MINUTE, NOON, Scene
from waitctl import (
    ContactService,
    RecurrenceRule,
    RecurrenceService,
    RecurrenceStatus,
    Rules,
    Settings,
    UpdatingService,
    WaitExecutionStatus,
    WaitFilter,
    WaitSchedulingService,
    WaitSpec,
    WaitStepExecution,
)
from waitctl.application.operations.bulk import BulkService
from waitctl.application.retention import Upkeep
from waitctl.application.waits.changes import Replan
from waitctl.application.waits.planning import MoveOptions
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    ConflictError,
    InvalidInputError,
    InvalidWaitConfigurationError,
    PlanNotFoundError,
    PlanTooLargeError,
    ReplanTooLargeError,
)
from waitctl.domain.listeners import Mode
from waitctl.domain.plans import PlanKind, PlanStatus
from waitctl.infrastructure.config import CalendarConfig
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.store import outcomes
from waitctl.infrastructure.store import plans as store

SPRING = WaitFilter(workflow_id="spring")


@pytest.fixture
def bulk(scene: Scene) -> BulkService:
    return BulkService(scene.database, actor="me")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, size in {"_WRITTEN_AT_ONCE": 2, "_MOVED_AT_ONCE": 2, "_DONE_AT_ONCE": 2, "_LISTED_AT_ONCE": 3}.items():
        monkeypatch.setattr(f"waitctl.application.operations.bulk.{name}", size)


def campaign(scene: Scene) -> list[WaitStepExecution]:
    """Three scheduled waits of a workflow, and two that listen."""
    timed = [scene.create(f"{hours}h", f"t{hours}", workflow_id="spring").wait for hours in (2, 3, 4)]
    listening = [scene.listen(execution=f"l{hours}", timeout=f"{hours}h", workflow_id="spring") for hours in (2, 3)]
    return [*timed, *listening]


def company(scene: Scene, **calendar: Any) -> Settings:
    return Settings(scene.url, calendars={"company": CalendarConfig("company", **calendar)})


def check(scene: Scene) -> None:
    with scene.database.read() as connection:
        invariants(connection)


OPEN = "scheduled scheduled scheduled waiting waiting"


def test_cancelled_and_as_before_again(scene: Scene, bulk: BulkService) -> None:
    waits, other = campaign(scene), scene.create(execution="other").wait
    before = [scene.get(wait) for wait in waits]
    plan = bulk.plan(PlanKind.CANCEL, SPRING, reason="wrong list")
    assert (plan.status, plan.matched, plan.expires_at) == (PlanStatus.PLANNED, 5, NOON + timedelta(days=30))
    assert scene.statuses(*waits) == OPEN
    applied = bulk.apply(plan.id[-12:])
    assert (applied.status, applied.applied, applied.skipped) == (PlanStatus.APPLIED, 5, {})
    assert scene.statuses(*waits, other) == "cancelled " * 5 + "scheduled"
    line = scene.waits.get_history(waits[0].id)[-1]
    assert (line.actor, line.reason.partition(": ")[2]) == ("me", f"cancelled by plan {plan.id}: wrong list")
    check(scene)
    undone = bulk.undo(plan.id)
    assert (undone.status, undone.undone, undone.kept) == (PlanStatus.UNDONE, 5, {})
    after = [scene.get(wait) for wait in waits]
    assert after == before
    check(scene)
    scene.at(60 * 5).tick(only={"due", "expired"})
    assert scene.statuses(*waits) == "resumed resumed resumed timeout timeout"
    check(scene)


def test_a_run_that_stops_in_time_is_gone_on_with(scene: Scene, bulk: BulkService) -> None:
    """With a limit of seconds it does a batch and lets go; whoever comes next need not wait for its lease."""
    waits = campaign(scene)
    plan = bulk.plan(PlanKind.CANCEL, SPRING)
    for applied in (2, 4):
        found = bulk.apply(plan.id, seconds=0)
        assert (found.status, found.applied) == (PlanStatus.APPLYING, applied)
    assert bulk.apply(plan.id, seconds=60).status is PlanStatus.APPLIED
    assert scene.statuses(*waits) == "cancelled " * 4 + "cancelled"
    found = bulk.undo(plan.id, seconds=0)
    assert (found.status, found.undone) == (PlanStatus.UNDOING, 2)
    assert bulk.undo(plan.id).undone == 5
    assert scene.statuses(*waits) == OPEN
    check(scene)


def test_with_a_limit_nobody_is_waited_for(scene: Scene, bulk: BulkService) -> None:
    campaign(scene)
    plan = bulk.plan(PlanKind.CANCEL, SPRING)

    def begin(connection: Connection) -> None:
        until = scene.database.real_clock(connection) + timedelta(minutes=1)
        store.begin_run(connection, plan.id, PlanStatus.APPLYING, until=until)

    scene.database.write(begin)
    with pytest.raises(ConflictError, match="somebody else works at the plan"):
        bulk.apply(plan.id, seconds=20)


def test_no_plan_is_made_of_more_than_the_cap(scene: Scene, bulk: BulkService) -> None:
    campaign(scene)
    with pytest.raises(PlanTooLargeError, match="more than 4 waits are meant"):
        bulk.plan(PlanKind.CANCEL, SPRING, cap=4)
    assert bulk.list_plans() == []
    plan = bulk.apply(bulk.plan(PlanKind.CANCEL, SPRING, cap=5).id)
    with pytest.raises(PlanTooLargeError):
        bulk.undo(plan.id, cap=4)


def test_resumed_with_their_deliveries(scene: Scene, bulk: BulkService) -> None:
    waits = [scene.create(execution=f"e{number}", workflow_id="spring", handler="nudge").wait for number in range(3)]
    plan = bulk.apply(bulk.plan(PlanKind.RESUME, SPRING).id)
    assert (plan.applied, scene.statuses(*waits)) == (3, "resumed resumed resumed")
    assert [delivery.outcome for wait in waits for delivery in scene.get(wait).deliveries] == ["manual"] * 3
    check(scene)
    with pytest.raises(ConflictError, match="cannot be undone: handlers have heard of it"):
        bulk.undo(plan.id)


@pytest.mark.parametrize(
    ("moves", "timed", "listening"),
    [
        (MoveOptions(by="+2h"), [4, 5, 6], [4, 5]),
        (MoveOptions(at="2026-03-01T22:00:00Z"), [10, 10, 10], [10, 10]),
        (MoveOptions(window="20:00-21:00"), [8, 8, 8], [2, 3]),
    ],
)
def test_moved_and_moved_back(
    scene: Scene, bulk: BulkService, moves: MoveOptions, timed: list[int], listening: list[int]
) -> None:
    waits = campaign(scene)
    before = [scene.get(wait) for wait in waits]
    plan = bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=moves)
    assert [scene.get(wait) for wait in waits] == before
    assert bulk.apply(plan.id).applied == 5
    found = [scene.get(wait) for wait in waits]
    hours = [(each.scheduled_at or each.timeout_at or NOON) - NOON for each in found]
    assert hours == [timedelta(hours=each) for each in (*timed, *listening)]
    for wait in found[3:]:
        assert {listener.expires_at for listener in wait.listeners} == {wait.timeout_at}
    check(scene)
    assert bulk.undo(plan.id).undone == 5
    assert [scene.get(wait) for wait in waits] == before


def test_a_plan_moves_waits_as_reschedule_does(scene: Scene, bulk: BulkService) -> None:
    one, other = (scene.create("2h", name, timezone="Europe/Berlin", workflow_id=name).wait for name in ("a", "b"))
    scene.rescheduling.reschedule_wait(one.id, by="+1d")
    plan = bulk.plan(PlanKind.RESCHEDULE, WaitFilter(workflow_id="b"), moves=MoveOptions(by="+1d"))
    bulk.apply(plan.id)
    assert scene.get(one).scheduled_at == scene.get(other).scheduled_at
    assert scene.get(one).wait_config == scene.get(other).wait_config


def test_spread_over_a_span(scene: Scene, bulk: BulkService) -> None:
    waits = [scene.create(execution=f"e{number}", workflow_id="spring").wait for number in range(20)]
    bulk.apply(bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=MoveOptions(spread="1h")).id)
    found = [scene.get(wait).scheduled_at or NOON for wait in waits]
    first = NOON + 60 * MINUTE
    assert all(first <= at < first + 60 * MINUTE for at in found)
    assert len(set(found)) > 10


def test_dead_deliveries_are_retried(scene: Scene, bulk: BulkService) -> None:
    waits = [scene.create(execution=f"e{number}", workflow_id="spring", handler="nudge").wait for number in range(3)]
    scene.at(61).tick(only={"due"})
    for wait in waits[:2]:
        bury(scene, wait)
    assert scene.statuses(*waits) == "error error resumed"
    plan = bulk.plan(PlanKind.RETRY, SPRING)
    assert plan.matched == 2
    [dead] = scene.get(waits[0]).deliveries
    scene.deliveries.retry(dead.id)
    applied = bulk.apply(plan.id)
    assert (applied.applied, applied.skipped) == (1, {"changed": 1})
    assert scene.statuses(*waits) == "resumed resumed resumed"
    assert [scene.get(wait).deliveries[0].status for wait in waits] == ["pending"] * 3
    check(scene)


def bury(scene: Scene, wait: WaitStepExecution) -> None:
    """Its delivery dies, as one to a handler that nobody knows."""
    [delivery] = scene.get(wait).deliveries

    def work(connection: Connection) -> None:
        now = scene.database.clock(connection)
        outcomes.mark_pending_dead(connection, [delivery.id], error="gone")
        outcomes.mark_waits(connection, [delivery.id], dead=True, now=now, reason="dead", actor="test")

    scene.database.write(work)


# -- what stands in the way --------------------------------------------------------------------------------------------


def test_a_plan_touches_only_what_is_as_it_was(scene: Scene, bulk: BulkService) -> None:
    names = ("same", "resumed", "cancelled", "moved", "told", "gone")
    waits = {name: scene.create("2h", name, workflow_id="spring", context={}).wait for name in names}
    plan = bulk.plan(PlanKind.CANCEL, SPRING)
    scene.waits.resume_wait(waits["resumed"].id)
    scene.waits.cancel_wait(waits["cancelled"].id)
    scene.rescheduling.reschedule_wait(waits["moved"].id, by="+1h")
    UpdatingService(scene.at(1).database).update_wait(waits["told"].id, context={"a": 1})
    scene.sql("DELETE FROM workflow_wait_transitions WHERE wait_id = :id", id=waits["gone"].id)
    scene.sql("DELETE FROM workflow_wait_executions WHERE id = :id", id=waits["gone"].id)
    late = scene.create("2h", "late", workflow_id="spring").wait
    applied = bulk.apply(plan.id)
    assert (applied.applied, applied.skipped) == (1, {"changed": 2, "ended": 2, "gone": 1})
    rest = [waits[name] for name in ("same", "resumed", "cancelled", "moved", "told")]
    assert scene.statuses(*rest, late) == "cancelled resumed cancelled scheduled scheduled scheduled"
    check(scene)


def test_undo_touches_only_what_is_as_the_plan_left_it(scene: Scene, bulk: BulkService) -> None:
    names = ("same", "moved", "resumed", "gone")
    waits = {name: scene.create("2h", name, workflow_id="spring").wait for name in names}
    plan = bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=MoveOptions(by="+1h"))
    bulk.apply(plan.id)
    scene.rescheduling.reschedule_wait(waits["moved"].id, by="+1h")
    scene.waits.resume_wait(waits["resumed"].id)
    scene.sql("DELETE FROM workflow_wait_transitions WHERE wait_id = :id", id=waits["gone"].id)
    scene.sql("DELETE FROM workflow_wait_executions WHERE id = :id", id=waits["gone"].id)
    undone = bulk.undo(plan.id)
    assert (undone.undone, undone.kept) == (1, {"changed": 1, "ended": 1, "gone": 1})
    hours = [(scene.get(waits[name]).scheduled_at or NOON) - NOON for name in ("same", "moved")]
    assert hours == [timedelta(hours=2), timedelta(hours=4)]


def test_a_step_that_is_taken_is_not_opened_again(scene: Scene, bulk: BulkService) -> None:
    waits = campaign(scene)
    plan = bulk.apply(bulk.plan(PlanKind.CANCEL, SPRING).id)
    scene.create("5h", "t2")
    undone = bulk.undo(plan.id)
    assert (undone.undone, undone.kept) == (4, {"taken": 1})
    assert scene.statuses(*waits) == "cancelled scheduled scheduled waiting waiting"
    check(scene)


def test_what_has_missed_its_deadline_is_not_resumed(scene: Scene, bulk: BulkService) -> None:
    missed = scene.listen(execution="missed", timeout="30m", workflow_id="spring")
    patient = scene.listen(execution="patient", timeout="3h", workflow_id="spring")
    plan = bulk.plan(PlanKind.RESUME, SPRING)
    scene.at(40)
    applied = bulk.apply(plan.id)
    assert (applied.applied, applied.skipped) == (1, {"expired": 1})
    assert scene.statuses(missed, patient) == "waiting resumed"
    check(scene)


def test_no_wait_becomes_due_by_a_plan_that_came_late(scene: Scene, bulk: BulkService) -> None:
    waits = campaign(scene)
    plan = bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=MoveOptions(by="-90m"))
    assert next(entry.due_after for entry in bulk.list_entries(plan)) == NOON + 30 * MINUTE
    scene.at(60)
    applied = bulk.apply(plan.id)
    assert (applied.applied, applied.skipped) == (3, {"passed": 2})
    hours = [((each.scheduled_at or each.timeout_at) or NOON) - NOON for each in map(scene.get, waits)]
    assert hours == [timedelta(hours=each) for each in (2, 1.5, 2.5, 2, 1.5)]


def test_what_cannot_be_planned_says_why(scene: Scene, bulk: BulkService) -> None:
    endless = scene.listen(execution="endless", timeout=None, workflow_id="spring")
    soon = scene.create("1h", "soon", workflow_id="spring").wait
    scene.create("3h", "good", workflow_id="spring")
    plan = bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=MoveOptions(by="-2h"))
    assert (plan.matched, plan.fates) == (3, {"impossible": 2})
    notes = {entry.wait_id: entry.note for entry in bulk.list_entries(plan)}
    assert notes[endless.id] == "the wait has no deadline to move"
    assert notes[soon.id] == "that instant has passed"
    assert bulk.apply(plan.id).skipped == {"impossible": 2}


def test_an_event_that_came_meanwhile_counts_when_its_wait_is_open_again(scene: Scene, bulk: BulkService) -> None:
    early, late = (scene.listen(execution=name, contact=name, workflow_id="spring") for name in ("early", "late"))
    plan = bulk.apply(bulk.plan(PlanKind.CANCEL, SPRING).id)
    assert scene.at(1).record(contact="early").matched == ()
    assert bulk.undo(plan.id).undone == 2
    assert scene.statuses(early, late) == "resumed waiting"
    assert scene.record(contact="late").matched == (late.id,)
    check(scene)


def test_groups_go_on_where_they_were(scene: Scene, bulk: BulkService) -> None:
    both = scene.listen("email_open", "sms_reply", mode=Mode.ALL, workflow_id="spring")
    scene.record("email_open")
    before = scene.get(both)
    plan = bulk.apply(bulk.plan(PlanKind.CANCEL, SPRING).id)
    check(scene)
    bulk.undo(plan.id)
    assert scene.get(both) == before
    check(scene)
    assert scene.record("sms_reply").matched == (both.id,)


# -- recurrences -------------------------------------------------------------------------------------------------------


def test_recurrences_go_on_as_after_one(scene: Scene, bulk: BulkService) -> None:
    recurring = RecurrenceService(scene.database, actor="test")
    spec = WaitSpec("e", contact_id="ada", workflow_id="spring")
    made = recurring.create(RecurrenceRule(every=parse_duration("1h")), spec, stop_on="sms_reply").recurrence
    before = recurring.get(made.id)
    cancelled = bulk.apply(bulk.plan(PlanKind.CANCEL, WaitFilter(step_id="wait")).id)
    assert (cancelled.matched, cancelled.applied) == (1, 2)
    assert recurring.get(made.id).status is RecurrenceStatus.STOPPED
    check(scene)
    assert bulk.undo(cancelled.id).undone == 2
    assert recurring.get(made.id) == before
    check(scene)
    bulk.apply(bulk.plan(PlanKind.RESUME, WaitFilter(step_id="wait")).id)
    assert recurring.get(made.id).occurrence == 2
    moved = bulk.apply(bulk.plan(PlanKind.RESCHEDULE, WaitFilter(step_id="wait"), moves=MoveOptions(by="+5m")).id)
    check(scene)
    bulk.undo(moved.id)
    check(scene)
    cancelled = bulk.apply(bulk.plan(PlanKind.CANCEL, SPRING).id)
    scene.at(1).record("sms_reply")
    bulk.undo(cancelled.id)
    assert recurring.get(made.id).status is RecurrenceStatus.STOPPED, "stopped by the event that came meanwhile"
    check(scene)


def test_a_recurrence_that_was_replaced_stays_stopped(scene: Scene, bulk: BulkService) -> None:
    recurring = RecurrenceService(scene.database, actor="test")
    rule = RecurrenceRule(every=parse_duration("1h"))
    recurring.create(rule, WaitSpec("e", workflow_id="spring"))
    plan = bulk.apply(bulk.plan(PlanKind.CANCEL, SPRING).id)
    other = recurring.create(RecurrenceRule(every=parse_duration("2h")), WaitSpec("e"))
    scene.waits.cancel_wait(other.recurrence.wait_id or "")
    again = recurring.create(rule, WaitSpec("e"))
    recurring.pause(again.recurrence.id)
    undone = bulk.undo(plan.id)
    assert (undone.undone, undone.kept) == (0, {"stopped": 1})
    check(scene)


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_plans_that_are_refused(scene: Scene, bulk: BulkService) -> None:
    campaign(scene)
    plan = bulk.plan(PlanKind.CANCEL, SPRING)
    with pytest.raises(PlanTooLargeError, match="means 5 waits, more than 4"):
        bulk.apply(plan.id, cap=4)
    with pytest.raises(ConflictError, match="has not been applied"):
        bulk.undo(plan.id)
    with pytest.raises(PlanNotFoundError):
        bulk.apply("0" * 12)
    scene.at(60 * 24 * 30)
    for act in (bulk.apply, bulk.undo):
        with pytest.raises(ConflictError, match=r"has expired|has not been applied"):
            act(plan.id)
    scene.at(0)
    bulk.apply(plan.id, cap=5)
    with pytest.raises(ConflictError, match="has been applied: it applies once"):
        bulk.apply(plan.id)
    bulk.undo(plan.id)
    with pytest.raises(ConflictError, match="has been undone already"):
        bulk.undo(plan.id)
    with pytest.raises(ConflictError, match="has been undone: it applies once"):
        bulk.apply(plan.id)


def test_a_plan_that_was_not_finished_is_good_for_nothing(scene: Scene, bulk: BulkService) -> None:
    campaign(scene)
    plan = bulk.plan(PlanKind.CANCEL, SPRING)
    scene.sql("UPDATE workflow_wait_plans SET status = 'planning'")
    with pytest.raises(ConflictError, match="was never finished"):
        bulk.apply(plan.id)


@pytest.mark.parametrize(
    "moves",
    [
        MoveOptions(),
        MoveOptions(at="2026-03-05T10:00:00Z", by="+2h"),
        MoveOptions(window="mon-fri 09:00-17:00", spread="1h"),
        MoveOptions(at="soon"),
        MoveOptions(by="2 parsecs"),
        MoveOptions(window="25:00-26:00"),
        MoveOptions(spread="8d"),
    ],
)
def test_moves_that_cannot_be_meant(scene: Scene, bulk: BulkService, moves: MoveOptions) -> None:
    with pytest.raises(InvalidInputError):
        bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=moves)
    assert bulk.list_plans() == []


def test_only_open_waits_are_changed(scene: Scene, bulk: BulkService) -> None:
    wanted = WaitFilter(statuses=[WaitExecutionStatus.RESUMED])
    with pytest.raises(InvalidWaitConfigurationError, match="these have ended: status resumed"):
        bulk.plan(PlanKind.CANCEL, wanted)


# -- kept --------------------------------------------------------------------------------------------------------------


def test_plans_are_kept_for_a_month(scene: Scene, bulk: BulkService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waitctl.application.retention.PRUNED_AT_ONCE", 2)
    campaign(scene)
    old = bulk.plan(PlanKind.CANCEL, SPRING)
    scene.at(60)
    young = bulk.plan(PlanKind.CANCEL, SPRING)
    assert [plan.id for plan in bulk.list_plans()] == [young.id, old.id]
    assert [plan.id for plan in bulk.list_plans(after=young.id, limit=1)] == [old.id]
    scene.at(60 * 24 * 30)
    Upkeep(scene.database).run()
    assert [plan.id for plan in bulk.list_plans()] == [young.id]
    assert scene.sql("SELECT count(*) FROM workflow_wait_plan_entries") == [(5,)]


def test_a_contact_that_is_forgotten_is_in_no_plan(scene: Scene, bulk: BulkService) -> None:
    scene.listen(execution="a", workflow_id="spring", match={"who": "ada@x.org"}, contact="ada@x.org")
    scene.listen(execution="b", workflow_id="spring", contact="bob@x.org")
    ours = bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=MoveOptions(by="+1h"))
    bulk.plan(PlanKind.CANCEL, WaitFilter(contact_id="ada@x.org"), reason="ada@x.org asked for it")
    ContactService(scene.database).forget_contact("ada@x.org")
    for table in ("workflow_wait_plans", "workflow_wait_plan_entries"):
        assert "ada@x.org" not in str(scene.sql(f"SELECT * FROM {table}"))
    applied = bulk.apply(ours.id)
    assert (applied.applied, applied.skipped) == (1, {})


# -- replan ------------------------------------------------------------------------------------------------------------


def test_a_replan_is_a_plan(scene: Scene) -> None:
    before = BulkService(scene.database, settings=company(scene))
    waits = WaitSchedulingService(scene.database, settings=company(scene))
    wait = waits.create_fixed_time_wait("1bd", WaitSpec("e"), rules=Rules(calendar="company")).wait
    holiday = BulkService(scene.database, settings=company(scene, extra={date(2026, 3, 2): "Founders' Day"}))
    assert before.replan(WaitFilter()) == (Replan(1, (), ()), None)

    found, plan = holiday.replan(WaitFilter())
    assert plan is not None
    assert (found.applied, plan.kind, plan.status, plan.matched) == (0, PlanKind.REPLAN, PlanStatus.PLANNED, 1)
    applied = holiday.apply(plan.id)
    assert applied.applied == 1
    assert scene.get(wait).scheduled_at == NOON + timedelta(days=2)
    reason = scene.waits.get_history(wait.id)[-1].reason
    assert reason.endswith(f"replanned by plan {plan.id}: 2026-03-02T12:00:00Z → 2026-03-03T12:00:00Z")
    assert holiday.undo(plan.id).undone == 1
    assert scene.get(wait) == wait

    found, plan = holiday.replan(WaitFilter(), apply=True)
    assert (found.applied, plan and plan.status) == (1, PlanStatus.APPLIED)
    assert scene.get(wait).scheduled_at == NOON + timedelta(days=2)


def test_a_replan_that_is_too_large_leaves_no_plan(scene: Scene, bulk: BulkService) -> None:
    scene.waits.create_until_time_wait("09:00", WaitSpec("e"))
    with pytest.raises(ReplanTooLargeError):
        bulk.replan(WaitFilter(), zone="Asia/Tokyo", apply=True, cap=0)
    assert bulk.list_plans() == []
