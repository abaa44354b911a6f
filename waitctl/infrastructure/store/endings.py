"""How waits end: due, event, timeout, by hand, cancelled. Every ending goes through `ending_steps`.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.deliveries import DeliveryStatus
from waitctl.domain.listeners import Candidate, ListenerStatus, choose
from waitctl.domain.text import JsonObject, to_json
from waitctl.domain.waits import Resolution, WaitExecutionStatus
from waitctl.infrastructure.batch import Claimed, json_rows, seconds_between
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.schema import (
    UtcDateTime,
    deliveries,
    events,
    listeners,
    new_id,
    transitions,
    waits,
)
from waitctl.infrastructure.store.waits import literal, next_transition_id

NOW: sa.BindParameter[datetime] = sa.bindparam("now", type_=UtcDateTime)
LIMIT = sa.bindparam("limit", type_=sa.Integer)

_ID = waits.c.id.type
_ACTIVE = listeners.c.status == literal(ListenerStatus.ACTIVE, listeners.c.status)
_WAITING = waits.c.status == literal(WaitExecutionStatus.WAITING, waits.c.status)
_SCHEDULED = waits.c.status == literal(WaitExecutionStatus.SCHEDULED, waits.c.status)


# -- what ending means -------------------------------------------------------------------------------------------------


def ending_steps(claimed: FromClause, resolution: Resolution, *, is_sqlite: bool) -> list[UpdateBase]:
    """End the claimed waits: status, audit, listeners that are left, outbox. Each expects the claimed status.

    Parameters: ``now``, ``reason``, ``actor``, ``data``. Columns of ``claimed``: see `Claimed.COLUMNS`.
    """
    status = literal(resolution.status, waits.c.status)
    changed: dict[str, Any] = {
        "status": status,
        "resolution": literal(resolution, waits.c.resolution),
        "resolved_at": NOW,
        "updated_at": NOW,
    }
    if resolution in {Resolution.DUE, Resolution.TIMEOUT}:
        changed["late_seconds"] = seconds_between(claimed.c.due_at, NOW, is_sqlite=is_sqlite)
    if resolution is Resolution.EVENT:
        changed["resolution_event_id"] = claimed.c.event_id
    end = sa.update(waits).values(changed).where(waits.c.id == claimed.c.id, waits.c.status == claimed.c.from_status)
    steps: list[UpdateBase] = [end, audit(claimed, status, is_sqlite=is_sqlite)]
    if resolution is not Resolution.DUE:
        steps.append(_close_listeners(claimed, resolution))
    if resolution is not Resolution.CANCELLED:
        steps.append(_outbox(claimed, resolution))
    return steps


def audit(claimed: FromClause, status: sa.ColumnElement[Any], *, is_sqlite: bool) -> UpdateBase:
    """Write the audit trail of the claimed waits, which go to ``status``."""
    columns: dict[str, sa.ColumnElement[Any]] = {
        "wait_id": claimed.c.id,
        "at": NOW,
        "from_status": claimed.c.from_status,
        "to_status": status,
        "reason": sa.bindparam("reason", type_=sa.Text),
        "actor": sa.bindparam("actor", type_=sa.Text),
        "data": sa.bindparam("data", type_=transitions.c.data.type),
    }
    if "event_id" in claimed.c:
        columns["reason"] = columns["reason"] + sa.cast(claimed.c.event_id, sa.Text)
    if is_sqlite:
        columns["id"] = next_transition_id() + sa.func.row_number().over() - 1
    return sa.insert(transitions).from_select(list(columns), sa.select(*columns.values()).select_from(claimed))


def _close_listeners(claimed: FromClause, resolution: Resolution) -> UpdateBase:
    closed = ListenerStatus.EXPIRED if resolution is Resolution.TIMEOUT else ListenerStatus.CANCELLED
    values: dict[str, Any] = {"status": literal(closed, listeners.c.status)}
    if resolution is Resolution.EVENT:
        won = listeners.c.id == claimed.c.listener_id
        matched = literal(ListenerStatus.MATCHED, listeners.c.status)
        values = {
            "status": sa.cast(sa.case((won, matched), else_=values["status"]), listeners.c.status.type),
            "matched_event_id": sa.case((won, claimed.c.event_id)),
            "matched_at": sa.case((won, NOW)),
        }
    return sa.update(listeners).values(values).where(listeners.c.wait_id == claimed.c.id, _ACTIVE)


def _outbox(claimed: FromClause, resolution: Resolution) -> UpdateBase:
    columns: dict[str, sa.ColumnElement[Any]] = {
        "id": new_id(),
        "wait_id": claimed.c.id,
        "handler": claimed.c.handler,
        "outcome": literal(resolution.value, deliveries.c.outcome),
        "status": literal(DeliveryStatus.PENDING, deliveries.c.status),
        "attempt": sa.literal_column("0"),
        "next_attempt_at": NOW,
        "created_at": NOW,
    }
    rows = sa.select(*columns.values()).select_from(claimed).where(claimed.c.handler.is_not(None))
    return sa.insert(deliveries).from_select(list(columns), rows)


def _count(claimed: FromClause) -> sa.Select[Any]:
    return sa.select(sa.func.count()).select_from(claimed)


def _ids(claimed: FromClause) -> sa.Select[Any]:
    return sa.select(claimed.c.id)


# -- due ---------------------------------------------------------------------------------------------------------------


def resolve_due(
    connection: Connection, database: Database, *, now: datetime, limit: int, reason: str, actor: str
) -> int:
    """Resume the ``limit`` waits that have been due longest, past those that another tick has in hand."""
    rows = _due(database.is_sqlite).run(connection, now=now, limit=limit, reason=reason, actor=actor, data=None)
    return int(rows[0][0])


@cache
def _due(is_sqlite: bool) -> Claimed:
    claim = (
        sa.select(
            waits.c.id, waits.c.status.label("from_status"), waits.c.handler, waits.c.scheduled_at.label("due_at")
        )
        .where(_SCHEDULED, waits.c.scheduled_at <= NOW)
        .order_by(waits.c.scheduled_at)
        .limit(LIMIT)
        .with_for_update(skip_locked=True)
    )
    return Claimed(
        claim,
        lambda claimed: ending_steps(claimed, Resolution.DUE, is_sqlite=is_sqlite),
        _count,
        is_sqlite=is_sqlite,
    )


def due_ids(connection: Connection, *, now: datetime) -> list[str]:
    """The waits that are due, longest first."""
    due = sa.select(waits.c.id).where(_SCHEDULED, waits.c.scheduled_at <= now)
    return list(connection.execute(due.order_by(waits.c.scheduled_at)).scalars())


# -- expired -----------------------------------------------------------------------------------------------------------

_LISTENED = waits.join(listeners, listeners.c.wait_id == waits.c.id)
_heard = listeners.alias("heard")

# An event of the SQL door that nobody has correlated yet may have come in time, for any listener of the wait: the
# deadline decides, not the sweeper.
_DOOR_IS_EMPTY = ~sa.exists(
    sa.select(sa.literal_column("1"))
    .select_from(
        _heard.join(
            events, sa.and_(events.c.contact_id == _heard.c.contact_id, events.c.event_type == _heard.c.event_type)
        )
    )
    .where(_heard.c.wait_id == waits.c.id, events.c.correlated_at.is_(None))
)
_EXPIRED = sa.and_(_ACTIVE, listeners.c.expires_at <= NOW, _WAITING, _DOOR_IS_EMPTY)


def expired_listeners(connection: Connection, *, now: datetime, limit: int) -> list[tuple[str, str, str]]:
    """The listeners of the ``limit`` waits that expired first, to lock their topics before `resolve_expired`.

    (wait, event type, contact): every listener of a wait, since an event for any of them may have come in time.
    """
    first = ~sa.exists().where(_heard.c.wait_id == waits.c.id, _heard.c.id < listeners.c.id)
    page = (
        sa.select(waits.c.id)
        .select_from(_LISTENED)
        .where(_EXPIRED, first)
        .order_by(listeners.c.expires_at)
        .limit(LIMIT)
        .subquery("page")
    )
    found = sa.select(listeners.c.wait_id, listeners.c.event_type, listeners.c.contact_id).join(
        page, page.c.id == listeners.c.wait_id
    )
    return [(row[0], row[1], row[2]) for row in connection.execute(found, {"now": now, "limit": limit})]


def resolve_expired(
    connection: Connection, database: Database, wait_ids: Iterable[str], *, now: datetime, reason: str, actor: str
) -> int:
    """Time out those of these waits that have expired, past those that somebody has in hand.

    Only waits whose topics are locked: beyond them an event in time may be stored and not yet matched.
    """
    wanted = to_json([{"id": wait_id} for wait_id in wait_ids])
    rows = _expired(database.is_sqlite).run(connection, wanted=wanted, now=now, reason=reason, actor=actor, data=None)
    return int(rows[0][0])


@cache
def _expired(is_sqlite: bool) -> Claimed:
    wanted = json_rows("wanted", {"id": _ID}, is_sqlite=is_sqlite)
    expired = sa.exists().where(listeners.c.wait_id == waits.c.id, _ACTIVE, listeners.c.expires_at <= NOW)
    claim = (
        sa.select(waits.c.id, waits.c.status.label("from_status"), waits.c.handler, waits.c.timeout_at.label("due_at"))
        .where(waits.c.id.in_(sa.select(wanted.c.id)), _WAITING, expired, _DOOR_IS_EMPTY)
        .order_by(waits.c.id)
        .with_for_update(skip_locked=True)
    )
    return Claimed(
        claim,
        lambda claimed: ending_steps(claimed, Resolution.TIMEOUT, is_sqlite=is_sqlite),
        _count,
        is_sqlite=is_sqlite,
    )


def expired_ids(connection: Connection, *, now: datetime) -> list[str]:
    """The waits whose deadline and grace have passed."""
    found = sa.select(waits.c.id).select_from(_LISTENED).where(_EXPIRED).distinct()
    return list(connection.execute(found, {"now": now}).scalars())


def count_remaining(connection: Connection, *, now: datetime) -> int:
    """How many waits a tick at ``now`` would still end."""
    due = sa.select(sa.func.count()).select_from(waits).where(_SCHEDULED, waits.c.scheduled_at <= NOW)
    expired = sa.select(sa.func.count(waits.c.id.distinct())).select_from(_LISTENED).where(_EXPIRED)
    row = connection.execute(sa.select(due.scalar_subquery(), expired.scalar_subquery()), {"now": now}).one()
    return int(row[0]) + int(row[1])


# -- by hand -----------------------------------------------------------------------------------------------------------


def end_waits(
    connection: Connection,
    database: Database,
    wait_ids: Sequence[str],
    resolution: Resolution,
    *,
    now: datetime,
    reason: str,
    actor: str,
    data: JsonObject | None = None,
) -> set[str]:
    """End these waits by hand if they are still open. Returns the ids of those that landed."""
    rows = _by_hand(resolution, database.is_sqlite).run(
        connection,
        wanted=to_json([{"id": wait_id} for wait_id in wait_ids]),
        now=now,
        reason=reason,
        actor=actor,
        data=data,
    )
    return {row[0] for row in rows}


@cache
def _by_hand(resolution: Resolution, is_sqlite: bool) -> Claimed:
    wanted = json_rows("wanted", {"id": _ID}, is_sqlite=is_sqlite)
    claim = (
        sa.select(waits.c.id, waits.c.status.label("from_status"), waits.c.handler)
        .where(waits.c.id.in_(sa.select(wanted.c.id)), sa.or_(_WAITING, _SCHEDULED))
        .order_by(waits.c.id)
        .with_for_update()
    )
    return Claimed(
        claim,
        lambda claimed: ending_steps(claimed, resolution, is_sqlite=is_sqlite),
        _ids,
        is_sqlite=is_sqlite,
    )


# -- by events ---------------------------------------------------------------------------------------------------------


def correlate_events(
    connection: Connection, database: Database, event_ids: Iterable[str], *, now: datetime, reason: str, actor: str
) -> list[tuple[str, str]]:
    """Resume the waits that these events match. Returns (event id, wait id) pairs.

    The topics' locks must be held: see `Database.lock_topics`.
    """
    wanted = to_json([{"id": event_id} for event_id in event_ids])
    return _correlate(connection, database, "events", wanted, now=now, reason=reason, actor=actor)


def correlate_wait(
    connection: Connection, database: Database, wait_id: str, *, now: datetime, reason: str, actor: str
) -> list[tuple[str, str]]:
    """Look back: resume a wait that an event received before its creation matches. See `correlate_events`."""
    wanted = to_json([{"id": wait_id}])
    return _correlate(connection, database, "wait", wanted, now=now, reason=reason, actor=actor)


def _correlate(
    connection: Connection, database: Database, scope: str, wanted: str, *, now: datetime, reason: str, actor: str
) -> list[tuple[str, str]]:
    audit = {"now": now, "reason": reason, "actor": actor, "data": None}
    # Who takes an event exclusively depends on who else took one: decided by the domain, sent back as one parameter.
    # Asked before anything is taken, since waits of one execution that are open together may share an event.
    chosen = _choose_exclusive(connection, scope, wanted, is_sqlite=database.is_sqlite)
    rows = _broadcast(scope, database.is_sqlite).run(connection, wanted=wanted, **audit)
    # Another recorder of the topic may have woken the wait that we chose while we waited for its row. Then the event
    # goes on to the next one, which this transaction's new statement sees: nobody else will bring them together.
    while chosen:
        pairs = to_json([{"id": c.wait_id, "listener_id": c.listener_id, "event_id": c.event_id} for c in chosen])
        taken = _chosen(database.is_sqlite).run(connection, wanted=pairs, **audit)
        rows += taken
        if len(taken) == len(chosen):
            break
        chosen = _choose_exclusive(connection, scope, wanted, is_sqlite=database.is_sqlite)
    return [(row.event_id, row.id) for row in rows]


def _choose_exclusive(connection: Connection, scope: str, wanted: str, *, is_sqlite: bool) -> list[Candidate]:
    found = connection.execute(_exclusive_candidates(scope, is_sqlite), {"wanted": wanted})
    return choose(Candidate(row.wait_id, row.listener_id, row.event_id, exclusive=True) for row in found)


@cache
def _broadcast(scope: str, is_sqlite: bool) -> Claimed:
    """Every wait that is not exclusive takes the oldest event that fits it."""
    oldest_first = sa.func.row_number().over(
        partition_by=listeners.c.wait_id, order_by=[events.c.received_at, events.c.id]
    )
    fits = (
        sa.select(
            listeners.c.wait_id,
            listeners.c.id.label("listener_id"),
            events.c.id.label("event_id"),
            oldest_first.label("place"),
        )
        .select_from(_fitting())
        .where(*_fits(scope, is_sqlite=is_sqlite), ~listeners.c.exclusive)
        .subquery("fits")
    )
    claim = (
        sa.select(waits.c.id, waits.c.status.label("from_status"), waits.c.handler, fits.c.event_id, fits.c.listener_id)
        .join(fits, fits.c.wait_id == waits.c.id)
        .where(_WAITING, fits.c.place == 1)
        .order_by(waits.c.id)
        .with_for_update(of=waits)
    )
    return _matching(claim, is_sqlite)


@cache
def _exclusive_candidates(scope: str, is_sqlite: bool) -> sa.Select[Any]:
    return (
        sa.select(listeners.c.wait_id, listeners.c.id.label("listener_id"), events.c.id.label("event_id"))
        .select_from(_fitting())
        .where(*_fits(scope, is_sqlite=is_sqlite), listeners.c.exclusive)
        .order_by(events.c.received_at, events.c.id, waits.c.created_at, waits.c.id)
    )


@cache
def _chosen(is_sqlite: bool) -> Claimed:
    wanted = json_rows("wanted", {"id": _ID, "listener_id": _ID, "event_id": _ID}, is_sqlite=is_sqlite)
    claim = (
        sa.select(
            waits.c.id, waits.c.status.label("from_status"), waits.c.handler, wanted.c.event_id, wanted.c.listener_id
        )
        .join(wanted, wanted.c.id == waits.c.id)
        .where(_WAITING)
        .order_by(waits.c.id)
        .with_for_update(of=waits)
    )
    return _matching(claim, is_sqlite)


def _matching(claim: sa.Select[Any], is_sqlite: bool) -> Claimed:
    return Claimed(
        claim,
        lambda claimed: ending_steps(claimed, Resolution.EVENT, is_sqlite=is_sqlite),
        lambda claimed: sa.select(claimed.c.id, claimed.c.event_id),
        is_sqlite=is_sqlite,
    )


def _fitting() -> FromClause:
    """Events beside the listeners of their topic and the listeners' waits."""
    topic = sa.and_(events.c.contact_id == listeners.c.contact_id, events.c.event_type == listeners.c.event_type)
    return events.join(listeners, topic).join(waits, waits.c.id == listeners.c.wait_id)


def _fits(scope: str, *, is_sqlite: bool) -> list[sa.ColumnElement[bool]]:
    """`EventListener.matches` in SQL, for open listeners, less what an earlier wait has consumed."""
    wanted = json_rows("wanted", {"id": _ID}, is_sqlite=is_sqlite)
    subject = events.c.id if scope == "events" else listeners.c.wait_id
    return [
        is_one_of(subject, sa.select(wanted.c.id), is_sqlite=is_sqlite),
        _ACTIVE,
        _WAITING,
        events.c.received_at >= listeners.c.since_at,
        sa.or_(
            listeners.c.expires_at.is_(None),
            sa.and_(
                events.c.received_at < listeners.c.expires_at,
                sa.or_(events.c.received_at < listeners.c.timeout_at, events.c.occurred_at < listeners.c.timeout_at),
            ),
        ),
        sa.or_(listeners.c.match.is_(None), _matches_text(is_sqlite=is_sqlite)),
        sa.or_(listeners.c.match_json.is_(None), _contains(is_sqlite=is_sqlite)),
        ~_consumed(),
    ]


def is_one_of(subject: Any, ids: Any, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether it is one of a batch's ids. PostgreSQL guesses a batch large, and reads a whole table for it."""
    if is_sqlite:
        among: sa.ColumnElement[bool] = subject.in_(ids)
        return among
    array = sa.func.array(ids.scalar_subquery(), type_=sa.ARRAY(_ID))
    equal: sa.ColumnElement[bool] = subject == sa.any_(array)
    return equal


def _matches_text(*, is_sqlite: bool) -> sa.ColumnElement[bool]:
    if is_sqlite:
        return sa.func.waitctl_matches_text(events.c.data, listeners.c.match, type_=sa.Boolean) == sa.true()
    pair = sa.func.jsonb_each_text(listeners.c.match).table_valued("key", "value", name="pair")
    path = sa.func.string_to_array(pair.c.key, ".")
    found = events.c.data.op("#>")(path)
    differs = sa.or_(
        sa.func.coalesce(sa.func.jsonb_typeof(found), "null").in_(["null", "object", "array"]),
        events.c.data.op("#>>")(path) != pair.c.value,
    )
    return ~sa.exists(sa.select(sa.literal_column("1")).select_from(pair).where(differs))


def _contains(*, is_sqlite: bool) -> sa.ColumnElement[bool]:
    if is_sqlite:
        return sa.func.waitctl_contains(events.c.data, listeners.c.match_json, type_=sa.Boolean) == sa.true()
    return events.c.data.op("@>", return_type=sa.Boolean())(listeners.c.match_json)


def _consumed() -> sa.ColumnElement[bool]:
    """Whether the event was taken exclusively, or resumed an earlier wait of the same execution (semantics 14)."""
    earlier, taker = waits.alias("earlier"), listeners.alias("taker")
    resumed = earlier.c.resolution.in_(
        [literal(each, waits.c.resolution) for each in Resolution if each.status is WaitExecutionStatus.RESUMED]
    )
    return sa.exists(
        sa.select(sa.literal_column("1"))
        .select_from(taker.join(earlier, earlier.c.id == taker.c.wait_id))
        .where(
            taker.c.matched_event_id == events.c.id,
            resumed,
            sa.or_(taker.c.exclusive, earlier.c.workflow_execution_id == waits.c.workflow_execution_id),
        )
    )
