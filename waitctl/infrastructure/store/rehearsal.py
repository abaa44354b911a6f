"""Statements on the copy that a simulation plays with: an SQLite file, and nobody else's."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import NamedTuple

from waitctl.domain.text import to_json
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.sql_values import stored_instant

_FORGET_COMMANDS = "UPDATE workflow_wait_executions SET command = NULL WHERE command IS NOT NULL"

_TAKE = """
UPDATE workflow_wait_deliveries SET status = 'delivered', delivered_at = :now, lease_expires_at = NULL
WHERE status IN ('pending', 'running') AND handler NOT IN (SELECT value FROM json_each(:names))
"""

_ENDED = """
SELECT ended.id, ended.workflow_id, ended.workflow_execution_id, ended.step_id, ended.contact_id, ended.wait_type,
  ended.resolution, ended.late_seconds, workflow_events.event_type,
  (SELECT handler FROM workflow_wait_deliveries WHERE wait_id = ended.id AND dead_delivery_id IS NULL LIMIT 1)
FROM workflow_wait_executions AS ended LEFT JOIN workflow_events ON workflow_events.id = ended.resolution_event_id
WHERE ended.resolved_at = :at ORDER BY coalesce(ended.scheduled_at, ended.timeout_at), ended.id
"""

_ENDED_SINCE = "SELECT id FROM workflow_wait_executions WHERE resolved_at >= :at"


class EndedWait(NamedTuple):
    """A wait that has ended, and who hears of it."""

    id: str
    workflow_id: str | None
    workflow_execution_id: str
    step_id: str
    contact_id: str | None
    wait_type: str
    resolution: str
    late_seconds: int | None
    event_type: str | None
    handler: str | None


def forget_commands(connection: Connection) -> None:
    """Take the commands from the waits that have brought some: none of them may run."""
    connection.execute(_FORGET_COMMANDS)


def take_as_delivered(connection: Connection, *, but: Collection[str], now: datetime) -> None:
    """Write that everything was delivered that is not for these handlers."""
    connection.execute(_TAKE, {"names": to_json(sorted(but)), "now": stored_instant(now)})


def ended_at(connection: Connection, at: datetime) -> list[EndedWait]:
    """The waits that ended at this very instant, in the order in which they were due."""
    return [EndedWait(*row) for row in connection.execute(_ENDED, {"at": stored_instant(at)})]


def ended_since(connection: Connection, at: datetime) -> set[str]:
    """The waits that ended then or later: another clock than this one has ended them."""
    return set(connection.execute(_ENDED_SINCE, {"at": stored_instant(at)}).scalars())
