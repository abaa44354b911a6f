"""Statements on the inbox table: events that other systems have inserted and nobody has correlated."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import by_dialect, kept
from waitctl.infrastructure.sql_values import json_rows

_BLANKS = " \t\n\r\v\f"


class InboxRow(NamedTuple):
    """An event as another system inserted it. ``occurred_at``: on SQLite the text that it wrote.

    ``size``: bytes of its data. ``data``: its text, when it is short enough to be taken along with the others.
    """

    id: str
    event_type: str
    contact_id: str
    source: str
    external_id: str | None
    occurred_at: datetime | str | None
    size: int
    data: str | None


def claim_oldest(connection: Connection, limit: int) -> list[InboxRow]:
    """Lock the oldest rows that nobody else has in hand."""
    return [InboxRow(*row) for row in connection.execute(kept("claim_oldest"), {"limit": limit})]


def claim_of_topics(connection: Connection, event_types: Sequence[str], contact_id: str, limit: int) -> list[InboxRow]:
    """Lock rows of these types and of a contact that is, or may be, this one: spelled so that one has to look."""
    given = {"types": event_types, "contact_id": contact_id, "blanks": _BLANKS, "limit": limit}
    return [InboxRow(*row) for row in connection.execute(kept("claim_of_topics"), given)]


def read_data(connection: Connection, event_id: str) -> str:
    """The data of a row as text."""
    text: str = connection.execute(kept("read_data"), {"id": event_id}).scalar_one()
    return text


def read_refused(connection: Connection, ids: Sequence[str]) -> Mapping[str, str]:
    """The data of these rows as text, cut after what a quarantine keeps."""
    return {row[0]: row[1] for row in connection.execute(kept("read_refused"), {"ids": ids})}


def delete_refused(connection: Connection, ids: Sequence[str]) -> None:
    """Delete rows that no door would take."""
    connection.execute(kept("delete_refused"), {"ids": ids})


def forget_pruned(connection: Connection) -> None:
    """Delete what came by the inbox table and was pruned before: its id is remembered, so it has no effect twice."""
    connection.execute(kept("forget_pruned"))


def set_contacts(connection: Connection, contacts: Mapping[str, str]) -> None:
    """Give rows, by id, their contacts in the form in which they are compared."""
    rows = json_rows({"id": event_id, "contact_id": contact} for event_id, contact in contacts.items())
    connection.execute(kept("set_contacts"), {"given": rows})


def set_instants(connection: Connection, occurred_at: Iterable[tuple[str, datetime | None]]) -> None:
    """Give rows their instants in one form; PostgreSQL has none but instants there."""
    if by_dialect(connection, sqlite=True, postgresql=False):
        rows = json_rows({"id": event_id, "occurred_at": at} for event_id, at in occurred_at)
        connection.execute(kept("set_instants"), {"given": rows})
