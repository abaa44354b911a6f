"""A condition means the same on SQLite, on PostgreSQL and in the domain: the real correlation on random JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.scene import MINUTE, NOON, Scene
from waitctl import EventQuery, Rules, WaitSpec, WaitStepExecution, make_event
from waitctl.domain.durations import parse_duration
from waitctl.domain.events import Event
from waitctl.domain.hours import parse_hours
from waitctl.domain.listeners import EventListener
from waitctl.domain.matching import contains, matches_text
from waitctl.domain.near_misses import Taker, matches
from waitctl.infrastructure.executor import Connection

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
    """The executions whose waits the inbox table's events resumed, in a database that is emptied first."""
    for table in ("workflow_wait_executions", "workflow_events", "workflow_wait_transitions"):
        scene.sql(f"DELETE FROM {table}")
    scene.on_the_real_clock()

    def listen(connection: Connection) -> None:
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
        if matches(listener, replace(make_event("page_visit", "c", data=data), received_at=NOON), open_wait(listener))
    }
    assert [counted(scene, documents) for scene in (sqlite_scene, postgres_scene)] == [expected] * 2


def open_wait(listener: EventListener, created_at: datetime = NOON, execution: str = "e") -> WaitStepExecution:
    spec = WaitSpec(execution, contact_id=listener.contact_id)
    return WaitStepExecution.for_event("w", spec, (listener,), {}, now=created_at, timeout_at=listener.timeout_at)


def counted(scene: Scene, documents: list[dict[str, Any]]) -> set[tuple[int, int]]:
    """Which document fits which condition, in a database that is emptied first."""
    for table in ("workflow_wait_executions", "workflow_events", "workflow_wait_transitions"):
        scene.sql(f"DELETE FROM {table}")
    waits = {}

    def set_up(connection: Connection) -> None:
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


# -- time, and what others have taken ----------------------------------------------------------------------------------


class TakenBy(Enum):
    """Who has taken the event before the wait is created."""

    NOBODY = auto()
    SAME_EXECUTION = auto()
    ANOTHER_EXCLUSIVELY = auto()
    ANOTHER = auto()
    CANCELLED_EXCLUSIVELY = auto()
    """Outside its window, so that it was scheduled; and then it was cancelled."""
    SCHEDULED = auto()
    """By a wait of the same execution, outside its window, which it is still to resume."""
    SCHEDULED_EXCLUSIVELY = auto()
    GROUP = auto()
    """The first of two that resumed a wait of the same execution."""


@dataclass(frozen=True)
class Meeting:
    """A wait and an event; minutes count from the wait's creation, ``nudge`` is in microseconds."""

    received: int
    nudge: int
    occurred: int | None
    expires: int | None
    lookback: int
    timeout: int | None
    grace: int
    exclusive: bool
    human: bool
    machine: bool
    taken_by: TakenBy

    @property
    def received_at(self) -> datetime:
        return CREATED_AT + self.received * MINUTE + timedelta(microseconds=self.nudge)

    @property
    def query(self) -> EventQuery:
        return EventQuery(
            ("email_open",),
            timeout=None if self.timeout is None else parse_duration(f"{self.timeout}m"),
            lookback=parse_duration(f"{self.lookback}m" if self.lookback else "0", zero=True),
            grace=parse_duration(f"{self.grace}m" if self.grace and self.timeout else "0", zero=True),
            exclusive=self.exclusive,
            human=self.human,
        ).checked()

    def event(self, contact: str) -> Event:
        return make_event(
            "email_open",
            contact,
            data={"machine": self.machine},
            occurred_at=None if self.occurred is None else CREATED_AT + self.occurred * MINUTE,
            expires_at=None if self.expires is None else CREATED_AT + self.expires * MINUTE,
        )

    @property
    def is_expected(self) -> bool:
        """By the domain's rule."""
        timeout_at = None if self.timeout is None else CREATED_AT + self.timeout * MINUTE
        (listener,) = self.query.listeners("l", "c", now=CREATED_AT, timeout_at=timeout_at)
        event = replace(self.event("c"), received_at=self.received_at)
        return matches(listener, event, open_wait(listener, CREATED_AT), self.takers)

    @property
    def takers(self) -> list[Taker]:
        if self.received_at > CREATED_AT or (self.expires is not None and self.expires <= self.received):
            return []  # nobody was there before
        same, other = ("e", False), ("other", False)
        execution, exclusive = {
            TakenBy.SAME_EXECUTION: same,
            TakenBy.SCHEDULED: same,
            TakenBy.GROUP: same,
            TakenBy.ANOTHER: other,
            TakenBy.ANOTHER_EXCLUSIVELY: ("other", True),
            TakenBy.CANCELLED_EXCLUSIVELY: ("other", True),
            TakenBy.SCHEDULED_EXCLUSIVELY: ("other", True),
        }.get(self.taken_by, (None, False))
        scheduled = self.taken_by in {TakenBy.SCHEDULED, TakenBy.SCHEDULED_EXCLUSIVELY}
        resumed = not scheduled and self.taken_by is not TakenBy.CANCELLED_EXCLUSIVELY
        return [] if execution is None else [Taker("e", "earlier", execution, exclusive, resumed, scheduled)]


CREATED_AT = NOON + 60 * MINUTE
MEETINGS = st.builds(
    Meeting,
    received=st.sampled_from([-5, -1, 0, 1, 10, 15]),
    nudge=st.sampled_from([-1, 0, 1]),
    occurred=st.none() | st.sampled_from([-5, 9, 10, 11]),
    expires=st.none() | st.sampled_from([-5, 0, 1, 10]),
    lookback=st.sampled_from([0, 1, 5]),
    timeout=st.none() | st.just(10),
    grace=st.sampled_from([0, 5]),
    exclusive=st.booleans(),
    human=st.booleans(),
    machine=st.booleans(),
    taken_by=st.sampled_from(TakenBy),
)
PLAIN = Meeting(0, 0, None, None, 1, 10, 5, False, False, False, TakenBy.NOBODY)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(meetings=st.lists(MEETINGS, min_size=12, max_size=16))
@example(meetings=[replace(PLAIN, received=-1, nudge=nudge) for nudge in (-1, 0, 1)])
@example(meetings=[replace(PLAIN, received=10, nudge=nudge) for nudge in (-1, 0, 1)])
@example(meetings=[replace(PLAIN, received=11, occurred=occurred) for occurred in (None, 9, 10, 11)])
@example(meetings=[replace(PLAIN, received=15, nudge=nudge, occurred=9) for nudge in (-1, 0, 1)])
@example(meetings=[replace(PLAIN, received=0, expires=expires) for expires in (-5, 0, 1)])
@example(meetings=[replace(PLAIN, received=-1, taken_by=taken_by) for taken_by in TakenBy])
@example(meetings=[replace(PLAIN, received=-1, taken_by=taken_by, exclusive=True) for taken_by in TakenBy])
def test_time_and_takers_mean_the_same(sqlite_scene: Scene, postgres_scene: Scene, meetings: list[Meeting]) -> None:
    expected = [number for number, meeting in enumerate(meetings) if meeting.is_expected]
    for scene in (sqlite_scene, postgres_scene):
        for table in ("workflow_wait_executions", "workflow_events", "workflow_wait_transitions"):
            scene.sql(f"DELETE FROM {table}")
        assert [number for number, meeting in enumerate(meetings) if took_place(scene, meeting, number)] == expected


def took_place(scene: Scene, meeting: Meeting, number: int) -> bool:
    """Whether wait and event of a meeting, each at its instant, come together in this database."""
    contact, execution = f"c{number}", f"e{number}"
    event = meeting.event(contact)

    def listen() -> WaitStepExecution:
        scene.database.as_of = CREATED_AT
        return scene.waits.create_event_wait(meeting.query, WaitSpec(execution, "s", contact_id=contact)).wait

    def record() -> None:
        scene.database.as_of = meeting.received_at
        earlier = begin_to_take(scene, meeting, contact, execution) if meeting.takers else None
        scene.events.record(event)
        if meeting.taken_by is TakenBy.GROUP and earlier is not None:
            scene.record(contact=contact)
        if meeting.taken_by is TakenBy.CANCELLED_EXCLUSIVELY and earlier is not None:
            scene.waits.cancel_wait(earlier.id)

    if meeting.received_at > CREATED_AT:
        wait = listen()
        record()
    else:
        record()
        wait = listen()
    return scene.get(wait).resolution_event_id == event.id


def begin_to_take(scene: Scene, meeting: Meeting, contact: str, execution: str) -> WaitStepExecution:
    (taker,) = meeting.takers
    closed = TakenBy.SCHEDULED, TakenBy.SCHEDULED_EXCLUSIVELY, TakenBy.CANCELLED_EXCLUSIVELY
    asked: dict[str, Any] = {"count": 2} if meeting.taken_by is TakenBy.GROUP else {"exclusive": taker.exclusive}
    if meeting.taken_by in closed:
        asked["rules"] = Rules(window=parse_hours("sat 03:00-04:00"))
    return scene.listen(
        execution=execution if taker.workflow_execution_id == "e" else f"other-{execution}",
        contact=contact,
        timeout=None,
        lookback="0",
        step_id="earlier",
        **asked,
    )


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
