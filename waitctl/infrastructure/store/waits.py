"""Statements on waits, their listeners and their audit trail.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import starmap
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.deliveries import Delivery
from waitctl.domain.errors import WaitExecutionNotFoundError
from waitctl.domain.listeners import EventListener, ListenerStatus
from waitctl.domain.text import JsonObject, from_json
from waitctl.domain.waits import OPEN, Resolution, WaitExecutionStatus, WaitFilter, WaitStepExecution, WaitType
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.schema import UtcDateTime, deliveries, listeners, matches, tombstones, transitions, waits
from waitctl.infrastructure.sql_batch import as_ids, is_among, is_among_ids, read_rfc3339, rfc3339, speaks_sqlite


def literal(value: Any, column: sa.ColumnElement[Any]) -> sa.BindParameter[Any]:
    """``value`` as text in the statement: under a generic plan a bound status loses the partial index."""
    return sa.literal(value, column.type, literal_execute=True)


_OPEN = waits.c.status.in_([literal(status, waits.c.status) for status in sorted(OPEN, reverse=True)])


# -- reading -----------------------------------------------------------------------------------------------------------


def get_wait(connection: Connection, wait_id: str) -> WaitStepExecution | None:
    """The wait with this id, its listeners and deliveries with it."""
    return next(iter(load(connection, sa.select(waits).where(waits.c.id == wait_id))), None)


def find_wait_ids(connection: Connection, fragment: str, limit: int) -> list[str]:
    """Ids that begin or end with ``fragment``: hexadecimal digits, no dashes."""
    text = sa.func.replace(sa.cast(waits.c.id, sa.Text), "-", "")
    found = sa.select(waits.c.id).where(text.startswith(fragment) | text.endswith(fragment))
    return list(connection.execute(found.order_by(waits.c.id).limit(limit)).scalars())


def find_open_wait(connection: Connection, execution_id: str, step_id: str) -> WaitStepExecution | None:
    """The open wait of a step."""
    found = sa.select(waits).where(waits.c.workflow_execution_id == execution_id, waits.c.step_id == step_id, _OPEN)
    return next(iter(load(connection, found)), None)


def find_wait_by_key(connection: Connection, workflow_id: str | None, key: str) -> WaitStepExecution | None:
    """The wait that was created with this idempotency key in this workflow."""
    found = sa.select(waits).where(
        sa.func.coalesce(waits.c.workflow_id, sa.literal_column("''")) == (workflow_id or ""),
        waits.c.idempotency_key == key,
    )
    return next(iter(load(connection, found)), None)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a pruned wait that had a key."""

    wait_id: str
    fingerprint: str
    resolution: Resolution
    resolved_at: datetime


def find_tombstone(connection: Connection, workflow_id: str | None, key: str) -> Tombstone | None:
    """What is left of the pruned wait with this key."""
    table = tombstones.c
    row = connection.execute(
        sa.select(table.wait_id, table.fingerprint, table.resolution, table.resolved_at).where(
            table.kind == "wait_key", table.scope == (workflow_id or ""), table.key == key
        )
    ).one_or_none()
    return Tombstone(*row) if row else None


def waits_of_execution(
    connection: Connection, execution_id: str, step_id: str | None = None
) -> list[WaitStepExecution]:
    """The waits of an execution (and step), oldest first."""
    found = sa.select(waits).where(_of_execution(execution_id))
    if step_id is not None:
        found = found.where(waits.c.step_id == step_id)
    return load(connection, found.order_by(waits.c.created_at, waits.c.id))


def list_waits(
    connection: Connection, wanted: WaitFilter, *, now: datetime, limit: int, after: str | None
) -> list[WaitStepExecution]:
    """Waits by id, newest first, older than the wait ``after``."""
    found = list_statement(wanted, now=now).limit(limit)
    return load(connection, found if after is None else found.where(waits.c.id < after))


def list_statement(wanted: WaitFilter, *, now: datetime) -> sa.Select[Any]:
    """The waits that are wanted, newest first."""
    found = sa.select(waits).order_by(waits.c.id.desc())
    for column, value in (
        (waits.c.wait_type, wanted.wait_type),
        (waits.c.contact_id, wanted.contact_id),
        (waits.c.workflow_id, wanted.workflow_id),
    ):
        if value is not None:
            found = found.where(column == value)
    if wanted.execution_id is not None:
        found = found.where(_of_execution(wanted.execution_id))
    if wanted.statuses:
        found = found.where(waits.c.status.in_([literal(each, waits.c.status) for each in wanted.statuses]))
    if wanted.overdue:
        found = found.where(_OPEN, _ends_at() <= now)
    if wanted.due_before is not None:
        found = found.where(_OPEN, _ends_at() < wanted.due_before)
    return found


def _ends_at() -> sa.ColumnElement[Any]:
    """When a tick would end an open wait: its instant, or the end of its listeners' grace."""
    expires = (
        sa.select(sa.func.min(listeners.c.expires_at))
        .where(
            listeners.c.wait_id == waits.c.id, listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
        )
        .scalar_subquery()
    )
    return sa.case(
        (waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status), waits.c.scheduled_at), else_=expires
    )


def load(connection: Connection, found: sa.Select[Any]) -> list[WaitStepExecution]:
    """The waits of a statement on all their columns, their listeners and deliveries with them."""
    names = waits.c.keys()
    rows = [dict(zip(names, row, strict=True)) for row in connection.execute(found).all()]
    heard = listeners_of(connection, [row["id"] for row in rows if row["wait_type"] is WaitType.FOR_EVENT])
    sent = deliveries_of(connection, [row["id"] for row in rows])
    return [
        WaitStepExecution(**row, listeners=tuple(heard.get(row["id"], ())), deliveries=tuple(sent.get(row["id"], ())))
        for row in rows
    ]


def get_fields(connection: Connection, wait_ids: Sequence[str], names: tuple[str, ...]) -> list[JsonObject]:
    """These columns of the waits with these ids, enumerations and instants as documents have them."""
    is_sqlite = speaks_sqlite(connection)
    rows = connection.execute(_fields(names, is_sqlite), {"ids": as_ids(wait_ids, is_sqlite=is_sqlite)}).all()
    return [read_fields(names, row) for row in rows]


@cache
def _fields(names: tuple[str, ...], is_sqlite: bool) -> sa.Select[Any]:
    return sa.select(*plain_columns(names, is_sqlite=is_sqlite)).where(is_among_ids(waits.c.id, is_sqlite=is_sqlite))


def plain_columns(names: Sequence[str], *, is_sqlite: bool) -> list[sa.ColumnElement[Any]]:
    """These columns of the waits for `read_fields`: what the driver would make an object of as text."""

    def plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        if column.name in _ENUMERATIONS:
            return sa.type_coerce(column, sa.Text).label(column.name)
        if column.name in _INSTANTS:
            return rfc3339(column, is_sqlite=is_sqlite).label(column.name)
        return sa.cast(column, sa.Text).label(column.name) if column.name in _DOCUMENTS else column

    return [plain(waits.c[name]) for name in names]


def read_fields(names: Sequence[str], row: Iterable[Any]) -> JsonObject:
    """A wait's fields from its `plain_columns`, enumerations and instants as documents have them.

    Apart from the look-up, since another thread can do it.
    """
    fields = dict(zip(names, row, strict=True))
    for name in _DOCUMENTS:
        if (text := fields[name]) is not None:
            fields[name] = from_json(text)
    for name in _INSTANTS:
        if (at := fields[name]) is not None:
            fields[name] = read_rfc3339(at)
    return fields


_ENUMERATIONS = frozenset({"wait_type", "status", "resolution"})
_DOCUMENTS = ("wait_config", "context", "handlers", "command")
_INSTANTS = ("scheduled_at", "timeout_at", "created_at", "updated_at", "resolved_at")


def deliveries_of(connection: Connection, wait_ids: Sequence[str]) -> dict[str, list[Delivery]]:
    """The deliveries of these waits, oldest first."""
    sent: dict[str, list[Delivery]] = {}
    if wait_ids:
        is_sqlite = speaks_sqlite(connection)
        rows = connection.execute(_sent(is_sqlite), {"ids": as_ids(wait_ids, is_sqlite=is_sqlite)}).all()
        for delivery in starmap(Delivery, rows):
            sent.setdefault(delivery.wait_id, []).append(delivery)
    return sent


@cache
def _sent(is_sqlite: bool) -> sa.Select[Any]:
    return (
        sa.select(deliveries).where(is_among_ids(deliveries.c.wait_id, is_sqlite=is_sqlite)).order_by(deliveries.c.id)
    )


def listeners_of(connection: Connection, wait_ids: Sequence[str]) -> dict[str, list[EventListener]]:
    """The listeners of these waits, each with what it has counted."""
    if not wait_ids:
        return {}
    counts = sa.select(matches.c.listener_id, sa.func.count()).where(matches.c.wait_id.in_(wait_ids))
    counted = {row[0]: row[1] for row in connection.execute(counts.group_by(matches.c.listener_id))}
    heard: dict[str, list[EventListener]] = {}
    theirs = sa.select(listeners).where(listeners.c.wait_id.in_(wait_ids)).order_by(listeners.c.id)
    for row in connection.execute(theirs).mappings():
        fields = dict(row)
        wait_id = fields.pop("wait_id")
        number = counted.get(fields["id"], 0) if fields["group_no"] else int(row["matched_event_id"] is not None)
        heard.setdefault(wait_id, []).append(EventListener(**fields, matched_count=number))
    return heard


def _of_execution(execution_id: str) -> sa.ColumnElement[bool]:
    """By the first line of the audit trail, which has the index."""
    return waits.c.id.in_(sa.select(transitions.c.wait_id).where(transitions.c.workflow_execution_id == execution_id))


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a wait's audit trail."""

    at: datetime
    from_status: WaitExecutionStatus | None
    to_status: WaitExecutionStatus
    reason: str
    actor: str
    data: JsonObject | None


def history(connection: Connection, wait_id: str) -> list[Transition]:
    """A wait's audit trail, oldest first."""
    table = transitions.c
    found = sa.select(table.at, table.from_status, table.to_status, table.reason, table.actor, table.data)
    return [Transition(*row) for row in connection.execute(found.where(table.wait_id == wait_id).order_by(table.id))]


def count_ended(connection: Connection, wait_ids: Sequence[str]) -> int:
    """How many of these waits have ended. Raises `WaitExecutionNotFoundError` when one is gone."""
    among = is_among(waits.c.id, wait_ids, is_sqlite=speaks_sqlite(connection))
    found = sa.select(sa.func.count(), sa.func.count(waits.c.resolved_at)).where(among)
    there, ended = connection.execute(found).one()
    if there < len(wait_ids):
        raise WaitExecutionNotFoundError("a wait is gone: it ended long ago and was pruned")
    return int(ended)


@dataclass(frozen=True, slots=True)
class OpenCounts:
    """The open waits by type and status, how many are overdue since when, and when the next one is due."""

    by_type: Mapping[WaitType, int]
    by_status: Mapping[WaitExecutionStatus, int]
    overdue: int
    oldest_overdue_at: datetime | None
    next_due_at: datetime | None


def count_open(connection: Connection, *, now: datetime) -> OpenCounts:
    """Count the open waits."""
    by_type: dict[WaitType, int] = dict.fromkeys(WaitType, 0)
    by_status: dict[WaitExecutionStatus, int] = dict.fromkeys(sorted(OPEN, reverse=True), 0)
    grouped = sa.select(waits.c.wait_type, waits.c.status, sa.func.count()).where(_OPEN)
    for wait_type, status, count in connection.execute(grouped.group_by(waits.c.wait_type, waits.c.status)):
        by_type[wait_type] += count
        by_status[status] += count
    ends = sa.union_all(
        sa.select(waits.c.scheduled_at.label("at")).where(
            waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status)
        ),
        sa.select(sa.func.min(listeners.c.expires_at))
        .where(listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status))
        .group_by(listeners.c.wait_id),
    ).subquery()
    at = sa.type_coerce(ends.c.at, UtcDateTime)
    row = connection.execute(
        sa.select(
            sa.func.count().filter(at <= now),
            sa.func.min(at, type_=UtcDateTime).filter(at <= now),
            sa.func.min(at, type_=UtcDateTime).filter(at > now),
        )
    ).one()
    return OpenCounts(by_type, by_status, row[0], row[1], row[2])


@dataclass(frozen=True, slots=True)
class UpcomingCounts:
    """What ends by the clock: how many waits are overdue, how many come later than was asked, and the rest.

    The rest by quarter hours since the epoch, as every zone of today is off UTC by a multiple of them.
    """

    overdue: int
    later: int
    scheduled: Mapping[int, int]
    timeouts: Mapping[int, int]


def count_upcoming(
    connection: Connection, *, now: datetime, until: datetime, workflow_id: str | None, is_sqlite: bool
) -> UpcomingCounts:
    """Count the scheduled waits by their instant, and the event waits by the end of their listeners' grace.

    Both in one statement, so that a wait which goes from one to the other meanwhile is counted once.
    """
    scheduled = sa.select(waits.c.scheduled_at.label("at"), waits.c.id.label("wait_id")).where(
        waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status), waits.c.scheduled_at.is_not(None)
    )
    timeouts = sa.select(listeners.c.expires_at.label("at"), listeners.c.wait_id).where(
        listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status), listeners.c.expires_at.is_not(None)
    )
    if workflow_id is not None:
        scheduled = scheduled.where(waits.c.workflow_id == workflow_id)
        # A look-up per listener: from a join PostgreSQL may go through the workflow's whole history.
        theirs = sa.select(waits.c.workflow_id).where(waits.c.id == listeners.c.wait_id).scalar_subquery()
        timeouts = timeouts.where(theirs == workflow_id)
    counted = sa.union_all(
        *(_by_quarter(kind, ends, now, until, is_sqlite=is_sqlite) for kind, ends in enumerate((scheduled, timeouts)))
    )
    aside = {_OVERDUE: 0, _LATER: 0}
    within: tuple[dict[int, int], dict[int, int]] = ({}, {})
    for kind, place, quarter, count in connection.execute(counted):
        if place in aside:
            aside[place] += count
        else:
            within[kind][quarter] = count
    return UpcomingCounts(aside[_OVERDUE], aside[_LATER], *within)


_OVERDUE, _WITHIN, _LATER = -1, 0, 1


def _by_quarter(kind: int, ends: sa.Select[Any], now: datetime, until: datetime, *, is_sqlite: bool) -> sa.Select[Any]:
    """Rows of (kind, place, quarter, count). A wait that listens to several types counts once: they expire together."""
    at = ends.selected_columns.at
    if is_sqlite:
        # Without the fraction, which SQLite rounds: 59.9999 is no minute.
        second = sa.func.strftime("%s", sa.func.substr(at, 1, 19))
        quarter: sa.ColumnElement[int] = sa.cast(second, sa.Integer) // 900
    else:
        quarter = sa.cast(sa.func.floor(sa.extract("epoch", at) / 900), sa.BigInteger)
    place = sa.case((at <= now, _OVERDUE), (at >= until, _LATER), else_=_WITHIN)
    placed = ends.with_only_columns(
        place.label("place"),
        sa.case((sa.and_(at > now, at < until), quarter), else_=0).label("quarter"),
        ends.selected_columns.wait_id,
    ).subquery()
    return sa.select(
        sa.literal(kind), placed.c.place, placed.c.quarter, sa.func.count(placed.c.wait_id.distinct())
    ).group_by(placed.c.place, placed.c.quarter)


# -- creating ----------------------------------------------------------------------------------------------------------


def insert_wait(
    connection: Connection, database: Database, wait: WaitStepExecution, *, reason: str, actor: str
) -> bool:
    """Insert a wait, its listeners and the first line of its audit trail, unless its step or key is taken.

    Returns whether it landed.
    """
    row = {column.name: getattr(wait, column.name) for column in waits.c}
    inserted = connection.execute(database.insert_new(waits).values(row).returning(waits.c.id))
    if inserted.first() is None:
        return False
    if wait.listeners:
        connection.execute(
            sa.insert(listeners),
            [
                {
                    column.name: wait.id if column.name == "wait_id" else getattr(listener, column.name)
                    for column in listeners.c
                }
                for listener in wait.listeners
            ],
        )
    first: dict[str, Any] = {
        "wait_id": wait.id,
        "at": wait.created_at,
        "to_status": wait.status,
        "reason": reason,
        "actor": actor,
        "workflow_execution_id": wait.workflow_execution_id,
    }
    if database.is_sqlite:
        first["id"] = next_transition_id()
    connection.execute(sa.insert(transitions).values(first))
    return True


def next_transition_id() -> sa.ColumnElement[int]:
    """SQLite numbers no column but the row id, so we count; writers exclude each other."""
    return (
        sa.select(sa.func.coalesce(sa.func.max(sa.literal_column("rowid")), 0) + 1)
        .select_from(transitions)
        .scalar_subquery()
    )
