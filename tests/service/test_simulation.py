"""Playing through what would happen: on a copy, by its clock, from one ending to the next."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.moving import exported, fill
from tests.scene import MINUTE, NOON, Scene
from waitctl import Late, Rules, Settings, WaitSpec, parse_hours
from waitctl.application.operations.expectations import COMPARED, Expectation
from waitctl.application.operations.simulation import FIELDS, Simulation, copied, read_events
from waitctl.application.waits.recurring import RecurrenceService
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidEventError, InvalidInputError, InvalidSettingError
from waitctl.domain.recurrence import RecurrenceRule
from waitctl.domain.text import to_json

DAY = timedelta(days=1)


def numbered(*documents: dict[str, Any]) -> list[tuple[int, bytes]]:
    return [(number, to_json(document).encode()) for number, document in enumerate(documents, 1)]


def simulated(scene: Scene, days: float, *events: dict[str, Any], **given_: Any) -> list[tuple[float, str, str]]:
    """What would end: days from now, the execution, how."""
    with copied(scene.database, Settings(scene.url, **given_)) as copy:
        start = copy.as_of
        assert start is not None
        simulation = Simulation(copy, Settings(scene.url, **given_), read_events(numbered(*events)))
        found = list(simulation.run(start + days * DAY))
    assert [each.at for each in found] == sorted(each.at for each in found)
    return [(each.after / DAY, each.wait.workflow_execution_id, each.wait.resolution) for each in found]


def test_a_month_in_its_order(scene: Scene) -> None:
    """What is due, what times out, and what comes again; at the very instants, and what is later is left out."""
    scene.create("3d", "nudge", handler="nudge")
    scene.create("31d", "too late")
    scene.listen(execution="answers", timeout="2d", grace="1d")
    scene.listen("form_submit", execution="never ends", timeout=None)
    rule = RecurrenceRule(every=parse_duration("10d"))
    RecurrenceService(scene.database).create(rule, WaitSpec("again"))
    found = simulated(scene, 30)
    assert sorted(found[:2]) == [(3, "answers", "timeout"), (3, "nudge", "due")]
    assert found[2:] == [(10, "again", "due"), (20, "again", "due"), (30, "again", "due")]


def test_events_come_at_their_instants(scene: Scene) -> None:
    scene.listen(execution="answers", timeout="2d", handler="thanks")
    scene.listen(execution="too late", timeout="6h")
    rule = RecurrenceRule(every=parse_duration("1d"))
    RecurrenceService(scene.database).create(rule, WaitSpec("again", contact_id="ada"), stop_on="form_submit")
    late = {"type": "form_submit", "contact": "ada", "at": "2026-03-04T00:00:00Z"}
    open_ = {"type": "email_open", "contact": " ada", "at": "2026-03-02T00:00:00Z", "id": "1"}
    far = {"type": "email_open", "contact": "ada", "at": "2027-03-02T00:00:00Z"}
    found = simulated(scene, 30, late, open_, open_, far)
    assert [each for each in found if each[1] != "again"] == [(0.25, "too late", "timeout"), (0.5, "answers", "event")]
    assert [each for each in found if each[1] == "again" and each[2] == "due"] == [
        (1, "again", "due"),
        (2, "again", "due"),
    ]
    assert (2.5, "again", "event") in found and (2.5, "again", "cancelled") in found


def test_what_is_overdue_ends_at_once_and_windows_hold(scene: Scene) -> None:
    scene.create("1m", "overdue")
    window = Rules(window=parse_hours("09:00-10:00"), late=Late.NEXT_WINDOW)
    scene.create("21h", "in its window", rules=window)
    scene.at(60)
    assert simulated(scene, 2) == [(0, "overdue", "due"), (20 / 24, "in its window", "due")]


def test_nothing_of_the_database_changes(scene: Scene, tmp_path: Path) -> None:
    fill(scene, tmp_path)
    before = exported(scene.url)
    answer = {"type": "page_visit", "contact": "eve", "at": "2026-03-02T00:00:00Z"}
    found = simulated(scene, 40, answer)
    assert len(found) > 40 and "listens" in {execution for _, execution, _ in found}
    assert exported(scene.url) == before
    assert simulated(scene, 40, answer) == found
    assert not (tmp_path / "nudge.out").exists()


def test_no_handler_runs_but_the_given_ones(scene: Scene, tmp_path: Path) -> None:
    """They run by the copy's clock, and are tried again by it; all others are delivered at once."""
    out = scene.handle(tmp_path, 'echo "$WAITCTL_AS_OF $WAITCTL_ATTEMPT" >> "$OUT"; exit 1', max_attempts=2)
    given_ = dict(scene.handlers)
    never = scene.handle(tmp_path, 'echo no > "$OUT"', "mail")
    scene.create("1d", "a", handler="nudge")
    scene.create("1d", "b", handler="mail")
    assert simulated(scene, 2, handlers=given_) in (
        [(1, "a", "due"), (1, "b", "due")],
        [(1, "b", "due"), (1, "a", "due")],
    )
    (first, attempt), (second, next_attempt) = (line.split() for line in out.read_text().splitlines())
    assert (attempt, next_attempt) == ("1", "2")
    due = NOON + DAY
    assert datetime.fromisoformat(first) == due < datetime.fromisoformat(second) < due + MINUTE
    assert not never.exists()


def test_a_flow_goes_on_in_the_copy(scene: Scene, tmp_path: Path) -> None:
    """A handler that creates the next wait creates it in the copy, at the instant that it is there."""
    step = 'waitctl create fixed-time 2d -e "$WAITCTL_EXECUTION_ID" -s next -q'
    scene.handle(tmp_path, step)
    scene.create("1d", "flow", handler="nudge")
    before = exported(scene.url)
    assert simulated(scene, 30, handlers=scene.handlers) == [(1, "flow", "due"), (3, "flow", "due")]
    assert exported(scene.url) == before


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"type": "email_open", "contact": "ada"}, "line 1: 'at' is missing"),
        ({"type": "email_open"}, "line 1: 'contact' is missing"),
        ({"type": "email_open", "contact": "ada", "at": "soon"}, "line 1: "),
        ({"type": "unheard", "contact": "ada", "at": "2026-03-01T13:00:00Z"}, "line 1: "),
    ],
)
def test_events_that_are_none(scene: Scene, document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEventError, match=message):
        simulated(scene, 1, document)


def test_until_lies_ahead(scene: Scene) -> None:
    assert simulated(scene, 0) == []
    with pytest.raises(InvalidSettingError, match="is past"):
        simulated(scene, -1)


MINUTES = st.integers(0, 12)


@settings(max_examples=12, suppress_health_check=list(HealthCheck))
@given(due=st.lists(MINUTES, max_size=5), deadlines=st.lists(MINUTES, max_size=5), opens=st.lists(MINUTES, max_size=3))
def test_it_shows_what_ticks_at_every_minute_do(
    sqlite_scene: Scene, due: Sequence[int], deadlines: Sequence[int], opens: Sequence[int]
) -> None:
    """Any waits and events: a tick at each minute ends the same, at the same minutes."""
    scene = sqlite_scene
    scene.at(0)
    contact = str(uuid.uuid4())  # whom no event of an example before is about
    for wait in scene.waits.list_waits(limit=1000)[0]:
        if wait.wait.status.is_open:
            scene.waits.cancel_wait(wait.wait.id)
    mine: dict[str, None] = {}
    for number, minutes in enumerate(due):
        mine[scene.create(f"{minutes + 1}m", f"d{number}-{id(due)}").wait.id] = None
    for number, minutes in enumerate(deadlines):
        mine[scene.listen(execution=f"l{number}-{id(due)}", contact=contact, timeout=f"{minutes + 1}m").id] = None
    played = [
        {"type": "email_open", "contact": contact, "at": (NOON + minute * MINUTE).isoformat()}
        for minute in sorted(opens)
        if minute
    ]
    with copied(scene.database, Settings(scene.url)) as copy:
        found = list(Simulation(copy, Settings(scene.url), read_events(numbered(*played))).run(NOON + 15 * MINUTE))
    shown = {each.wait.id: (each.at, each.wait.resolution) for each in found}
    for minute in range(16):
        scene.at(minute)
        for _ in range(sum(each == minute for each in opens if each)):
            scene.record(contact=contact)
        scene.tick()
    done = {wait_id: scene.get(wait_id) for wait_id in mine}
    assert shown == {wait_id: (wait.resolved_at, wait.resolution) for wait_id, wait in done.items()}


# -- what is expected --------------------------------------------------------------------------------------------------


def test_what_no_line_names_is_not_compared(scene: Scene) -> None:
    scene.create("1d", "a", handler="nudge")
    scene.create("2d", "b")
    with copied(scene.database, Settings(scene.url)) as copy:
        found = list(Simulation(copy, Settings(scene.url)).run(NOON + 3 * DAY))
    assert Expectation(numbered(*(each.to_json() for each in found))).difference(found) == []
    few = [{"at": "2026-03-02T13:00:00+01:00", "handler": "nudge"}, {"at": "2026-03-03T12:00:00Z"}]
    assert Expectation(numbered(*few)).difference(found) == []
    other = Expectation(numbered({"workflow_execution_id": "b"}, {"workflow_execution_id": "a"}))
    assert other.difference(found) == [
        "--- expected",
        "+++ simulated",
        "@@ -1,2 +1,2 @@",
        '+{"workflow_execution_id":"a"}',
        ' {"workflow_execution_id":"b"}',
        '-{"workflow_execution_id":"a"}',
    ]
    assert len(Expectation([]).difference(found)) == 5
    assert Expectation([]).difference([]) == []
    assert set(FIELDS) - set(COMPARED) == {"id"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"soon", "line 3: it is not valid JSON"),
        (b"[1]", "line 3: it is no JSON object"),
        (b'{"when": 1}', "line 3: there is no 'when'"),
        (b'{"at": "soon"}', "line 3: "),
    ],
)
def test_what_cannot_be_expected(line: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        Expectation([(3, line)])
