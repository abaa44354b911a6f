"""Statements on the inbox table: events that other systems have inserted and nobody has correlated."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.quarantine import MAX_KEPT
from waitctl.domain.text import SHORT
from waitctl.infrastructure.column_types import UtcDateTime, real_now
from waitctl.infrastructure.dialects import JsonRows, is_among, octets
from waitctl.infrastructure.schema import events, tombstones
from waitctl.infrastructure.sql_batch import statement

_LIMIT = sa.bindparam("limit", type_=sa.Integer)


@statement
def _claim_oldest() -> sa.Select[Any]:
    """The oldest events of the inbox table that nobody has correlated, past the locked ones. Locks them."""
    return _claim()


@statement
def _claim_of_topics() -> sa.Select[Any]:
    """The oldest events of the inbox table that may be of these topics, past the locked ones. Locks them."""
    contact = events.c.contact_id
    may_be_it = sa.or_(
        contact == sa.bindparam("contact_id", type_=sa.Text),
        contact != sa.func.lower(contact),
        contact != sa.func.trim(contact, sa.bindparam("blanks", type_=sa.Text)),
        contact.like(sa.literal_column("'whatsapp:%'")),
        octets(contact) != sa.func.length(contact),
    )
    return _claim().where(is_among(events.c.event_type, "types"), may_be_it)


def _claim() -> sa.Select[Any]:
    occurred_at = sa.type_coerce(events.c.occurred_at, sa.Text)  # what stands there need not be an instant
    names = ("id", "event_type", "contact_id", "source", "external_id")
    size = octets(events.c.data)
    data = sa.case((size <= sa.literal_column(str(SHORT)), sa.cast(events.c.data, sa.Text)))
    return (
        sa.select(*(events.c[name] for name in names), occurred_at, size, data)
        .where(events.c.correlated_at.is_(None))
        .order_by(events.c.received_at)
        .limit(_LIMIT)
        .with_for_update(skip_locked=True)
    )


@statement
def _read_data() -> sa.Select[Any]:
    """The data of an event, by its id."""
    return sa.select(sa.cast(events.c.data, sa.Text)).where(events.c.id == sa.bindparam("id"))


@statement
def _read_refused() -> sa.Select[Any]:
    """The beginning of events' data."""
    text = sa.func.substr(sa.cast(events.c.data, sa.Text), sa.literal_column("1"), sa.literal_column(str(MAX_KEPT)))
    return sa.select(events.c.id, text).where(is_among(events.c.id))


@statement
def _delete_refused() -> sa.Delete:
    """Delete events of the inbox table that no door would take."""
    return sa.delete(events).where(is_among(events.c.id), events.c.correlated_at.is_(None))


@statement
def _forget_pruned() -> sa.Delete:
    """Delete events of the inbox table whose id was pruned before."""
    pruned = sa.exists().where(
        tombstones.c.kind == sa.literal_column("'event_id'"),
        tombstones.c.scope == events.c.source,
        tombstones.c.key == events.c.external_id,
    )
    return sa.delete(events).where(events.c.correlated_at.is_(None), pruned)


@statement
def _set_contacts() -> sa.Update:
    """Give events their contacts in the form in which they are compared."""
    given = JsonRows("given", {"id": events.c.id.type, "contact_id": events.c.contact_id.type})
    return sa.update(events).values(contact_id=given.c.contact_id).where(events.c.id == given.c.id)


@statement
def _set_instants() -> sa.Update:
    """Give events their instants in one form: SQLite, where alone this runs, compares them as text."""
    given = JsonRows("given", {"id": events.c.id.type, "occurred_at": UtcDateTime()})
    form = "%Y-%m-%d %H:%M:%f000"
    received, expires = (
        sa.func.strftime(form, sa.type_coerce(events.c[name], sa.Text)) for name in ("received_at", "expires_at")
    )
    values = {
        "occurred_at": given.c.occurred_at,
        # What is no instant must not stop the tick, now and every minute from now on.
        "received_at": sa.func.coalesce(received, real_now()),
        "expires_at": expires,
    }
    return sa.update(events).values(values).where(events.c.id == given.c.id)
