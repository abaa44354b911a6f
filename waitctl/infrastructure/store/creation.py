"""Statements that create many waits at once. What many of them share travels once, as their plan.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause
from sqlalchemy.exc import IntegrityError

from waitctl.infrastructure.dialects import (
    JsonRows,
    Tuples,
    insert_new,
    insert_numbered,
    instant_text,
    is_among,
    json_rows,
)
from waitctl.infrastructure.schema import UtcDateTime, events, listeners, tombstones, transitions, waits
from waitctl.infrastructure.sql_batch import by_dialect, statement
from waitctl.infrastructure.store.waits import OPEN_WAIT


class NewWait(NamedTuple):
    """What a wait has of its own, as text; ``context`` is JSON. The rest is its plan's, by number."""

    id: str
    plan: str
    workflow_id: str | None
    workflow_execution_id: str
    step_id: str
    contact_id: str | None
    context: str | None
    idempotency_key: str | None


class NewListener(NamedTuple):
    """A listener of a new wait; ``place``: which of those that its plan has."""

    id: str
    wait_id: str
    plan: str
    place: str
    contact_id: str


@dataclass(frozen=True, slots=True)
class NewBatch:
    """Waits to be created at one instant, `NewWait` and `NewListener` each as rows or encoded by `as_tuples`.

    ``plans`` and ``listened`` hold what waits and listeners of a plan share, under the names of their columns.
    """

    count: int
    waits: str | Sequence[NewWait]
    listeners: Sequence[NewListener]
    plans: Sequence[Mapping[str, Any]]
    listened: Sequence[Mapping[str, Any]]


PLAN_COLUMNS = (
    *("wait_type", "status", "scheduled_at", "timeout_at", "timezone", "wait_config", "handler", "handlers"),
    *("late_seconds", "late_policy"),
)
LISTENED_COLUMNS = (
    *("event_type", "match", "match_json", "where", "exclusive", "gated", "human", "group_no", "needed", "distinct"),
    *("status", "since_at", "timeout_at", "expires_at"),
)

_NOW = sa.bindparam("now", type_=UtcDateTime)
_ONE: sa.ColumnElement[int] = sa.literal_column("1")
_PLACE = {"plan": sa.Text(), "place": sa.Text()}
_WAIT = {"id": waits.c.id.type, "plan": sa.Text()}
_WAIT |= {name: waits.c[name].type for name in NewWait._fields[2:]}
_LISTENER = {"id": listeners.c.id.type, "wait_id": waits.c.id.type, **_PLACE, "contact_id": sa.Text()}


class NotAllNewError(Exception):
    """Among waits that were inserted as new ones is one whose step or key is taken. The transaction is lost."""


def insert_waits(
    connection: Connection, batch: NewBatch, *, now: datetime, reason: str, actor: str, presumed_new: bool = False
) -> set[str] | None:
    """Insert waits, their listeners and the first lines of their audit trails, but those whose step or key is taken.

    Returns the ids of those that landed; ``None`` when all have. With ``presumed_new`` nothing is asked about keys,
    which takes PostgreSQL a third of the time. Raises `NotAllNewError` when it turns out that one is taken.
    """
    insert = by_dialect(connection, sqlite=_insert_one_by_one, postgresql=_insert_at_once)
    given = {"plans": json_rows(batch.plans), "listened": json_rows(batch.listened)}
    return insert(connection, batch, given | {"now": now, "reason": reason, "actor": actor}, presumed_new)


def _insert_at_once(
    connection: Connection, batch: NewBatch, given: Mapping[str, Any], presumed_new: bool
) -> set[str] | None:
    listening = {"listening": batch.listeners} if batch.listeners else {}
    every = {"given": batch.waits, **listening, **given}
    if presumed_new:
        try:
            connection.execute(_create_presumed_new(bool(batch.listeners)), every)
        except IntegrityError as error:
            raise NotAllNewError from error
        return None
    landed = connection.execute(_create_waits(bool(batch.listeners)), every | {"count": batch.count}).scalar_one()
    return None if landed is None else set(landed)


def _insert_one_by_one(connection: Connection, batch: NewBatch, given: Mapping[str, Any], _: bool) -> set[str] | None:
    landed = set(connection.execute(_store_waits(), {"given": batch.waits, **given}).scalars())
    connection.execute(_note_stored(), {"given": batch.waits, **given})
    if batch.listeners:
        connection.execute(_store_listeners(), {"listening": batch.listeners, **given})
    return None if len(landed) == batch.count else landed


@statement
def _create_waits(listening: bool) -> Any:
    """Create the waits whose step and key are free; name them when not all are. PostgreSQL only."""
    stored, steps = _at_once(_waits(insert_new(waits)), listening)
    number = sa.select(sa.func.count()).select_from(stored).scalar_subquery()
    ids = sa.func.array_agg(sa.cast(stored.c.id, sa.Text), type_=sa.ARRAY(sa.Text))
    named = sa.select(sa.func.coalesce(ids, sa.cast(sa.literal_column("'{}'"), sa.ARRAY(sa.Text)))).scalar_subquery()
    told = sa.select(sa.case((number < sa.bindparam("count", type_=sa.Integer), named)))
    return told.add_cte(*(step.cte(name) for name, step in steps.items()))


@statement
def _create_presumed_new(listening: bool) -> Any:
    """Create waits whose steps and keys are free, as a rule. PostgreSQL only."""
    _, steps = _at_once(_waits(sa.insert(waits)), listening)
    *before, last = steps.values()
    return last.add_cte(*(step.cte("listened_for") for step in before))


def _at_once(insert: sa.Insert, listening: bool) -> tuple[sa.CTE, dict[str, Any]]:
    """What is stored, and the other steps by what they leave behind."""
    stored = insert.returning(waits.c.id, waits.c.status, waits.c.workflow_execution_id).cte("stored")
    steps: dict[str, Any] = {"listened_for": _listeners(stored)} if listening else {}
    return stored, steps | {"audited": _first_lines(sa.select(stored).subquery("of"))}


@statement
def _store_waits() -> Any:
    """Insert the waits whose step and key are free, and name them. SQLite only, where a CTE may not write."""
    return _waits(insert_new(waits)).returning(waits.c.id)


@statement
def _note_stored() -> Any:
    """The first lines of the audit trails of the waits that were stored. SQLite only."""
    given = Tuples("given", _WAIT)
    stored = sa.select(waits.c.id, waits.c.status, waits.c.workflow_execution_id)
    return _first_lines(stored.where(waits.c.id.in_(sa.select(given.c.id))).subquery("of"))


@statement
def _store_listeners() -> Any:
    """The listeners of the waits that were stored. SQLite only."""
    return _listeners(waits)


def _waits(insert: sa.Insert) -> sa.Insert:
    given, plans = Tuples("given", _WAIT), JsonRows("plans", _columns_of(waits, PLAN_COLUMNS) | {"plan": sa.Text()})
    own = [given.c[name] for name in NewWait._fields if name != "plan"]
    shared = [plans.c[name] for name in PLAN_COLUMNS]
    # A condition, and no join: or SQLite takes the ON of ON CONFLICT for the join's.
    rows = sa.select(*own, *shared, _NOW, _NOW).where(plans.c.plan == given.c.plan)
    names = [*(column.name for column in (*own, *shared)), "created_at", "updated_at"]
    return insert.from_select(names, rows)


def _first_lines(stored: FromClause) -> Any:
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


# -- what stands in the way of creating them together ------------------------------------------------------------------


class Claims(NamedTuple):
    """The step, and the key if it has one, that a new wait lays claim to."""

    id: str
    workflow_execution_id: str
    step_id: str
    workflow_id: str
    key: str | None


def find_taken(connection: Connection, claims: Sequence[Claims]) -> dict[str, str]:
    """By the new wait's id the wait that stands in its way: the one with its key, else the open one of its step."""
    rows = connection.execute(_find_taken(), {"claims": claims}).all()
    return {row.id: row.by_key or row.by_step for row in rows if row.by_key or row.by_step}


@statement
def _find_taken() -> Any:
    """The waits with the keys of new waits, and the open waits of their steps."""
    claims = Tuples("claims", {"id": waits.c.id.type, **dict.fromkeys(Claims._fields[1:], sa.Text())})
    workflow_id = sa.func.coalesce(waits.c.workflow_id, sa.literal_column("''"))
    by_key = sa.select(waits.c.id).where(workflow_id == claims.c.workflow_id, waits.c.idempotency_key == claims.c.key)
    by_step = sa.select(waits.c.id).where(
        waits.c.workflow_execution_id == claims.c.workflow_execution_id, waits.c.step_id == claims.c.step_id, OPEN_WAIT
    )
    looks = [look.correlate(claims).scalar_subquery() for look in (by_key, by_step)]
    return sa.select(claims.c.id, looks[0].label("by_key"), looks[1].label("by_step"))


def find_pruned_keys(connection: Connection, claims: Sequence[Claims]) -> set[str]:
    """The new waits whose key was that of a wait which is pruned."""
    return set(connection.execute(_find_pruned_keys(), {"claims": claims}).scalars())


@statement
def _find_pruned_keys() -> Any:
    """The new waits whose key was that of a wait which is pruned."""
    claims = Tuples("claims", {"id": waits.c.id.type, **dict.fromkeys(Claims._fields[1:], sa.Text())})
    is_theirs = sa.and_(
        tombstones.c.kind == sa.literal_column("'wait_key'"),
        tombstones.c.scope == claims.c.workflow_id,
        tombstones.c.key == claims.c.key,
    )
    return sa.select(claims.c.id).join_from(claims, tombstones, is_theirs)


class Topic(NamedTuple):
    """A topic that a new wait listens to, and since when."""

    id: str
    event_type: str
    contact_id: str
    since_at: str


def topic_of(wait_id: str, event_type: str, contact_id: str, since_at: datetime) -> Topic:
    """The topic of a listener."""
    return Topic(wait_id, event_type, contact_id, instant_text(since_at) or "")


def find_early(connection: Connection, topics: Sequence[Topic]) -> set[str]:
    """The new waits that an event which is there may belong to: of their topics, and received since then."""
    return set(connection.execute(_find_early(), {"topics": topics}).scalars())


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


def types_at_inbox(connection: Connection, event_types: Iterable[str]) -> bool:
    """Whether the inbox table holds events that nobody has correlated, of any of these types."""
    return connection.execute(_types_at_inbox(), {"types": sorted(event_types)}).first() is not None


@statement
def _types_at_inbox() -> Any:
    """Whether an event of these types is yet to be correlated."""
    return sa.select(_ONE).where(events.c.correlated_at.is_(None), is_among(events.c.event_type, "types")).limit(_ONE)
