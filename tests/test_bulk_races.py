"""Plans beside ticks, events and other plans."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest

from tests.interleaving import at_once
from tests.invariants import invariants
from waitctl import (
    Database,
    EventQuery,
    EventService,
    Settings,
    Tick,
    TickOptions,
    WaitFilter,
    WaitSchedulingService,
    WaitSpec,
    WaitStepExecution,
    make_event,
)
from waitctl.application.operations.bulk import BulkService
from waitctl.application.processor.run import Phase
from waitctl.application.waits.planning import MoveOptions
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import ConflictError
from waitctl.domain.plans import Plan, PlanKind
from waitctl.domain.statuses import Resolution
from waitctl.infrastructure.database import host_clock

SPRING = WaitFilter(workflow_id="spring")


@pytest.fixture
def two(url: str) -> Iterator[tuple[Database, Database]]:
    """The same database twice, each with connections of its own; batches are small."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waitctl.application.operations.bulk._DONE_AT_ONCE", 5)
        with Database(url) as one, Database(url) as other:
            one.upgrade()
            yield one, other
            with one.read() as connection:
                invariants(connection)


def create(database: Database, number: int, *, due: bool = False) -> list[WaitStepExecution]:
    service, base = WaitSchedulingService(database), host_clock() - timedelta(days=1)
    return [
        service.create_fixed_time_wait(
            "3h", WaitSpec(f"{due}-{each}", workflow_id="spring", handler="nudge"), base=base if due else None
        ).wait
        for each in range(number)
    ]


def statuses(database: Database) -> Counter[str]:
    return Counter(each.wait.status for each in WaitSchedulingService(database).list_waits(limit=500)[0])


def attempt(act: Callable[[str], Plan], plan: Plan) -> Plan | None:
    """None when somebody else was first."""
    try:
        return act(plan.id)
    except ConflictError:
        return None


@pytest.mark.parametrize("undo", [False, True])
def test_of_two_that_apply_or_undo_a_plan_one_does(two: tuple[Database, Database], undo: bool) -> None:
    waits = create(two[0], 30)
    one, other = (BulkService(database) for database in two)
    plan = one.plan(PlanKind.CANCEL, SPRING)
    acts: list[Callable[[str], Plan]] = [one.apply, other.apply]
    if undo:
        one.apply(plan.id)
        acts = [one.undo, other.undo]
    done = at_once(*(lambda act=act: attempt(act, plan) for act in acts))
    assert [each is None for each in sorted(done, key=bool)] == [True, False]
    assert statuses(two[0]) == {"scheduled" if undo else "cancelled": 30}
    lines = [len(WaitSchedulingService(two[0]).get_history(wait.id)) for wait in waits]
    assert lines == [2 + undo] * 30


@pytest.mark.parametrize("kind", [PlanKind.CANCEL, PlanKind.RESUME])
def test_ticks_beside_a_plan(two: tuple[Database, Database], kind: PlanKind) -> None:
    create(two[0], 40, due=True)
    create(two[0], 20)
    bulk, settings = BulkService(two[0]), Settings("")
    plan = bulk.plan(kind, SPRING)

    def tick() -> int:
        with Database(two[1].resolved_url) as own:
            return Tick(own, settings, TickOptions(batch_size=5, only=frozenset({Phase.DUE}))).run().resumed

    done, *ticked = at_once(lambda: bulk.apply(plan.id), tick, tick)
    assert done.applied + sum(ticked) == 60
    assert done.skipped == ({"ended": sum(ticked)} if sum(ticked) else {})
    left = "cancelled" if kind is PlanKind.CANCEL else "resumed"
    assert statuses(two[0])[left] == (done.applied if kind is PlanKind.CANCEL else 60)


def test_a_plan_is_undone_beside_events_and_none_is_lost(two: tuple[Database, Database]) -> None:
    service, bulk = WaitSchedulingService(two[0]), BulkService(two[0])
    query = EventQuery(("email_open",), timeout=parse_duration("1d"))
    waits = [
        service.create_event_wait(query, WaitSpec(f"e{each}", workflow_id="spring", contact_id=f"c{each}")).wait
        for each in range(30)
    ]
    plan = bulk.apply(bulk.plan(PlanKind.CANCEL, SPRING).id)

    def record() -> None:
        for each in range(30):
            EventService(two[1]).record(make_event("email_open", f"c{each}"))

    at_once(lambda: bulk.undo(plan.id), record)
    found = [service.get_wait_status(wait.id).wait for wait in waits]
    assert {wait.resolution for wait in found} == {Resolution.EVENT}


def test_two_plans_that_mean_the_same_waits(two: tuple[Database, Database]) -> None:
    create(two[0], 40)
    one, other = (BulkService(database) for database in two)
    cancels = one.plan(PlanKind.CANCEL, SPRING)
    moves = other.plan(PlanKind.RESCHEDULE, SPRING, moves=MoveOptions(by="+1h"))
    cancelled, moved = at_once(lambda: one.apply(cancels.id), lambda: other.apply(moves.id))
    assert cancelled.applied + moved.applied == 40
    assert statuses(two[0]) == Counter(
        {name: count for name, count in (("cancelled", cancelled.applied), ("scheduled", moved.applied)) if count}
    )
