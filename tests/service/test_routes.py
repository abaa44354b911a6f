"""Which handler hears of which outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scene import Scene
from waitctl import Outcome, parse_hours
from waitctl.domain.errors import InvalidWaitConfigurationError, WaitAlreadyOpenError
from waitctl.domain.handlers import Routes, parse_routes
from waitctl.domain.intents import Rules

EVERYTHING = {Outcome.EVENT: "thank", Outcome.TIMEOUT: "escalate", Outcome.MANUAL: "note"}


def told(scene: Scene, wait_id: str) -> list[tuple[str, str]]:
    return [(each.outcome, each.handler) for each in scene.get(wait_id).deliveries]


def test_each_outcome_goes_its_own_way(scene: Scene) -> None:
    by_event = scene.listen(execution="a", handlers=EVERYTHING)
    by_timeout = scene.listen(execution="b", contact="bob", handlers=EVERYTHING)
    by_hand = scene.listen(execution="c", contact="eve", handlers=EVERYTHING)
    scene.record()
    scene.waits.resume_wait(by_hand.id)
    scene.at(60).tick()
    assert told(scene, by_event.id) == [("event", "thank")]
    assert told(scene, by_timeout.id) == [("timeout", "escalate")]
    assert told(scene, by_hand.id) == [("manual", "note")]


def test_the_default_hears_of_the_rest(scene: Scene) -> None:
    wait = scene.create(handler="plain", handlers={Outcome.MANUAL: "note"}).wait
    other = scene.create(execution="f", handlers={Outcome.MANUAL: "note"}).wait
    scene.at(60).tick()
    assert told(scene, wait.id) == [("due", "plain")]
    assert told(scene, other.id) == []


def test_a_late_wait_and_a_grouped_one_are_routed_too(scene: Scene) -> None:
    late = scene.create(
        execution="a", handlers={Outcome.DUE: "due"}, rules=Rules(window=parse_hours("00:00-24:00"))
    ).wait
    counted = scene.listen(execution="b", count=2, handlers={Outcome.EVENT: "thank"})
    judged = scene.listen(execution="c", where="event.data.n > 1", handlers={Outcome.EVENT: "thank"})
    scene.record(data={"n": 2})
    scene.record(data={"n": 0})
    scene.at(600).tick()
    assert told(scene, late.id) == [("due", "due")]
    assert told(scene, counted.id) == told(scene, judged.id) == [("event", "thank")]


def test_a_parked_event_is_an_event(scene: Scene) -> None:
    """Outside its window it schedules the wait, which then ends by the event, not by being due."""
    wait = scene.listen(rules=Rules(window=parse_hours("13:00-14:00")), handlers={Outcome.EVENT: "thank"})
    scene.record()
    assert scene.get(wait).status == "scheduled"
    scene.at(60).tick()
    assert told(scene, wait.id) == [("event", "thank")]


@pytest.mark.parametrize("outcome", [Outcome.EVENT, Outcome.TIMEOUT])
def test_what_never_comes_is_refused(sqlite_scene: Scene, outcome: Outcome) -> None:
    with pytest.raises(InvalidWaitConfigurationError, match=f"never ends by {outcome}"):
        sqlite_scene.create(handlers={outcome: "x"})
    with pytest.raises(InvalidWaitConfigurationError, match="never ends by due"):
        sqlite_scene.listen(handlers={Outcome.DUE: "x"})


def test_other_routes_are_another_wait(scene: Scene) -> None:
    first = scene.create(handlers={Outcome.DUE: "a"})
    assert not scene.create(handlers={Outcome.DUE: "a"}).created
    with pytest.raises(WaitAlreadyOpenError, match=first.wait.id):
        scene.create(handlers={Outcome.DUE: "b"})
    assert scene.get(first.wait).handlers == {"due": "a"}


def test_routes_in_words() -> None:
    assert parse_routes([]) == Routes()
    assert parse_routes(["nudge", "timeout=escalate", "event=thank", "nudge"]) == Routes(
        "nudge", {Outcome.TIMEOUT: "escalate", Outcome.EVENT: "thank"}
    )
    for slip in ("timeuot=x", "=x", "--=x"):
        with pytest.raises(InvalidWaitConfigurationError, match="no outcome"):
            parse_routes([slip])
    for twice in (["a", "b"], ["due=a", "due=b"]):
        with pytest.raises(InvalidWaitConfigurationError, match="two handlers"):
            parse_routes(twice)
    with pytest.raises(InvalidWaitConfigurationError, match="the handler of due is empty"):
        _ = Scene  # the name itself is checked with the wait
        from waitctl import WaitSpec

        WaitSpec("e", handlers={Outcome.DUE: ""}).checked()


def test_a_handler_that_is_routed_to_runs(scene: Scene, tmp_path: Path) -> None:
    out = scene.handle(tmp_path, 'echo "$WAITCTL_OUTCOME" >> $OUT', name="escalate")
    scene.listen(handlers={Outcome.TIMEOUT: "escalate"})
    assert scene.at(60).tick().delivered == 1
    assert out.read_text() == "timeout\n"
