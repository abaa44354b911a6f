"""Statements on the waits that a filter means: every command that takes the filters goes through `clauses`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from waitctl.domain.counts import CAP
from waitctl.domain.filters import NEWEST_FIRST, SortKey, WaitFilter, WaitOrder
from waitctl.domain.statuses import ListenerStatus, Outcome, WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.schema import listeners, waits
from waitctl.infrastructure.sql_batch import named
from waitctl.infrastructure.store.statements.completion import ACTIVE, SCHEDULED
from waitctl.infrastructure.store.statements.overview import percentiles
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT, literal, of_execution


def clauses(wanted: WaitFilter, *, now: datetime) -> list[sa.ColumnElement[bool]]:
    """What holds for the waits that are meant, at ``now``. Raises `InvalidWaitDateError`; see `WaitFilter.at`."""
    wanted = wanted.at(now)
    held: list[sa.ColumnElement[bool]] = []
    for column, value in (
        (waits.c.contact_id, wanted.contact_id),
        (waits.c.workflow_id, wanted.workflow_id),
        (waits.c.step_id, wanted.step_id),
    ):
        if value is not None:
            held.append(column == value)
    if wanted.wait_types:
        held.append(waits.c.wait_type.in_(list(wanted.wait_types)))
    if wanted.execution_id is not None:
        held.append(of_execution(wanted.execution_id))
    if wanted.handler is not None:
        routed = (waits.c.handlers[outcome.value].as_string() == wanted.handler for outcome in Outcome)
        held.append(sa.or_(waits.c.handler == wanted.handler, *routed))
    if wanted.statuses:
        held.append(waits.c.status.in_([literal(each, waits.c.status) for each in wanted.statuses]))
    if wanted.created_before is not None:
        held.append(waits.c.created_at < wanted.created_before)
    if wanted.created_after is not None:
        held.append(waits.c.created_at >= wanted.created_after)
    return held + _ending(wanted, now)


def _ending(wanted: WaitFilter, now: datetime) -> list[sa.ColumnElement[bool]]:
    held: list[sa.ColumnElement[bool]] = []
    if wanted.overdue:
        held.append(_ends_at() <= now)
    if wanted.due_before is not None:
        held.append(_ends_at() < wanted.due_before)
    if wanted.due_after is not None:
        held.append(_ends_at() >= wanted.due_after)
    return [OPEN_WAIT, *held] if held else []


def _ends_at() -> sa.ColumnElement[Any]:
    """When a tick would end an open wait: its instant, or the end of its listeners' grace."""
    expires = (
        sa.select(sa.func.min(listeners.c.expires_at))
        .where(
            listeners.c.wait_id == waits.c.id, listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
        )
        .correlate(waits)  # alone: it may stand beside another join of listeners
        .scalar_subquery()
    )
    return sa.case(
        (waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status), waits.c.scheduled_at), else_=expires
    )


def page_after(after: str | None, order: WaitOrder, found: sa.Select[Any]) -> sa.Select[Any]:
    """The statement for what comes behind the wait ``after`` in this order."""
    if after is None:
        return found
    key = _sort_key(order.key)
    if order.key is SortKey.CREATED:
        return found.where(key < after if order.descending else key > after)
    place = sa.select(key, waits.c.id).where(waits.c.id == after).scalar_subquery()
    here = sa.tuple_(key, waits.c.id)
    return found.where(here < place if order.descending else here > place)


def list_statement(wanted: WaitFilter, *, now: datetime, order: WaitOrder = NEWEST_FIRST) -> sa.Select[Any]:
    """The waits that are meant, in this order."""
    columns = [waits.c.id] if order.key is SortKey.CREATED else [_sort_key(order.key), waits.c.id]
    ordered = [column.desc() if order.descending else column.asc() for column in columns]
    return named("list_waits", sa.select(waits).where(*clauses(wanted, now=now)).order_by(*ordered))


_NEVER = datetime(9999, 12, 31, tzinfo=UTC)


def _sort_key(key: SortKey) -> sa.ColumnElement[Any]:
    """What waits are sorted by; those that have none come after all others."""
    if key is SortKey.CREATED:
        return waits.c.id
    if key is SortKey.UPDATED:
        return waits.c.updated_at
    instants = [waits.c.resolved_at] if key is SortKey.ENDED else [waits.c.scheduled_at, waits.c.timeout_at]
    return sa.func.coalesce(*instants, sa.literal(_NEVER, UtcDateTime), type_=UtcDateTime)


def ids_statement(wanted: WaitFilter, *, now: datetime, order: WaitOrder) -> sa.Select[Any]:
    """Their ids alone, in this order."""
    return list_statement(wanted, now=now, order=order).with_only_columns(waits.c.id)


def count_statements(
    wanted: WaitFilter, *, now: datetime
) -> tuple[sa.Select[Any], sa.Select[Any], list[sa.Select[Any]]]:
    """The open waits among those that are meant by type and status; the `percentiles` of the overdue; what ends next.

    The first two look at no more than `CAP` and one.
    """
    held = [*clauses(wanted, now=now), OPEN_WAIT]
    more = sa.literal_column(str(CAP + 1), sa.Integer)
    some = sa.select(waits.c.wait_type, waits.c.status).where(*held).limit(more).subquery()
    counts = sa.select(*some.c, sa.func.count()).group_by(*some.c)
    ends = sa.select(_ends_at().label("at")).where(*held, _ends_at() <= now).limit(more)
    due = sa.select(waits.c.scheduled_at).where(*held, SCHEDULED, waits.c.scheduled_at > now)
    expires = (
        sa.select(listeners.c.expires_at)
        .join(waits, waits.c.id == listeners.c.wait_id)
        .where(*held, ACTIVE, listeners.c.expires_at > now)
    )
    first = [found.order_by(found.selected_columns[0]).limit(1) for found in (due, expires)]
    return counts, percentiles(ends), first
