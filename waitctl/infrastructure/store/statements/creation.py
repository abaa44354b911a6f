"""Statements that create many waits at once. What many of them share travels once, as their plan.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause

from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import JsonRows, Tuples, insert_new, insert_numbered, is_among
from waitctl.infrastructure.schema import events, listeners, tombstones, transitions, waits
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.creation import LISTENED_COLUMNS, PLAN_COLUMNS, ClaimedStep, NewWait
from waitctl.infrastructure.store.statements.waits import OPEN_WAIT

_NOW = sa.bindparam("now", type_=UtcDateTime)
_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_PLACE = {"plan": sa.Text(), "place": sa.Text()}
_WAIT = {"id": waits.c.id.type, "plan": sa.Text()}
_WAIT |= {name: waits.c[name].type for name in NewWait._fields[2:]}
_LISTENER = {"id": listeners.c.id.type, "wait_id": waits.c.id.type, **_PLACE, "contact_id": sa.Text()}


@statement
def _create_waits(listening: bool) -> Any:
    """Create the waits whose step and key are free; name them when not all are. PostgreSQL only."""
    stored = _waits().returning(waits.c.id, waits.c.status, waits.c.workflow_execution_id).cte("stored")
    steps: dict[str, Any] = {"listened_for": _listeners(stored)} if listening else {}
    steps["audited"] = first_lines(sa.select(stored).subquery("of"))
    number = sa.select(sa.func.count()).select_from(stored).scalar_subquery()
    ids = sa.func.array_agg(sa.cast(stored.c.id, sa.Text), type_=sa.ARRAY(sa.Text))
    named = sa.select(sa.func.coalesce(ids, sa.cast(sa.literal_column("'{}'"), sa.ARRAY(sa.Text)))).scalar_subquery()
    told = sa.select(sa.case((number < sa.bindparam("count", type_=sa.Integer), named)))
    return told.add_cte(*(step.cte(name) for name, step in steps.items()))


@statement
def _store_waits() -> Any:
    """Insert the waits whose step and key are free, and name them. SQLite only, where a CTE may not write."""
    return _waits().returning(waits.c.id)


@statement
def _note_stored() -> Any:
    """The first lines of the audit trails of the waits that were stored. SQLite only."""
    given = Tuples("given", _WAIT)
    stored = sa.select(waits.c.id, waits.c.status, waits.c.workflow_execution_id)
    return first_lines(stored.where(waits.c.id.in_(sa.select(given.c.id))).subquery("of"))


@statement
def _store_listeners() -> Any:
    """The listeners of the waits that were stored. SQLite only."""
    return _listeners(waits)


def _waits() -> sa.Insert:
    given, plans = Tuples("given", _WAIT), JsonRows("plans", _columns_of(waits, PLAN_COLUMNS) | {"plan": sa.Text()})
    own = [given.c[name] for name in NewWait._fields if name != "plan"]
    shared = [plans.c[name] for name in PLAN_COLUMNS]
    # A condition, and no join: or SQLite takes the ON of ON CONFLICT for the join's.
    rows = sa.select(*own, *shared, _NOW, _NOW).where(plans.c.plan == given.c.plan)
    names = [*(column.name for column in (*own, *shared)), "created_at", "updated_at"]
    return insert_new(waits).from_select(names, rows)


def first_lines(stored: FromClause) -> Any:
    """The first lines of the audit trails of waits that are new."""
    columns: dict[sa.Column[Any], sa.ColumnElement[Any]] = {
        transitions.c.wait_id: stored.c.id,
        transitions.c.at: _NOW,
        transitions.c.to_status: stored.c.status,
        transitions.c.reason: sa.bindparam("reason", type_=sa.Text),
        transitions.c.actor: sa.bindparam("actor", type_=sa.Text),
        transitions.c.workflow_execution_id: stored.c.workflow_execution_id,
    }
    return insert_numbered(columns, transitions.c.id)


def _listeners(stored: FromClause) -> sa.Insert:
    given = Tuples("listening", _LISTENER)
    listened = JsonRows("listened", _columns_of(listeners, LISTENED_COLUMNS) | _PLACE)
    names = ["id", "wait_id", "contact_id", *LISTENED_COLUMNS]
    is_theirs = sa.and_(listened.c.plan == given.c.plan, listened.c.place == given.c.place)
    rows = (
        sa.select(*(given.c[name] for name in names[:3]), *(listened.c[name] for name in LISTENED_COLUMNS))
        .join_from(given, listened, is_theirs)
        .where(sa.exists().where(stored.c.id == given.c.wait_id).correlate(given))
    )
    return sa.insert(listeners).from_select(names, rows)


def _columns_of(table: sa.Table, names: Iterable[str]) -> dict[str, Any]:
    return {name: table.c[name].type for name in names}


@statement
def _find_taken() -> Any:
    """The waits with the keys of new waits, and the open waits of their steps."""
    claims = Tuples("claims", {"id": waits.c.id.type, **dict.fromkeys(ClaimedStep._fields[1:], sa.Text())})
    workflow_id = sa.func.coalesce(waits.c.workflow_id, sa.literal_column("''"))
    by_key = sa.select(waits.c.id).where(workflow_id == claims.c.workflow_id, waits.c.idempotency_key == claims.c.key)
    by_step = sa.select(waits.c.id).where(
        waits.c.workflow_execution_id == claims.c.workflow_execution_id, waits.c.step_id == claims.c.step_id, OPEN_WAIT
    )
    looks = [look.correlate(claims).scalar_subquery() for look in (by_key, by_step)]
    return sa.select(claims.c.id, looks[0].label("by_key"), looks[1].label("by_step"))


@statement
def _find_pruned_keys() -> Any:
    """The new waits whose key was that of a wait which is pruned."""
    claims = Tuples("claims", {"id": waits.c.id.type, **dict.fromkeys(ClaimedStep._fields[1:], sa.Text())})
    is_theirs = sa.and_(
        tombstones.c.kind == sa.literal_column("'wait_key'"),
        tombstones.c.scope == claims.c.workflow_id,
        tombstones.c.key == claims.c.key,
    )
    return sa.select(claims.c.id).join_from(claims, tombstones, is_theirs)


@statement
def _find_early() -> Any:
    """The new waits for whose topics there are events, received since they listen. The topics are locked."""
    columns = {"id": waits.c.id.type, "event_type": sa.Text(), "contact_id": sa.Text(), "since_at": UtcDateTime()}
    topics = Tuples("topics", columns)
    event = sa.select(sa.true()).where(
        events.c.contact_id == topics.c.contact_id,
        events.c.event_type == topics.c.event_type,
        events.c.received_at >= topics.c.since_at,
    )
    return sa.select(topics.c.id).where(event.limit(_ONE).correlate(topics).scalar_subquery())


@statement
def _types_at_inbox() -> Any:
    """Whether an event of these types is yet to be correlated."""
    return sa.select(_ONE).where(events.c.correlated_at.is_(None), is_among(events.c.event_type, "types")).limit(_ONE)
