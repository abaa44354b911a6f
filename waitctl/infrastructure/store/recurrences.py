"""Statements on recurrences.

Lock order: waits by id → listeners → deliveries → recurrences by id.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.recurrence import Recurrence, RecurrenceStatus
from waitctl.domain.text import JsonObject
from waitctl.domain.waits import Resolution, WaitStepExecution
from waitctl.infrastructure.dialects import insert_new, is_among
from waitctl.infrastructure.schema import UtcDateTime, recurrences, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.waits import literal

_ID = recurrences.c.id.type
_NOW = sa.bindparam("now", type_=UtcDateTime)
_ACTIVE = recurrences.c.status == literal(RecurrenceStatus.ACTIVE.value, recurrences.c.status)
_OPEN = recurrences.c.status.in_(
    [literal(each.value, recurrences.c.status) for each in (RecurrenceStatus.ACTIVE, RecurrenceStatus.PAUSED)]
)

IS_DUE = sa.exists(
    sa.select(sa.literal_column("1")).select_from(recurrences).where(_ACTIVE, recurrences.c.next_at <= _NOW)
)
"""Whether any recurrence's open wait is due: then a batch of due waits may hold one."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A recurrence whose open wait has ended: when it was due, when and how it ended."""

    recurrence: Recurrence
    scheduled_at: datetime
    resolved_at: datetime
    resolution: Resolution
    timezone: str
    wait_config: JsonObject


_COLUMNS = {"reason": "status_reason", "actor": "created_by"}
"""Fields whose columns bear another name."""

_FIELDS = [{name: field for field, name in _COLUMNS.items()}.get(name, name) for name in recurrences.c.keys()]  # noqa: SIM118


def _read(row: sa.Row[Any]) -> Recurrence:
    fields = dict(zip(_FIELDS, row, strict=False))
    return Recurrence(**fields | {"status": RecurrenceStatus(fields["status"])})


def take_ended(connection: Connection, *, now: datetime) -> list[Ended]:
    """Lock the active recurrences that are due and whose open wait has ended."""
    return _ended(connection.execute(_take_ended(), {"now": now}))


def take_ended_among(connection: Connection, wait_ids: Sequence[str]) -> list[Ended]:
    """Lock the active recurrences whose open wait is one of these, and has ended."""
    return _ended(connection.execute(_take_ended_among(), {"ids": wait_ids}))


def _ended(rows: Any) -> list[Ended]:
    return [Ended(_read(row), *row[-5:]) for row in rows]


@statement
def _take_ended() -> sa.Select[Any]:
    """The active recurrences that are due and whose open wait has ended. Locks them by id."""
    return _take(recurrences.c.next_at <= _NOW)


@statement
def _take_ended_among() -> sa.Select[Any]:
    """The active recurrences whose open wait is one of these, and has ended. Locks them by id."""
    return _take(is_among(recurrences.c.wait_id))


def _take(which: sa.ColumnElement[bool]) -> sa.Select[Any]:
    ended = (waits.c.scheduled_at, waits.c.resolved_at, waits.c.resolution, waits.c.timezone, waits.c.wait_config)
    found = sa.select(*recurrences.c, *ended)
    found = found.join(waits, waits.c.id == recurrences.c.wait_id).where(
        _ACTIVE, which, waits.c.resolved_at.is_not(None)
    )
    return found.order_by(recurrences.c.id).with_for_update(of=recurrences)


def stopped_by(connection: Connection, wait_ids: Sequence[str]) -> list[Recurrence]:
    """Lock the open recurrences that these waits, which have ended, stop."""
    return [_read(row) for row in connection.execute(_stopped_by(), {"ids": wait_ids})]


@statement
def _stopped_by() -> sa.Select[Any]:
    """The open recurrences that one of these waits stops. Locks them by id."""
    found = sa.select(recurrences).where(_OPEN, is_among(recurrences.c.stop_wait_id))
    return found.order_by(recurrences.c.id).with_for_update()


def insert_recurrence(connection: Connection, recurrence: Recurrence) -> bool:
    """Insert a recurrence, unless its step has an open one. Returns whether it landed."""
    row = {_COLUMNS.get(field, field): getattr(recurrence, field) for field in _FIELDS} | {
        "status": recurrence.status.value
    }
    return connection.execute(insert_new(recurrences).returning(recurrences.c.id), row).first() is not None


def go_on(connection: Connection, following: Sequence[tuple[Recurrence, WaitStepExecution]], *, now: datetime) -> None:
    """Note the open waits that come next, one for each of these recurrences."""
    rows = [
        {"of": recurrence.id, "wait": wait.id, "at": wait.scheduled_at, "number": recurrence.occurrence + 1, "now": now}
        for recurrence, wait in following
    ]
    connection.execute(_note_following(), rows)


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


def end(connection: Connection, ids: Sequence[str], status: RecurrenceStatus, *, reason: str, now: datetime) -> None:
    """Give open recurrences another status than active: none of them has an open wait any more."""
    given = {"ids": ids, "reason": reason, "now": now, "to_status": status.value}
    connection.execute(_end_recurrences(status is RecurrenceStatus.PAUSED), given)


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
    return sa.update(recurrences).where(_OPEN, is_among(recurrences.c.id)).values(changed)


def get_recurrence(connection: Connection, recurrence_id: str, *, lock: bool = False) -> Recurrence | None:
    """The recurrence with this id."""
    found = sa.select(recurrences).where(recurrences.c.id == recurrence_id)
    row = connection.execute(found.with_for_update() if lock else found).one_or_none()
    return None if row is None else _read(row)


def find_open(connection: Connection, execution_id: str, step_id: str) -> Recurrence | None:
    """The open recurrence of a step."""
    step = sa.and_(recurrences.c.workflow_execution_id == execution_id, recurrences.c.step_id == step_id)
    row = connection.execute(sa.select(recurrences).where(step, _OPEN)).one_or_none()
    return None if row is None else _read(row)


def list_recurrences(
    connection: Connection,
    *,
    statuses: Sequence[RecurrenceStatus] = (),
    execution_id: str | None = None,
    contact_id: str | None = None,
    limit: int = 0,
    after: str | None = None,
) -> list[Recurrence]:
    """Recurrences, newest first, older than the one ``after``; a ``limit`` of 0 is none."""
    found = sa.select(recurrences).order_by(recurrences.c.id.desc())
    if statuses:
        found = found.where(recurrences.c.status.in_([each.value for each in statuses]))
    for column, value in ((recurrences.c.workflow_execution_id, execution_id), (recurrences.c.contact_id, contact_id)):
        if value is not None:
            found = found.where(column == value)
    if after is not None:
        found = found.where(recurrences.c.id < after)
    return [_read(row) for row in connection.execute(found.limit(limit) if limit else found)]
