"""What a screen lists: newest first, and as far back as an index or a bounded look goes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from waitctl.application.id_lookup import DELIVERY, EVENT, WAIT, find_cursor
from waitctl.domain.deliveries import Delivery
from waitctl.domain.errors import InvalidEventError
from waitctl.domain.events import Event, check_event_type_name
from waitctl.domain.filters import WaitFilter, When, meant_instant
from waitctl.domain.statuses import DeliveryStatus
from waitctl.domain.text import normalize_contact
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import recent as store


def list_waits(
    database: Database, wanted: WaitFilter, *, limit: int, after: str | None
) -> tuple[list[WaitStepExecution], str | None]:
    """Waits, newest first; and what to pass as ``after`` to look further back. Raises what `find_cursor` raises."""
    with database.read() as connection:
        last = find_cursor(connection, WAIT, after) if after else None
        now = database.clock(connection)
        return store.list_recent_waits(connection, wanted.checked(), now=now, limit=limit, after=last)


def list_events(
    database: Database,
    *,
    event_type: str | None = None,
    contact: str | None = None,
    since: When | None = None,
    unmatched: bool = False,
    limit: int = 50,
    after: str | None = None,
) -> tuple[list[Event], str | None]:
    """Events, newest first; and what to pass as ``after`` to look further back.

    Raises `InvalidEventTypeError` or `InvalidEventError` for what none can have, and what `find_cursor` raises.
    """
    if event_type is not None:
        check_event_type_name(event_type)
    with database.read() as connection:
        now: datetime = database.clock(connection)
        return store.list_recent_events(
            connection,
            event_type=event_type,
            contact_id=None if contact is None else normalize_contact(contact, error=InvalidEventError),
            since=None if since is None else meant_instant(since, now),
            unmatched=unmatched,
            limit=limit,
            after=find_cursor(connection, EVENT, after) if after else None,
        )


def list_deliveries(
    database: Database, statuses: Sequence[DeliveryStatus], *, handler: str | None, limit: int, after: str | None = None
) -> tuple[list[Delivery], str | None]:
    """Deliveries, newest first; and what to pass as ``after`` to look further back.

    Raises what `find_cursor` raises.
    """
    with database.read() as connection:
        last = find_cursor(connection, DELIVERY, after) if after else None
        return store.list_recent_deliveries(connection, statuses, handler=handler, limit=limit, after=last)
