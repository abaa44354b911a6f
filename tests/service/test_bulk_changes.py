"""What a plan does beside every change of a wait that may come between, and that it moves waits as `reschedule` does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from tests.invariants import invariants
from tests.scene import NOON, Scene
from waitctl import Rules, UpdatingService, WaitFilter, WaitSpec, WaitStepExecution, parse_hours
from waitctl.application.operations.bulk import BulkService
from waitctl.application.waits.planning import MoveOptions
from waitctl.domain.errors import InvalidInputError
from waitctl.domain.plans import PlanKind

SPRING = WaitFilter(workflow_id="spring")

# -- every change that may come between --------------------------------------------------------------------------------

CHANGES: dict[str, Callable[[Scene, str], object]] = {
    "nothing": lambda _, wait: wait,
    "cancelled": lambda scene, wait: scene.waits.cancel_wait(wait),
    "resumed": lambda scene, wait: scene.waits.resume_wait(wait),
    "moved": lambda scene, wait: scene.rescheduling.reschedule_wait(wait, by="+7m"),
    "told": lambda scene, wait: UpdatingService(scene.database).update_wait(wait, context={"n": 1}),
}


@pytest.mark.parametrize("kind", ["scheduled", "waiting"])
@pytest.mark.parametrize("has_time_passed", [False, True])
def test_what_changed_before_or_after_is_left_as_it_is(scene: Scene, kind: str, has_time_passed: bool) -> None:
    """Each change before a plan is applied, with each before it is undone, even at the same instant."""
    bulk, cases = BulkService(scene.database), list(product(CHANGES, CHANGES))
    waits = {}
    for case in cases:
        name = "-".join(case)
        options: dict[str, Any] = {"execution": name, "workflow_id": "spring"}
        waits[case] = (
            scene.create("2h", **options).wait.id if kind == "scheduled" else scene.listen(timeout="2h", **options).id
        )
    plan = bulk.plan(PlanKind.RESCHEDULE, SPRING, moves=MoveOptions(by="+1h"))

    def change(place: int) -> None:
        if has_time_passed:
            scene.at(place + 1)
        for case, wait in waits.items():
            if scene.get(wait).status.is_open:
                CHANGES[case[place]](scene, wait)

    change(0)
    between = {case: scene.get(wait) for case, wait in waits.items()}
    applied = bulk.apply(plan.id)
    assert applied.applied == len(CHANGES)
    for case, wait in waits.items():
        assert (scene.get(wait) == between[case]) is (case[0] != "nothing")
    change(1)
    between = {case: scene.get(wait) for case, wait in waits.items()}
    undone = bulk.undo(plan.id)
    assert undone.undone == 1
    for case, wait in waits.items():
        assert (scene.get(wait) == between[case]) is (case != ("nothing", "nothing"))
    back = scene.get(waits["nothing", "nothing"])
    assert (back.scheduled_at or back.timeout_at) == NOON + timedelta(hours=2)
    with scene.database.read() as connection:
        invariants(connection)


# -- the same as one by one --------------------------------------------------------------------------------------------

OFFICE = Rules(window=parse_hours("mon-fri 09:00-17:00"))
MOVES = [
    *(MoveOptions(by=by) for by in ("+1h", "-30m", "+1d", "-1d", "+2bd", "+1mo", "+1d2h")),
    *(MoveOptions(at=at) for at in ("2026-03-29T01:30:00Z", "2026-03-29 02:30", "2026-03-07", "2020-01-01")),
    *(MoveOptions(window=window) for window in ("sat 10:00-11:00", "none")),
]
WAITS: dict[str, Callable[[Scene, str], WaitStepExecution]] = {
    "plain": lambda scene, name: scene.create("2h", name, workflow_id=name).wait,
    "berlin": lambda scene, name: scene.create("27d", name, workflow_id=name, timezone="Europe/Berlin").wait,
    "window": lambda scene, name: scene.create("1d", name, workflow_id=name, rules=OFFICE, timezone="Asia/Tokyo").wait,
    "calendar": lambda scene, name: scene.create("3bd", name, workflow_id=name, rules=Rules(calendar="DE-BY")).wait,
    "event": lambda scene, name: scene.listen(execution=name, workflow_id=name, timeout="3d", grace="5m", rules=OFFICE),
    "endless": lambda scene, name: scene.listen(execution=name, workflow_id=name, timeout=None),
    "weekly": lambda scene, name: (
        scene.waits.create_until_time_wait(
            "09:00", WaitSpec(name, workflow_id=name, timezone="America/New_York"), days="tue"
        ).wait
    ),
}


@pytest.mark.parametrize("moves", MOVES, ids=str)
def test_a_plan_moves_each_wait_as_reschedule_does(sqlite_scene: Scene, moves: MoveOptions) -> None:
    scene, bulk = sqlite_scene, BulkService(sqlite_scene.database)
    for kind, make in WAITS.items():
        one, other = make(scene, f"{kind}-one"), make(scene, f"{kind}-other")
        plan = bulk.apply(bulk.plan(PlanKind.RESCHEDULE, WaitFilter(workflow_id=f"{kind}-other"), moves=moves).id)
        try:
            scene.rescheduling.reschedule_wait(one.id, at=moves.at, by=moves.by, window=moves.window)
        except InvalidInputError:
            assert plan.skipped == {"impossible": 1}, (kind, moves)
            continue
        single, planned = scene.get(one), scene.get(other)
        for name in ("scheduled_at", "timeout_at", "wait_config", "late_policy", "timezone", "status"):
            assert getattr(single, name) == getattr(planned, name), (kind, moves, name)
        heard = [
            [(each.timeout_at, each.expires_at, each.gated) for each in wait.listeners] for wait in (single, planned)
        ]
        assert heard[0] == heard[1], (kind, moves)
