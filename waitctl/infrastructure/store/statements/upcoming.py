"""The statement behind `upcoming`: what ends by the clock, counted by quarter hours."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.counts import CAP
from waitctl.domain.statuses import ListenerStatus, WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import quarter_of
from waitctl.infrastructure.schema import listeners, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.waits import literal
from waitctl.infrastructure.store.upcoming import _LATER, _OVERDUE, _WITHIN


@statement
def _count_upcoming(of_workflow: bool) -> sa.CompoundSelect[Any]:
    """The scheduled waits by their instant, and the event waits by the end of their listeners' grace, by quarter hours.

    Both in one statement, so that a wait which goes from one to the other meanwhile is counted once.
    """
    scheduled = sa.select(waits.c.scheduled_at.label("at"), waits.c.id.label("wait_id")).where(
        waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status), waits.c.scheduled_at.is_not(None)
    )
    timeouts = sa.select(listeners.c.expires_at.label("at"), listeners.c.wait_id).where(
        listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status), listeners.c.expires_at.is_not(None)
    )
    if of_workflow:
        workflow_id = sa.bindparam("workflow_id", type_=sa.Text)
        scheduled = scheduled.where(waits.c.workflow_id == workflow_id)
        # A look-up per listener: from a join PostgreSQL may go through the workflow's whole history.
        theirs = sa.select(waits.c.workflow_id).where(waits.c.id == listeners.c.wait_id).scalar_subquery()
        timeouts = timeouts.where(theirs == workflow_id)
    return sa.union_all(*(_by_quarter(kind, ends) for kind, ends in enumerate((scheduled, timeouts))))


def _by_quarter(kind: int, ends: sa.Select[Any]) -> sa.Select[Any]:
    """Rows of (kind, place, quarter, count). A wait that listens to several types counts once: they expire together."""
    at = ends.selected_columns.at
    now, until = (sa.bindparam(name, type_=UtcDateTime) for name in ("now", "until"))
    overdue, within, later = (sa.literal_column(str(place), sa.Integer) for place in (_OVERDUE, _WITHIN, _LATER))
    place = sa.case((at <= now, overdue), (at >= until, later), else_=within)
    quarter = sa.case((sa.and_(at > now, at < until), quarter_of(at)), else_=sa.literal_column("0"))
    columns = (place.label("place"), quarter.label("quarter"), ends.selected_columns.wait_id)
    placed = ends.with_only_columns(*columns).subquery("placed")
    return sa.select(
        sa.literal_column(str(kind), sa.Integer),
        placed.c.place,
        placed.c.quarter,
        sa.func.count(placed.c.wait_id.distinct()),
    ).group_by(placed.c.place, placed.c.quarter)


@statement
def _count_next() -> sa.CompoundSelect[Any]:
    """The next of what ends by the clock, by quarter hours: scheduled waits, and the ends of listeners' grace.

    Rows of (kind, quarter, waits, rows looked at), of which each kind has no more than the first that there are.
    """
    is_scheduled = waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status)
    is_active = listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
    return sa.union_all(
        _counted(0, _soon(waits.c.scheduled_at).where(is_scheduled)),
        _counted(1, _soon(listeners.c.expires_at, listeners.c.wait_id).where(is_active)),
    )


def _soon(at: sa.Column[Any], *columns: sa.Column[Any]) -> sa.Select[Any]:
    now, until = (sa.bindparam(name, type_=UtcDateTime) for name in ("now", "until"))
    more = sa.literal_column(str(CAP + 1), sa.Integer)
    return sa.select(at.label("at"), *columns).where(at > now, at < until).order_by(at).limit(more)


def _counted(kind: int, soon: sa.Select[Any]) -> sa.Select[Any]:
    """With ``wait_id`` among the columns a wait may stand there several times: its listeners expire together."""
    rows = soon.subquery()
    found = sa.func.count(rows.c.wait_id.distinct()) if "wait_id" in rows.c else sa.func.count()
    quarter = quarter_of(rows.c.at)
    columns: tuple[sa.ColumnElement[Any], ...] = (sa.literal_column(str(kind), sa.Integer), quarter, found)
    return sa.select(*columns, sa.func.count()).group_by(quarter)
