"""Statements that find ids by their head or tail."""

from __future__ import annotations

from enum import Enum
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.infrastructure.schema import deliveries, events, quarantine, transitions, waits
from waitctl.infrastructure.sql_batch import statement


class HasId(Enum):
    """What people name by an id."""

    WAIT = waits.name
    EVENT = events.name
    DELIVERY = deliveries.name
    QUARANTINED = quarantine.name


_COLUMNS: dict[HasId, sa.Column[str]] = {
    HasId(table.name): table.c.id for table in (waits, events, deliveries, quarantine)
}


def is_id(connection: Connection, kind: HasId, whole_id: str) -> bool:
    """Whether there is one with this id."""
    return connection.execute(_find_id(_COLUMNS[kind]), {"id": whole_id}).first() is not None


@statement
def _find_id(column: sa.Column[str]) -> sa.Select[Any]:
    """The id, if there is one."""
    return sa.select(column).where(column == sa.bindparam("id", type_=column.type))


def is_execution(connection: Connection, text: str) -> bool:
    """Whether there is a wait of the execution ``text``."""
    return connection.execute(_find_execution(), {"execution_id": text}).first() is not None


@statement
def _find_execution() -> sa.Select[Any]:
    """A wait of the execution, if there is one: by the first line of its audit trail."""
    table = transitions.c
    return (
        sa.select(table.wait_id)
        .where(table.workflow_execution_id == sa.bindparam("execution_id", type_=sa.Text))
        .limit(1)
    )


def find_ids(connection: Connection, kind: HasId, fragment: str, limit: int) -> list[str]:
    """The first ids that begin or end with ``fragment``: hexadecimal digits, no dashes."""
    return list(connection.execute(_find_ids(_COLUMNS[kind]), {"fragment": fragment, "limit": limit}).scalars())


@statement
def _find_ids(column: sa.Column[str]) -> sa.Select[Any]:
    """Ids that begin or end with these digits."""
    digits = sa.func.replace(sa.cast(column, sa.Text), sa.literal_column("'-'"), sa.literal_column("''"))
    fragment = sa.bindparam("fragment", type_=sa.Text)
    found = sa.select(column).where(digits.startswith(fragment) | digits.endswith(fragment))
    return found.order_by(column).limit(sa.bindparam("limit", type_=sa.Integer))
