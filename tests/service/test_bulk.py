"""Many waits changed at once: planned, applied, undone; and everything that stands in the way."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.invariants import invariants
from tests.scene import MINUTE, NOON, Scene
from waitctl import WaitFilter, WaitStepExecution
from waitctl.application.operations.bulk import BulkService
from waitctl.application.waits.planning import MoveOptions
from waitctl.domain.errors import (
    ConflictError,
)
from waitctl.domain.plans import PlanKind, PlanStatus
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.store import outcomes

SPRING = WaitFilter(workflow_id="spring")


@pytest.fixture
def bulk(scene: Scene) -> BulkService:
    return BulkService(scene.database, actor="me")


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_WRITTEN_AT_ONCE", "_MOVED_AT_ONCE", "_DONE_AT_ONCE"):
        monkeypatch.setattr(f"waitctl.application.operations.bulk.{name}", 2)


def campaign(scene: Scene) -> list[WaitStepExecution]:
    """Three scheduled waits of a workflow, and two that listen."""
    timed = [scene.create(f"{hours}h", f"t{hours}", workflow_id="spring").wait for hours in (2, 3, 4)]
    listening = [scene.listen(execution=f"l{hours}", timeout=f"{hours}h", workflow_id="spring") for hours in (2, 3)]
    return [*timed, *listening]


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
