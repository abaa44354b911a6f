"""What the executor reads is what SQLAlchemy reads, by the same statement with the same parameters."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tests.scene import Scene
from waitctl import EventService, make_event
from waitctl.infrastructure.executor import Connection, Parameters, Row, Rows
from waitctl.infrastructure.kept import Kept
from waitctl.infrastructure.migrations import core
from waitctl.infrastructure.rendering import load_statements
from waitctl.infrastructure.sql_batch import STATEMENTS


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of the statements that were run both ways, each with the same rows."""
    load_statements()
    names: set[str] = set()
    execute = Connection.execute

    def both(self: Connection, statement: Any, parameters: Parameters = {}) -> Rows[Row]:  # noqa: B006
        rows = execute(self, statement, parameters)
        built = STATEMENTS[statement.name](*statement.arguments) if isinstance(statement, Kept) else None
        if (
            isinstance(built, sa.Select | sa.CompoundSelect)
            and "INSERT INTO" not in statement.sent(self.dialect)[0].text
        ):
            theirs = core(self).execute(built, dict(parameters)).all()
            assert [tuple(row) for row in rows] == [tuple(row) for row in theirs], statement.name
            assert rows.mappings() == [dict(row._mapping) for row in theirs], statement.name
            names.add(statement.name)
        return rows

    monkeypatch.setattr(Connection, "execute", both)
    return names


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
    assert compared >= {"get_wait", "list_newest", "history", "waits_of_execution", "count_open", "deliveries_of"}
    assert compared >= {
        "listeners_of",
        "registered_types",
        "claim_oldest",
        "count_pending",
        "last_tick",
        "find_expired",
    }
