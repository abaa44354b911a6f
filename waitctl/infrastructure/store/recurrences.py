"""Statements on recurrences.

Lock order: waits by id → listeners → deliveries → recurrences by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from waitctl.domain.statuses import Resolution
from waitctl.domain.values import replace
from waitctl.infrastructure.executor import Connection, Row
from waitctl.infrastructure.kept import by_dialect, kept
from waitctl.infrastructure.sql_values import as_tuples, instant_text

if TYPE_CHECKING:
    from waitctl.domain.occurrences import NextWait, Terms
    from waitctl.domain.recurrence import Recurrence, RecurrenceStatus


class EndedOccurrence(NamedTuple):
    """A recurrence whose open wait has ended: what comes next goes by, when that was due, when and how it ended.

    ``context`` (only where it may hold the zone) and ``wait_config`` are JSON.
    """

    terms: Terms
    contact_id: str | None
    context: str | None
    wait_id: str
    stop_wait_id: str | None
    scheduled_at: datetime
    resolved_at: datetime
    resolution: Resolution
    timezone: str
    wait_config: str

    @property
    def id(self) -> str:
        """The recurrence's."""
        return self.terms.recurrence_id


def _read(row: Row) -> Recurrence:
    """A recurrence of its columns, in the order of its fields; two of them bear another name."""
    from waitctl.domain.recurrence import Recurrence, RecurrenceStatus

    found = Recurrence(*row[: len(Recurrence.__match_args__)])
    return replace(found, status=RecurrenceStatus(found.status))


def take_ended(connection: Connection, *, since: datetime, up_to: datetime) -> list[EndedOccurrence]:
    """Lock the active recurrences that were due within a span and whose open wait has ended."""
    return _ended(connection.execute(kept("take_ended"), {"low_at": since, "up_to_at": up_to}))


def take_ended_among(connection: Connection, wait_ids: Sequence[str]) -> list[EndedOccurrence]:
    """Lock the active recurrences whose open wait is one of these, and has ended."""
    return _ended(connection.execute(kept("take_ended_among"), {"ids": wait_ids}))


def _ended(rows: Iterable[Row]) -> list[EndedOccurrence]:
    if not (found := list(rows)):
        return []
    from waitctl.domain.occurrences import Terms

    terms = len(Terms._fields)
    return [EndedOccurrence(Terms(*row[:terms]), *row[terms:]) for row in found]


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


def go_on(connection: Connection, following: Sequence[NextWait], *, now: datetime, reason: str, actor: str) -> set[str]:
    """Make the waits that come next, and note each as the open one of its recurrence.

    Returns the ids of the recurrences that could not go on, since their step has another open wait.
    """
    rows = [
        (
            *(wait.id, wait.recurrence_id, str(wait.number), f"recurrence:{wait.recurrence_id}:{wait.number}"),
            *(wait.wait_type, instant_text(wait.scheduled_at), wait.timezone, wait.wait_config),
            wait.late_policy,
        )
        for wait in following
    ]
    go_on = by_dialect(connection, sqlite=_go_on_step_by_step, postgresql=_go_on_at_once)
    ids = [wait.recurrence_id for wait in following]
    given = {"given": as_tuples(rows, connection.dialect), "ids": ids, "now": now}
    return go_on(connection, following, given, {"reason": reason, "actor": actor})


def _go_on_at_once(
    connection: Connection, _: Sequence[NextWait], given: Mapping[str, Any], audit: Mapping[str, str]
) -> set[str]:
    return set(connection.execute(kept("go_on"), {**given, **audit}).scalars())


def _go_on_step_by_step(
    connection: Connection, following: Sequence[NextWait], given: Mapping[str, Any], audit: Mapping[str, str]
) -> set[str]:
    stored = set(connection.execute(kept("store_next"), given).scalars())
    made = [wait for wait in following if wait.id in stored]
    noted = [(wait.id, wait.recurrence_id, str(wait.number), instant_text(wait.scheduled_at)) for wait in made]
    connection.execute(kept("audit_next"), {"ids": [wait.id for wait in made], "now": given["now"], **audit})
    connection.execute(kept("note_next"), {"noted": noted, "now": given["now"]})
    return {wait.recurrence_id for wait in following if wait.id not in stored}


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
