"""What the executor reads is what SQLAlchemy reads, by the same statement with the same parameters.

`make both-ways` runs the tests of the store so.
"""

from __future__ import annotations

import pytest

from tests.both_ways import compare
from tests.scene import Scene
from waitctl import EventService, make_event


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the statements that were run both ways, each with the same rows."""
    return compare(monkeypatch)


def test_both_ways_read_the_same(scene: Scene, compared: set[str]) -> None:
    wait = scene.listen(match={"n": "7"}, execution="e1", handler="nudge")
    scene.create(execution="e2", handler="nudge")
    EventService(scene.database).record(make_event("email_open", "ada", data={"n": 7}, external_id="x"))
    scene.tick()
    assert scene.get(wait).resolution == "event"
    scene.waits.list_waits()
    scene.waits.get_history(wait.id)
    scene.waits.get_execution_status("e2")
    scene.waits.list_pending_waits(handlers=["nudge"])
    assert compared >= {
        "get_wait",
        "list_newest",
        "history",
        "waits_of_execution",
        "overdue",
        "next_ends",
        "count_open",
        "deliveries_of",
    }
    assert compared >= {
        "listeners_of",
        "registered_types",
        "claim_oldest",
        "count_pending",
        "count_by_handler",
        "count_listeners",
        "last_tick",
        "find_expired",
    }
