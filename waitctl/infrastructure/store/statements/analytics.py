"""Statements on what became of waits, told apart by one thing: from the totals, or from the waits themselves."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.analytics import Dimension, Measure
from waitctl.domain.statuses import DeliveryStatus, WaitExecutionStatus
from waitctl.infrastructure.dialects import JsonRows, is_among
from waitctl.infrastructure.schema import deliveries, rollups, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.rollups import (
    FROM,
    Level,
    add_measured,
    measured,
    measured_waits,
    not_in_totals,
)
from waitctl.infrastructure.store.statements.waits import literal

_LOW, _HIGH = (sa.bindparam(name, type_=sa.Text) for name in ("low", "high"))
_SINCE_DAY = sa.bindparam("since_day", type_=sa.Text)
_COLUMN_OF = {
    Dimension.WORKFLOW: "workflow_id",
    Dimension.TYPE: "wait_type",
    Dimension.STEP: "step_id",
    Dimension.HANDLER: "handler",
}
_COUNTED = [each.value for each in Measure if each is not Measure.ERROR]
_ERROR = waits.c.status == literal(WaitExecutionStatus.ERROR, waits.c.status)


def _summed(rows: sa.FromClause, *by: Dimension) -> sa.Select[Any]:
    """Rows of (measure, outcome, bucket, count, total, and the names of the groups)."""
    count, total = (sa.cast(sa.func.sum(rows.c[name]), rollups.c.count.type) for name in ("count", "total"))
    groups = [rows.c[_COLUMN_OF[each]] for each in by]
    keys = (rows.c.measure, rows.c.outcome, rows.c.bucket)
    columns: list[Any] = [*keys, count, total, *groups]
    return sa.select(*columns).group_by(*keys, *groups).having(count != sa.literal_column("0"))


def _wanted(rows: sa.FromClause) -> list[sa.ColumnElement[bool]]:
    """Of these types; and of the workflow, the step, the handler that are given."""
    types = JsonRows("types", {"name": sa.Text()})
    given = {name: sa.bindparam(f"of_{name}", type_=sa.Text) for name in ("workflow_id", "step_id", "handler")}
    of_groups = [sa.or_(value.is_(None), rows.c[name] == value) for name, value in given.items()]
    return [rows.c.wait_type.in_(sa.select(types.c.name)), *of_groups]


def _one_each(parts: list[sa.Select[Any]]) -> sa.Subquery:
    """Rows of `measured` with the columns of the totals."""
    each = sa.union_all(*parts).subquery("measured")
    columns = [column for column in each.c if column.name != "value"]
    one = sa.literal_column("1", rollups.c.count.type)
    return sa.select(*columns, one.label("count"), each.c.value.label("total")).subquery("each")


@statement
def _analytics(by: Dimension | None) -> sa.Select[Any]:
    """What the totals hold of the days, or of the months, from one on and before another."""
    of_measures = rollups.c.measure.in_([sa.literal_column(f"'{name}'") for name in _COUNTED])
    between = sa.and_(rollups.c.day >= _LOW, rollups.c.day < _HIGH)
    return _summed(rollups, *([by] if by else [])).where(of_measures, between, *_wanted(rollups))


@statement
def _analytics_not_yet() -> sa.Select[Any]:
    """What is in no total yet, by everything."""
    each = _one_each(not_in_totals(measured_waits()))
    return _summed(each, *Dimension).where(*_wanted(each))


@statement
def _analytics_errors() -> sa.Select[Any]:
    """The waits whose deliveries are dead, by everything: those that are still there, and those that were pruned so.

    In one statement: a prune takes them from the one to the other.
    """
    zero = sa.literal_column("0", rollups.c.count.type)
    there = _one_each([measured(Measure.ERROR, zero, zero).where(_ERROR, waits.c.resolved_at >= FROM)])
    gone = rollups.c.measure == sa.literal_column(f"'{Measure.ERROR.value}'")
    rows = sa.union_all(
        sa.select(*(rollups.c[column.name] for column in there.c)).where(gone, rollups.c.day >= _SINCE_DAY),
        sa.select(*there.c),
    ).subquery("rows")
    return _summed(rows, *Dimension).where(*_wanted(rows))


@statement
def _roll_up_errors() -> sa.Insert:
    """Add waits that are pruned to the totals, so far as their deliveries are dead."""
    zero = sa.literal_column("0", rollups.c.count.type)
    gone = measured(Measure.ERROR, zero, zero).where(_ERROR, is_among(waits.c.id))
    return add_measured(gone, Level.DAY)


def of_waits(held: list[sa.ColumnElement[bool]]) -> tuple[sa.Select[Any], sa.Select[Any]]:
    """The same of the waits that are still there and that these conditions hold for; and rows of their attempts."""
    ended = [*held, waits.c.resolved_at >= FROM]
    zero = sa.literal_column("0", rollups.c.count.type)
    parts = [*measured_waits(), measured(Measure.ERROR, zero, zero).where(_ERROR)]
    return _summed(_one_each([part.where(*ended) for part in parts]), *Dimension), _attempts(ended)


def _attempts(ended: list[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """How many attempts deliveries took, and how many of them came through, by everything."""
    empty = sa.literal_column("''", sa.Text)
    workflow_id, wait_type = sa.func.coalesce(waits.c.workflow_id, empty), sa.cast(waits.c.wait_type, sa.Text)
    groups = (workflow_id, wait_type, waits.c.step_id, deliveries.c.handler)
    is_delivered = deliveries.c.status == literal(DeliveryStatus.DELIVERED, deliveries.c.status)
    delivered = sa.func.count(sa.case((is_delivered, sa.literal_column("1", sa.Integer))))
    attempts = sa.cast(sa.func.sum(deliveries.c.attempt), rollups.c.count.type)
    found = sa.select(attempts, delivered, *groups).join(waits, waits.c.id == deliveries.c.wait_id)
    return found.where(*ended).group_by(*groups)
