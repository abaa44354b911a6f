"""A condition means the same on SQLite, on PostgreSQL and in the domain: the real correlation on random JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.scene import NOON, Scene
from waitctl import EventQuery, make_event
from waitctl.domain.listeners import contains, matches_text

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-2, 2)
    | st.sampled_from([0.0, -0.0, 1.0, 1.5, 1e22, 1e23, 1e-7, 2**53 + 1, float(2**53)])
    | st.sampled_from(["", "a", "1", "true", "null", "1.0", "é"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "0", ""]), inner, max_size=2)
    ),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from(["a", "b"]), JSON, min_size=1, max_size=2)
KEYS = (
    st.lists(
        st.sampled_from(["a", "b", "0", "1", "-1", "00", "+0", " 0", "0 ", "-0", "0000000000", ""]),
        min_size=1,
        max_size=3,
    )
    .map(".".join)
    .filter(str.strip)
)
TEXTS = st.sampled_from(
    ["", "a", "1", "0", "-1", "true", "false", "null", "1.0", "1.5", "0.0", "-0.0", "0.0000001", "é"]
)
CASES = st.lists(
    st.tuples(OBJECTS, OBJECTS, st.dictionaries(KEYS, TEXTS, min_size=1, max_size=2)), min_size=20, max_size=25
)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases=CASES)
@example(
    cases=[
        ({"a": [1]}, {"a": [1.0]}, {"a.+0": "1"}),
        ({"a": [1]}, {"a": [True]}, {"a. 0": "1"}),
        ({"a": [1]}, {"a": []}, {"a.0000000000": "1"}),
        ({"a": 1e23}, {"a": 10**23}, {"a": "1" + "0" * 23}),
        ({"a": [[1], 2]}, {"a": [1]}, {"a.0.0": "1"}),
        ({"a": None}, {"a": None}, {"a": "null"}),
    ]
)
def test_three_readings_agree(sqlite_scene: Scene, postgres_scene: Scene, cases: list[Any]) -> None:
    expected = [
        {f"contains-{number}" for number, (data, part, _) in enumerate(cases) if contains(data, part)}
        | {f"match-{number}" for number, (data, _, match) in enumerate(cases) if matches_text(data, match)}
    ]
    assert [resumed(scene, cases) for scene in (sqlite_scene, postgres_scene)] == expected * 2


def resumed(scene: Scene, cases: list[Any]) -> set[str]:
    """The executions whose waits the door's events resumed, in a database that is emptied first."""
    for table in ("workflow_wait_executions", "workflow_events", "workflow_wait_transitions"):
        scene.sql(f"DELETE FROM {table}")
    scene.on_the_real_clock()

    def listen(connection: sa.Connection) -> None:
        for number, (_, part, match) in enumerate(cases):
            asked: dict[str, Any] = {"contact": f"c{number}", "connection": connection}
            scene.listen(execution=f"contains-{number}", match_json=part, **asked)
            scene.listen(execution=f"match-{number}", match=match, **asked)

    scene.database.write(listen)
    for number, (data, _, _) in enumerate(cases):
        scene.sql(
            "INSERT INTO workflow_events (event_type, contact_id, data) VALUES ('email_open', :contact, :data)"
            if scene.database.is_sqlite
            else "INSERT INTO workflow_events (event_type, contact_id, data) "
            "VALUES ('email_open', :contact, CAST(:data AS jsonb))",
            contact=f"c{number}",
            data=json.dumps(data),
        )
    scene.tick()
    found = scene.sql("SELECT workflow_execution_id FROM workflow_wait_executions WHERE status = 'resumed'")
    return {row[0] for row in found}


CONDITIONS: list[dict[str, Any]] = [
    {"human": True},
    {"where": "event.data.a == 1"},
    {"where": "event.data.a == event.data.b"},
    {"where": "event.data.a > 0.5 && !has(event.data.b)"},
    {"where": "size(event.data.a) == 1"},
    {"where": "event.data.a.exists(x, x == '1')"},
    {"where": "event.data.b"},
    {"where": "event.contact.startsWith('c') && event.data.a != null", "human": True},
    {"count": 2, "distinct": "a"},
    {"count": 2, "distinct": "a.b"},
    {"count": 2, "distinct": "b.0"},
]
MARKED = st.builds(
    lambda data, mark: data | mark,
    OBJECTS,
    st.sampled_from([{}] * 3 + [{"machine": value} for value in (True, False, "true", "unknown", 1, [True], None)]),
)


@settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
@given(documents=st.lists(MARKED, min_size=8, max_size=10))
@example(
    documents=[
        {"a": 1, "machine": True},
        {"a": 1.0, "b": 1},
        {"a": 1e16, "b": 10**16},
        {"a": [1], "b": "x"},
        {"a": ["1"]},
        {"a": {"b": "é" * 70}, "b": True},
        {"a": "é" * 65},
        {"a": None},
    ]
)
def test_conditions_mean_the_same(sqlite_scene: Scene, postgres_scene: Scene, documents: list[dict[str, Any]]) -> None:
    """The domain's own reading of listener and event, and what both databases count."""
    query = [EventQuery(("page_visit",), **condition).checked() for condition in CONDITIONS]
    expected = {
        (number, place)
        for number, data in enumerate(documents)
        for place, each in enumerate(query)
        for listener in each.listeners("l", "c", now=NOON, timeout_at=None)
        if listener.matches(replace(make_event("page_visit", "c", data=data), received_at=NOON))
    }
    assert [counted(scene, documents) for scene in (sqlite_scene, postgres_scene)] == [expected] * 2


def counted(scene: Scene, documents: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """Which document fits which condition, in a database that is emptied first."""
    for table in ("workflow_wait_executions", "workflow_events", "workflow_wait_transitions"):
        scene.sql(f"DELETE FROM {table}")
    waits = {}

    def set_up(connection: sa.Connection) -> None:
        for number in range(len(documents)):
            for place, condition in enumerate(CONDITIONS):
                asked: dict[str, Any] = {
                    "execution": f"{number}-{place}",
                    "contact": f"c{number}",
                    "connection": connection,
                }
                waits[scene.listen("page_visit", **asked, **condition).id] = (number, place)
        scene.events.store(
            connection, [make_event("page_visit", f"c{number}", data=data) for number, data in enumerate(documents)]
        )

    scene.database.write(set_up)
    found = scene.sql("SELECT id FROM workflow_wait_executions WHERE status = 'resumed'")
    found = [*found, *scene.sql("SELECT wait_id FROM workflow_listener_matches")]
    return {waits[str(row[0])] for row in found}


NUMBERS = ["1e2", "1.10", "100", "1E+2", "-0", "-0.0", "0e5", "1.0", "12345678901234567890.5", "0.1e-6"]


def test_numbers_match_by_the_text_that_jsonb_gives_them(scene: Scene) -> None:
    """However another system wrote them at the inbox table."""
    scene.on_the_real_clock()
    texts = ["100", "1.10", "100", "100", "0", "0.0", "0", "1.0", "12345678901234567890.5", "0.0000001"]
    waits = [
        scene.listen(execution=f"e{number}", contact=f"c{number}", match={"n": text})
        for number, text in enumerate(texts)
    ]
    for number, written in enumerate(NUMBERS):
        scene.insert_event(contact_id=f"c{number}", data=f'{{"n": {written}}}')
    scene.tick()
    missed = [NUMBERS[number] for number, wait in enumerate(waits) if scene.get(wait).status == "waiting"]
    assert missed == []
