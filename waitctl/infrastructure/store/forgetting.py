"""Statements that remove or blank what is held of a contact.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from waitctl.domain.contacts import FORGOTTEN
from waitctl.domain.statuses import DeliveryStatus
from waitctl.domain.text import to_json
from waitctl.domain.waits import TEMPLATE
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import (
    contacts,
    deliveries,
    events,
    listeners,
    matches,
    plan_entries,
    plans,
    quarantine,
    recurrences,
    tombstones,
    transitions,
    waits,
)
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT, literal

_PRIVATE = ("match", "match_json", "where", TEMPLATE)
"""What a wait's configuration may say about a person: what its events must hold, what a template was used with."""


def open_waits_of(connection: Connection, contact_id: str) -> list[str]:
    """The ids of the open waits about this contact."""
    return list(connection.execute(sa.select(waits.c.id).where(waits.c.contact_id == contact_id, OPEN_WAIT)).scalars())


def forget(connection: Connection, contact_id: str, *, now: datetime, reason: str) -> Mapping[str, int]:
    """Remove or blank every row about this contact, whose waits have ended. Returns how many of each kind.

    Rows that others refer to, or that keep a repetition out, stay without the person; ids in which the contact's own
    text stands get another one.
    """
    ids = list(connection.execute(sa.select(waits.c.id).where(waits.c.contact_id == contact_id)).scalars())
    done = {"waits": len(ids)}
    for start in range(0, len(ids), 500):
        done = _add(done, _forget_waits(connection, contact_id, ids[start : start + 500]))
    blank = sa.update(events).where(events.c.contact_id == contact_id).values(contact_id=FORGOTTEN, data={})
    done["events"] = _rows(connection, blank)
    stopped: dict[str, Any] = {
        "contact_id": None,
        "context": None,
        "rule": {},
        "status": "stopped",
        "status_reason": reason,
    }
    stopped |= {"wait_id": None, "stop_wait_id": None, "next_at": None, "updated_at": now}
    done["recurrences"] = _rows(
        connection,
        sa.update(recurrences)
        .where(recurrences.c.contact_id == contact_id)
        .values(**stopped, workflow_execution_id=_without(recurrences.c.workflow_execution_id, contact_id)),
    )
    done["quarantined"] = _forget_quarantined(connection, contact_id)
    done["tombstones"] = _rows(
        connection,
        sa.update(tombstones)
        .where(sa.or_(tombstones.c.fingerprint.contains(contact_id, autoescape=True), tombstones.c.wait_id.in_(ids)))
        .values(fingerprint=""),
    )
    _forget_plans(connection, contact_id, ids)
    done["contacts"] = _rows(connection, sa.delete(contacts).where(contacts.c.contact_id == contact_id))
    return done


def _forget_waits(connection: Connection, contact_id: str, ids: list[str]) -> Mapping[str, int]:
    mine = waits.c.id.in_(ids)
    configs = connection.execute(sa.select(waits.c.id, waits.c.wait_config).where(mine)).all()
    for wait_id, config in configs:
        kept = {key: None if key in _PRIVATE else value for key, value in config.items()}
        if kept != config:
            connection.execute(sa.update(waits).where(waits.c.id == wait_id).values(wait_config=kept))
    unique = sa.func.replace(
        waits.c.idempotency_key, contact_id, sa.literal(f"{FORGOTTEN}-") + sa.cast(waits.c.id, sa.Text)
    )
    blank: dict[str, Any] = {
        "contact_id": None,
        "context": None,
        "workflow_execution_id": _without(waits.c.workflow_execution_id, contact_id),
        "step_id": _without(waits.c.step_id, contact_id),
        "idempotency_key": unique,
        "command": sa.null(),
    }
    connection.execute(sa.update(waits).where(mine).values(**blank))
    audit = {
        "data": sa.null(),
        "reason": _without(transitions.c.reason, contact_id),
        "workflow_execution_id": _without(transitions.c.workflow_execution_id, contact_id),
    }
    audited = _rows(connection, sa.update(transitions).where(transitions.c.wait_id.in_(ids)).values(**audit))
    connection.execute(sa.delete(matches).where(matches.c.wait_id.in_(ids)))
    listening = _rows(connection, sa.delete(listeners).where(listeners.c.wait_id.in_(ids)))
    # What is still to go out would tell of somebody who is not there any more.
    unsent = deliveries.c.status.in_(
        [literal(each, deliveries.c.status) for each in (DeliveryStatus.PENDING, DeliveryStatus.DEAD)]
    )
    about = deliveries.c.wait_id.in_(ids)
    dropped = literal(DeliveryStatus.DROPPED, deliveries.c.status)
    connection.execute(sa.update(deliveries).where(about, unsent).values(status=dropped))
    told = _rows(connection, sa.update(deliveries).where(about).values(last_error=sa.null()))
    return {"listeners": listening, "audit": audited, "deliveries": told}


def _forget_plans(connection: Connection, contact_id: str, ids: list[str]) -> None:
    """Plans mean this contact's waits no more, and do not say any more that they meant them."""
    found = connection.execute(sa.select(plans.c.id, plans.c.options, plans.c.said_reason)).all()
    for plan_id, options, reason in found:
        theirs = plan_entries.c.plan_id == plan_id
        for start in range(0, len(ids), 500):
            some = plan_entries.c.wait_id.in_(ids[start : start + 500])
            connection.execute(sa.delete(plan_entries).where(theirs, some))
        if contact_id in to_json([options, reason]):
            blank = {"options": _blanked(options, contact_id), "said_reason": _blanked(reason, contact_id)}
            connection.execute(sa.update(plans).where(plans.c.id == plan_id).values(**blank))


def _blanked(value: Any, contact_id: str) -> Any:
    """The same without the contact, wherever it stands."""
    if isinstance(value, dict):
        return {key: _blanked(each, contact_id) for key, each in value.items()}
    return value.replace(contact_id, FORGOTTEN) if isinstance(value, str) else value


def _forget_quarantined(connection: Connection, contact_id: str) -> int:
    """What came in for this contact and could not be read: nobody knows what else stands there."""
    found = connection.execute(sa.select(quarantine.c.id, quarantine.c.body)).all()
    ids = [row.id for row in found if contact_id.encode() in bytes(row.body)]
    return _rows(connection, sa.delete(quarantine).where(quarantine.c.id.in_(ids))) if ids else 0


def _without(column: sa.Column[Any], contact_id: str) -> sa.ColumnElement[Any]:
    return sa.func.replace(column, contact_id, FORGOTTEN)


def _rows(connection: Connection, change: sa.Update | sa.Delete) -> int:
    return connection.execute(change).rowcount


def _add(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    return {name: one.get(name, 0) + other.get(name, 0) for name in (*one, *other)}
