"""Statements on recurrences.

Lock order: waits by id → listeners → deliveries → recurrences by id.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause

from waitctl.domain.contacts import TZ_FIELD
from waitctl.domain.recurrence import RecurrenceStatus
from waitctl.domain.statuses import WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import Tuples, insert_new, is_among, is_joined_among, is_one_of
from waitctl.infrastructure.schema import recurrences, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.creation import first_lines
from waitctl.infrastructure.store.statements.waits import literal

_ID = recurrences.c.id.type
_NOW = sa.bindparam("now", type_=UtcDateTime)
_ACTIVE = recurrences.c.status == literal(RecurrenceStatus.ACTIVE.value, recurrences.c.status)
OPEN_RECURRENCE = recurrences.c.status.in_(
    [literal(each.value, recurrences.c.status) for each in (RecurrenceStatus.ACTIVE, RecurrenceStatus.PAUSED)]
)

_FROM = recurrences.c.next_at >= sa.bindparam("low_at", type_=UtcDateTime)

IS_DUE = sa.exists(
    sa.select(sa.literal_column("1")).select_from(recurrences).where(_ACTIVE, _FROM, recurrences.c.next_at <= _NOW)
)
"""Whether any recurrence's open wait is due from the mark on: then a batch of due waits may hold one."""


@statement
def _take_ended() -> sa.Select[Any]:
    """The active recurrences that were due within a span and whose open wait has ended. Locks them by id."""
    return _take(sa.and_(_FROM, recurrences.c.next_at <= sa.bindparam("up_to_at", type_=UtcDateTime)))


@statement
def _take_ended_among() -> sa.Select[Any]:
    """The active recurrences whose open wait is one of these, and has ended. Locks them by id."""
    return _take(is_among(recurrences.c.wait_id))


@statement
def _stopped_by() -> sa.Select[Any]:
    """The open recurrences that one of these waits stops. Locks them by id."""
    found = sa.select(recurrences).where(OPEN_RECURRENCE, is_among(recurrences.c.stop_wait_id))
    return found.order_by(recurrences.c.id).with_for_update()


# -- what comes next ---------------------------------------------------------------------------------------------------

_NEXT = {
    "id": _ID,
    "of": _ID,
    "number": sa.Integer(),
    "idempotency_key": sa.Text(),
    "wait_type": waits.c.wait_type.type,
    "scheduled_at": waits.c.scheduled_at.type,
    "timezone": sa.Text(),
    "wait_config": waits.c.wait_config.type,
    "late_policy": sa.Text(),
}
_NOTED = {name: _NEXT[name] for name in ("id", "of", "number", "scheduled_at")}
_OWN = [name for name in _NEXT if name not in {"of", "number"}]
_OF_RECURRENCE = ("workflow_id", "workflow_execution_id", "step_id", "contact_id", "context", "handler", "handlers")


@statement
def _go_on() -> Any:
    """Make the waits that come next whose step and key are free, and note them; name the others' recurrences.

    PostgreSQL only.
    """
    given = sa.select(Tuples("given", _NEXT)).cte("coming")
    stored = _next_waits(given).returning(waits.c.id, waits.c.status, waits.c.workflow_execution_id).cte("stored")
    audited = first_lines(sa.select(stored).subquery("made")).cte("audited")
    noted = _noted(given).where(stored.c.id == given.c.id).cte("noted")
    left = sa.select(given.c.of).where(~sa.exists().where(stored.c.id == given.c.id).correlate(given))
    return left.add_cte(audited, noted)


@statement
def _store_next() -> Any:
    """Insert the waits that come next whose step and key are free, and name them. SQLite only."""
    return _next_waits(Tuples("given", _NEXT)).returning(waits.c.id)


@statement
def _audit_next() -> Any:
    """The first lines of the audit trails of these waits. SQLite only."""
    stored = sa.select(waits.c.id, waits.c.status, waits.c.workflow_execution_id)
    return first_lines(stored.where(is_among(waits.c.id)).subquery("made"))


@statement
def _note_next() -> Any:
    """Note which open wait comes next, of those that were stored. SQLite only."""
    return _noted(Tuples("noted", _NOTED))


def _next_waits(given: FromClause) -> sa.Insert:
    """What a wait has of its recurrence is taken from there."""
    of = [recurrences.c[name] for name in _OF_RECURRENCE]
    status = literal(WaitExecutionStatus.SCHEDULED, waits.c.status)
    rows = sa.select(*(given.c[name] for name in _OWN), *of, status, _NOW, _NOW).where(_is_its_own(given))
    return insert_new(waits).from_select([*_OWN, *_OF_RECURRENCE, "status", "created_at", "updated_at"], rows)


def _noted(given: FromClause) -> sa.Update:
    changed: dict[str, Any] = {
        "wait_id": given.c.id,
        "next_at": given.c.scheduled_at,
        "occurrence": given.c.number,
        "status": literal(RecurrenceStatus.ACTIVE.value, recurrences.c.status),
        "updated_at": _NOW,
    }
    return sa.update(recurrences).where(recurrences.c.id == given.c.of).values(changed)


def _is_its_own(given: FromClause) -> sa.ColumnElement[bool]:
    """Whether a recurrence is the one of a wait that comes next."""
    return sa.and_(recurrences.c.id == given.c.of, is_joined_among(recurrences.c.id))


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
    """JSON as text: many recurrences have the same rule, and nobody reads what hardly one asks for."""
    found = recurrences.c
    zone_field = found.rules[TZ_FIELD].as_string().is_not(None)
    context = sa.case((zone_field, sa.cast(found.context, sa.Text))).label("context")
    terms = (found.id, _text(found.rule), _text(found.rules), found.timezone, found.occurrence, found.anchor_at)
    held = (found.contact_id, context, found.wait_id, found.stop_wait_id)
    # Apart, so that PostgreSQL looks these waits up: it would read all that have ended for the join.
    how = (waits.c.scheduled_at, waits.c.resolved_at, waits.c.resolution, waits.c.timezone, _text(waits.c.wait_config))
    is_theirs = is_one_of(waits.c.id, sa.select(found.wait_id).where(_ACTIVE, which))
    apart = sa.select(waits.c.id, *how).where(is_theirs, waits.c.resolution.is_not(None))
    ended = apart.cte("ended").prefix_with("MATERIALIZED", dialect="postgresql")
    its_end = (ended.c[column.name] for column in how)
    taken: sa.Select[Any] = sa.select(*terms, *held, *its_end)
    taken = taken.join_from(recurrences, ended, ended.c.id == found.wait_id).where(_ACTIVE, which)
    return taken.order_by(found.id).with_for_update(of=recurrences)


def _text(document: sa.Column[Any]) -> sa.ColumnElement[str]:
    return sa.cast(document, sa.Text).label(document.name)
