"""Deliveries of due waits that are leased by the statement that ends the waits, for handlers that have room."""

from __future__ import annotations

import queue
import re
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.interleaving import statements
from tests.scene import HandlerModule, Scene
from waitctl import PauseKind, PauseService, Rules, Settings, Tick, TickOptions, parse_hours
from waitctl.application.deliveries.dispatcher import Dispatcher
from waitctl.application.deliveries.payloads import first_payloads, make_payloads
from waitctl.application.documents import WAIT_FIELDS
from waitctl.domain.deliveries import Capacity, RetryPolicy
from waitctl.domain.errors import SchemaVersionError
from waitctl.domain.handlers import HandlerConfig, PythonConfig
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.handlers.functions import FunctionHandler
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.store import due
from waitctl.infrastructure.store.completion import FIRST, Mark

MODULE = "handlers_of_leased_batches"
LEASE = timedelta(minutes=7)
PATIENCE = 30


def end_due(scene: Scene, connection: Connection, *capacities: Capacity, low: Mark = FIRST) -> due.ResumedBatch:
    now = scene.database.clock(connection)
    return due.resolve_due(
        connection,
        now=now,
        late_before=now - timedelta(days=1),
        limit=1000,
        reason="due",
        actor="test",
        low=low,
        capacities=capacities,
        fields=WAIT_FIELDS,
    )


def test_what_it_gets_is_what_a_claim_would_give_it(scene: Scene) -> None:
    scene.create("1h", execution="a", handler="nudge")
    scene.create(
        "90m",
        execution="b",
        handler="nudge",
        contact_id="ada",
        workflow_id="signup",
        timezone="Europe/Berlin",
        context={"ключ": [1, 2.5, None, {"deep": "\u00e9"}]},
    )
    scene.at(100)

    def work(connection: Connection) -> None:
        ended, _, (leased_batch,), _ = end_due(scene, connection, Capacity("nudge", 10, LEASE, 8))
        assert (ended, leased_batch.handler, len(leased_batch.rows)) == (2, "nudge", 2)
        first = dict(first_payloads(leased_batch, slice(None)))
        assert first
        stored = [
            replace(each, attempt=each.attempt + 1)
            for each in delivery_store.get_deliveries(connection, [each.id for each in first])
        ]
        claimed = dict(make_payloads(connection, stored, ()))
        assert {each.id: each for each in first} == {each.id: each for each in claimed}
        assert sorted(payload.body for payload in first.values()) == sorted(
            payload.body for payload in claimed.values()
        )

    scene.database.write(work)


def test_of_many_at_one_instant_each_is_met_once(postgres_scene: Scene) -> None:
    """Behind a mark at their instant a planner expects one wait, and would join by looking at each for each."""
    scene, many = postgres_scene, 100
    for number in range(many):
        scene.create("1h", execution=f"e{number}", handler="nudge")
    scene.at(60).database.write(lambda connection: connection.execute("ANALYZE"))

    def lease(connection: Connection) -> None:
        room = Capacity("nudge", many, LEASE, 8)
        assert end_due(scene, connection, room, low=Mark(scene.database.clock(connection))).ended == many

    def explain(connection: Connection) -> str:
        connection.execute("SET LOCAL enable_seqscan = off")  # the table itself is so small that it may be read whole
        return "\n".join(row[0] for row in connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF) {text}", parameters))

    with statements() as seen:
        scene.database.write(lease, rollback=True)
    ((text, parameters),) = [each for each in seen if "claimed" in each[0]]
    plan = scene.database.write(explain, rollback=True)
    assert sum(map(int, re.findall(r"Rows Removed by Join Filter: (\d+)", plan))) <= many, plan


def test_each_handler_gets_what_it_has_room_for(scene: Scene) -> None:
    for number in (3, 1, 4, 0, 2):  # minutes
        scene.create(f"{number + 1}m", execution=f"n{number}", handler="nudge")
        scene.create(execution=f"o{number}", handler="other")
    scene.create(execution="third", handler="third")
    scene.create(execution="nobody")
    scene.at(100)
    capacities = (
        Capacity("nudge", 3, LEASE, 8, begins=2),
        Capacity("other", 100, LEASE, 2),
        Capacity("absent", 9, LEASE, 8),
    )
    ended, _, leased, _ = scene.database.write(lambda connection: end_due(scene, connection, *capacities))
    assert (ended, sorted((each.handler, len(each.rows)) for each in leased)) == (12, [("nudge", 3), ("other", 5)])
    rows = scene.sql(
        "SELECT handler, CAST(status AS text), attempt, claims, max_attempts, count(*), count(lease_expires_at) "
        "FROM workflow_wait_deliveries GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3"
    )
    assert [tuple(row) for row in rows] == [
        ("nudge", "pending", 0, 0, None, 2, 0),
        ("nudge", "running", 0, 1, 8, 1, 1),
        ("nudge", "running", 1, 1, 8, 2, 2),
        ("other", "running", 0, 1, 2, 5, 5),
        ("third", "pending", 0, 0, None, 1, 0),
    ]
    leases = {lease for each in leased for lease in each.leases}
    running = scene.sql("SELECT CAST(id AS text) FROM workflow_wait_deliveries WHERE claims = 1")
    assert {lease.delivery_id for lease in leases} == {row[0] for row in running}
    nudged = next(each for each in leased if each.handler == "nudge")
    assert nudged.begun == 2
    begun = scene.sql("SELECT CAST(id AS text) FROM workflow_wait_deliveries WHERE attempt = 1")
    assert {row[0] for row in begun} == {lease.delivery_id for lease in nudged.leases[:2]}
    assert sorted(wait["workflow_execution_id"] for _, wait in nudged.read(slice(None))) == ["n0", "n1", "n2"]


def test_one_that_an_event_had_scheduled_is_left_to_the_dispatcher(scene: Scene) -> None:
    """Its document needs the event."""
    parked = scene.listen(handler="nudge", timeout="2d", rules=Rules(window=parse_hours("13:00-18:00")))
    scene.record()
    assert scene.statuses(parked) == "scheduled"
    scene.at(24 * 60)
    ended, _, leased, _ = scene.database.write(
        lambda connection: end_due(scene, connection, Capacity("nudge", 10, LEASE, 8))
    )
    assert (ended, leased) == (1, [])
    (delivery,) = scene.deliveries.list_deliveries()
    assert (delivery.status, delivery.outcome) == ("pending", "event")


# -- with a dispatcher at work -----------------------------------------------------------------------------------------


@pytest.fixture
def came(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> queue.Queue[Any]:
    """What came to the handler ``nudge``."""
    module, came = HandlerModule(MODULE), queue.Queue[Any]()
    module.nudge = came.put
    monkeypatch.setitem(sys.modules, MODULE, module)
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False))
    return came


@contextmanager
def dispatching(scene: Scene) -> Iterator[tuple[Callable[[], object], Dispatcher]]:
    """A dispatcher at work, and how to end what is due beside it."""
    tick = Tick(scene.database, Settings(scene.url, handlers=scene.handlers), TickOptions())
    with tick.dispatcher() as dispatcher, ThreadPoolExecutor(1) as aside:
        running = aside.submit(dispatcher.run, may_claim=lambda: True)
        try:
            yield lambda: tick.resolver.resolve(dispatcher), dispatcher
        finally:
            dispatcher.finish()
        running.result()


def leased_for(scene: Scene, delivery_id: str) -> timedelta:
    delivery = scene.deliveries.get_delivery(delivery_id)
    assert delivery.lease_expires_at is not None
    return delivery.lease_expires_at - delivery.created_at


def test_a_handler_at_work_gets_its_next_one_without_a_claim(scene: Scene, came: queue.Queue[Any]) -> None:
    scene.on_the_real_clock()
    leases = queue.Queue[timedelta]()

    def nudge(document: Any) -> None:
        leases.put(leased_for(scene, document["delivery_id"]))
        came.put(document)

    vars(sys.modules[MODULE])["nudge"] = nudge
    scene.create("0.000001s", execution="first", handler="nudge")
    with dispatching(scene) as (end_what_is_due, dispatcher):
        end_what_is_due()
        assert came.get(timeout=PATIENCE)["wait"]["workflow_execution_id"] == "first"
        scene.create("0.000001s", execution="second", handler="nudge")
        end_what_is_due()
        document = came.get(timeout=PATIENCE)
        assert (document["wait"]["workflow_execution_id"], document["attempt"]) == ("second", 1)
        lease = dispatcher._workers["nudge"].lease
    assert leases.get() > lease  # claimed, some time after it came into being
    assert leases.get() == lease
    assert [each.status for each in scene.deliveries.list_deliveries()] == ["delivered", "delivered"]
    assert dispatcher.counts.delivered == 2


@pytest.mark.parametrize(
    ("kind", "name"), [(PauseKind.ALL, ""), (PauseKind.HANDLER, "nudge"), (PauseKind.WORKFLOW, "signup")]
)
def test_a_pause_holds_the_leased_too(scene: Scene, came: queue.Queue[Any], kind: PauseKind, name: str) -> None:
    scene.on_the_real_clock()
    scene.create("0.000001s", execution="first", handler="nudge")
    with dispatching(scene) as (end_what_is_due, _):
        end_what_is_due()
        came.get(timeout=PATIENCE)
        PauseService(scene.database, actor="test").pause(kind, name)
        scene.create("0.000001s", execution="second", handler="nudge", workflow_id="signup")
        end_what_is_due()
    assert came.empty()
    assert sorted((each.status, each.attempt) for each in scene.deliveries.list_deliveries()) == [
        ("delivered", 1),
        ("pending", 0),
    ]


def many_due(scene: Scene, count: int) -> None:
    """Copies of one wait that is due."""
    wait = scene.create("0.000001s", execution="e0", handler="nudge").wait
    columns = "wait_type, status, scheduled_at, timezone, wait_config, handler, created_at, updated_at"
    made, numbers, step = "waitctl_uuidv7()", f"generate_series(2, {count}) AS n", "CAST(n AS text)"
    if scene.database.is_sqlite:
        made, step = "printf('01900000-0000-7000-8000-%012x', value)", "value"
        numbers = f"(WITH RECURSIVE n (value) AS (SELECT 2 UNION ALL SELECT value + 1 FROM n WHERE value < {count}) SELECT * FROM n)"
    scene.sql(
        f"INSERT INTO workflow_wait_executions (id, workflow_execution_id, step_id, {columns}) "
        f"SELECT {made}, 'e', {step}, {columns} FROM workflow_wait_executions, {numbers} "
        f"WHERE workflow_execution_id = '{wait.workflow_execution_id}'"
    )


def test_each_of_many_comes_once(scene: Scene, came: queue.Queue[Any]) -> None:
    """Whichever way it took: leased as it came into being, by one of two batches at a time, or claimed."""
    scene.on_the_real_clock()
    count = 5000
    many_due(scene, count)
    report = scene.tick()
    assert (report.resumed, report.delivered, report.stopped) == (count, count, "idle")
    documents = [came.get_nowait() for _ in range(came.qsize())]
    assert len({document["delivery_id"] for document in documents}) == len(documents) == count
    assert {document["attempt"] for document in documents} == {1}
    left = "SELECT count(*) FROM workflow_wait_deliveries WHERE status <> 'delivered' OR lease_expires_at IS NOT NULL"
    assert scene.sql(left)[0][0] == 0


def test_who_interrupts_waits_for_what_has_begun_and_no_more(scene: Scene, came: queue.Queue[Any]) -> None:
    """A worker of a quick handler has a few in its hands, which it finishes, and many more lie ready."""
    scene.on_the_real_clock()
    count, concurrency = 8000, 4
    many_due(scene, count)
    stop, begun = threading.Event(), list[bool]()

    def nudge(_: Any) -> None:
        begun.append(stop.is_set())
        if len(begun) >= count // 2:
            stop.set()

    vars(sys.modules[MODULE])["nudge"] = nudge
    scene.handlers["nudge"] = HandlerConfig(
        "nudge", PythonConfig(f"{MODULE}:nudge", own_process=False), concurrency=concurrency
    )
    settings = Settings(scene.url, handlers=scene.handlers)
    report = Tick(scene.database, settings, TickOptions(), interrupted=stop.is_set).run()
    assert sum(begun) <= concurrency * FunctionHandler.most_at_once
    assert (report.delivered, report.stopped) == (len(begun), "interrupted")
    found = "SELECT CAST(status AS text), attempt, count(*) FROM workflow_wait_deliveries GROUP BY 1, 2 ORDER BY 1"
    rows = [tuple(row) for row in scene.sql(found)]
    assert rows == [("delivered", 1, len(begun)), ("pending", 0, report.resumed - len(begun))]


@pytest.mark.parametrize(("max_attempts", "begun"), [(1, 0), (8, 1)])
def test_what_is_leased_ahead_has_used_up_no_attempt(
    scene: Scene, came: queue.Queue[Any], max_attempts: int, begun: int
) -> None:
    """Whatever becomes of the tick that has it. What has begun has used one up, unless it has few: when it is through."""
    scene.on_the_real_clock()
    go_on = threading.Event()

    def nudge(document: Any) -> None:
        came.put(document)
        go_on.wait(PATIENCE)

    vars(sys.modules[MODULE])["nudge"] = nudge
    policy = RetryPolicy(max_attempts=max_attempts)
    scene.handlers["nudge"] = HandlerConfig(
        "nudge", PythonConfig(f"{MODULE}:nudge", own_process=False), concurrency=1, retry=policy
    )
    scene.create("0.000001s", execution="first", handler="nudge")
    with dispatching(scene) as (end_what_is_due, _):
        end_what_is_due()
        came.get(timeout=PATIENCE)
        scene.create("0.000001s", execution="second", handler="nudge")
        end_what_is_due()
        leased = scene.deliveries.list_deliveries()
        assert [(each.status, each.attempt) for each in leased] == [("running", 0), ("running", begun)]
        go_on.set()
        came.get(timeout=PATIENCE)


def test_nothing_is_started_when_what_becomes_of_it_cannot_be_written(scene: Scene, came: queue.Queue[Any]) -> None:
    scene.on_the_real_clock()
    go_on, over = threading.Event(), threading.Event()

    def nudge(document: Any) -> None:
        first = not seen
        seen.append(document["delivery_id"])
        came.put(document)
        (go_on if first else over).wait(PATIENCE)

    seen: list[str] = []
    vars(sys.modules[MODULE])["nudge"] = nudge
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False), concurrency=1)
    scene.create("0.000001s", execution="first", handler="nudge")
    tick = Tick(scene.database, Settings(scene.url, handlers=scene.handlers), TickOptions())
    with pytest.raises(SchemaVersionError), tick.dispatcher() as dispatcher, ThreadPoolExecutor(1) as aside:
        running = aside.submit(dispatcher.run, may_claim=lambda: True)
        running.add_done_callback(lambda _: over.set())
        tick.resolver.resolve(dispatcher)
        came.get(timeout=PATIENCE)
        for number in range(3):
            scene.create("0.000001s", execution=f"e{number}", handler="nudge")
        tick.resolver.resolve(dispatcher)
        assert [each.status for each in scene.deliveries.list_deliveries()] == ["running"] * 4
        scene.sql("ALTER TABLE workflow_wait_deliveries RENAME TO gone")
        go_on.set()
        running.result(timeout=PATIENCE)
    assert len(seen) <= 2, "the next one may have begun before it was known"
