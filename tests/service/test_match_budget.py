"""Matching that takes too long for one transaction on SQLite: done in several, with nothing twice and nothing missed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest

from tests.interleaving import statements
from tests.scene import Scene
from waitctl import WaitStepExecution
from waitctl.infrastructure.kept import kept

ITEMS = 6_000
BULKY = {"items": [{"n": number} for number in range(ITEMS)]}
"""A hundred kilobytes, in which it takes thousands of comparisons to look for an item."""

LISTENERS = 240
EVENTS = 40


@contextmanager
def turns_between(scene: Scene, act: Callable[[], object] = lambda: None) -> Iterator[list[str]]:
    """Where the scene gives way, another writer finds the file free; at the first time, ``act`` as well.

    It waits for a moment, since the thread of the tick that looks for deliveries may be writing just then.
    """
    turns = list[str]()

    def write_meanwhile() -> None:
        with closing(sqlite3.connect(str(scene.database.path), timeout=5, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            other.execute("COMMIT")
        if not turns:
            act()
        turns.append("its turn")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scene.database, "give_way", write_meanwhile)
        yield turns


def ended_once(scene: Scene, *waits: WaitStepExecution) -> None:
    for wait in waits:
        assert scene.get(wait).status == "resumed"
        assert [line.to_status for line in scene.waits.get_history(wait.id)] == ["waiting", "resumed"]


def looking_for(scene: Scene, number: int, execution: str) -> WaitStepExecution:
    return scene.listen(execution=execution, match_json={"items": [{"n": number}]})


@pytest.mark.parametrize("by_inbox", [False, True])
def test_an_event_that_many_waits_look_into(sqlite_scene: Scene, by_inbox: bool) -> None:
    scene = sqlite_scene.on_the_real_clock()
    fits = [looking_for(scene, ITEMS - 1 - number, f"f{number}") for number in range(3)]
    others = [looking_for(scene, ITEMS + number, f"o{number}") for number in range(LISTENERS)]
    late = list[WaitStepExecution]()

    def create() -> None:
        other = Scene(scene.url).on_the_real_clock()
        late.append(looking_for(other, 1, "late"))
        other.database.close()

    with turns_between(scene, create) as turns:
        if by_inbox:
            scene.insert_event(data=json.dumps(BULKY))
            scene.tick()
        else:
            scene.record(data=BULKY)
    assert turns
    ended_once(scene, *fits, *late)
    assert late and {scene.get(wait).status for wait in others[:: LISTENERS // 4]} == {"waiting"}


def test_a_look_back_over_large_events(sqlite_scene: Scene) -> None:
    scene = sqlite_scene
    for number in range(EVENTS):
        scene.record(data=BULKY | {"n": number}, external_id=str(number))
    with turns_between(scene) as turns:
        wait = scene.listen(execution="found", match={"n": str(EVENTS - 1)})
        assert scene.listen(execution="none", match_json={"n": -1}).status == "waiting"
    assert turns
    ended_once(scene, wait)


def test_a_condition_looks_back_over_large_events_a_few_at_a_time(sqlite_scene: Scene) -> None:
    """Of what a transaction has read before it was rolled back, and what is read between two, with no lock held."""
    scene = sqlite_scene
    for number in range(EVENTS):
        scene.record(data=BULKY | {"n": number}, external_id=str(number))
    (asked,) = kept("get_subjects").sent("sqlite")
    with statements() as seen:
        wait = scene.listen(where=f"event.data.n == {EVENTS - 1}")
    ended_once(scene, wait)
    portions = [len(json.loads(bound["ids"])) for text, bound in seen if text == asked.text]
    assert sum(portions) >= EVENTS
    assert max(portions) <= 4


def test_a_new_wait_takes_on_no_more_of_the_inbox_than_a_tick_at_once(sqlite_scene: Scene) -> None:
    scene = sqlite_scene.on_the_real_clock()
    data = json.dumps({"text": "x" * 250_000})
    for _ in range(40):
        scene.insert_event(data=data)
    (read,) = kept("read_data").sent("sqlite")
    with statements() as seen:
        wait = scene.listen(match={"text": "y"})
    assert 0 < sum(text == read.text for text, _ in seen) * len(data) <= 8 * 1024 * 1024
    assert wait.status == "waiting"
    scene.tick()
    assert scene.sql("SELECT count(*) FROM workflow_events WHERE correlated_at IS NULL")[0][0] == 0


def test_what_is_looked_for_is_found_in_an_array_of_any_kind() -> None:
    from waitctl.domain.matching import Container, TooManyStepsError, contains

    assert contains([1, 2.5, "a", None, True], [2.5, None, "a"])
    assert not contains([1, "1"], [True])
    assert not contains([True], [1])
    assert contains({"a": [[1], [2, 3]]}, {"a": [[3]]})
    assert contains([1, 2], 2) and not contains([[2]], 2)
    container = Container({"a": list(range(1000))})
    first, again = container.contains({"a": [5]})[1], container.contains({"a": [6]})[1]
    assert first > 1000 > 10 > again, "it is looked up once"
    with pytest.raises(TooManyStepsError):
        Container(BULKY).contains({"items": [{"n": -1}]}, 100)
