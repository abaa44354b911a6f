"""Statements on waits, their listeners and their audit trail.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import starmap
from typing import TYPE_CHECKING, Any

from waitctl.domain.deliveries import Delivery
from waitctl.domain.errors import WaitExecutionNotFoundError
from waitctl.domain.handlers import take_signature
from waitctl.domain.listeners import EventListener
from waitctl.domain.statuses import Resolution, WaitExecutionStatus, WaitType
from waitctl.domain.text import JsonObject, from_json
from waitctl.domain.values import dataclass
from waitctl.domain.waits import INSTANTS, WaitStepExecution
from waitctl.infrastructure.kept import Statement, kept
from waitctl.infrastructure.sql_values import read_rfc3339

if TYPE_CHECKING:
    from waitctl.infrastructure.executor import Connection

# -- reading -----------------------------------------------------------------------------------------------------------


def get_wait(connection: Connection, wait_id: str) -> WaitStepExecution | None:
    """The wait with this id, its listeners and deliveries with it."""
    return next(iter(load(connection, kept("get_wait"), wait_id=wait_id)), None)


def get_waits(connection: Connection, wait_ids: Sequence[str]) -> dict[str, WaitStepExecution]:
    """The waits with these ids, by id."""
    return {wait.id: wait for wait in load(connection, kept("get_waits"), ids=wait_ids)}


def find_open_wait(connection: Connection, execution_id: str, step_id: str) -> WaitStepExecution | None:
    """The open wait of a step."""
    return next(iter(load(connection, kept("find_open_wait"), execution_id=execution_id, step_id=step_id)), None)


def find_wait_by_key(connection: Connection, workflow_id: str | None, key: str) -> WaitStepExecution | None:
    """The wait that was created with this idempotency key in this workflow."""
    return next(iter(load(connection, kept("find_wait_by_key"), workflow_id=workflow_id or "", key=key)), None)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What is left of a pruned wait that had a key."""

    wait_id: str
    fingerprint: str
    resolution: Resolution
    resolved_at: datetime


def find_tombstone(connection: Connection, workflow_id: str | None, key: str) -> Tombstone | None:
    """What is left of the pruned wait with this key."""
    row = connection.execute(kept("find_tombstone"), {"workflow_id": workflow_id or "", "key": key}).one_or_none()
    return Tombstone(*row) if row else None


def waits_of_execution(
    connection: Connection, execution_id: str, step_id: str | None = None
) -> list[WaitStepExecution]:
    """The waits of an execution (and step), oldest first."""
    found = kept("waits_of_execution", step_id is not None)
    return load(connection, found, execution_id=execution_id, step_id=step_id)


def load(connection: Connection, found: Statement, **parameters: Any) -> list[WaitStepExecution]:
    """The waits of a statement on all their columns, their listeners and deliveries with them."""
    rows = [dict(row) for row in connection.execute(found, parameters).mappings()]
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


def get_fields(connection: Connection, wait_ids: Sequence[str], names: tuple[str, ...]) -> list[JsonObject]:
    """These columns of the waits with these ids, enumerations and instants as documents have them."""
    return [read_fields(names, row) for row in connection.execute(kept("get_fields", names), {"ids": wait_ids}).all()]


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
        for delivery in starmap(Delivery, connection.execute(kept("deliveries_of"), {"ids": wait_ids}).all()):
            sent.setdefault(delivery.wait_id, []).append(delivery)
    return sent


def listeners_of(connection: Connection, wait_ids: Sequence[str]) -> dict[str, list[EventListener]]:
    """The listeners of these waits, each with what it has counted."""
    if not wait_ids:
        return {}
    counted = {row[0]: row[1] for row in connection.execute(kept("count_matches"), {"ids": wait_ids})}
    by_wait: dict[str, list[EventListener]] = {}
    for row in connection.execute(kept("listeners_of"), {"ids": wait_ids}).mappings():
        fields = dict(row)
        wait_id = fields.pop("wait_id")
        number = counted.get(fields["id"], 0) if fields["group_no"] else int(row["matched_event_id"] is not None)
        by_wait.setdefault(wait_id, []).append(EventListener(**fields, matched_count=number))
    return by_wait


@dataclass(frozen=True, slots=True)
class Transition:
    """One line of a wait's audit trail."""

    at: datetime
    from_status: WaitExecutionStatus | None
    to_status: WaitExecutionStatus
    reason: str
    actor: str
    data: JsonObject | None


def history(connection: Connection, wait_id: str, *, newest: int | None = None) -> list[Transition]:
    """A wait's audit trail, oldest first; of a long one only so many of the ``newest`` lines."""
    if newest is None:
        return [Transition(*row) for row in connection.execute(kept("history"), {"wait_id": wait_id})]
    rows = connection.execute(kept("history", True), {"wait_id": wait_id, "limit": newest}).all()
    return [Transition(*row) for row in reversed(rows)]


def count_ended(connection: Connection, wait_ids: Sequence[str]) -> int:
    """How many of these waits have ended. Raises `WaitExecutionNotFoundError` when one is gone."""
    there, ended = connection.execute(kept("count_ended"), {"ids": wait_ids}).one()
    if there < len(wait_ids):
        raise WaitExecutionNotFoundError("a wait is gone: it ended long ago and was pruned")
    return int(ended)


# -- creating ----------------------------------------------------------------------------------------------------------


_COLUMNS = [name for name in WaitStepExecution.__annotations__ if name not in {"listeners", "deliveries"}]
_LISTENER_COLUMNS = [name for name in EventListener.__annotations__ if name != "matched_count"]


def insert_wait(
    connection: Connection, wait: WaitStepExecution, *, reason: str, actor: str, signature: str | None = None
) -> bool:
    """Insert a wait, its listeners and the first line of its audit trail, unless its step or key is taken.

    ``signature`` is that of its command. Returns whether it landed.
    """
    row = {name: getattr(wait, name) for name in _COLUMNS}
    if wait.command is not None:
        row["command"] = wait.command | {"mac": signature}
    if connection.execute(kept("insert_wait"), row).first() is None:
        return False
    if wait.listeners:
        connection.execute(
            kept("insert_listeners"),
            [
                {"wait_id": wait.id} | {name: getattr(listener, name) for name in _LISTENER_COLUMNS}
                for listener in wait.listeners
            ],
        )
    first = {"wait_id": wait.id, "now": wait.created_at, "status": wait.status, "reason": reason, "actor": actor}
    connection.execute(kept("insert_first_transition"), first | {"execution_id": wait.workflow_execution_id})
    return True
