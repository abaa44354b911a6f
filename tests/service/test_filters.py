"""Which waits a filter means, and in which order they are listed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.scene import MINUTE, NOON, Scene
from waitctl import WaitFilter
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDateError, WaitExecutionNotFoundError
from waitctl.domain.filters import WaitOrder, parse_wait_type, parse_when
from waitctl.domain.handlers import parse_routes
from waitctl.domain.statuses import WaitExecutionStatus, WaitType

HOUR = timedelta(hours=1)


def names(scene: Scene, order: str = "created", **wanted: Any) -> str:
    """The executions, oldest first unless another order is named."""
    found, _ = scene.waits.list_waits(WaitFilter(**wanted), order=WaitOrder.parse(order))
    return " ".join(status.wait.workflow_execution_id for status in found)


@pytest.fixture
def several(scene: Scene) -> Scene:
    scene.create("1h", "due", contact_id="ada", workflow_id="w", handler="mail")
    routes = parse_routes(["timeout=mail", "event=call"]).by_outcome
    scene.at(1).create("3h", "later", contact_id="Eve@x.org", step_id="second")
    scene.at(2).listen(execution="listening", timeout="30m", grace="10m", handlers=routes)
    scene.at(3).listen(execution="patient", timeout=None, contact="bob")
    gone = scene.at(4).create(execution="gone", contact_id="ada").wait
    scene.at(5).waits.cancel_wait(gone.id)
    return scene.at(61)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, "due later listening patient gone"),
        ({"statuses": [WaitExecutionStatus.CANCELLED, WaitExecutionStatus.SCHEDULED]}, "due later gone"),
        ({"wait_types": [WaitType.FOR_EVENT]}, "listening patient"),
        ({"wait_types": list(WaitType)}, "due later listening patient gone"),
        ({"workflow_id": "w"}, "due"),
        ({"execution_id": "later"}, "later"),
        ({"step_id": "second"}, "later"),
        ({"contact_id": "EVE@x.org "}, "later"),
        ({"handler": "mail"}, "due listening"),
        ({"handler": "call"}, "listening"),
        ({"handler": "due"}, ""),  # a value is meant, not an outcome's name
        ({"overdue": True}, "due listening"),
        ({"due_before": NOON + 42 * MINUTE}, ""),
        ({"due_before": NOON + 43 * MINUTE}, "listening"),
        ({"due_before": HOUR * 2}, "due listening"),  # from now
        ({"due_before": HOUR * 3}, "due later listening"),
        ({"due_before": -2 * MINUTE}, "listening"),  # ago
        ({"due_after": -2 * MINUTE}, "due later"),
        ({"due_after": timedelta(0), "due_before": HOUR * 3}, "later"),
        ({"created_before": NOON + 3 * MINUTE}, "due later listening"),
        ({"created_after": NOON + 3 * MINUTE}, "patient gone"),
        ({"created_after": -60 * MINUTE, "created_before": -58 * MINUTE}, "later listening"),
        ({"contact_id": "ada", "statuses": [WaitExecutionStatus.WAITING]}, "listening"),
    ],
)
def test_a_filter_means_what_everything_in_it_holds_for(several: Scene, wanted: dict[str, Any], expected: str) -> None:
    assert names(several, **wanted) == expected


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("created", "due later listening patient gone"),
        ("-created", "gone patient listening later due"),
        ("due", "listening due gone later patient"),
        ("-due", "patient later gone due listening"),
        ("-ended", "patient listening later due gone"),
        ("updated", "due later listening patient gone"),
    ],
)
def test_pages_follow_each_other_in_every_order(several: Scene, order: str, expected: str) -> None:
    assert names(several, order) == expected
    seen: list[str] = []
    after = None
    while not seen or after:
        page, after = several.waits.list_waits(limit=2, after=after, order=WaitOrder.parse(order))
        seen += [status.wait.workflow_execution_id for status in page]
    assert " ".join(seen) == expected


def test_a_place_in_an_order_must_be_there(several: Scene) -> None:
    gone = "01900000-0000-7000-8000-000000000000"
    assert several.waits.list_waits(after=gone) == ([], None)
    with pytest.raises(WaitExecutionNotFoundError):
        several.waits.list_waits(after=gone, order=WaitOrder.parse("due"))


def test_what_is_open_is_counted_by_the_same_filter(several: Scene) -> None:
    everything = several.waits.list_pending_waits().counts
    assert several.waits.list_pending_waits(WaitFilter(wait_types=list(WaitType))).counts == everything
    ada = several.waits.list_pending_waits(WaitFilter(contact_id="ada")).counts
    assert sum(ada.by_status.values()) == ada.overdue == 2
    assert (ada.oldest_overdue_at, ada.next_due_at) == (NOON + 42 * MINUTE, None)
    later = several.waits.list_pending_waits(WaitFilter(execution_id="later")).counts
    assert (later.overdue, later.next_due_at) == (0, NOON + 181 * MINUTE)


def test_a_filter_that_means_everything_is_known() -> None:
    assert WaitFilter().is_empty and WaitFilter(statuses=[], wait_types=[]).is_empty
    for wanted in ({"overdue": True}, {"step_id": "s"}, {"created_after": timedelta(0)}, {"statuses": ["waiting"]}):
        assert not WaitFilter(**wanted).is_empty


@pytest.mark.parametrize("text", ["fixed-time", "fixed_time", "Fixed-Time "])
def test_a_type_is_read_in_either_spelling(text: str) -> None:
    assert parse_wait_type(text) is WaitType.FIXED_TIME


def test_a_type_that_is_none_is_explained() -> None:
    with pytest.raises(InvalidWaitConfigurationError, match="'fix-time' is not a type of wait") as caught:
        parse_wait_type("fix-time")
    assert caught.value.hint == "did you mean fixed-time?"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2h", HOUR * 2),
        ("+2h", HOUR * 2),
        ("-90m", -HOUR * 1.5),
        ("0", timedelta(0)),
        ("1w", timedelta(days=7)),
        ("2026-03-01T12:00:00Z", NOON),
        ("2026-03-01 13:00+01", NOON),
    ],
)
def test_an_instant_or_a_span_from_now(text: str, expected: object) -> None:
    assert parse_when(text, "--due-before") == expected


@pytest.mark.parametrize("text", ["", "soon", "3bd", "2026-03-01", "2h ago", "--2h"])
def test_what_is_neither_is_named(text: str) -> None:
    with pytest.raises(InvalidWaitDateError, match="--due-before: "):
        parse_when(text, "--due-before")


def test_a_span_stays_among_the_years_that_there_are(scene: Scene) -> None:
    scene.database.as_of = NOON.replace(year=1001)
    with pytest.raises(InvalidWaitDateError):
        scene.waits.list_waits(WaitFilter(due_before=-timedelta(days=3650)))
