"""Statements on the register of contacts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from waitctl.domain.contacts import TZ_CONTACT, Contact
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept


def get_contact(connection: Connection, contact_id: str) -> Contact | None:
    """The contact of the register."""
    row = connection.execute(kept("get_contact"), {"contact_id": contact_id}).one_or_none()
    return None if row is None else Contact(*row)


def zones_of(connection: Connection, contact_ids: Sequence[str]) -> Mapping[str, str]:
    """The zones of those of these contacts that have one."""
    return {row[0]: row[1] for row in connection.execute(kept("zones_of"), {"ids": contact_ids})}


def put_contact(
    connection: Connection, contact_id: str, timezone: str | None, data: JsonObject | None, *, now: datetime
) -> None:
    """Write a contact; what is ``None`` stays as it was."""
    import sqlalchemy as sa

    from waitctl.infrastructure.dialects import insert_new
    from waitctl.infrastructure.schema import contacts

    row = {"contact_id": contact_id, "timezone": timezone, "data": data, "created_at": now, "updated_at": now}
    if connection.execute(insert_new(contacts).returning(contacts.c.contact_id), row).first() is None:
        given = {name: row[name] for name in ("timezone", "data") if row[name] is not None}
        changed = [contacts.c[name].is_distinct_from(given[name]) for name in given if name != "data"]
        update = sa.update(contacts).where(contacts.c.contact_id == contact_id)
        if given and ("data" in given or changed):
            if "data" not in given:
                update = update.where(sa.or_(*changed))
            connection.execute(update.values(**given, updated_at=now))


def list_contacts(connection: Connection, *, limit: int, after: str | None) -> list[Contact]:
    """Contacts by their ids, beyond ``after``; a ``limit`` of 0 is none."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import contacts

    found = sa.select(*contacts.c).order_by(contacts.c.contact_id)
    if after is not None:
        found = found.where(contacts.c.contact_id > after)
    return [Contact(*row) for row in connection.execute(found.limit(limit) if limit else found)]


def delete_contact(connection: Connection, contact_id: str) -> bool:
    """Take a contact out of the register. Returns whether it was there."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import contacts

    gone = sa.delete(contacts).where(contacts.c.contact_id == contact_id).returning(contacts.c.contact_id)
    return connection.execute(gone).first() is not None


def count_open_by_zone(connection: Connection, contact_id: str) -> int:
    """How many open waits go by the zone of this contact."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import waits
    from waitctl.infrastructure.store.statements.waits import OPEN_WAIT

    goes_by = waits.c.wait_config[TZ_CONTACT].as_boolean()
    found = sa.select(sa.func.count()).select_from(waits).where(OPEN_WAIT, waits.c.contact_id == contact_id, goes_by)
    return int(connection.execute(found).scalar_one())


def count_about(connection: Connection, contact_id: str) -> Mapping[str, int]:
    """How many rows of each kind are about this contact."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import events, listeners, recurrences, waits
    from waitctl.infrastructure.store.statements.waits import OPEN_WAIT

    kinds = {
        "waits": (waits, waits.c.contact_id == contact_id),
        "open": (waits, sa.and_(waits.c.contact_id == contact_id, OPEN_WAIT)),
        "listeners": (listeners, listeners.c.contact_id == contact_id),
        "events": (events, events.c.contact_id == contact_id),
        "recurrences": (recurrences, recurrences.c.contact_id == contact_id),
    }
    counts = [
        sa.select(sa.func.count()).select_from(table).where(which).scalar_subquery() for table, which in kinds.values()
    ]
    return dict(zip(kinds, map(int, connection.execute(sa.select(*counts)).one()), strict=True))
