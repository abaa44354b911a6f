"""Lists for a screen that looks often: newest first, and of what no index finds only so far back as is said.

A filter that few rows pass would else read all of them, a million for an empty page. What is left is asked for from the
place where the look ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import starmap

from waitctl.domain.deliveries import Delivery
from waitctl.domain.events import Event
from waitctl.domain.filters import WaitFilter
from waitctl.domain.statuses import DeliveryStatus
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.store import events as event_store
from waitctl.infrastructure.store.waits import load


def list_recent_waits(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int, after: str | None
) -> tuple[list[WaitStepExecution], str | None]:
    """Waits that are meant, newest first, older than ``after``; and from where to go on, if there may be more.

    Of an execution, and of what is due, an index knows all that matter; of others the next `CAP` are looked at.
    """
    from waitctl.infrastructure.store.statements.recent import is_by_due, recent_waits

    floor = None
    if not is_by_due(wanted) and wanted.execution_id is None and not wanted.is_empty:
        floor = _look_back(connection, "waits", after)
    rows = load(connection, recent_waits(wanted, now=now, after=after, floor=floor).limit(limit + 1))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else floor


def _look_back(connection: Connection, table: str, after: str | None) -> str | None:
    """How far back a look goes: the id that `CAP` newer ones come before; ``None`` when all are looked at."""
    place: str | None = connection.execute(kept("look_back", table, after is not None), {"after": after}).scalar()
    return place


def list_recent_events(
    connection: Connection,
    *,
    event_type: str | None,
    contact_id: str | None,
    since: datetime | None,
    unmatched: bool,
    limit: int,
    after: str | None,
) -> tuple[list[Event], str | None]:
    """Events in the order in which they were recorded, newest first; and from where to go on, if there may be more.

    Of a contact an index knows all of them; of others the next `CAP` are looked at.
    """
    from waitctl.infrastructure.store.statements.recent import recent_events

    held = event_store.meant(event_type=event_type, contact_id=contact_id, since=since, unmatched=unmatched)
    looks_back = contact_id is None and (held or after is not None)
    floor = _look_back(connection, "events", after) if looks_back else None
    rows = event_store.load_events(connection, recent_events(held, after=after, floor=floor, limit=limit + 1))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else floor


def list_recent_deliveries(
    connection: Connection, statuses: Sequence[DeliveryStatus], *, handler: str | None, limit: int, after: str | None
) -> tuple[list[Delivery], str | None]:
    """Deliveries, newest first, older than ``after``; and from where to go on, if there may be more.

    Among the `CAP` that an index gives first, or of others among the next.
    """
    from waitctl.infrastructure.store.statements.recent import are_indexed, recent_deliveries

    floor = None if are_indexed(statuses) else _look_back(connection, "deliveries", after)
    found = recent_deliveries(statuses, handler=handler, after=after, floor=floor, limit=limit + 1)
    rows = list(starmap(Delivery, connection.execute(found)))
    return rows[:limit], rows[limit - 1].id if len(rows) > limit else floor
