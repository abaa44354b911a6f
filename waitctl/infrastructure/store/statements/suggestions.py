"""Statements on what a shell offers on Tab."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.infrastructure.schema import deliveries, event_types, events, quarantine, templates, waits
from waitctl.infrastructure.sql_batch import statement

_NEWEST: sa.ColumnElement[int] = sa.literal_column("500")


@statement
def _newest_waits() -> sa.Select[Any]:
    """The newest waits, for a shell to complete their ids and executions."""
    names = (waits.c.workflow_execution_id, waits.c.step_id, waits.c.wait_type, waits.c.status)
    return sa.select(waits.c.id, *names).order_by(waits.c.id.desc()).limit(_NEWEST)


@statement
def _newest_deliveries() -> sa.Select[Any]:
    """The newest deliveries, for a shell to complete their ids."""
    names = (deliveries.c.handler, deliveries.c.outcome, deliveries.c.status)
    return sa.select(deliveries.c.id, *names).order_by(deliveries.c.id.desc()).limit(_NEWEST)


@statement
def _newest_events() -> sa.Select[Any]:
    """The newest events, for a shell to complete their ids."""
    return sa.select(events.c.id, events.c.event_type, events.c.contact_id).order_by(events.c.id.desc()).limit(_NEWEST)


@statement
def _newest_quarantined() -> sa.Select[Any]:
    """The newest payloads in quarantine, for a shell to complete their ids."""
    table = quarantine.c
    return sa.select(table.id, table.source, table.code).order_by(table.id.desc()).limit(_NEWEST)


@statement
def _type_names() -> sa.Select[Any]:
    """The registered event types, for a shell to complete them."""
    return sa.select(event_types.c.name).order_by(event_types.c.name)


@statement
def _template_names() -> sa.Select[Any]:
    """The templates by name, for a shell to complete them: each with its newest version."""
    found = sa.select(templates.c.name, sa.func.max(templates.c.version).label("version"))
    return found.where(templates.c.removed_at.is_(None)).group_by(templates.c.name).order_by(templates.c.name)
