"""Claims begin at a low-water mark: what is dead before it is not read again, and what is dated to before it is found."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from threading import Event as Signal
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.interleaving import Background, statements
from tests.scene import NOON, Scene
from waitctl import Database, EventQuery, Settings, Tick, TickOptions, WaitSchedulingService, WaitSpec
from waitctl.application.looks import WholeLooks
from waitctl.application.processor.phases import Resolver
from waitctl.application.processor.run import Phase, Run
from waitctl.domain.durations import parse_duration
from waitctl.domain.handlers import HandlerConfig, PythonConfig
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.store import completion, due, overview
from waitctl.infrastructure.store import deliveries as delivery_store
from waitctl.infrastructure.store.completion import Mark
from waitctl.infrastructure.store.deliveries import Turns

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DEAD = 5_000
FEW = 40
"""Pages of an index and of a table that may be read to find nothing; the dead ones have hundreds."""

ENDED = f"""
INSERT INTO workflow_wait_executions (id, workflow_execution_id, step_id, wait_type, status, scheduled_at, timezone,
                                      wait_config, created_at, updated_at)
SELECT gen_random_uuid(), 'dead-' || n, 'wait', CAST('fixed_time' AS workflow_wait_type), 'scheduled',
       timestamptz '{NOW - timedelta(hours=1)}' + n * interval '1 ms', 'UTC', '{{}}', now(), now()
  FROM generate_series(1, {DEAD}) AS n;
INSERT INTO workflow_wait_executions (id, workflow_execution_id, step_id, wait_type, status, timeout_at, timezone,
                                      wait_config, created_at, updated_at)
SELECT gen_random_uuid(), 'deaf-' || n, 'wait', CAST('for_event' AS workflow_wait_type), 'waiting',
       timestamptz '{NOW - timedelta(hours=1)}' + n * interval '1 ms', 'UTC', '{{}}', now(), now()
  FROM generate_series(1, {DEAD}) AS n;
INSERT INTO workflow_event_listeners (id, wait_id, event_type, contact_id, exclusive, status, since_at, expires_at)
SELECT id, id, 'email_open', workflow_execution_id, false, 'active', created_at, timeout_at
  FROM workflow_wait_executions WHERE status = 'waiting';
INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt, next_attempt_at, created_at)
SELECT id, id, 'nudge', 'due', 'pending', 0, scheduled_at, scheduled_at
  FROM workflow_wait_executions WHERE status = 'scheduled';
"""

END = """
UPDATE workflow_wait_executions SET status = 'resumed', resolution = 'due', resolved_at = now();
UPDATE workflow_event_listeners SET status = 'expired';
UPDATE workflow_wait_deliveries SET status = 'running', lease_expires_at = next_attempt_at;
UPDATE workflow_wait_deliveries SET status = 'delivered', lease_expires_at = NULL, delivered_at = now();
ANALYZE
"""


@pytest.fixture(scope="module")
def pinned(cluster_and_template: Any) -> Iterator[Database]:
    """A database full of what has ended, and somebody whose snapshot still sees it all."""
    cluster, template = cluster_and_template
    name = f"waitctl_pinned_{uuid.uuid4().hex}"
    url = cluster.create(name, template)
    with Database(url, as_of=NOW) as database:

        def run(script: str) -> None:
            database.write(lambda connection: [connection.execute(each) for each in script.split(";")[:-1]])

        run(ENDED)
        with psycopg.connect(database.url.render_as_string(hide_password=False).replace("+psycopg", "")) as somebody:
            somebody.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            somebody.execute("SELECT count(*) FROM waitctl_ticks")
            run(END + ";")
            yield database
    cluster.drop(name)


def pages_read(database: Database, work: Callable[[Connection], Any]) -> int:
    """The most pages that one of the statements reads which ``work`` runs."""

    def explain(connection: Connection) -> list[int]:
        with statements() as seen:
            work(connection)
        plans = [
            "\n".join(
                row[0]
                for row in connection.execute(
                    f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, SUMMARY OFF) {statement}", parameters
                )
            )
            for statement, parameters in seen
            if statement.lstrip().startswith(("SELECT", "WITH", "UPDATE"))
        ]
        assert plans
        return [_pages(plan.partition("Planning:")[0]) for plan in plans]

    return max(database.write(explain, rollback=True))


def _pages(plan: str) -> int:
    """Of the topmost node, which counts those below."""
    first = re.search(r"Buffers: shared([^\n]*)", plan)
    return sum(map(int, re.findall(r"(?:hit|read)=(\d+)", first[1]))) if first else 0


RECENT = NOW - timedelta(minutes=1)

LOOKS: dict[str, Callable[[Connection, datetime], Any]] = {
    "ahead": lambda connection, low: completion.look_ahead(connection, due_low=Mark(low), expires_low=Mark(low)),
    "due": lambda connection, low: due.resolve_due(
        connection, now=NOW, late_before=NOW, limit=1000, reason="due", actor="test", low=Mark(low)
    ),
    "late": lambda connection, low: due.claim_late(connection, late_before=NOW, limit=1000, low=Mark(low)),
    "expired": lambda connection, low: completion.expired_listeners(connection, now=NOW, limit=1000, low=Mark(low)),
    "remaining": lambda connection, low: completion.count_remaining(
        connection, now=NOW, due_low=Mark(low), expires_low=Mark(low)
    ),
    "turns": lambda connection, low: delivery_store.first_turns(connection, {"nudge": Turns(low, low)}, now=NOW),
    "deliveries": lambda connection, low: delivery_store.claim_deliveries(
        connection, "nudge", now=NOW, lease_until=NOW, max_attempts=8, limit=1000, low=low
    ),
    "lapsed": lambda connection, low: delivery_store.claim_deliveries(
        connection, "nudge", now=NOW, lease_until=NOW, max_attempts=8, limit=1000, low=low, lapsed=True
    ),
}


@pytest.mark.parametrize("look", LOOKS)
def test_from_the_mark_on_nothing_dead_is_read(pinned: Database, look: str) -> None:
    assert pages_read(pinned, lambda connection: LOOKS[look](connection, RECENT)) < FEW


@pytest.mark.parametrize("look", [each for each in LOOKS if each != "late"])  # nobody who has ended had a policy
def test_from_the_front_all_of_it_is(pinned: Database, look: str) -> None:
    """Else the test above could not fail."""
    assert pages_read(pinned, lambda connection: LOOKS[look](connection, NOW - timedelta(days=1))) > FEW


def test_deliveries_to_known_handlers_are_not_read_to_count_the_others(pinned: Database) -> None:
    assert pages_read(pinned, lambda connection: delivery_store.count_held(connection, ["nudge"])) < FEW
    assert pages_read(pinned, lambda connection: delivery_store.count_held(connection, ["other"])) > FEW


def test_a_run_looks_at_all_of_it_once(pinned: Database) -> None:
    """The marks that its batches begin at come from one look."""
    resolver = Resolver(Run(pinned, TickOptions()), Settings(""), actor="test")
    with pinned.read() as connection:
        resolver.run.look_ahead(connection)
    for _, batch in resolver.phases():
        assert pages_read(pinned, batch) < FEW
    assert pages_read(pinned, resolver.run.count_remaining) < FEW


def test_many_at_one_instant_are_not_read_again(database: Database) -> None:
    """The mark is an instant and an id: a batch begins behind the last of those that it has ended."""
    service = WaitSchedulingService(database)
    made = sorted(
        service.create_fixed_time_wait("1h", WaitSpec(f"e{number}"), base=NOON).wait.id for number in range(7)
    )
    now, low, ended = NOON + timedelta(hours=1), completion.FIRST, []

    def claim(connection: Connection) -> due.ResumedBatch:
        return due.resolve_due(connection, now=now, late_before=now, limit=3, reason="due", actor="test", low=low)

    while (batch := database.write(claim)).ended:
        low = batch.up_to
        ended.append((batch.ended, low.id))
    assert ended == [(3, made[2]), (3, made[5]), (1, made[6])]


# -- what is dated to before the mark --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["due", "expired"])
def test_what_is_dated_to_before_the_mark_is_found_by_the_next_run(scene: Scene, kind: str) -> None:
    def create(execution: str, hours: int) -> str:
        base = NOON - timedelta(hours=hours)
        if kind == "due":
            return scene.create("1h", execution, base=base).wait.id
        return scene.listen(execution=execution, contact=execution, timeout="1h", base=base).id

    resolver = Resolver(Run(scene.database, TickOptions(batch_size=2)), Settings(scene.url), actor="test")
    first = [create(f"first-{number}", 3) for number in range(5)]
    with scene.database.read() as connection:
        resolver.run.look_ahead(connection)
    before = [create(f"before-{number}", 9) for number in range(3)]
    resolver.resolve()
    assert {scene.get(each).status.is_open for each in first} == {False}
    assert {scene.get(each).status.is_open for each in before} == {True}
    scene.tick()
    assert {scene.get(each).status.is_open for each in before} == {False}


def test_a_clock_that_was_set_back_hides_nothing(scene: Scene) -> None:
    wait = scene.create("1h").wait
    scene.at(600).tick()
    late = scene.at(0).create("1h", "later").wait
    scene.at(61).tick()
    assert scene.statuses(wait, late) == "resumed resumed"


AGES = st.lists(st.integers(-3, 4_000), min_size=1, max_size=6)


@pytest.fixture
def scene(url: str) -> Iterator[Scene]:
    scene = Scene(url)
    yield scene
    scene.database.close()


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(AGES, min_size=1, max_size=5), batch_size=st.integers(1, 4))
def test_nothing_that_is_created_beside_ticks_is_lost(url: str, batches: list[list[int]], batch_size: int) -> None:
    """Waits that have been due, and expired, for so many minutes, made while ticks run; the next run ends them all."""
    handlers = {"nudge": HandlerConfig("nudge", PythonConfig("benchmarks.handlers:nothing", own_process=False))}
    with Database(url) as database:
        service = WaitSchedulingService(database)
        now = database.write(database.clock)
        over = Signal()
        example = uuid.uuid4().hex
        made: list[str] = []

        def tick(database: Database) -> None:
            Tick(database, Settings(url, handlers=handlers), TickOptions(batch_size=batch_size)).run()

        def run() -> None:
            with Database(url) as own:
                while not over.is_set():
                    tick(own)

        ticking = [Background(run), Background(run)]
        try:
            for number, ages in enumerate(batches):
                for place, age in enumerate(ages):
                    name, base = f"{example}-{number}-{place}", now - timedelta(minutes=max(age, 0), hours=1)
                    spec = WaitSpec(name, contact_id=name, handler="nudge")
                    if age % 2:
                        query = EventQuery(("email_open",), timeout=parse_duration("1h"))
                        made.append(service.create_event_wait(query, spec, base=base).wait.id)
                    else:
                        made.append(service.create_fixed_time_wait("1h", spec, base=base).wait.id)
        finally:
            over.set()
            for each in ticking:
                each.result()
        tick(database)
        open_ = [each for each in made if service.get_wait_status(each).wait.status.is_open]
        assert not open_
        with database.read() as connection:
            assert overview.backlogs(connection, now=NOW) == []


def test_a_look_that_is_dear_is_rarer() -> None:
    looks = WholeLooks()
    assert looks.seconds_left == 0
    with looks.timed():
        Signal().wait(0.01)
    assert looks.seconds_left > 0.01


def test_a_resident_tick_looks_at_all_of_it_again(scene: Scene) -> None:
    """From the mark on it sees nothing; it does not sleep over what lies before."""
    resolver = Resolver(Run(scene.database, TickOptions()), Settings(scene.url), actor="test")
    with scene.database.read() as connection:
        assert resolver.run.look_ahead(connection).due_at is None
    scene.create("1h", base=NOON - timedelta(hours=3))
    with scene.database.read() as connection:
        assert resolver.run.look_ahead(connection, whole=False).due_at is None
        assert resolver.run.look_ahead(connection).due_at == NOON - timedelta(hours=2)
    assert resolver.resolve(only=[Phase.DUE])
