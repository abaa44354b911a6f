"""Statements on the heartbeat: one row a tick, on the real clock."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.schema import ticks
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.deliveries import in_status
from waitctl.infrastructure.store.statements.recurrences import IS_DUE


@statement
def _last_ticks() -> Any:
    """When, on the real clock, a tick started last, and when one finished."""
    return sa.select(
        sa.func.max(ticks.c.started_at, type_=UtcDateTime), sa.func.max(ticks.c.finished_at, type_=UtcDateTime)
    )


@statement
def _last_finished_at() -> Any:
    """When, on the real clock, a tick finished last."""
    return sa.select(sa.func.max(ticks.c.finished_at, type_=UtcDateTime))


@statement
def _last_tick() -> sa.CompoundSelect[Any]:
    """The tick that started last, and the one that was seen last."""
    one: sa.ColumnElement[int] = sa.literal_column("1")
    looks = (
        sa.select(column.label("at"), ticks.c.host).where(column.is_not(None)).order_by(column.desc()).limit(one)
        for column in (ticks.c.started_at, ticks.c.finished_at)
    )
    return sa.union_all(*(sa.select(look.subquery()) for look in looks))


@statement
def _is_anything_left() -> sa.Select[Any]:
    """Whether a delivery is not through, or a recurrence's open wait was due."""
    # Each status by itself, by its own index.
    unsettled = (sa.exists().where(in_status(each)) for each in (DeliveryStatus.PENDING, DeliveryStatus.RUNNING))
    return sa.select(sa.or_(*unsettled, IS_DUE))


@statement
def _forget_ticks() -> sa.Delete:
    """Forget the ticks of long ago."""
    return sa.delete(ticks).where(ticks.c.started_at < sa.bindparam("before", type_=UtcDateTime))


@statement
def _insert_tick() -> Any:
    """Say that a tick has started."""
    names = ("host", "pid", "started_at", "as_of", "handlers")
    values = {name: sa.bindparam(name, type_=ticks.c[name].type) for name in names}
    return sa.insert(ticks).values(values).returning(ticks.c.id)


@statement
def _finish_tick() -> sa.Update:
    """Say that a tick has finished, and what it did."""
    at, said = sa.bindparam("at", type_=UtcDateTime), sa.bindparam("said", type_=ticks.c.report.type)
    tick = sa.bindparam("tick", type_=ticks.c.id.type)
    return sa.update(ticks).values(finished_at=at, report=said).where(ticks.c.id == tick)
