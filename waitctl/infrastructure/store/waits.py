"""Statements on waits, their listeners and their audit trail.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import starmap
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.deliveries import Delivery
from waitctl.domain.errors import WaitExecutionNotFoundError
from waitctl.domain.listeners import EventListener
from waitctl.domain.text import JsonObject, from_json
from waitctl.domain.waits import (
    ENUMERATIONS,
    INSTANTS,
    OPEN,
    Resolution,
    WaitExecutionStatus,
    WaitStepExecution,
    WaitType,
)
from waitctl.infrastructure.dialects import insert_new, insert_numbered, is_among, read_rfc3339, rfc3339
from waitctl.infrastructure.schema import deliveries, listeners, matches, tombstones, transitions, waits
from waitctl.infrastructure.sql_batch import statement


def literal(value: Any, column: sa.ColumnElement[Any]) -> sa.BindParameter[Any]:
    """``value`` as text in the statement: under a generic plan a bound status loses the partial index."""
    return sa.literal(value, column.type, literal_execute=True)


IS_OPEN = waits.c.status.in_([literal(status, waits.c.status) for status in sorted(OPEN, reverse=True)])


# -- reading -----------------------------------------------------------------------------------------------------------


def get_wait(connection: Connection, wait_id: str) -> WaitStepExecution | None:
    """The wait with this id, its listeners and deliveries with it."""
    return next(iter(load(connection, _get_wait(), wait_id=wait_id)), None)


@statement
def _get_wait() -> sa.Select[Any]:
    """The wait with this id."""
    return sa.select(waits).where(waits.c.id == sa.bindparam("wait_id", type_=waits.c.id.type))


def find_open_wait(connection: Connection, execution_id: str, step_id: str) -> WaitStepExecution | None:
    """The open wait of a step."""
    return next(iter(load(connection, _find_open_wait(), execution_id=execution_id, step_id=step_id)), None)


@statement
def _find_open_wait() -> sa.Select[Any]:
    """The open wait of a step."""
    execution_id = waits.c.workflow_execution_id == sa.bindparam("execution_id", type_=sa.Text)
    return sa.select(waits).where(execution_id, waits.c.step_id == sa.bindparam("step_id", type_=sa.Text), IS_OPEN)


def find_wait_by_key(connection: Connection, workflow_id: str | None, key: str) -> WaitStepExecution | None:
    """The wait that was created with this idempotency key in this workflow."""
    return next(iter(load(connection, _find_wait_by_key(), workflow_id=workflow_id or "", key=key)), None)


@statement
def _find_wait_by_key() -> sa.Select[Any]:
    """The wait with this idempotency key in this workflow."""
    workflow_id = sa.func.coalesce(waits.c.workflow_id, sa.literal_column("''"))
    return sa.select(waits).where(
        workflow_id == sa.bindparam("workflow_id", type_=sa.Text),
        waits.c.idempotency_key == sa.bindparam("key", type_=sa.Text),
    )


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a pruned wait that had a key."""

    wait_id: str
    fingerprint: str
    resolution: Resolution
    resolved_at: datetime


def find_tombstone(connection: Connection, workflow_id: str | None, key: str) -> Tombstone | None:
    """What is left of the pruned wait with this key."""
    row = connection.execute(_find_tombstone(), {"workflow_id": workflow_id or "", "key": key}).one_or_none()
    return Tombstone(*row) if row else None


@statement
def _find_tombstone() -> sa.Select[Any]:
    """What is left of the pruned wait with this idempotency key."""
    table = tombstones.c
    return sa.select(table.wait_id, table.fingerprint, table.resolution, table.resolved_at).where(
        table.kind == sa.literal_column("'wait_key'"),
        table.scope == sa.bindparam("workflow_id", type_=sa.Text),
        table.key == sa.bindparam("key", type_=sa.Text),
    )


def waits_of_execution(
    connection: Connection, execution_id: str, step_id: str | None = None
) -> list[WaitStepExecution]:
    """The waits of an execution (and step), oldest first."""
    found = _waits_of_execution(step_id is not None)
    return load(connection, found, execution_id=execution_id, step_id=step_id)


@statement
def _waits_of_execution(of_step: bool) -> sa.Select[Any]:
    """The waits of an execution, or of one of its steps."""
    found = sa.select(waits).where(of_execution(sa.bindparam("execution_id", type_=sa.Text)))
    if of_step:
        found = found.where(waits.c.step_id == sa.bindparam("step_id", type_=sa.Text))
    return found.order_by(waits.c.created_at, waits.c.id)


def load(connection: Connection, found: sa.Select[Any], **parameters: Any) -> list[WaitStepExecution]:
    """The waits of a statement on all their columns, their listeners and deliveries with them."""
    return complete(connection, connection.execute(found, parameters).all())


def complete(connection: Connection, found: Sequence[sa.Row[Any]]) -> list[WaitStepExecution]:
    """The waits of these rows of all their columns, their listeners and deliveries with them."""
    names = waits.c.keys()
    rows = [dict(zip(names, row, strict=True)) for row in found]
    for row in rows:
        take_signature(row)
    listening = listeners_of(connection, [row["id"] for row in rows if row["wait_type"] is WaitType.FOR_EVENT])
    sent = deliveries_of(connection, [row["id"] for row in rows])
    return [
        WaitStepExecution(
            **row, listeners=tuple(listening.get(row["id"], ())), deliveries=tuple(sent.get(row["id"], ()))
        )
        for row in rows
    ]


def take_signature(fields: JsonObject) -> str | None:
    """Take the signature out of a wait's command, and return it: nobody else has any business with it."""
    command = fields["command"]
    signature = command.pop("mac", None) if isinstance(command, dict) else None
    return signature if isinstance(signature, str) else None


def get_fields(connection: Connection, wait_ids: Sequence[str], names: tuple[str, ...]) -> list[JsonObject]:
    """These columns of the waits with these ids, enumerations and instants as documents have them."""
    return [read_fields(names, row) for row in connection.execute(_get_fields(names), {"ids": wait_ids}).all()]


@statement
def _get_fields(names: tuple[str, ...]) -> sa.Select[Any]:
    """These columns of the waits with these ids, as documents have them."""
    return sa.select(*plain_columns(names)).where(is_among(waits.c.id))


def plain_columns(names: Sequence[str]) -> list[sa.ColumnElement[Any]]:
    """These columns of the waits for `read_fields`: what the driver would make an object of as text."""

    def plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
        if column.name in ENUMERATIONS:
            return sa.type_coerce(column, sa.Text).label(column.name)
        if column.name in INSTANTS:
            return rfc3339(column).label(column.name)
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
    for name in INSTANTS:
        if (at := fields[name]) is not None:
            fields[name] = read_rfc3339(at)
    return fields


_DOCUMENTS = ("wait_config", "context", "handlers", "command")


def deliveries_of(connection: Connection, wait_ids: Sequence[str]) -> dict[str, list[Delivery]]:
    """The deliveries of these waits, oldest first."""
    sent: dict[str, list[Delivery]] = {}
    if wait_ids:
        for delivery in starmap(Delivery, connection.execute(_deliveries_of(), {"ids": wait_ids}).all()):
            sent.setdefault(delivery.wait_id, []).append(delivery)
    return sent


@statement
def _deliveries_of() -> sa.Select[Any]:
    """The deliveries of these waits, oldest first."""
    return sa.select(deliveries).where(is_among(deliveries.c.wait_id)).order_by(deliveries.c.id)


def listeners_of(connection: Connection, wait_ids: Sequence[str]) -> dict[str, list[EventListener]]:
    """The listeners of these waits, each with what it has counted."""
    if not wait_ids:
        return {}
    counted = {row[0]: row[1] for row in connection.execute(_count_matches(), {"ids": wait_ids})}
    by_wait: dict[str, list[EventListener]] = {}
    for row in connection.execute(_listeners_of(), {"ids": wait_ids}).mappings():
        fields = dict(row)
        wait_id = fields.pop("wait_id")
        number = counted.get(fields["id"], 0) if fields["group_no"] else int(row["matched_event_id"] is not None)
        by_wait.setdefault(wait_id, []).append(EventListener(**fields, matched_count=number))
    return by_wait


@statement
def _count_matches() -> sa.Select[Any]:
    """How many events the listeners of these waits have counted."""
    counts = sa.select(matches.c.listener_id, sa.func.count()).where(is_among(matches.c.wait_id))
    return counts.group_by(matches.c.listener_id)


@statement
def _listeners_of() -> sa.Select[Any]:
    """The listeners of these waits, oldest first."""
    return sa.select(listeners).where(is_among(listeners.c.wait_id)).order_by(listeners.c.id)


def of_execution(execution_id: Any) -> sa.ColumnElement[bool]:
    """Whether a wait is of this execution: by the first line of the audit trail, which has the index."""
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
    return [Transition(*row) for row in connection.execute(_history(), {"wait_id": wait_id})]


@statement
def _history() -> sa.Select[Any]:
    """A wait's audit trail, oldest first."""
    table = transitions.c
    found = sa.select(table.at, table.from_status, table.to_status, table.reason, table.actor, table.data)
    return found.where(table.wait_id == sa.bindparam("wait_id", type_=table.wait_id.type)).order_by(table.id)


def count_ended(connection: Connection, wait_ids: Sequence[str]) -> int:
    """How many of these waits have ended. Raises `WaitExecutionNotFoundError` when one is gone."""
    there, ended = connection.execute(_count_ended(), {"ids": wait_ids}).one()
    if there < len(wait_ids):
        raise WaitExecutionNotFoundError("a wait is gone: it ended long ago and was pruned")
    return int(ended)


@statement
def _count_ended() -> Any:
    """How many of these waits there are, and how many of them have ended."""
    return sa.select(sa.func.count(), sa.func.count(waits.c.resolved_at)).where(is_among(waits.c.id))


# -- creating ----------------------------------------------------------------------------------------------------------


def insert_wait(
    connection: Connection, wait: WaitStepExecution, *, reason: str, actor: str, signature: str | None = None
) -> bool:
    """Insert a wait, its listeners and the first line of its audit trail, unless its step or key is taken.

    ``signature`` is that of its command. Returns whether it landed.
    """
    row = {column.name: getattr(wait, column.name) for column in waits.c}
    if wait.command is not None:
        row["command"] = wait.command | {"mac": signature}
    if connection.execute(_insert_wait(), row).first() is None:
        return False
    if wait.listeners:
        connection.execute(
            _insert_listeners(),
            [
                {
                    column.name: wait.id if column.name == "wait_id" else getattr(listener, column.name)
                    for column in listeners.c
                }
                for listener in wait.listeners
            ],
        )
    first = {"wait_id": wait.id, "now": wait.created_at, "status": wait.status, "reason": reason, "actor": actor}
    connection.execute(_insert_first_transition(), first | {"execution_id": wait.workflow_execution_id})
    return True


@statement
def _insert_wait() -> Any:
    """Insert a wait, unless its step or its idempotency key is taken."""
    return insert_new(waits).returning(waits.c.id)


@statement
def _insert_listeners() -> sa.Insert:
    """Insert the listeners of a new wait."""
    return sa.insert(listeners)


@statement
def _insert_first_transition() -> sa.Insert:
    """The first line of a wait's audit trail, which says of which execution it is."""
    given = {
        transitions.c.wait_id: "wait_id",
        transitions.c.at: "now",
        transitions.c.to_status: "status",
        transitions.c.reason: "reason",
        transitions.c.actor: "actor",
        transitions.c.workflow_execution_id: "execution_id",
    }
    columns = {column: sa.bindparam(name, type_=column.type) for column, name in given.items()}
    return insert_numbered(columns, transitions.c.id)
