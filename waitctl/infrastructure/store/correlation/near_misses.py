"""Statements behind `why`: what nearly met. For people, a page at a time; no index is kept for them.

A screen is to be there at once: it looks `around` a place.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from waitctl.domain.counts import CAP
from waitctl.domain.near_misses import Taker
from waitctl.domain.statuses import ListenerStatus, Resolution, WaitExecutionStatus
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.dialects import is_one_of
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import events, listeners, matches, waits
from waitctl.infrastructure.store.statements.completion import ACTIVE
from waitctl.infrastructure.store.statements.waits import literal
from waitctl.infrastructure.store.waits import load

_SOME = sa.literal_column(str(CAP), sa.Integer)
_EACH_WAY = sa.literal_column(str(CAP // 5), sa.Integer)
"""Rows before a place, and as many behind it."""

_RESUMING = {resolution for resolution in Resolution if resolution.status is WaitExecutionStatus.RESUMED}


def waits_about(
    connection: Connection, contacts: Sequence[str], limit: int, *, around: str | None = None
) -> list[WaitStepExecution]:
    """The newest waits with listeners for one of these contacts, open or ended.

    ``around``: an id; then of those that have ended only the ones that were made at about its time.
    """
    theirs = sa.select(listeners.c.wait_id).where(listeners.c.contact_id.in_(contacts))
    found = sa.select(waits)
    if around is None:
        found = found.where(waits.c.id.in_(theirs))
    else:
        some = _around(listeners.c.wait_id, listeners.c.contact_id, place=around)
        made_then = sa.select(some.c.wait_id).where(some.c.contact_id.in_(contacts))
        are_open = theirs.where(ACTIVE).order_by(listeners.c.event_type).limit(_SOME).subquery("are_open")
        found = found.where(is_one_of(waits.c.id, sa.union(sa.select(are_open.c.wait_id), made_then)))
    return load(connection, found.order_by(waits.c.id.desc()).limit(limit))


def contacts_listened_for(
    connection: Connection, event_type: str, limit: int, *, around: str | None = None
) -> list[str]:
    """Contacts whose events of this type open waits listen to; see `waits_about`."""
    columns = (listeners.c.contact_id, listeners.c.event_type, listeners.c.status)
    some = listeners if around is None else _around(*columns, place=around)
    is_active = some.c.status == literal(ListenerStatus.ACTIVE, some.c.status)
    found = sa.select(some.c.contact_id).where(is_active, some.c.event_type == event_type).distinct()
    return list(connection.execute(found.limit(limit)).scalars())


def events_about(connection: Connection, contacts: Sequence[str], since: datetime, limit: int) -> list[str]:
    """The ids of the newest events of these contacts that were received since then."""
    found = sa.select(events.c.id).where(events.c.contact_id.in_(contacts), events.c.received_at >= since)
    return list(connection.execute(found.order_by(events.c.received_at.desc(), events.c.id).limit(limit)).scalars())


def contacts_with_events(
    connection: Connection, event_types: Sequence[str], since: datetime, limit: int, *, around: str | None = None
) -> list[str]:
    """Contacts with events of these types since then; see `waits_about`."""
    columns = (events.c.contact_id, events.c.event_type, events.c.received_at)
    some = events if around is None else _around(*columns, place=around)
    found = sa.select(some.c.contact_id).where(some.c.event_type.in_(event_types), some.c.received_at >= since)
    return list(connection.execute(found.distinct().limit(limit)).scalars())


def _around(*columns: sa.Column[Any], place: str) -> sa.Subquery:
    """Of rows whose ids are next to a place, older and newer. Ids are clocks, and no other index has the ended ones."""
    key = columns[0].table.c.id
    rows = sa.select(*columns).limit(_EACH_WAY)
    older = rows.where(key < place).order_by(key.desc()).subquery("older")
    newer = rows.where(key >= place).order_by(key).subquery("newer")
    return sa.union_all(sa.select(older), sa.select(newer)).subquery("some")


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
