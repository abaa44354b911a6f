"""Waits that take more than one event: what they have counted, which of their groups are satisfied, and how they end.

Events of two topics of one wait are recorded at the same time, since recorders share their locks: each could count its
half and see nothing of the other's. So the waits' rows are locked first, by id and in a statement of its own; the
statements after it see what others committed meanwhile (READ COMMITTED). One order for everybody: buckets → grouped
waits → the other waits → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from waitctl.domain.text import JsonObject
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_rows


def lock_grouped(connection: Connection, scope: str, wanted: str, *, now: datetime) -> bool:
    """Lock the grouped waits that these events may fit. Returns whether there are any."""
    return bool(connection.execute(kept("lock_grouped", scope), {"wanted": wanted, "now": now}).scalar_one())


def count_events(
    connection: Connection, scope: str, wanted: str, judged: Sequence[JsonObject], *, now: datetime
) -> None:
    """Count the events that fit grouped waits, the oldest first, and close the groups that have what they need.

    ``judged``: what fits waits with a condition (``id`` of the wait, ``listener_id``, ``event_id``).
    """
    connection.execute(kept("count_events", scope), {"wanted": wanted, "now": now})
    if judged:
        connection.execute(kept("count_events", "judged"), {"judged": json_rows(judged), "now": now})
    connection.execute(kept("close_satisfied", scope), {"wanted": wanted, "now": now})
