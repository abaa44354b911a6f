"""What a shell offers on Tab: the newest of what there is, since nobody waits there for a scan of everything."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.infrastructure.schema import deliveries, event_types, events, quarantine, waits
from waitctl.infrastructure.sql_batch import statement

_NEWEST: sa.ColumnElement[int] = sa.literal_column("500")


def newest_waits(connection: Connection) -> list[tuple[str, ...]]:
    """The newest waits: id, execution, step, type, status."""
    return [tuple(map(str, row)) for row in connection.execute(_newest_waits())]


@statement
def _newest_waits() -> sa.Select[Any]:
    """The newest waits, for a shell to complete their ids and executions."""
    names = (waits.c.workflow_execution_id, waits.c.step_id, waits.c.wait_type, waits.c.status)
    return sa.select(waits.c.id, *names).order_by(waits.c.id.desc()).limit(_NEWEST)


def newest_deliveries(connection: Connection) -> list[tuple[str, ...]]:
    """The newest deliveries: id, handler, outcome, status."""
    return [tuple(map(str, row)) for row in connection.execute(_newest_deliveries())]


@statement
def _newest_deliveries() -> sa.Select[Any]:
    """The newest deliveries, for a shell to complete their ids."""
    names = (deliveries.c.handler, deliveries.c.outcome, deliveries.c.status)
    return sa.select(deliveries.c.id, *names).order_by(deliveries.c.id.desc()).limit(_NEWEST)


def newest_events(connection: Connection) -> list[tuple[str, ...]]:
    """The newest events: id, type, contact."""
    return [tuple(map(str, row)) for row in connection.execute(_newest_events())]


@statement
def _newest_events() -> sa.Select[Any]:
    """The newest events, for a shell to complete their ids."""
    return sa.select(events.c.id, events.c.event_type, events.c.contact_id).order_by(events.c.id.desc()).limit(_NEWEST)


def newest_quarantined(connection: Connection) -> list[tuple[str, ...]]:
    """The newest payloads in quarantine: id, source, why."""
    return [tuple(map(str, row)) for row in connection.execute(_newest_quarantined())]


@statement
def _newest_quarantined() -> sa.Select[Any]:
    """The newest payloads in quarantine, for a shell to complete their ids."""
    table = quarantine.c
    return sa.select(table.id, table.source, table.code).order_by(table.id.desc()).limit(_NEWEST)


def type_names(connection: Connection) -> list[str]:
    """The registered event types, by name."""
    return [row[0] for row in connection.execute(_type_names())]


@statement
def _type_names() -> sa.Select[Any]:
    """The registered event types, for a shell to complete them."""
    return sa.select(event_types.c.name).order_by(event_types.c.name)
