"""Statements on recurrences.

Lock order: waits by id → listeners → deliveries → recurrences by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass, replace
from waitctl.domain.waits import Resolution, WaitStepExecution
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.kept import kept

if TYPE_CHECKING:
    from waitctl.domain.recurrence import Recurrence, RecurrenceStatus


@dataclass(frozen=True, slots=True)
class Ended:
    """A recurrence whose open wait has ended: when it was due, when and how it ended."""

    recurrence: Recurrence
    scheduled_at: datetime
    resolved_at: datetime
    resolution: Resolution
    timezone: str
    wait_config: JsonObject


def _read(row: Row) -> Recurrence:
    """A recurrence of its columns, in the order of its fields; two of them bear another name."""
    from waitctl.domain.recurrence import Recurrence, RecurrenceStatus

    found = Recurrence(*row[: len(Recurrence.__match_args__)])
    return replace(found, status=RecurrenceStatus(found.status))


def take_ended(connection: Connection, *, now: datetime) -> list[Ended]:
    """Lock the active recurrences that are due and whose open wait has ended."""
    return _ended(connection.execute(kept("take_ended"), {"now": now}))


def take_ended_among(connection: Connection, wait_ids: Sequence[str]) -> list[Ended]:
    """Lock the active recurrences whose open wait is one of these, and has ended."""
    return _ended(connection.execute(kept("take_ended_among"), {"ids": wait_ids}))


def _ended(rows: Iterable[Row]) -> list[Ended]:
    return [Ended(_read(row), *row[-5:]) for row in rows]


def stopped_by(connection: Connection, wait_ids: Sequence[str]) -> list[Recurrence]:
    """Lock the open recurrences that these waits, which have ended, stop."""
    return [_read(row) for row in connection.execute(kept("stopped_by"), {"ids": wait_ids})]


def insert_recurrence(connection: Connection, recurrence: Recurrence) -> bool:
    """Insert a recurrence, unless its step has an open one. Returns whether it landed."""
    from waitctl.infrastructure.dialects import insert_new
    from waitctl.infrastructure.schema import recurrences

    names = recurrence.__match_args__
    values = [getattr(recurrence, name) for name in names]
    row = dict(zip(recurrences.c.keys(), values, strict=True)) | {"status": recurrence.status.value}
    return connection.execute(insert_new(recurrences).returning(recurrences.c.id), row).first() is not None


def go_on(connection: Connection, following: Sequence[tuple[Recurrence, WaitStepExecution]], *, now: datetime) -> None:
    """Note the open waits that come next, one for each of these recurrences."""
    rows = [
        {"of": recurrence.id, "wait": wait.id, "at": wait.scheduled_at, "number": recurrence.occurrence + 1, "now": now}
        for recurrence, wait in following
    ]
    connection.execute(kept("note_following"), rows)


def end(connection: Connection, ids: Sequence[str], status: RecurrenceStatus, *, reason: str, now: datetime) -> None:
    """Give open recurrences another status than active: none of them has an open wait any more."""
    from waitctl.domain.recurrence import RecurrenceStatus

    given = {"ids": ids, "reason": reason, "now": now, "to_status": status.value}
    connection.execute(kept("end_recurrences", status is RecurrenceStatus.PAUSED), given)


def get_recurrence(connection: Connection, recurrence_id: str, *, lock: bool = False) -> Recurrence | None:
    """The recurrence with this id."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import recurrences

    found = sa.select(recurrences).where(recurrences.c.id == recurrence_id)
    row = connection.execute(found.with_for_update() if lock else found).one_or_none()
    return None if row is None else _read(row)


def find_open(connection: Connection, execution_id: str, step_id: str) -> Recurrence | None:
    """The open recurrence of a step."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import recurrences
    from waitctl.infrastructure.store.statements.recurrences import OPEN_RECURRENCE

    step = sa.and_(recurrences.c.workflow_execution_id == execution_id, recurrences.c.step_id == step_id)
    row = connection.execute(sa.select(recurrences).where(step, OPEN_RECURRENCE)).one_or_none()
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
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import recurrences

    found = sa.select(recurrences).order_by(recurrences.c.id.desc())
    if statuses:
        found = found.where(recurrences.c.status.in_([each.value for each in statuses]))
    for column, value in ((recurrences.c.workflow_execution_id, execution_id), (recurrences.c.contact_id, contact_id)):
        if value is not None:
            found = found.where(column == value)
    if after is not None:
        found = found.where(recurrences.c.id < after)
    return [_read(row) for row in connection.execute(found.limit(limit) if limit else found)]
