"""Why an event did not match, and what a wait is still waiting for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scene import NOON, Scene
from waitctl import WhyService
from waitctl.domain.errors import EventNotFoundError, WaitExecutionNotFoundError
from waitctl.domain.listeners import Mode


def reasons(scene: Scene, wait_id: str) -> list[tuple[str, str]]:
    found, at_once = (WhyService(scene.database).why_wait(wait_id, at_once=brief) for brief in (False, True))
    assert at_once == found  # a screen looks less far
    return [(each.miss.term, each.miss.reason) for each in found.misses]


def why_not(scene: Scene, **fields: Any) -> list[tuple[str, str]]:
    """Record an event and say why it matched nothing."""
    result = scene.record(**fields)
    assert result.matched == ()
    found, at_once = (
        WhyService(scene.database).why_event(str(result.event_id), at_once=each) for each in (False, True)
    )
    assert at_once == found  # a screen looks less far
    return [(each.miss.term, each.miss.reason) for each in found.misses]


@pytest.mark.parametrize(
    ("asked", "event", "term", "reason"),
    [
        ({}, {"event_type": "sms_reply"}, "type", "type: it is sms_reply, wanted email_open"),
        ({"match": {"plan": "free"}}, {"data": {"plan": "pro"}}, "match", "match: plan is `pro`, wanted `free`"),
        ({"match": {"a.b": "1"}}, {"data": {"a": {}}}, "match", "match: a.b is missing, wanted `1`"),
        (
            {"match_json": {"n": [1]}},
            {"data": {"n": [2]}},
            "match-json",
            'match-json: the data does not contain {"n":[1]}',
        ),
        ({"human": True}, {"data": {"machine": True}}, "human", "human: a machine caused it"),
        ({"count": 2, "distinct": "url"}, {}, "distinct", "distinct: url is missing"),
        ({"where": "event.data.n > 3"}, {"data": {"n": 3}}, "where", "where: event.data.n > 3 is false"),
        ({"where": "event.data.n > 3"}, {}, "where", "where: error: no such key: n"),
    ],
)
def test_first_failing_term(scene: Scene, asked: dict[str, Any], event: dict[str, Any], term: str, reason: str) -> None:
    wait = scene.listen(**asked)
    assert why_not(scene, **event) == [(term, reason)]
    assert reasons(scene, wait.id) == [(term, reason)]


def test_received_before_the_look_back(scene: Scene) -> None:
    scene.record()
    wait = scene.at(5).listen()
    assert reasons(scene, wait.id) == [("time", "received 4 min before the look-back began, at 2026-03-01T12:04:00Z")]


def test_received_after_the_deadline(scene: Scene) -> None:
    scene.listen(timeout="1h")
    assert why_not(scene.at(60 + 4 / 60)) == [("time", "received 4 s after the deadline")]


def test_received_within_the_grace_but_happened_too_late(scene: Scene) -> None:
    scene.listen(timeout="1h", grace="1h")
    assert why_not(scene.at(62)) == [
        ("time", "received 2 min after the deadline: within the grace, but it does not say when it happened")
    ]
    assert why_not(scene, occurred_at=scene.at(61).database.as_of)[0][1].endswith("but it happened after it, too")


def test_the_wait_had_ended(scene: Scene) -> None:
    wait = scene.listen(timeout=None)
    scene.waits.cancel_wait(wait.id)
    assert why_not(scene.at(3)) == [("wait", "wait: it had been cancelled 3 min before")]
    other = scene.at(4).listen(execution="other", lookback="0", timeout=None)
    scene.waits.resume_wait(other.id)
    assert ("wait", "wait: it had ended (manual) 1 min before") in why_not(scene.at(5))


def test_taken_by_an_earlier_wait(scene: Scene) -> None:
    first = scene.listen(execution="a", exclusive=True)
    second = scene.listen(execution="b", exclusive=True)
    scene.record()
    assert scene.statuses(first, second) == "resumed waiting"
    assert reasons(scene, second.id) == [("taken", f"taken: wait {first.id} took it exclusively")]
    assert reasons(scene, first.id) == []


def test_consumed_by_the_same_execution(scene: Scene) -> None:
    first = scene.listen()
    scene.record()
    again = scene.listen(step_id="again")
    assert reasons(scene, again.id) == [("taken", f"taken: wait {first.id} of the same execution was resumed by it")]


def test_another_event_was_first(scene: Scene) -> None:
    scene.record(external_id="1")
    scene.record(external_id="2")
    wait = scene.at(0.5).listen()
    assert [term for term, _ in reasons(scene, wait.id)] == ["order"]


def test_not_correlated_yet(scene: Scene) -> None:
    wait = scene.listen(timeout=None)
    scene.insert_event()
    assert reasons(scene, wait.id) == [("correlation", "it is not correlated yet: the next tick does it")]


def test_a_group_that_has_had_it(scene: Scene) -> None:
    wait = scene.listen("email_open", "form_submit", mode=Mode.ALL)
    for number in "12":
        scene.record(external_id=number)
    assert reasons(scene, wait.id)[0] == ("order", "this wait has had its email_open already")


def test_contact_that_is_spelled_nearly_so(scene: Scene) -> None:
    wait = scene.listen(contact="ada@example.org")
    assert why_not(scene, contact="ada@exmple.org") == [
        ("contact", "contact: it is ada@exmple.org, wanted ada@example.org")
    ]
    assert reasons(scene, wait.id) == [("contact", "contact: it is ada@exmple.org, wanted ada@example.org")]
    assert why_not(scene, contact="somebody@else.example") == []


def test_nearest_first(scene: Scene) -> None:
    wait = scene.listen(match={"plan": "free"}, where="event.data.n > 3")
    scene.record("sms_reply")
    scene.record(data={"plan": "free", "n": 1})
    scene.record(data={"plan": "pro"})
    assert [term for term, _ in reasons(scene, wait.id)] == ["where", "match", "type"]
    assert len(WhyService(scene.database).why_wait(wait.id, limit=1).misses) == 1


@pytest.mark.parametrize(
    ("options", "events", "wanted"),
    [
        ({"timeout": "1h"}, [], "for email_open of ada, until 2026-03-01T13:00:00Z"),
        ({"timeout": None, "count": 3}, ["email_open"], "for email_open (1 of 3) of ada"),
        (
            {"timeout": None, "mode": Mode.ALL, "types": ("email_open|email_click", "form_submit")},
            ["email_click"],
            "for form_submit of ada",
        ),
    ],
)
def test_what_is_still_wanted(scene: Scene, options: dict[str, Any], events: list[str], wanted: str) -> None:
    types = options.get("types", ())
    wait = scene.listen(*types, **{name: value for name, value in options.items() if name != "types"})
    for event_type in events:
        scene.record(event_type)
    assert WhyService(scene.database).why_wait(wait.id).waiting_for == wanted


def test_waits_for_time_and_ended_ones(scene: Scene) -> None:
    wait = scene.create("1h").wait
    service = WhyService(scene.database)
    assert service.why_wait(wait.id).waiting_for == "for 2026-03-01T13:00:00Z"
    scene.at(60).tick()
    assert service.why_wait(wait.id).waiting_for == "for nothing any more: resumed (due)"
    assert service.why_wait(wait.id).to_json()["misses"] == []


def test_document_of_an_event(scene: Scene) -> None:
    wait = scene.listen(match={"plan": "free"})
    event_id = scene.record(data={"plan": "pro"}).event_id
    document = WhyService(scene.database).why_event(str(event_id)).to_json()
    assert document["event"]["event_id"] == event_id
    (miss,) = document["misses"]
    assert miss == {
        "wait_id": wait.id,
        "workflow_execution_id": "e",
        "step_id": "wait",
        "status": "waiting",
        "listens_to": "email_open",
        "contact_id": "ada",
        "event_id": event_id,
        "event_type": "email_open",
        "event_contact": "ada",
        "received_at": f"{NOON:%Y-%m-%dT%H:%M:%S}Z",
        "term": "match",
        "reason": "match: plan is `pro`, wanted `free`",
    }


def test_nothing_there(scene: Scene) -> None:
    service, nobody = WhyService(scene.database), "00000000-0000-7000-8000-000000000000"
    with pytest.raises(EventNotFoundError):
        service.why_event(nobody)
    with pytest.raises(WaitExecutionNotFoundError):
        service.why_wait(nobody)
