"""Waits for several events: every one of them, the same one several times, either of some and one of others."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import pytest

from tests.invariants import invariants
from tests.scene import MINUTE, NOON, Scene
from waitctl import EventQuery, WaitStepExecution
from waitctl.application.documents import listener_document
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidInputError, WaitAlreadyOpenError
from waitctl.domain.hours import parse_hours
from waitctl.domain.intents import Rules
from waitctl.domain.listeners import Mode, progress
from waitctl.domain.waits import NOT_ASKED

ALL = Mode.ALL


@pytest.fixture(autouse=True)
def _in_order(scene: Scene) -> Any:
    yield
    with scene.database.read() as connection:
        invariants(connection)


def heard(wait: WaitStepExecution) -> dict[str, str]:
    return {listener.event_type: listener.status.value for listener in wait.listeners}


# -- all ---------------------------------------------------------------------------------------------------------------


def test_all_waits_for_every_one_in_any_order(scene: Scene) -> None:
    wait = scene.listen("email_open", "form_submit", mode=ALL, handler="nudge")
    first = scene.at(1).record("form_submit")
    assert first.matched == ()
    halfway = scene.get(wait)
    assert (halfway.status, progress(halfway.listeners)) == ("waiting", (1, 2))
    assert heard(halfway) == {"email_open": "active", "form_submit": "matched"}
    second = scene.at(2).record("email_open")
    assert second.matched == (wait.id,)
    ended = scene.get(wait)
    assert (ended.status, ended.resolution, ended.resolution_event_id) == ("resumed", "event", second.event_id)
    assert {each.event_type: (each.matched_event_id, each.matched_at) for each in ended.listeners} == {
        "form_submit": (first.event_id, NOON + MINUTE),
        "email_open": (second.event_id, NOON + 2 * MINUTE),
    }
    assert [delivery.outcome for delivery in ended.deliveries] == ["event"]
    assert scene.waits.get_history(wait.id)[-1].reason.endswith(f"event {second.event_id}")
    assert {event.id: event.matched for event in scene.events.list_events()} == {
        first.event_id: (wait.id,),
        second.event_id: (wait.id,),
    }


def test_the_same_one_twice_is_not_both(scene: Scene) -> None:
    wait = scene.listen("email_open", "form_submit", mode=ALL)
    opened = scene.record("email_open")
    assert scene.record("email_open").matched == ()
    assert progress(scene.get(wait).listeners) == (1, 2)
    scene.record("form_submit")
    matched = {each.event_type: each.matched_event_id for each in scene.get(wait).listeners}
    assert matched["email_open"] == opened.event_id, "the oldest that fits"


def test_alternatives_of_a_group_close_with_it(scene: Scene) -> None:
    wait = scene.listen("email_open|email_click", "form_submit", mode=ALL)
    scene.record("email_click")
    assert heard(scene.get(wait)) == {"email_open": "cancelled", "email_click": "matched", "form_submit": "active"}
    scene.record("email_open")
    assert scene.statuses(wait) == "waiting"
    assert scene.record("form_submit").matched == (wait.id,)


def test_all_in_one_batch(scene: Scene) -> None:
    scene.on_the_real_clock()
    wait = scene.listen("email_open", "email_click", "form_submit", mode=ALL)
    for name in ("form_submit", "email_open", "email_open", "email_click"):
        scene.insert_event(name)
    assert scene.tick().resumed == 1
    ended = scene.get(wait)
    assert set(heard(ended).values()) == {"matched"}
    assert ended.resolution_event_id in {each.matched_event_id for each in ended.listeners}


# -- count -------------------------------------------------------------------------------------------------------------


def test_count_waits_for_the_same_one_n_times(scene: Scene) -> None:
    wait = scene.listen("page_visit", count=3)
    scene.record("page_visit", external_id="1")
    assert scene.record("page_visit", external_id="1").duplicate
    scene.record("page_visit", external_id="2")
    (listener,) = scene.get(wait).listeners
    assert (listener.status, listener.matched_count, listener.needed) == ("active", 2, 3)
    assert progress(scene.get(wait).listeners) == (2, 3)
    third = scene.record("page_visit", external_id="3")
    assert third.matched == (wait.id,)
    (listener,) = scene.get(wait).listeners
    assert (listener.status, listener.matched_count, listener.matched_event_id) == ("matched", 3, third.event_id)


def test_count_in_one_batch_takes_the_oldest(scene: Scene) -> None:
    scene.on_the_real_clock()
    wait = scene.listen("page_visit", count=2, step_id="1")
    for _ in range(3):
        scene.insert_event("page_visit")
    assert scene.tick().resumed == 1
    (listener,) = scene.get(wait).listeners
    oldest = [event.id for event in sorted(scene.events.list_events(), key=attrgetter("received_at", "id"))]
    assert (listener.matched_count, listener.matched_event_id) == (2, oldest[1])
    later = scene.listen("page_visit", step_id="2")
    assert later.resolution_event_id == oldest[2], "the two that were counted are consumed"


def test_count_of_distinct_texts(scene: Scene) -> None:
    wait = scene.listen("page_visit", count=3, distinct="page.url")
    long = "x" * 5000
    for data in (
        {"page": {"url": "/a"}},
        {"page": {"url": "/a"}},
        {},
        {"page": {"url": None}},
        {"page": {"url": ["/b"]}},
    ):
        scene.record("page_visit", data=data)
    assert progress(scene.get(wait).listeners) == (1, 3)
    scene.record("page_visit", data={"page": {"url": long}})
    scene.record("page_visit", data={"page": {"url": long}})
    assert progress(scene.get(wait).listeners) == (2, 3)
    assert scene.record("page_visit", data={"page": {"url": long + "y"}}).matched == (wait.id,)


def test_distinct_texts_in_one_batch(scene: Scene) -> None:
    scene.on_the_real_clock()
    wait = scene.listen("page_visit", count=2, distinct="n")
    for data in ('{"n": 1}', '{"n": "1"}', '{"n": true}', "{}"):
        scene.insert_event("page_visit", data=data)
    assert scene.tick().resumed == 1
    assert scene.get(wait).listeners[0].matched_count == 2


def test_count_of_one_is_a_plain_wait(scene: Scene) -> None:
    wait = scene.listen("page_visit", count=1, exclusive=True)
    assert "count" not in wait.wait_config
    assert scene.record("page_visit").matched == (wait.id,)
    assert scene.get(wait).listeners[0].matched_count == 1
    assert scene.sql("SELECT count(*) FROM workflow_listener_matches")[0][0] == 0


# -- what holds for any wait holds for groups --------------------------------------------------------------------------


def test_conditions_hold_for_each_event(scene: Scene) -> None:
    wait = scene.listen("email_open", "form_submit", mode=ALL, match={"n": "1"}, where="event.data.m > 1", human=True)
    scene.record("email_open", data={"n": 1, "m": 1})
    scene.record("email_open", data={"n": 1, "m": 2, "machine": True})
    scene.record("email_open", data={"n": 2, "m": 2})
    scene.record("email_open", data={"n": 1})
    assert progress(scene.get(wait).listeners) == (0, 2)
    scene.record("email_open", data={"n": 1, "m": 2})
    assert progress(scene.get(wait).listeners) == (1, 2)
    assert scene.record("form_submit", data={"n": 1, "m": 2}).matched == (wait.id,)


def test_where_with_a_count(scene: Scene) -> None:
    wait = scene.listen("page_visit", count=2, distinct="u", where="event.data.n > 1")
    for n, url in ((2, "a"), (3, "a"), (1, "b"), (2, "b")):
        assert scene.get(wait).status == "waiting"
        scene.record("page_visit", data={"n": n, "u": url})
    assert scene.statuses(wait) == "resumed"


def test_a_lookback_counts_too(scene: Scene) -> None:
    scene.record("page_visit")
    scene.at(0.5).record("email_open")
    wait = scene.at(0.6).listen("email_open", "form_submit", mode=ALL)
    assert (wait.status, progress(wait.listeners)) == ("waiting", (1, 2))
    scene.record("form_submit")
    assert scene.statuses(wait) == "resumed"
    several = scene.listen("page_visit", count=2, execution="other")
    assert (several.status, progress(several.listeners)) == ("waiting", (1, 2))
    whole = scene.listen("email_open", "page_visit", mode=ALL, execution="whole", handler="nudge")
    assert (whole.status, len(whole.deliveries)) == ("resumed", 1)
    assert whole.resolution_event_id == scene.events.list_events(event_type="email_open")[0].id, "the newest of them"


def test_what_a_resumed_group_counted_is_consumed(scene: Scene) -> None:
    scene.listen("page_visit", count=2, step_id="1")
    scene.record("page_visit")
    scene.record("page_visit")
    assert scene.listen("page_visit", step_id="2").status == "waiting"
    assert scene.listen("page_visit", count=2, step_id="3").listeners[0].matched_count == 0
    assert scene.listen("page_visit", count=2, execution="other").status == "resumed"


def test_cancelling_a_group_releases_what_it_counted(scene: Scene) -> None:
    wait = scene.listen("page_visit", count=2, step_id="1")
    scene.record("page_visit")
    scene.waits.cancel_wait(wait.id)
    assert heard(scene.get(wait)) == {"page_visit": "cancelled"}
    assert scene.listen("page_visit", step_id="2").status == "resumed"


def test_groups_and_plain_waits_share_an_event(scene: Scene) -> None:
    waits = [
        scene.listen("email_open", step_id="1"),
        scene.listen("email_open", step_id="2", exclusive=True),
        scene.listen("email_open", step_id="3", where="true"),
        scene.listen("email_open", "form_submit", step_id="4", mode=ALL),
        scene.listen("email_open", step_id="5", count=2),
    ]
    scene.record("form_submit")
    matched = scene.record("email_open").matched
    assert set(matched) == {wait.id for wait in waits[:4]}
    assert progress(scene.get(waits[4]).listeners) == (1, 2)


@pytest.mark.parametrize("received", [59.9, 60, 62])
def test_each_event_must_be_in_time(scene: Scene, received: float) -> None:
    wait = scene.listen("email_open", "form_submit", mode=ALL, timeout="1h", grace="5m")
    scene.at(10).record("email_open")
    scene.at(received).tick()
    early = NOON + 59 * MINUTE
    scene.record("form_submit", occurred_at=early if received == 62 else None)
    assert scene.statuses(wait) == ("waiting" if received == 60 else "resumed")


def test_a_timeout_closes_what_is_left(scene: Scene) -> None:
    wait = scene.listen("email_open", "form_submit", "sms_reply", mode=ALL, timeout="1h", handler="nudge")
    first = min(wait.listeners, key=lambda listener: listener.id)
    scene.at(1).record(first.event_type)
    assert scene.at(61).tick().timed_out == 1
    ended = scene.get(wait)
    assert (ended.status, ended.resolution_event_id) == ("timeout", None)
    assert sorted(heard(ended).values()) == ["expired", "expired", "matched"]
    assert [delivery.outcome for delivery in ended.deliveries] == ["timeout"]


def test_a_group_that_is_complete_outside_its_window_is_parked(scene: Scene) -> None:
    rules = Rules(window=parse_hours("mon-fri 09:00-17:00", "--window"))
    for contact, where in (("ada", None), ("eve", "true")):
        scene.at(0)
        asked: dict[str, Any] = {"mode": ALL, "rules": rules, "where": where, "contact": contact, "execution": contact}
        wait = scene.listen("email_open", "form_submit", **asked)
        scene.at(1).record("email_open", contact)
        second = scene.at(2).record("form_submit", contact)  # NOON is on a Sunday
        assert second.matched == ()
        parked = scene.get(wait)
        assert (parked.status, parked.resolution_event_id, parked.timeout_at) == ("scheduled", second.event_id, None)
        assert parked.scheduled_at is not None and parked.scheduled_at.isoformat() == "2026-03-02T09:00:00+00:00"
        assert set(heard(parked).values()) == {"matched"}
        scene.at(21 * 60).tick()
        ended = scene.get(wait)
        assert (ended.status, ended.resolution) == ("resumed", "event")


def test_a_group_whose_window_is_open_resumes(scene: Scene) -> None:
    rules = Rules(window=parse_hours("mon-sun 09:00-17:00", "--window"))
    wait = scene.listen("page_visit", count=2, rules=rules)
    scene.record("page_visit")
    assert scene.record("page_visit").matched == (wait.id,)


def test_matches_go_with_their_wait(scene: Scene) -> None:
    wait = scene.listen("page_visit", count=2)
    scene.record("page_visit")
    assert scene.sql("SELECT count(*) FROM workflow_listener_matches")[0][0] == 1
    for table, column in (("executions", "id"), ("transitions", "wait_id"), ("deliveries", "wait_id")):
        scene.sql(f"DELETE FROM workflow_wait_{table} WHERE {column} = :id", id=wait.id)
    assert scene.sql("SELECT count(*) FROM workflow_listener_matches")[0][0] == 0


# -- asked and shown ---------------------------------------------------------------------------------------------------

QUERIES = [
    EventQuery(("email_open",)),
    EventQuery(("email_open", "sms_reply"), human=True, where="event.data.n > 1", exclusive=True),
    EventQuery(("email_open|email_click", "form_submit"), mode=ALL, timeout=parse_duration("2d")),
    EventQuery(("page_visit",), count=3, distinct="page.url", match={"n": "1"}),
    EventQuery(("page_visit",), count=1000, match_json={"n": 1}),
]


@pytest.mark.parametrize("query", QUERIES, ids=range(len(QUERIES)))
def test_what_was_asked_is_read_back(query: EventQuery) -> None:
    assert EventQuery.from_config(query.checked().to_config()) == query


def test_the_intent_of_a_plain_wait_is_what_it_was(scene: Scene) -> None:
    """Else the same create, run again after an upgrade, would find another wait in its way."""
    assert set(scene.listen().wait_config) - NOT_ASKED == {
        *("events", "match", "match_json", "timeout", "lookback", "grace", "exclusive")
    }


@pytest.mark.parametrize("other", [{"mode": ALL}, {"where": "true"}, {"human": True}], ids=["all", "where", "human"])
def test_another_condition_is_another_wait(scene: Scene, other: dict[str, Any]) -> None:
    first = scene.listen("email_open", "sms_reply")
    assert scene.listen("email_open", "sms_reply").id == first.id
    with pytest.raises(WaitAlreadyOpenError):
        scene.listen("email_open", "sms_reply", **other)


def test_the_listeners_document_says_how_far_it_is(scene: Scene) -> None:
    wait = scene.listen("page_visit", count=3, distinct="u", human=True)
    scene.record("page_visit", data={"u": 1})
    document = listener_document(scene.get(wait).listeners[0])
    asked = {name: document[name] for name in ("group", "needed", "matched_count", "human", "distinct", "diagnostic")}
    assert asked == {"group": 1, "needed": 3, "matched_count": 1, "human": True, "distinct": "u", "diagnostic": None}


@pytest.mark.parametrize(
    "query",
    [
        EventQuery(("a|b",)),
        EventQuery(("a|b", "b"), mode=ALL),
        EventQuery(("a|",), mode=ALL),
        EventQuery(("a",), count=0),
        EventQuery(("a",), count=1001),
        EventQuery(("a",), count=2, mode=ALL),
        EventQuery(("a", "b"), count=2),
        EventQuery(("a",), distinct="k"),
        EventQuery(("a",), distinct="k", count=1),
        EventQuery(("a",), distinct="", count=2),
        EventQuery(("a",), count=2, exclusive=True),
        EventQuery(("a", "b"), mode=ALL, exclusive=True),
        EventQuery(("a",), where="nope"),
    ],
    ids=str,
)
def test_queries_that_cannot_be_asked(query: EventQuery) -> None:
    with pytest.raises(InvalidInputError) as refused:
        query.checked()
    assert refused.value.message
