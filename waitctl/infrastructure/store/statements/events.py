"""Statements on events and event types."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause

from waitctl.domain.statuses import ListenerStatus, WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import JsonRows, Tuples, any_of, insert_new, is_among
from waitctl.infrastructure.schema import event_types, events, listeners, matches, tombstones, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.events import _STORED, EventRow
from waitctl.infrastructure.store.statements.waits import literal

_GIVEN = {name: events.c[name].type for name in EventRow._fields}

_NOW = sa.bindparam("now", type_=UtcDateTime)
_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_ACTIVE = listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
_IS_EVENT_ID = tombstones.c.kind == sa.literal_column("'event_id'")


@statement
def _insert_presumed_new() -> sa.Insert:
    """Insert events that are new, as a rule."""
    rows = Tuples("given", _GIVEN)
    return sa.insert(events).from_select(_STORED, sa.select(*rows.c, _NOW, _NOW))


@statement
def _look_for_exceptions() -> Any:
    """How many of the types are registered, whether any id was pruned, and which contacts anything may listen for."""
    registered = sa.select(sa.func.count()).where(event_types.c.name == any_of("types"))
    pruned = sa.select(sa.true()).where(
        _IS_EVENT_ID,
        tombstones.c.scope == any_of("sources"),
        tombstones.c.key == any_of("ids"),
    )
    listened_for = sa.select(sa.func.array_agg(sa.distinct(listeners.c.contact_id), type_=sa.ARRAY(sa.Text))).where(
        listeners.c.contact_id == any_of("contacts"),
        listeners.c.event_type == any_of("types"),
        _ACTIVE,
    )
    return sa.select(*(part.scalar_subquery() for part in (registered, pruned.limit(_ONE), listened_for)))


@statement
def _insert_events() -> Any:
    """Insert the events that are new, and name them. SQLite only, where a CTE may not write."""
    return _insert(Tuples("given", _GIVEN)).returning(events.c.id)


@statement
def _insert_events_and_sum_up() -> Any:
    """Insert the events that are new; name those that are not, and those that may be listened for. PostgreSQL only.

    There all but the exceptions stays: to fetch a row an event would cost as much as a third of its insert.
    """
    rows = sa.select(Tuples("given", _GIVEN)).cte("given")
    new = _insert(rows).returning(events.c.id, events.c.contact_id, events.c.event_type).cte("stored")
    topic = sa.and_(listeners.c.contact_id == new.c.contact_id, listeners.c.event_type == new.c.event_type)
    # No EXISTS: PostgreSQL may turn that into a hash of all listeners, for every batch anew.
    is_listened_for = sa.select(sa.true()).where(topic, _ACTIVE).limit(_ONE).correlate(new).scalar_subquery()
    listened = sa.select(_ids(new.c.id)).where(is_listened_for).scalar_subquery()
    known = sa.select(_ids(rows.c.id)).where(rows.c.id.not_in(sa.select(new.c.id))).scalar_subquery()
    some_known = _count(new) < _count(rows)  # as a rule none is, and to count is quicker than to compare
    return sa.select(sa.case((some_known, known)), listened)


def _count(rows: FromClause) -> sa.ScalarSelect[int]:
    return sa.select(sa.func.count()).select_from(rows).scalar_subquery()


def _ids(column: sa.ColumnElement[str]) -> sa.Function[Any]:
    """As text: the driver would make an object of each."""
    return sa.func.array_agg(sa.cast(column, sa.Text), type_=sa.ARRAY(sa.Text))


def _insert(rows: FromClause) -> sa.Insert:
    """Rows go in in the order of the parameter: no join and no sort may come between. A test looks at the plan."""
    pruned = sa.select(sa.true()).where(_IS_EVENT_ID).limit(_ONE)
    pruned_before = pruned.where(tombstones.c.scope == rows.c.source, tombstones.c.key == rows.c.external_id)
    # As a rule nothing was pruned, which is asked once a batch.
    is_new = sa.or_(pruned.scalar_subquery().is_(None), pruned_before.scalar_subquery().is_(None))
    # Any key: who records one and the same event again, as after a lost connection, has no other one.
    return insert_new(events).from_select(_STORED, sa.select(*rows.c, _NOW, _NOW).where(is_new))


@statement
def _find_event_id() -> sa.Select[Any]:
    """Our id of the event that its sender knows by this one."""
    source, key = (sa.bindparam(name, type_=sa.Text) for name in ("source", "external_id"))
    return sa.select(events.c.id).where(events.c.source == source, events.c.external_id == key)


@statement
def _mark_correlated() -> sa.Update:
    """Say that events, which `inbox.claim_oldest` has locked, have been correlated."""
    given = JsonRows("given", {"id": events.c.id.type})
    return sa.update(events).values(correlated_at=_NOW).where(events.c.id == given.c.id)


@statement
def _registered_types() -> sa.Select[Any]:
    """The names of the registered event types."""
    return sa.select(event_types.c.name)


@statement
def _get_events() -> sa.Select[Any]:
    """The events with these ids."""
    return sa.select(events).where(is_among(events.c.id))


@statement
def _who_took() -> sa.CompoundSelect[Any]:
    """The waits that took these events, each with its event, oldest first."""
    alone = sa.select(listeners.c.matched_event_id, listeners.c.wait_id).where(
        is_among(listeners.c.matched_event_id),
        listeners.c.status == literal(ListenerStatus.MATCHED, listeners.c.status),
    )
    counted = sa.select(matches.c.event_id, matches.c.wait_id).where(is_among(matches.c.event_id))
    return sa.union(alone, counted).order_by(sa.literal_column("2"))


@statement
def _held_by() -> sa.Select[Any]:
    """The waits that an event has scheduled for their next opening; by the listeners and matches that it took."""
    event_id = sa.bindparam("event_id", type_=events.c.id.type)
    taken = sa.union(
        sa.select(listeners.c.wait_id).where(listeners.c.matched_event_id == event_id),
        sa.select(matches.c.wait_id).where(matches.c.event_id == event_id),
    )
    return (
        sa.select(waits.c.id, waits.c.scheduled_at, waits.c.timezone)
        .where(
            waits.c.id.in_(taken),
            waits.c.resolution_event_id == event_id,
            waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status),
        )
        .order_by(waits.c.id)
    )
