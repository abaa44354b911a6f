"""Statements on what a shell offers on Tab."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.statuses import DeliveryStatus, WaitExecutionStatus
from waitctl.infrastructure.schema import (
    contacts,
    deliveries,
    event_types,
    events,
    plans,
    quarantine,
    recurrences,
    templates,
    waits,
)
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.waits import literal

_NEWEST: sa.ColumnElement[int] = sa.literal_column("500")

_LOOKED_AT: sa.ColumnElement[int] = sa.literal_column("10000")
"""Rows among which those of some statuses are looked for: with few of them there, a database would read all it has."""

_OPEN = (WaitExecutionStatus.WAITING, WaitExecutionStatus.SCHEDULED)
_UNDONE = (DeliveryStatus.PENDING, DeliveryStatus.DEAD, DeliveryStatus.DROPPED)


def _newest(columns: tuple[sa.ColumnElement[Any], ...], among: tuple[Any, ...] = ()) -> sa.Select[Any]:
    """The newest rows, by their first column; those of these statuses among the newest that are looked at."""
    found = sa.select(*columns).order_by(columns[0].desc())
    if not among:
        return found.limit(_NEWEST)
    recent = found.limit(_LOOKED_AT).subquery("recent")
    meant = recent.c.status.in_([literal(each, recent.c.status) for each in among])
    return sa.select(recent).where(meant).order_by(recent.c.id.desc()).limit(_NEWEST)


@statement
def _newest_waits(only_open: bool) -> sa.Select[Any]:
    """The newest waits, or open waits, for a shell to complete their ids and executions."""
    names = (waits.c.workflow_execution_id, waits.c.step_id, waits.c.wait_type, waits.c.status)
    return _newest((waits.c.id, *names), _OPEN if only_open else ())


@statement
def _newest_deliveries(only_undone: bool) -> sa.Select[Any]:
    """The newest deliveries, or those that can be retried, for a shell to complete their ids."""
    names = (deliveries.c.handler, deliveries.c.outcome, deliveries.c.status)
    return _newest((deliveries.c.id, *names), _UNDONE if only_undone else ())


@statement
def _newest_events() -> sa.Select[Any]:
    """The newest events, for a shell to complete their ids."""
    return _newest((events.c.id, events.c.event_type, events.c.contact_id))


@statement
def _newest_quarantined() -> sa.Select[Any]:
    """The newest payloads in quarantine, for a shell to complete their ids."""
    return _newest((quarantine.c.id, quarantine.c.source, quarantine.c.code))


@statement
def _newest_recurrences() -> sa.Select[Any]:
    """The newest recurrences, for a shell to complete their ids."""
    names = (recurrences.c.workflow_execution_id, recurrences.c.step_id, recurrences.c.status)
    return _newest((recurrences.c.id, *names))


@statement
def _newest_plans() -> sa.Select[Any]:
    """The newest plans of bulk changes, for a shell to complete their ids."""
    return _newest((plans.c.id, plans.c.kind, plans.c.status))


@statement
def _registered_contacts() -> sa.Select[Any]:
    """The contacts of the register from a text on, for a shell to complete them."""
    after = contacts.c.contact_id >= sa.bindparam("typed", type_=sa.Text)
    return sa.select(contacts.c.contact_id).where(after).order_by(contacts.c.contact_id).limit(_NEWEST)


@statement
def _type_names() -> sa.Select[Any]:
    """The registered event types, for a shell to complete them."""
    return sa.select(event_types.c.name).order_by(event_types.c.name)


@statement
def _template_names() -> sa.Select[Any]:
    """The templates by name, for a shell to complete them: each with its newest version."""
    found = sa.select(templates.c.name, sa.func.max(templates.c.version).label("version"))
    return found.where(templates.c.removed_at.is_(None)).group_by(templates.c.name).order_by(templates.c.name)
