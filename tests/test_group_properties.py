"""Whatever the order and the repetitions in which events come, a wait for several of them comes to the same."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from tests.invariants import invariants
from tests.scene import Scene
from waitctl import EventQuery, make_event
from waitctl.domain.listeners import Mode

TYPES = ("email_open", "email_click", "form_submit")


@pytest.fixture
def scene(sqlite_url: str) -> Iterator[Scene]:
    scene = Scene(sqlite_url)
    yield scene
    scene.database.close()


QUERIES: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
    [
        {"types": ("email_open", "email_click")},
        {"types": ("email_open", "form_submit"), "mode": Mode.ALL},
        {"types": TYPES, "mode": Mode.ALL},
        {"types": ("email_open|email_click", "form_submit"), "mode": Mode.ALL},
        {"types": ("email_open|email_click", "form_submit"), "mode": Mode.ALL, "where": "event.data.n != 2"},
        {"types": ("email_open",), "count": 3},
        {"types": ("email_open",), "count": 2, "distinct": "n"},
        {"types": ("email_open",), "count": 2, "distinct": "n", "where": "has(event.data.n) && event.data.n != 1"},
    ]
)
EVENTS = st.lists(
    st.tuples(st.sampled_from(TYPES), st.sampled_from([{}, {"n": 1}, {"n": 2}, {"n": "1"}, {"n": None}, {"n": 3}])),
    max_size=6,
)


def expected(query: dict[str, Any], events: list[tuple[str, dict[str, Any]]]) -> bool:
    """What the events come to, worked out without an order."""
    where = query.get("where", "")
    fit = [
        (name, data)
        for name, data in events
        if not where or ("n" in data and data["n"] != (1 if "!= 1" in where else 2))
    ]
    names = {name for name, _ in fit}
    if query.get("mode") is Mode.ALL:
        return all(names & set(str(part).split("|")) for part in query["types"])
    own = [data for name, data in fit if name in query["types"]]
    if "distinct" in query:
        own = list({str(data["n"]): data for data in own if data.get("n") is not None}.values())
    needed: int = query.get("count", 1)
    return len(own) >= needed


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=QUERIES, events=EVENTS, data=st.data())
def test_any_permutation_and_duplication_comes_to_the_same(
    scene: Scene, query: dict[str, Any], events: list[tuple[str, dict[str, Any]]], data: st.DataObject
) -> None:
    outcome = expected(query, events)
    event(f"{query.get('mode', query.get('count', 'any'))}: {outcome}")
    for how in ("one by one", "a batch", "looked back"):
        contact = uuid.uuid4().hex
        order = data.draw(st.permutations(list(enumerate(events)) * 2), label=how)
        options = {name: value for name, value in query.items() if name != "types"}

        def listen(contact: str = contact, options: dict[str, Any] = options) -> str:
            return scene.listen(*query["types"], contact=contact, execution=contact, handler="nudge", **options).id

        wait_id = listen() if how != "looked back" else ""
        made = [
            make_event(name, contact, data=content, external_id=f"{contact}-{number}")
            for number, (name, content) in order
        ]
        if how == "a batch":
            once = list({each.external_id: each for each in made}.values())
            scene.database.write(partial(scene.events.store, events=once))
        else:
            for each in made:
                scene.events.record(each)
        wait = scene.get(wait_id or listen())
        assert (wait.status == "resumed") is outcome, how
        assert len(wait.deliveries) == outcome
    with scene.database.read() as connection:
        invariants(connection)


def test_the_model_can_say_no() -> None:
    assert not expected({"types": ("a|b", "c"), "mode": Mode.ALL}, [("a", {}), ("b", {})])
    assert EventQuery(("email_open",), count=2, distinct="n").checked().is_grouped
