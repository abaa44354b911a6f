"""Statements on events and event types."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from waitctl.domain.events import Event
from waitctl.domain.text import to_json
from waitctl.domain.values import dataclass
from waitctl.infrastructure.database_errors import is_integrity_error
from waitctl.infrastructure.executor import NONE, Parameters
from waitctl.infrastructure.kept import Statement, by_dialect, kept
from waitctl.infrastructure.sql_values import as_tuples, instant_text, json_ids

if TYPE_CHECKING:
    import sqlalchemy as sa

    from waitctl.infrastructure.executor import Connection


class EventRow(NamedTuple):
    """An event as `insert_events` takes it: instants and data are texts. All that a stream makes of an event."""

    id: str
    event_type: str
    contact_id: str
    data: str
    source: str
    external_id: str | None
    occurred_at: str | None
    expires_at: str | None


_STORED = [*EventRow._fields, "received_at", "correlated_at"]


def row_of(event: Event) -> EventRow:
    """The row of an event."""
    return EventRow(
        event.id,
        event.event_type,
        event.contact_id,
        to_json(event.data),
        event.source,
        event.external_id,
        instant_text(event.occurred_at),
        instant_text(event.expires_at),
    )


def encode_rows(rows: Iterable[EventRow], dialect: str) -> str:
    """Events as the one parameter of `insert_events` and `insert_presumed_new`, in the dialect of this name.

    Encoded ahead of the statement, since a stream's next batch can be while the database takes one in. Sorted by
    (source, id), so that two ingests of the same events wait for each other instead of deadlocking.
    """
    in_order: list[EventRow] = sorted(rows, key=_sender_order)
    return as_tuples(in_order, dialect)


def _sender_order(row: EventRow) -> tuple[str, str]:
    return row.source, row.external_id or ""


@dataclass(frozen=True, slots=True)
class Inserted:
    """What became of events: the ids of those that were known and dropped out, and of those that may be listened for.

    Of the latter alone something may come: under the topics' locks nobody begins to listen.
    """

    dropped: set[str]
    listened_for: list[str]


def insert_events(connection: Connection, encoded: str, ids: Iterable[str], *, now: datetime) -> Inserted:
    """Insert events as received at ``now`` and correlated; those whose (source, id), or own id, is known drop out.

    ``ids``: theirs.
    """
    insert = by_dialect(connection, sqlite=_insert_naming_new, postgresql=_insert_naming_exceptions)
    return insert(connection, {"given": encoded, "now": now}, ids)


def _insert_naming_new(connection: Connection, given: Mapping[str, Any], ids: Iterable[str]) -> Inserted:
    new = list(connection.execute(kept("insert_events"), given).scalars())
    return Inserted(set(ids) - set(new), new)


def _insert_naming_exceptions(connection: Connection, given: Mapping[str, Any], _: Iterable[str]) -> Inserted:
    dropped, listened_for = connection.execute(kept("insert_events_and_sum_up"), given).one()
    return Inserted(set(dropped or ()), listened_for or [])


class EventsNotAllNewError(Exception):
    """Among events that were inserted as new ones is one that is known, was pruned or has no registered type.

    What the transaction has written is lost.
    """


def insert_presumed_new(connection: Connection, encoded: str, rows: Sequence[EventRow], *, now: datetime) -> list[str]:
    """Insert events that are new, as a rule, as received at ``now`` and correlated. PostgreSQL only.

    Returns the ids of those that may be listened for. Much quicker than `insert_events`, which asks of each event
    whether it is. Raises `EventsNotAllNewError`.
    """
    types = {row.event_type for row in rows}
    given = {
        "contacts": {row.contact_id for row in rows},
        "types": types,
        "sources": {row.source for row in rows},
        "ids": {row.external_id for row in rows if row.external_id is not None},
    }
    try:
        connection.execute(kept("insert_presumed_new"), {"given": encoded, "now": now})
    except Exception as error:
        if not is_integrity_error(error):
            raise
        raise EventsNotAllNewError from error
    # Afterwards: what is pruned while we insert is asked for by a statement that sees it.
    registered, pruned, listened_for = connection.execute(kept("look_for_exceptions"), given).one()
    if pruned or registered < len(types):
        raise EventsNotAllNewError
    contacts = set(listened_for or ())
    return [row.id for row in rows if row.contact_id in contacts] if contacts else []


def find_event_id(connection: Connection, source: str, external_id: str) -> str | None:
    """Our id of the event with this (source, id); ``None`` when it is gone or never came."""
    found: str | None = connection.execute(
        kept("find_event_id"), {"source": source, "external_id": external_id}
    ).scalar()
    return found


def get_event(connection: Connection, event_id: str) -> Event | None:
    """The event with this id."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import events

    return next(iter(load_events(connection, sa.select(events).where(events.c.id == event_id))), None)


def get_events(connection: Connection, event_ids: Sequence[str]) -> list[Event]:
    """The events with these ids."""
    return load_events(connection, kept("get_events"), {"ids": event_ids}) if event_ids else []


@dataclass(frozen=True, slots=True)
class HeldWait:
    """A wait that an event has ended, but for its window: it is scheduled for the next opening."""

    wait_id: str
    until: datetime
    timezone: str


def held_by(connection: Connection, event_id: str) -> list[HeldWait]:
    """The waits that this event has scheduled for their next opening, oldest first."""
    return [HeldWait(*row) for row in connection.execute(kept("held_by"), {"event_id": event_id})]


def list_events(
    connection: Connection,
    *,
    event_type: str | None,
    contact_id: str | None,
    since: datetime | None,
    unmatched: bool,
    limit: int,
    after: str | None = None,
) -> list[Event]:
    """Events by id, newest first, older than the event ``after``. ``unmatched``: those no wait took, nor counted."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import events

    found = sa.select(events).order_by(events.c.id.desc()).limit(limit)
    if after is not None:
        found = found.where(events.c.id < after)
    held = meant(event_type=event_type, contact_id=contact_id, since=since, unmatched=unmatched)
    return load_events(connection, found.where(*held))


def meant(
    *, event_type: str | None, contact_id: str | None, since: datetime | None, unmatched: bool
) -> list[sa.ColumnElement[bool]]:
    """What holds for the events that are meant."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import events, listeners, matches

    held: list[sa.ColumnElement[bool]] = []
    if event_type is not None:
        held.append(events.c.event_type == event_type)
    if contact_id is not None:
        held.append(events.c.contact_id == contact_id)
    if since is not None:
        held.append(events.c.received_at >= since)
    if unmatched:
        held.append(~sa.exists().where(listeners.c.matched_event_id == events.c.id))
        held.append(~sa.exists().where(matches.c.event_id == events.c.id))
    return held


def load_events(connection: Connection, found: Statement, parameters: Parameters = NONE) -> list[Event]:
    """The events of a statement on all their columns, and which waits took them."""
    rows = list(connection.execute(found, parameters).mappings())
    matched: dict[str, list[str]] = {}
    taken = {"ids": [row["id"] for row in rows]}
    for event_id, wait_id in connection.execute(kept("who_took"), taken) if rows else ():
        matched.setdefault(event_id, []).append(wait_id)
    return [
        Event(
            **{name: value for name, value in row.items() if name != "correlated_at"},
            matched=tuple(matched.get(row["id"], ())),
        )
        for row in rows
    ]


def mark_correlated(connection: Connection, ids: Iterable[str], *, now: datetime | None) -> None:
    """Say that these events have been correlated; None: not yet, so that the next tick does it."""
    connection.execute(kept("mark_correlated"), {"given": json_ids(ids), "now": now})


# -- event types -------------------------------------------------------------------------------------------------------


def list_event_types(connection: Connection) -> list[tuple[str, str, bool]]:
    """The registered event types: name, description, whether it is built in."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import event_types

    found = sa.select(event_types.c.name, event_types.c.description, event_types.c.builtin)
    order = [event_types.c.builtin.desc(), event_types.c.name]
    return [(row[0], row[1], row[2]) for row in connection.execute(found.order_by(*order))]


def registered_types(connection: Connection) -> set[str]:
    """The names of the registered event types."""
    return set(connection.execute(kept("registered_types")).scalars())


def insert_event_type(connection: Connection, name: str, description: str, *, now: datetime) -> bool:
    """Register an event type. Returns whether it is new."""
    from waitctl.infrastructure.dialects import insert_new
    from waitctl.infrastructure.schema import event_types

    row = {"name": name, "description": description, "builtin": False, "created_at": now}
    return connection.execute(insert_new(event_types).returning(event_types.c.name), row).first() is not None


def delete_event_type(connection: Connection, name: str) -> bool:
    """Forget an event type that is not built in. Returns whether it was there."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import event_types

    gone = sa.delete(event_types).where(event_types.c.name == name, ~event_types.c.builtin)
    return bool(connection.execute(gone).rowcount == 1)


def count_listeners_of(connection: Connection, event_type: str) -> int:
    """How many active listeners wait for this type."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import listeners
    from waitctl.infrastructure.store.statements.events import _ACTIVE

    found = sa.select(sa.func.count()).where(
        listeners.c.event_type == event_type,
        _ACTIVE,
    )
    return int(connection.execute(found).scalar_one())
