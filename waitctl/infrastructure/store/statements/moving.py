"""What moves from one database to another: which tables, in which order, and what of them belongs to some waits.

This is the one list of them. A test holds every table of the schema to stand in it, or among those that are left.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from waitctl.domain.exports import ColumnKind, Field
from waitctl.domain.filters import WaitFilter
from waitctl.infrastructure import schema
from waitctl.infrastructure.column_types import Json, UtcDateTime
from waitctl.infrastructure.dialects import bytewise
from waitctl.infrastructure.schema import events, listeners, matches, recurrences, waits
from waitctl.infrastructure.sql_batch import named
from waitctl.infrastructure.store.statements.completion import ACTIVE, SCHEDULED
from waitctl.infrastructure.store.statements.filters import clauses

_Condition = sa.ColumnElement[bool]


class Chosen:
    """The waits that a filter means, with what must not be torn apart: a recurrence has its open waits beside it."""

    def __init__(self, wanted: WaitFilter, now: datetime) -> None:
        meant = sa.select(waits.c.id).where(*clauses(wanted, now=now))
        step = sa.tuple_(recurrences.c.workflow_execution_id, recurrences.c.step_id)
        steps = sa.select(waits.c.workflow_execution_id, waits.c.step_id).where(waits.c.id.in_(meant))
        self.recurs = sa.or_(
            recurrences.c.wait_id.in_(meant),
            recurrences.c.stop_wait_id.in_(meant),
            sa.and_(recurrences.c.wait_id.is_(None), step.in_(steps)),
        )
        beside = [
            sa.select(column).where(self.recurs, column.is_not(None))
            for column in (recurrences.c.wait_id, recurrences.c.stop_wait_id)
        ]
        self.ids = sa.union(meant, *beside)

    def has(self, column: sa.Column[Any]) -> _Condition:
        """Whether this column names a wait that is meant."""
        return column.in_(self.ids)

    def names(self, column: sa.Column[Any], other: sa.Column[Any], wait_id: sa.Column[Any]) -> _Condition:
        """Whether a column is what another names, in a row of a wait that is meant."""
        return column.in_(sa.select(other).where(self.has(wait_id), other.is_not(None)))


def _with_events(chosen: Chosen) -> _Condition:
    """Events that its rows name."""
    return sa.or_(
        chosen.names(events.c.id, waits.c.resolution_event_id, waits.c.id),
        chosen.names(events.c.id, listeners.c.matched_event_id, listeners.c.wait_id),
        chosen.names(events.c.id, matches.c.event_id, matches.c.wait_id),
    )


def _with_outputs(chosen: Chosen) -> _Condition:
    mine = sa.select(schema.deliveries.c.id).where(chosen.has(schema.deliveries.c.wait_id))
    return schema.outputs.c.delivery_id.in_(mine)


def _of_waits(column: sa.Column[Any]) -> Callable[[Chosen], _Condition]:
    return lambda chosen: chosen.has(column)


def _always(_: Chosen) -> _Condition:
    return sa.true()


@dataclass(frozen=True)
class MovedTable:
    """A table that moves, under the ``name`` that it has in a file.

    ``belongs`` says which rows belong to chosen waits; without it the table moves with all of a database alone.
    ``seed``: rows that a fresh database has, in whose place those of a file come. ``is_numbered``: as `insert_numbered`
    does it. ``is_inbox``: others write to it, and what they have left there only the database judges.
    """

    name: str
    table: sa.Table
    belongs: Callable[[Chosen], _Condition] | None = None
    seed: _Condition | None = None
    is_numbered: bool = False
    is_inbox: bool = False

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        """Its columns, in their order."""
        return tuple(self._field(column) for column in self.table.c)

    def _field(self, column: sa.Column[Any]) -> Field:
        kind = next((kind for type_, kind in _KINDS if isinstance(column.type, type_)), ColumnKind.TEXT)
        enums = getattr(column.type, "enums", None)
        return Field(
            column.name,
            kind,
            is_optional=bool(column.nullable),
            has_default=column.server_default is not None,
            values=None if enums is None else frozenset(enums),
            is_loose=self.is_inbox and kind in {ColumnKind.ID, ColumnKind.INSTANT},
        )


_KINDS: Sequence[tuple[type[Any], ColumnKind]] = (
    (UtcDateTime, ColumnKind.INSTANT),
    (Json, ColumnKind.JSON),
    (sa.Boolean, ColumnKind.FLAG),
    (sa.LargeBinary, ColumnKind.BYTES),
    (sa.Uuid, ColumnKind.ID),
    (sa.Integer, ColumnKind.NUMBER),
)

MOVED: Sequence[MovedTable] = (
    MovedTable("event_types", schema.event_types, _always, seed=schema.event_types.c.builtin),
    MovedTable("pauses", schema.pauses, _always),
    MovedTable("templates", schema.templates, _always),
    MovedTable(
        "contacts",
        schema.contacts,
        lambda chosen: chosen.names(schema.contacts.c.contact_id, waits.c.contact_id, waits.c.id),
    ),
    MovedTable("waits", waits, _of_waits(waits.c.id)),
    MovedTable("listeners", listeners, _of_waits(listeners.c.wait_id)),
    MovedTable("listener_matches", matches, _of_waits(matches.c.wait_id)),
    MovedTable("events", events, _with_events, is_inbox=True),
    MovedTable("transitions", schema.transitions, _of_waits(schema.transitions.c.wait_id), is_numbered=True),
    MovedTable("deliveries", schema.deliveries, _of_waits(schema.deliveries.c.wait_id)),
    MovedTable("outputs", schema.outputs, _with_outputs),
    MovedTable("recurrences", recurrences, lambda chosen: chosen.recurs),
    MovedTable("quarantine", schema.quarantine),
    MovedTable("webhook_tokens", schema.webhook_tokens),
    MovedTable("tombstones", schema.tombstones),
    MovedTable("rollups", schema.rollups),
    MovedTable("uncounted", schema.uncounted),
    MovedTable("upkeep", schema.upkeep, seed=sa.true()),
)
"""Every table that moves, in the order of a file: what is referred to comes before what refers to it."""

LEFT: Mapping[str, str] = {
    schema.ticks.name: "the runs of a database's own hosts: where nothing has ticked yet, doctor shall say so",
    schema.plans.name: "a plan is good for what it has seen, and for a month",
    schema.plan_entries.name: "as the plans",
}
"""Tables that stay where they are, and why."""


def rows_of(moved: MovedTable, chosen: Chosen | None) -> sa.Select[Any] | None:
    """The rows of a table in the order of their keys, as plain as the driver has them; ``None`` when none move."""
    if chosen is not None and moved.belongs is None:
        return None
    found = sa.select(*map(_plain, moved.table.c)).order_by(*map(_in_order, moved.table.primary_key))
    if chosen is not None and moved.belongs is not None:
        found = found.where(moved.belongs(chosen))
    return named(f"export_{moved.name}", found)


def _plain(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    plain = sa.cast(column, sa.Text) if isinstance(column.type, Json) else sa.type_coerce(column, sa.Text)
    return plain.label(column.name)


def _in_order(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    return bytewise(column) if type(column.type) is sa.Text else column


def due_in_order(chosen: Chosen | None) -> sa.CompoundSelect[Any]:
    """When a tick ends which open wait: rows of (id, instant), what is first, first."""
    expires = sa.func.min(listeners.c.expires_at)
    due = sa.select(waits.c.id.label("id"), sa.type_coerce(waits.c.scheduled_at, sa.Text).label("at")).where(SCHEDULED)
    expiring = (
        sa.select(listeners.c.wait_id, sa.type_coerce(expires, sa.Text))
        .where(ACTIVE, listeners.c.expires_at.is_not(None))
        .group_by(listeners.c.wait_id)
    )
    if chosen is not None:
        due, expiring = due.where(chosen.has(waits.c.id)), expiring.where(chosen.has(listeners.c.wait_id))
    return sa.union_all(due, expiring).order_by(sa.text("2"), sa.text("1"))


def is_there(moved: MovedTable) -> sa.Select[Any]:
    """A row of the table, if there is one that no fresh database has."""
    found: sa.Select[Any] = sa.select(sa.literal_column("1")).select_from(moved.table).limit(1)
    return found if moved.seed is None else found.where(sa.not_(moved.seed))
