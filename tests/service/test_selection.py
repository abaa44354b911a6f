"""The waits that a filter means, ended by hand in batches."""

from __future__ import annotations

import pytest

from tests.scene import MINUTE, NOON, Scene
from waitctl import WaitFilter
from waitctl.application.paging import in_pages
from waitctl.application.waits.selection import WaitSelection
from waitctl.domain.errors import EventListenerExpiredError, InvalidWaitConfigurationError
from waitctl.domain.filters import WaitOrder
from waitctl.domain.statuses import WaitExecutionStatus


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waitctl.application.paging.PAGE", 2)


@pytest.mark.usefixtures("small_pages")
def test_every_page_of_what_is_meant_is_ended(scene: Scene) -> None:
    meant = [scene.create(execution=f"e{number}", contact_id="ada").wait for number in range(5)]
    other = scene.create(execution="other", contact_id="bob").wait
    chosen = WaitSelection(scene.database, WaitFilter(contact_id="ada"), actor="me")
    assert [ended.status.wait.id for ended in chosen.cancel(dry_run=True)] == [wait.id for wait in meant]
    assert scene.statuses(*meant) == " ".join(["scheduled"] * 5)
    ended = chosen.cancel(reason="paid")
    assert next(ended).status.wait.status is WaitExecutionStatus.CANCELLED
    assert scene.statuses(*meant) == "cancelled cancelled scheduled scheduled scheduled"  # a page is one transaction
    assert len(list(ended)) == 4
    assert scene.statuses(*meant, other) == " ".join([*["cancelled"] * 5, "scheduled"])
    last = scene.waits.get_history(meant[-1].id)[-1]
    assert (last.actor, last.reason.rpartition(": ")[2]) == ("me", "paid")
    assert list(chosen.cancel()) == []


def test_resuming_leaves_what_has_missed_its_deadline(scene: Scene) -> None:
    missed = scene.listen(execution="missed", timeout="30m")
    patient = scene.listen(execution="patient", timeout="3h", handler="nudge")
    timed = scene.create("3h", "timed", contact_id="ada").wait
    results = {
        each.status.wait.id: each.error
        for each in WaitSelection(scene.at(40).database, WaitFilter(contact_id="ada")).resume(data={"by": "hand"})
    }
    assert isinstance(results.pop(missed.id), EventListenerExpiredError)
    assert results == {patient.id: None, timed.id: None}
    assert scene.statuses(missed, patient, timed) == "waiting resumed resumed"
    assert [each.handler for each in scene.get(patient).deliveries] == ["nudge"]


def test_what_has_ended_cannot_be_asked_for(scene: Scene) -> None:
    wanted = WaitFilter(statuses=[WaitExecutionStatus.RESUMED, WaitExecutionStatus.WAITING])
    with pytest.raises(InvalidWaitConfigurationError, match="only open waits can be cancelled"):
        WaitSelection(scene.database, wanted).cancel()


@pytest.mark.usefixtures("small_pages")
def test_what_was_given_from_now_means_the_same_on_every_page(scene: Scene) -> None:
    for number in range(4):
        scene.create(f"{50 + number}m", f"e{number}")
    found = iter(WaitSelection(scene.database, WaitFilter(due_before=52 * MINUTE)))
    first = next(found)
    assert (first.wait.workflow_execution_id, first.wait.scheduled_at) == ("e1", NOON + 51 * MINUTE)
    scene.at(30)
    assert [each.wait.workflow_execution_id for each in found] == ["e0"]


def test_a_sorted_list_is_read_in_parts(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waitctl.application.paging.PAGE", 2)
    for number in range(5):
        scene.create(f"{5 - number}h", f"e{number}")
    chosen = WaitSelection(scene.database, WaitFilter())
    found = [each.wait.workflow_execution_id for each in chosen.read(order=WaitOrder.parse("due"))]
    assert found == ["e4", "e3", "e2", "e1", "e0"]
    assert len(list(chosen.read(order=WaitOrder.parse("-due"), limit=3))) == 3
    place = next(chosen.read(order=WaitOrder.parse("due"))).wait.id
    assert len(list(chosen.read(order=WaitOrder.parse("due"), after=place))) == 4


def test_pages_end_where_they_should() -> None:
    numbers = [f"{number:04}" for number in range(2500)]
    asked: list[int] = []

    def read(after: str | None, size: int) -> list[str]:
        asked.append(size)
        start = 0 if after is None else numbers.index(after) + 1
        return numbers[start : start + size]

    assert list(in_pages(read, str)) == numbers
    assert list(in_pages(read, str, after="2000", limit=100)) == numbers[2001:2101]
    assert list(in_pages(read, str, limit=1001)) == numbers[:1001]
    assert list(in_pages(read, str, limit=0)) == []
    assert asked == [1000, 1000, 1000, 100, 1000, 1]
