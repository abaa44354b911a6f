"""What the executor reads and writes is what SQLAlchemy does, by the same statement with the same parameters.

`make both-ways` runs the tests of the store so.
"""

from __future__ import annotations

import pytest

from tests.both_ways import Comparison, compare
from tests.scene import Scene
from waitctl import EventService, make_event


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """The names of the statements that were run both ways, each with the same outcome."""
    return compare(monkeypatch)


def test_both_ways_read_and_write_the_same(scene: Scene, compared: Comparison) -> None:
    wait = scene.listen(match={"n": "7"}, execution="e1", handler="nudge")
    scene.create(execution="e2", handler="nudge")
    EventService(scene.database).record(make_event("email_open", "ada", data={"n": 7}, external_id="x"))
    scene.tick()
    assert scene.get(wait).resolution == "event"
    scene.waits.list_waits()
    scene.waits.get_history(wait.id)
    scene.waits.get_execution_status("e2")
    scene.waits.list_pending_waits(handlers=["nudge"])
    assert compared.read >= {
        "get_wait",
        "list_newest",
        "history",
        "waits_of_execution",
        "overdue",
        "next_ends",
        "count_open",
        "deliveries_of",
    }
    assert compared.read >= {
        "listeners_of",
        "registered_types",
        "claim_oldest",
        "count_pending",
        "count_by_handler",
        "count_listeners",
        "last_tick",
        "find_expired",
    }
    assert compared.written >= {
        "insert_wait",
        "insert_listeners",
        "resume_matching",
        "resume_due",
    }
