"""Statements behind `why`: what nearly met. For people, a page at a time; no index is kept for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa

from waitctl.domain.near_misses import Taker
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import events, listeners, matches, waits
from waitctl.infrastructure.store.statements.completion import ACTIVE
from waitctl.infrastructure.store.waits import load

_RESUMING = {resolution for resolution in Resolution if resolution.status is WaitExecutionStatus.RESUMED}


def waits_about(connection: Connection, contacts: Sequence[str], limit: int) -> list[WaitStepExecution]:
    """The newest waits with listeners for one of these contacts, open or ended."""
    listening = sa.select(listeners.c.wait_id).where(listeners.c.contact_id.in_(contacts))
    return load(connection, sa.select(waits).where(waits.c.id.in_(listening)).order_by(waits.c.id.desc()).limit(limit))


def contacts_listened_for(connection: Connection, event_type: str, limit: int) -> list[str]:
    """Contacts whose events of this type open waits listen to."""
    found = sa.select(listeners.c.contact_id).where(ACTIVE, listeners.c.event_type == event_type).distinct()
    return list(connection.execute(found.limit(limit)).scalars())


def events_about(connection: Connection, contacts: Sequence[str], since: datetime, limit: int) -> list[str]:
    """The ids of the newest events of these contacts that were received since then."""
    found = sa.select(events.c.id).where(events.c.contact_id.in_(contacts), events.c.received_at >= since)
    return list(connection.execute(found.order_by(events.c.received_at.desc(), events.c.id).limit(limit)).scalars())


def contacts_with_events(connection: Connection, event_types: Sequence[str], since: datetime, limit: int) -> list[str]:
    """Contacts with events of these types since then."""
    found = sa.select(events.c.contact_id).where(events.c.event_type.in_(event_types), events.c.received_at >= since)
    return list(connection.execute(found.distinct().limit(limit)).scalars())


def takers(connection: Connection, event_ids: Sequence[str]) -> list[Taker]:
    """The waits that have taken these events: ended by them, scheduled by them, or with one counted."""
    ended = (
        sa.select(listeners.c.matched_event_id.label("event_id"), waits.c.id, listeners.c.exclusive)
        .join(waits, waits.c.id == listeners.c.wait_id)
        .where(listeners.c.matched_event_id.in_(event_ids))
    )
    counted = (
        sa.select(matches.c.event_id, waits.c.id, sa.false())
        .join(waits, waits.c.id == matches.c.wait_id)
        .where(matches.c.event_id.in_(event_ids))
    )
    taken = sa.union(ended, counted).subquery()
    columns = (waits.c.workflow_execution_id, taken.c.exclusive, waits.c.resolution, waits.c.status)
    found = sa.select(taken.c.event_id, waits.c.id, *columns).join(waits, waits.c.id == taken.c.id)
    return [
        Taker(
            row.event_id,
            row.id,
            row.workflow_execution_id,
            bool(row.exclusive),
            resumed=row.resolution in _RESUMING,
            scheduled=row.status is WaitExecutionStatus.SCHEDULED,
        )
        for row in connection.execute(found)
    ]
