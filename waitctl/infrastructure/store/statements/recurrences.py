"""Statements on recurrences.

Lock order: waits by id → listeners → deliveries → recurrences by id.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.recurrence import RecurrenceStatus
from waitctl.infrastructure.dialects import is_among
from waitctl.infrastructure.schema import UtcDateTime, recurrences, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.waits import literal

_ID = recurrences.c.id.type
_NOW = sa.bindparam("now", type_=UtcDateTime)
_ACTIVE = recurrences.c.status == literal(RecurrenceStatus.ACTIVE.value, recurrences.c.status)
OPEN_RECURRENCE = recurrences.c.status.in_(
    [literal(each.value, recurrences.c.status) for each in (RecurrenceStatus.ACTIVE, RecurrenceStatus.PAUSED)]
)

IS_DUE = sa.exists(
    sa.select(sa.literal_column("1")).select_from(recurrences).where(_ACTIVE, recurrences.c.next_at <= _NOW)
)
"""Whether any recurrence's open wait is due: then a batch of due waits may hold one."""


@statement
def _take_ended() -> sa.Select[Any]:
    """The active recurrences that are due and whose open wait has ended. Locks them by id."""
    return _take(recurrences.c.next_at <= _NOW)


@statement
def _take_ended_among() -> sa.Select[Any]:
    """The active recurrences whose open wait is one of these, and has ended. Locks them by id."""
    return _take(is_among(recurrences.c.wait_id))


@statement
def _stopped_by() -> sa.Select[Any]:
    """The open recurrences that one of these waits stops. Locks them by id."""
    found = sa.select(recurrences).where(OPEN_RECURRENCE, is_among(recurrences.c.stop_wait_id))
    return found.order_by(recurrences.c.id).with_for_update()


@statement
def _note_following() -> sa.Update:
    """Note the open wait that comes next."""
    return (
        sa.update(recurrences)
        .where(recurrences.c.id == sa.bindparam("of", type_=_ID))
        .values(
            wait_id=sa.bindparam("wait", type_=_ID),
            next_at=sa.bindparam("at", type_=UtcDateTime),
            occurrence=sa.bindparam("number", type_=sa.Integer),
            status=sa.literal(RecurrenceStatus.ACTIVE.value, sa.Text),
            updated_at=_NOW,
        )
    )


@statement
def _end_recurrences(keeps_stop: bool) -> sa.Update:
    """Give open recurrences another status than active."""
    changed: dict[str, Any] = {
        "status": sa.bindparam("to_status", type_=sa.Text),
        "status_reason": sa.bindparam("reason", type_=sa.Text),
        "wait_id": None,
        "next_at": None,
        "updated_at": _NOW,
    }
    if not keeps_stop:
        changed["stop_wait_id"] = None
    return sa.update(recurrences).where(OPEN_RECURRENCE, is_among(recurrences.c.id)).values(changed)


def _take(which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    ended = (waits.c.scheduled_at, waits.c.resolved_at, waits.c.resolution, waits.c.timezone, waits.c.wait_config)
    found = sa.select(*recurrences.c, *ended)
    found = found.join(waits, waits.c.id == recurrences.c.wait_id).where(
        _ACTIVE, which, waits.c.resolved_at.is_not(None)
    )
    return found.order_by(recurrences.c.id).with_for_update(of=recurrences)
