"""Statements that find ids by their head or tail."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

from waitctl.infrastructure.kept import kept

if TYPE_CHECKING:
    from waitctl.infrastructure.executor import Connection


class HasId(Enum):
    """What people name by an id: the table with its rows."""

    WAIT = "workflow_wait_executions"
    EVENT = "workflow_events"
    DELIVERY = "workflow_wait_deliveries"
    QUARANTINED = "workflow_event_quarantine"
    RECURRENCE = "workflow_recurrences"
    PLAN = "workflow_wait_plans"


def is_id(connection: Connection, kind: HasId, whole_id: str) -> bool:
    """Whether there is one with this id."""
    return connection.execute(kept("find_id", kind), {"id": whole_id}).first() is not None


def is_execution(connection: Connection, text: str) -> bool:
    """Whether there is a wait of the execution ``text``."""
    return connection.execute(kept("find_execution"), {"execution_id": text}).first() is not None


def find_ids(connection: Connection, kind: HasId, fragment: str, limit: int) -> list[str]:
    """The first ids that begin or end with ``fragment``: hexadecimal digits, no dashes."""
    return list(connection.execute(kept("find_ids", kind), {"fragment": fragment, "limit": limit}).scalars())
