"""Looking at waits, and ending them by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.scene import MINUTE, NOON, Scene
from waitctl import WaitExecutionStatus, WaitSpec, WaitStepExecution, WaitType, WhyService
from waitctl.application.documents import wait_document
from waitctl.domain.errors import (
    AmbiguousIdError,
    EventListenerExpiredError,
    EventListenerNotFoundError,
    IllegalTransitionError,
    InvalidWaitConfigurationError,
    WaitExecutionExpiredError,
    WaitExecutionNotFoundError,
)
from waitctl.domain.filters import WaitFilter
from waitctl.domain.statuses import ListenerStatus

UNKNOWN = "01900000-0000-7000-8000-000000000000"


def ids(scene: Scene, **wanted: Any) -> list[str]:
    return [status.wait.workflow_execution_id for status in scene.waits.list_waits(WaitFilter(**wanted))[0]]


# -- ids ---------------------------------------------------------------------------------------------------------------


def test_wait_is_found_by_id_head_and_tail(scene: Scene) -> None:
    wait = scene.create().wait
    digits = wait.id.replace("-", "")
    for text in (
        wait.id,
        wait.id.upper(),
        digits,
        f" {wait.id} ",
        digits[:20],
        wait.id[:23],
        wait.id[-12:],
        digits[-8:],
    ):
        assert scene.waits.find_wait_id(text) == wait.id


@pytest.mark.parametrize("text", ["", "1234567", "not-a-uuid", "g" * 8, UNKNOWN + "0", "%%%%%%%%", "________"])
def test_what_is_no_id(scene: Scene, text: str) -> None:
    scene.create()
    for use in (scene.waits.get_wait_status, scene.waits.cancel_wait, scene.waits.resume_wait, scene.waits.get_history):
        with pytest.raises(InvalidWaitConfigurationError, match="not the id of a wait"):
            use(text)


@pytest.mark.parametrize("text", [UNKNOWN, UNKNOWN[:13], "0" * 9])
def test_wait_that_is_not_there(scene: Scene, text: str) -> None:
    scene.create()
    for use in (scene.waits.get_wait_status, scene.waits.cancel_wait, scene.waits.resume_wait):
        with pytest.raises(WaitExecutionNotFoundError):
            use(text)


def test_ambiguous_id_names_up_to_ten(scene: Scene) -> None:
    made = [scene.create(execution=f"e{number}").wait.id for number in range(12)]
    for number, wait_id in enumerate(made):
        renamed = f"01900000-0000-7000-8000-{number:012x}"
        scene.sql("UPDATE workflow_wait_executions SET id = :to WHERE id = :id", to=renamed, id=wait_id)
    with pytest.raises(AmbiguousIdError) as caught:
        scene.waits.find_wait_id("0190000000007000")
    assert caught.value.message.count("-8000-") == 10
    assert caught.value.message.endswith("and more")
    assert scene.waits.find_wait_id("00000000000b") == "01900000-0000-7000-8000-00000000000b"


# -- looking -----------------------------------------------------------------------------------------------------------


def test_status_of_a_step_is_its_latest_wait(scene: Scene) -> None:
    first = scene.create().wait
    scene.waits.cancel_wait(first.id)
    second = scene.at(1).create().wait
    other = scene.create(step_id="other").wait
    assert scene.waits.get_step_status("e", "wait").wait.id == second.id
    assert [status.wait.id for status in scene.waits.get_execution_status("e")] == [first.id, second.id, other.id]
    for look in (lambda: scene.waits.get_execution_status("x"), lambda: scene.waits.get_step_status("e", "x")):
        with pytest.raises(WaitExecutionNotFoundError):
            look()


def test_overdue_until_a_tick_ends_it(scene: Scene) -> None:
    wait = scene.create("1h").wait
    assert not scene.at(59.9).waits.get_wait_status(wait.id).is_overdue
    assert scene.at(60).waits.get_wait_status(wait.id).is_overdue
    scene.tick()
    assert not scene.waits.get_wait_status(wait.id).is_overdue


def test_pages(scene: Scene) -> None:
    made = [scene.create(execution=f"e{number}").wait.id for number in range(5)]
    seen: list[str] = []
    after, pages = None, 0
    while pages == 0 or after:
        page, after = scene.waits.list_waits(limit=2, after=after)
        seen += [status.wait.id for status in page]
        pages += 1
    assert (seen, pages) == (made[::-1], 3)
    assert scene.waits.list_waits(limit=5)[1] is None
    assert len(scene.waits.list_waits(limit=2, after=made[1][-12:])[0]) == 1


def test_filters(scene: Scene) -> None:
    scene.create("1h", "due", contact_id="ada", workflow_id="w")
    scene.create("3h", "later", contact_id="Eve@x.org")
    scene.listen(execution="listening", timeout="30m", grace="10m")
    scene.listen(execution="patient", timeout=None, contact="bob")
    scene.waits.cancel_wait(scene.create(execution="gone", contact_id="ada").wait.id)
    scene.at(61)
    assert ids(scene) == ["gone", "patient", "listening", "later", "due"]
    assert ids(scene, statuses=[WaitExecutionStatus.CANCELLED, WaitExecutionStatus.SCHEDULED]) == [
        "gone",
        "later",
        "due",
    ]
    assert ids(scene, wait_types=[WaitType.FOR_EVENT]) == ["patient", "listening"]
    assert ids(scene, execution_id="later") == ["later"]
    assert ids(scene, contact_id="ada") == ["gone", "listening", "due"]
    assert ids(scene, workflow_id="w") == ["due"]
    assert ids(scene, overdue=True) == ["listening", "due"]
    assert ids(scene.at(35), overdue=True) == []  # the grace still runs
    assert ids(scene, due_before=NOON + 40 * MINUTE) == []
    assert ids(scene, due_before=NOON + 41 * MINUTE) == ["listening"]
    assert ids(scene, due_before=NOON + timedelta(days=9)) == ["listening", "later", "due"]


def test_filter_by_contact_normalises_it_like_every_door(scene: Scene) -> None:
    scene.create(contact_id="Eve@x.org")
    assert ids(scene, contact_id="EVE@x.org ") == ["e"]


def test_pending_counts(scene: Scene) -> None:
    assert scene.waits.list_pending_waits().to_json() == {
        "open": 0,
        "by_type": {"fixed_time": 0, "until_date": 0, "until_time": 0, "for_event": 0},
        "by_status": {"waiting": 0, "scheduled": 0},
        "overdue": 0,
        "oldest_overdue_seconds": None,
        "overdue_age": {"p50": None, "p95": None, "max": None},
        "next_due_at": None,
        "listeners": {"active": 0, "expiring_1h": 0, "expired_unswept": 0, "orphans": 0},
        "deliveries": {"pending": 0, "held": 0, "dead": 0, "oldest_due_seconds": None},
        "quarantined": 0,
        "paused": [],
        "last_tick": None,
        "capped": [],
    }
    scene.create("1h", "a")
    scene.create("5h", "b")
    scene.waits.create_until_time_wait("18:00", WaitSpec("c"))
    scene.listen("email_open", "sms_reply", execution="d", timeout="90m")
    scene.listen(execution="f", timeout=None)
    scene.waits.resume_wait(scene.create(execution="g", handler="nudge").wait.id)
    summary = scene.at(100).waits.list_pending_waits(handlers=["other"]).to_json()
    assert summary == {
        "open": 5,
        "by_type": {"fixed_time": 2, "until_date": 0, "until_time": 1, "for_event": 2},
        "by_status": {"waiting": 2, "scheduled": 3},
        "overdue": 2,
        "oldest_overdue_seconds": 2400,
        "overdue_age": {"p50": 600, "p95": 2400, "max": 2400},
        "next_due_at": "2026-03-01T17:00:00Z",
        "listeners": {"active": 3, "expiring_1h": 0, "expired_unswept": 2, "orphans": 0},
        "deliveries": {"pending": 1, "held": 1, "dead": 0, "oldest_due_seconds": 6000},
        "quarantined": 0,
        "paused": [],
        "last_tick": None,
        "capped": [],
    }
    assert scene.waits.list_pending_waits(handlers=["nudge"]).deliveries_held == 0


def test_wait_document_has_every_key(scene: Scene) -> None:
    documents = [wait_document(scene.get(wait)) for wait in (scene.create().wait, scene.listen(execution="x"))]
    for document in documents:
        assert list(document) == [
            "id",
            "workflow_id",
            "workflow_execution_id",
            "step_id",
            "contact_id",
            "wait_type",
            "status",
            "scheduled_at",
            "timeout_at",
            "timezone",
            "wait_config",
            "context",
            "handler",
            "handlers",
            "command",
            "idempotency_key",
            "created_at",
            "updated_at",
            "resolved_at",
            "resolution",
            "resolution_event_id",
            "late_seconds",
            "listeners",
            "deliveries",
        ]
        assert document["created_at"] == "2026-03-01T12:00:00Z"
    assert {"event_type", "contact_id", "match", "where", "expires_at", "status", "matched_event_id", "matched_at"} <= (
        documents[1]["listeners"][0].keys()
    )


# -- ending by hand ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["time", "event"])
def test_cancel_ends_without_a_delivery(scene: Scene, form: str) -> None:
    wait = scene.create(handler="nudge").wait if form == "time" else scene.listen(handler="nudge")
    ended = scene.at(5).waits.cancel_wait(wait.id[-12:], reason="unsubscribed").wait
    assert (ended.status, ended.resolution, ended.resolved_at) == ("cancelled", "cancelled", NOON + 5 * MINUTE)
    assert ended.deliveries == ()
    assert {listener.status for listener in ended.listeners} <= {ListenerStatus.CANCELLED}
    again = scene.at(9).waits.cancel_wait(wait.id, reason="twice").wait
    assert again == ended
    assert len(scene.waits.get_history(wait.id)) == 2
    with pytest.raises(IllegalTransitionError, match="cannot be resumed: it ended by cancellation"):
        scene.waits.resume_wait(wait.id)


@pytest.mark.parametrize("form", ["time", "event"])
def test_resume_delivers_by_hand(scene: Scene, form: str) -> None:
    wait = scene.create(handler="nudge").wait if form == "time" else scene.listen(handler="nudge")
    ended = scene.at(5).waits.resume_wait(wait.id, reason="asked on the phone", data={"by": "eve"}).wait
    assert (ended.status, ended.resolution, ended.late_seconds) == ("resumed", "manual", None)
    assert [delivery.outcome for delivery in ended.deliveries] == ["manual"]
    for end in (scene.waits.resume_wait, scene.waits.cancel_wait):
        with pytest.raises(IllegalTransitionError, match="it ended by hand, status resumed, at 2026-03-01T12:05:00Z"):
            end(wait.id)
    assert len(scene.get(wait).deliveries) == 1


def test_history_tells_who_what_when(scene: Scene) -> None:
    wait = scene.create().wait
    scene.at(5).waits.resume_wait(wait.id, reason="by\nphone", data={"by": "eve"})
    made, ended = scene.waits.get_history(wait.id)
    assert (made.from_status, made.to_status, made.actor, made.at, made.data) == (None, "scheduled", "test", NOON, None)
    assert "created" in made.reason
    assert (ended.from_status, ended.to_status, ended.data) == ("scheduled", "resumed", {"by": "eve"})
    assert ended.reason == "as of 2026-03-01T12:05:00Z: by\nphone"
    scene.on_the_real_clock()
    other = scene.create(execution="real").wait
    scene.waits.cancel_wait(other.id)
    assert [line.reason for line in scene.waits.get_history(other.id)] == ["created", "cancelled"]


@pytest.mark.parametrize("end", ["cancel_wait", "resume_wait"])
def test_ended_waits_say_how_they_ended(scene: Scene, end: str) -> None:
    def refused(wait: WaitStepExecution, error: type[Exception], says: str) -> None:
        with pytest.raises(error, match=says):
            getattr(scene.waits, end)(wait.id)

    due, late, heard = scene.create().wait, scene.listen(execution="l"), scene.listen("sms_reply", execution="h")
    scene.record("sms_reply")
    scene.at(61).tick()
    refused(due, IllegalTransitionError, "when it was due")
    refused(late, WaitExecutionExpiredError, "by timeout")
    refused(heard, IllegalTransitionError, "by an event")


def test_the_deadline_decides_about_resuming_by_hand_whether_or_not_a_tick_has_run(scene: Scene) -> None:
    late, grace = scene.listen(timeout="1h"), scene.listen(execution="grace", timeout="1h", grace="5m")
    scene.at(60)
    with pytest.raises(EventListenerExpiredError, match="passed, at 2026-03-01T13:00:00Z"):
        scene.waits.resume_wait(late.id)
    scene.waits.resume_wait(grace.id)
    assert scene.statuses(late, grace) == "waiting resumed"
    scene.waits.cancel_wait(late.id)


def test_a_wait_whose_listeners_are_gone(scene: Scene) -> None:
    """Deleted by hand: there is no deadline to move any more, but the wait can be ended."""
    wait = scene.listen()
    scene.sql("DELETE FROM workflow_event_listeners")
    for asked in (
        lambda: scene.rescheduling.reschedule_wait(wait.id, by="+1h"),
        lambda: WhyService(scene.database).why_wait(wait.id),
    ):
        with pytest.raises(EventListenerNotFoundError):
            asked()
    scene.waits.cancel_wait(wait.id)
    assert scene.statuses(wait) == "cancelled"


@pytest.mark.parametrize("bad", ["nul \0", "lone \ud800"])
def test_reason_and_data_are_checked(scene: Scene, bad: str) -> None:
    wait = scene.create().wait
    for end in (scene.waits.cancel_wait, scene.waits.resume_wait):
        with pytest.raises(InvalidWaitConfigurationError):
            end(wait.id, reason=bad)
    with pytest.raises(InvalidWaitConfigurationError):
        scene.waits.resume_wait(wait.id, data={"a": bad})
    assert scene.statuses(wait) == "scheduled"


def test_cancel_an_execution(scene: Scene) -> None:
    one, two = scene.create(step_id="1").wait, scene.listen(step_id="2")
    kept = scene.create(execution="other").wait
    assert [status.wait.id for status in scene.waits.cancel_execution("e", "2")] == [two.id]
    assert [status.wait.id for status in scene.waits.cancel_execution("e")] == [one.id]
    assert scene.waits.cancel_execution("e") == scene.waits.cancel_execution("unknown") == []
    assert scene.statuses(one, two, kept) == "cancelled cancelled scheduled"
