"""Conditions that take too long for one transaction: asked between two, with no lock held, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.interleaving import statements
from tests.scene import NOON, Scene
from waitctl import EventService, Tick, TickOptions, WaitStepExecution, make_event
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.store.correlation.verdicts import OverBudgetError

DATA = {"l": list(range(1200))}
HEAVY = 4


def heavy(number: int = 0, *, holds: bool = True) -> str:
    """A condition of its own that takes most of a transaction's budget: 700,000 steps."""
    return f"size(event.data.l.map(x, x + {number})) == {1200 if holds else 0}"


def listen_heavily(scene: Scene, *, first: int = 0, count: int = HEAVY, **options: Any) -> list[WaitStepExecution]:
    return [
        scene.listen(execution=f"e{number}", where=heavy(number), handler="h", **options)
        for number in range(first, first + count)
    ]


@contextmanager
def between_attempts(scene: Scene, act: Callable[[Scene], object], *, after: int = 1) -> Iterator[list[str]]:
    """After so many transactions were rolled back, ``act`` on a connection of its own: it needs the locks, too."""
    database, acted, rolled_back = scene.database, list[str](), list[str]()
    engine = database._open()

    class Watched:
        @contextmanager
        def begin(self, *, write: bool = False) -> Iterator[Connection]:
            try:
                with engine.begin(write=write) as connection:
                    yield connection
            except OverBudgetError:  # rolled back, and the connection is back in its place
                rolled_back.append("back")
                if len(rolled_back) == after:
                    acted.append("acted")
                    other = Scene(scene.url)
                    other.database.as_of = database.as_of
                    act(other)
                    other.database.close()
                raise

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "_open", Watched)
        yield acted


@contextmanager
def between_batches(scene: Scene, act: Callable[[Scene], object]) -> Iterator[list[str]]:
    """After a transaction of the scene has asked conditions, ``act`` on a connection of its own."""
    database, acted = scene.database, list[str]()
    engine = database._open()
    asked = kept("get_subjects").sent("sqlite" if database.is_sqlite else "postgresql")[0].text

    class Watched:
        @contextmanager
        def begin(self, *, write: bool = False) -> Iterator[Connection]:
            with statements() as seen, engine.begin(write=write) as connection:
                yield connection
            if not acted and any(text == asked for text, _ in seen):
                acted.append("acted")
                other = Scene(scene.url)
                other.database.as_of = database.as_of
                act(other)
                other.database.close()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database, "_open", Watched)
        yield acted


def ended_once(scene: Scene, waits: list[WaitStepExecution]) -> None:
    for wait in waits:
        found = scene.get(wait)
        assert found.status == "resumed"
        assert len(found.deliveries) == 1
        assert [line.to_status for line in scene.waits.get_history(wait.id)] == ["waiting", "resumed"]


def test_a_create_that_falls_between_is_neither_missed_nor_matched_twice(scene: Scene) -> None:
    waits = listen_heavily(scene)
    made = list[WaitStepExecution]()
    with between_attempts(scene, lambda other: made.extend(listen_heavily(other, first=HEAVY, count=2))) as acted:
        result = scene.record(data=DATA)
    assert acted
    assert sorted(result.matched) == sorted(wait.id for wait in [*waits, *made])
    ended_once(scene, [*waits, *made])


def test_an_event_that_falls_between_is_looked_back_for(scene: Scene) -> None:
    for number in range(HEAVY):
        scene.record(data=DATA | {"n": number}, external_id=str(number))
    recorded = list[str | None]()

    def record(other: Scene) -> None:
        recorded.append(other.record(data=DATA | {"n": -1}).event_id)

    with between_attempts(scene, record) as acted:
        wait = scene.listen(where=f"{heavy()} && event.data.n == -1", handler="h")
    assert acted
    assert (wait.status, wait.resolution_event_id) == ("resumed", recorded[0])
    ended_once(scene, [wait])


def test_exclusive_and_counting_waits_see_the_event_once(scene: Scene) -> None:
    first, second = listen_heavily(scene, count=2, exclusive=True)
    counting = scene.listen(execution="counting", where=heavy(7), count=2)
    both = listen_heavily(scene, first=10, count=2, contact="ada")
    result = scene.record(data=DATA)
    assert set(result.matched) == {first.id, *(wait.id for wait in both)}
    assert scene.statuses(first, second, counting) == "resumed waiting waiting"
    (listener,) = scene.get(counting).listeners
    assert listener.matched_count == 1


def test_open_waits_of_one_execution_share_an_event_whose_conditions_take_long(scene: Scene) -> None:
    waits = [scene.listen(step_id=f"s{number}", where=heavy(number)) for number in range(HEAVY)]
    plain = scene.listen(step_id="plain")
    assert len(scene.record(data=DATA).matched) == HEAVY + 1
    assert scene.statuses(*waits, plain) == " ".join(["resumed"] * (HEAVY + 1))


def test_a_stream_of_events(scene: Scene) -> None:
    waits = listen_heavily(scene)
    line = json.dumps({"type": "email_open", "contact": "ada", "data": DATA}).encode()
    totals = scene.events.ingest_ndjson([(1, line), (2, line)])
    assert (totals.recorded, totals.matched) == (2, HEAVY)
    ended_once(scene, waits)


def test_in_a_callers_transaction_the_next_tick_does_it(scene: Scene) -> None:
    waits = listen_heavily(scene)
    other = EventService(scene.database)

    def record(connection: Connection) -> object:
        return other.record(make_event("email_open", "ada", data=DATA), connection)

    result: Any = scene.database.write(record)
    assert result.matched == ()
    assert scene.statuses(*waits) == " ".join(["waiting"] * HEAVY)
    made = list[WaitStepExecution]()
    with between_batches(scene, lambda other: made.extend(listen_heavily(other, first=HEAVY, count=1))) as acted:
        assert scene.tick().resumed == HEAVY
    assert acted
    assert made[0].status == "resumed", "a new wait looks at what the tick has left"
    ended_once(scene, waits)


def test_a_tick_that_is_interrupted_meanwhile_leaves_it_to_the_next(scene: Scene) -> None:
    scene.on_the_real_clock()
    waits = listen_heavily(scene, timeout=None)
    scene.insert_event(data=json.dumps(DATA))
    with between_batches(scene, lambda _: None) as acted:
        from waitctl import Settings

        report = Tick(scene.database, Settings(scene.url), TickOptions(), interrupted=lambda: bool(acted)).run()
    assert (report.stopped, report.correlated, report.resumed) == ("interrupted", 0, 0)
    assert scene.statuses(*waits) == " ".join(["waiting"] * HEAVY)
    report = scene.tick()
    assert (report.correlated, report.resumed) == (1, HEAVY)


def test_many_waits_that_ask_the_same_of_an_event_ask_it_once(scene: Scene) -> None:
    """Then it takes one transaction, however many they are."""
    waits = [scene.listen(execution=f"e{number}", where=heavy(), context={"n": number}) for number in range(20)]
    with between_attempts(scene, lambda _: None) as acted:
        assert len(scene.record(data=DATA).matched) == len(waits)
    assert not acted


def test_diagnostics_are_kept(scene: Scene) -> None:
    waits = [
        scene.listen(execution=f"e{number}", where=f"{heavy(number)} && event.data.none == 1")
        for number in range(HEAVY)
    ]
    event_id = scene.record(data=DATA).event_id
    for wait in waits:
        assert scene.get(wait).listeners[0].diagnostic == f"event {event_id}: no such key: none"


@pytest.fixture(autouse=True)
def _at_noon(scene: Scene) -> None:
    assert scene.database.as_of == NOON
