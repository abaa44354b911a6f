"""Statements on deliveries, the outbox. Every change expects the attempt or the status it was decided on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from itertools import starmap
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.deliveries import Backlog, Delivery, DeliveryStatus, Settlement
from waitctl.domain.text import JsonObject, to_json
from waitctl.domain.waits import TRANSITIONS, Resolution, WaitExecutionStatus, sources_of
from waitctl.infrastructure.batch import Claimed, instant_text, is_among, is_one_of, json_rows
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.schema import (
    UtcDateTime,
    deliveries,
    new_id,
    transitions,
    waits,
)
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.endings import NOW, audit
from waitctl.infrastructure.store.waits import literal

_STATUS = deliveries.c.status


def _is(*statuses: DeliveryStatus) -> sa.ColumnElement[bool]:
    if len(statuses) == 1:
        return _STATUS == literal(statuses[0], _STATUS)
    return _STATUS.in_([literal(status, _STATUS) for status in statuses])


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


# -- reading -----------------------------------------------------------------------------------------------------------


def get_delivery(connection: Connection, delivery_id: str) -> Delivery | None:
    """The delivery with this id."""
    row = connection.execute(sa.select(deliveries).where(deliveries.c.id == delivery_id)).mappings().one_or_none()
    return Delivery(**row) if row else None


def find_delivery_ids(connection: Connection, fragment: str, limit: int) -> list[str]:
    """Ids that begin or end with ``fragment``."""
    text = sa.func.replace(sa.cast(deliveries.c.id, sa.Text), "-", "")
    found = sa.select(deliveries.c.id).where(text.startswith(fragment) | text.endswith(fragment))
    return list(connection.execute(found.order_by(deliveries.c.id).limit(limit)).scalars())


def get_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> list[Delivery]:
    """The deliveries with these ids, oldest first."""
    among = is_among(deliveries.c.id, delivery_ids, is_sqlite=_is_sqlite(connection))
    found = sa.select(deliveries).where(among).order_by(deliveries.c.id)
    return list(starmap(Delivery, connection.execute(found).all()))


def list_deliveries(
    connection: Connection, *, statuses: Sequence[DeliveryStatus], handler: str | None, limit: int
) -> list[Delivery]:
    """Deliveries, newest first."""
    found = sa.select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
    if handler is not None:
        found = found.where(deliveries.c.handler == handler)
    if statuses:
        found = found.where(_is(*statuses))
    return list(starmap(Delivery, connection.execute(found).all()))


def dead_ids(connection: Connection, *, handler: str | None = None, workflow_id: str | None = None) -> list[str]:
    """Every dead delivery, of this handler and workflow if they are named."""
    found = sa.select(deliveries.c.id).where(_is(DeliveryStatus.DEAD)).order_by(deliveries.c.id)
    if handler is not None:
        found = found.where(deliveries.c.handler == handler)
    if workflow_id is not None:
        found = found.where(_of_workflows([workflow_id]))
    return list(connection.execute(found).scalars())


def _of_workflows(workflow_ids: Iterable[str]) -> sa.ColumnElement[bool]:
    theirs = sa.exists().where(waits.c.id == deliveries.c.wait_id, waits.c.workflow_id.in_(sorted(workflow_ids)))
    return theirs.correlate(deliveries)


def count_outbox(connection: Connection, handlers: Iterable[str]) -> tuple[int, int, int]:
    """How many deliveries are not through, how many of those are held, and how many are dead."""
    unsettled = _is(DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
    pending = sa.select(sa.func.count()).select_from(deliveries).where(unsettled)
    dead = sa.select(sa.func.count()).select_from(deliveries).where(_is(DeliveryStatus.DEAD))
    return (
        int(connection.execute(pending).scalar_one()),
        count_held(connection, handlers),
        int(connection.execute(dead).scalar_one()),
    )


def count_held(connection: Connection, handlers: Iterable[str]) -> int:
    """How many deliveries wait for a handler that is not one of ``handlers``, or for the end of a pause."""
    unsettled = sa.select(sa.func.count()).where(_is(DeliveryStatus.PENDING, DeliveryStatus.RUNNING))
    paused = pauses.paused(connection)
    if not paused.everything:
        held: sa.ColumnElement[bool] = deliveries.c.handler.not_in(sorted(set(handlers) - paused.handlers))
        if paused.workflows:
            held = sa.or_(held, _of_workflows(paused.workflows))
        unsettled = unsettled.where(held)
    return int(connection.execute(unsettled).scalar_one())


def next_attempt_at(connection: Connection, handlers: Sequence[str], *, now: datetime) -> datetime | None:
    """When a delivery to one of ``handlers`` may be tried next, later than now; leases that will run out count."""
    name = json_rows("names", {"name": sa.Text()}, is_sqlite=_is_sqlite(connection)).c.name
    ends: list[Any] = []
    for status, column in (
        (DeliveryStatus.PENDING, deliveries.c.next_attempt_at),
        (DeliveryStatus.RUNNING, deliveries.c.lease_expires_at),
    ):
        # The first of each handler is one look into the index; a minimum over all of them would read it whole.
        first = sa.select(column).where(_is(status), deliveries.c.handler == name, column > now).order_by(column)
        ends.append(sa.select(first.limit(1).scalar_subquery().label("at")).select_from(name.table))
    at = sa.union_all(*ends).subquery().c.at
    names = to_json([{"name": each} for each in handlers])
    return connection.execute(sa.select(sa.func.min(at, type_=UtcDateTime)), {"names": names}).scalar()


def backlogs(connection: Connection, *, now: datetime) -> list[Backlog]:
    """What every handler with anything unsettled or dead has before it; what is through does not count."""
    pending = _is(DeliveryStatus.PENDING)
    due = _waiting(now)

    def count(condition: sa.ColumnElement[bool], name: str) -> sa.Label[int]:
        return sa.func.count(sa.case((condition, 1))).label(name)

    found = (
        sa.select(
            deliveries.c.handler,
            count(pending, "pending"),
            count(due, "due"),
            count(sa.and_(pending, deliveries.c.last_error.is_not(None)), "failing"),
            count(_is(DeliveryStatus.RUNNING), "running"),
            count(_is(DeliveryStatus.DEAD), "dead"),
            sa.func.min(sa.case((due, deliveries.c.next_attempt_at)), type_=UtcDateTime).label("oldest_due_at"),
        )
        .where(_is(DeliveryStatus.PENDING, DeliveryStatus.RUNNING, DeliveryStatus.DEAD))
        .group_by(deliveries.c.handler)
        .order_by(deliveries.c.handler)
    )
    return [Backlog(**row) for row in connection.execute(found).mappings()]


def manual_data(connection: Connection, wait_ids: Sequence[str]) -> dict[str, JsonObject]:
    """What `resume --data` gave, by wait."""
    if not wait_ids:
        return {}
    found = sa.select(transitions.c.wait_id, transitions.c.data).where(
        transitions.c.wait_id.in_(wait_ids), transitions.c.data.is_not(None)
    )
    return {row[0]: row[1] for row in connection.execute(found)}


# -- claiming ----------------------------------------------------------------------------------------------------------


def _waiting(now: datetime) -> sa.ColumnElement[bool]:
    """Pending and due."""
    return sa.and_(_is(DeliveryStatus.PENDING), deliveries.c.next_attempt_at <= now)


def _lapsed(now: datetime) -> sa.ColumnElement[bool]:
    """Running on a lease that ran out."""
    return sa.and_(_is(DeliveryStatus.RUNNING), deliveries.c.lease_expires_at <= now)


def claimable_ids(connection: Connection, handlers: Iterable[str], *, now: datetime) -> list[str]:
    """The deliveries that a tick which knows ``handlers`` would hand out now."""
    paused = pauses.paused(connection)
    wanted = () if paused.everything else sorted(set(handlers) - paused.handlers)
    found = sa.select(deliveries.c.id).where(_waiting(now) | _lapsed(now), deliveries.c.handler.in_(wanted))
    if paused.workflows:
        found = found.where(~_of_workflows(paused.workflows))
    return list(connection.execute(found.order_by(deliveries.c.next_attempt_at)).scalars())


def claimable_handlers(connection: Connection, handlers: Sequence[str], *, now: datetime) -> list[str]:
    """Those of ``handlers`` that have something to be handed out now."""
    name = json_rows("names", {"name": sa.Text()}, is_sqlite=_is_sqlite(connection)).c.name
    mine: sa.Select[Any] = sa.select(sa.literal_column("1")).where(deliveries.c.handler == name)
    found = sa.select(name).where(sa.exists(mine.where(_waiting(now))) | sa.exists(mine.where(_lapsed(now))))
    return list(connection.execute(found, {"names": to_json([{"name": each} for each in handlers])}).scalars())


def claim_deliveries(
    connection: Connection,
    handler: str,
    *,
    now: datetime,
    lease_until: datetime,
    max_attempts: int,
    limit: int,
    paused_workflows: Iterable[str] = (),
) -> dict[str, str]:
    """Lease the ``limit`` deliveries of a handler that have waited longest: attempt + 1, running.

    Returns their ids, each with its wait's.
    The attempt counts before anything runs, so that a crash while it runs has used it up.
    """
    # Two fences, each one walk along one index: the two conditions in one would read and sort the whole outbox.
    mine = sa.select(deliveries.c.id).where(deliveries.c.handler == handler)
    if paused_workflows:
        mine = mine.where(~_of_workflows(paused_workflows))
    lapsed = (
        mine.where(_lapsed(now))
        .order_by(deliveries.c.lease_expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("lapsed")
    )
    waiting = (
        mine.where(_waiting(now))
        .order_by(deliveries.c.next_attempt_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("waiting")
    )
    claimed = sa.union_all(sa.select(lapsed.c.id), sa.select(waiting.c.id)).limit(limit)
    claim = (
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.RUNNING, _STATUS),
            attempt=deliveries.c.attempt + 1,
            max_attempts=sa.func.coalesce(deliveries.c.max_attempts, deliveries.c.attempt + max_attempts),
            lease_expires_at=lease_until,
        )
        .where(is_one_of(deliveries.c.id, claimed, is_sqlite=_is_sqlite(connection)))
        .returning(deliveries.c.id, deliveries.c.wait_id)
    )
    return {row[0]: row[1] for row in connection.execute(claim).all()}


def _leased_as(claimed: Sequence[Delivery]) -> sa.ColumnElement[bool]:
    """Still on the lease that this claim took."""
    attempts = [(each.id, each.attempt) for each in claimed]
    return sa.and_(sa.tuple_(deliveries.c.id, deliveries.c.attempt).in_(attempts), _is(DeliveryStatus.RUNNING))


def renew_leases(connection: Connection, claimed: Sequence[Delivery], *, lease_until: datetime) -> None:
    """Lease for longer what is still in hand. One whose lease ran out and was claimed anew is another's."""
    connection.execute(sa.update(deliveries).values(lease_expires_at=lease_until).where(_leased_as(claimed)))


def release_deliveries(connection: Connection, claimed: Sequence[Delivery]) -> None:
    """Give back leases that were claimed and never handed out: as if they had not been claimed."""
    connection.execute(
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.PENDING, _STATUS),
            attempt=deliveries.c.attempt - 1,
            lease_expires_at=None,
        )
        .where(_leased_as(claimed))
    )


def notify(connection: Connection, channel: str, payload: str) -> None:
    """Tell PostgreSQL's listeners, at the commit."""
    connection.execute(sa.select(sa.func.pg_notify(channel, payload)))


# -- settling ----------------------------------------------------------------------------------------------------------

_ATTEMPT = {"id": deliveries.c.id.type, "expected": sa.Integer()}
_SETTLED = _ATTEMPT | {"status": sa.Text(), "attempt": sa.Integer(), "next_attempt_at": sa.Text(), "error": sa.Text()}


def settle_deliveries(
    connection: Connection, database: Database, settlements: Sequence[Settlement], *, now: datetime
) -> set[str]:
    """Write what became of these attempts, each fenced by its number. Returns the ids that landed.

    A zombie whose lease ran out holds an older attempt and changes nothing.
    """
    is_sqlite = database.is_sqlite
    in_order = sorted(settlements, key=attrgetter("delivery_id"))
    delivered = [
        {"id": each.delivery_id, "expected": each.expected_attempt}
        for each in in_order
        if each.status is DeliveryStatus.DELIVERED
    ]
    others = [
        {
            "id": each.delivery_id,
            "expected": each.expected_attempt,
            "status": each.status,
            "attempt": each.attempt,
            "next_attempt_at": instant_text(each.next_attempt_at, is_sqlite=is_sqlite),
            "error": each.error,
        }
        for each in in_order
        if each.status is not DeliveryStatus.DELIVERED
    ]
    landed: set[str] = set()
    for rows, statement in ((delivered, _deliver(is_sqlite)), (others, _settle(is_sqlite))):
        if rows:
            landed |= set(connection.execute(statement, {"rows": to_json(rows), "now": now}).scalars().all())
    return landed


@cache
def _deliver(is_sqlite: bool) -> Any:
    """What most attempts come to, and nothing but ids and numbers travels for it."""
    rows = json_rows("rows", _ATTEMPT, is_sqlite=is_sqlite)
    now = sa.bindparam("now", type_=UtcDateTime)
    return (
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.DELIVERED, _STATUS),
            next_attempt_at=now,
            lease_expires_at=None,
            last_error=None,
            delivered_at=now,
        )
        .where(*_fence(rows))
        .returning(deliveries.c.id)
    )


def _fence(rows: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        deliveries.c.id == rows.c.id,
        deliveries.c.attempt == rows.c.expected,
        _is(DeliveryStatus.RUNNING),
    )


@cache
def _settle(is_sqlite: bool) -> Any:
    rows = json_rows("rows", _SETTLED, is_sqlite=is_sqlite)

    def as_type(column: Any, kind: Any) -> Any:
        return sa.type_coerce(column, kind) if is_sqlite else sa.cast(column, kind)

    return (
        sa.update(deliveries)
        .values(
            status=as_type(rows.c.status, _STATUS.type),
            attempt=rows.c.attempt,
            next_attempt_at=as_type(rows.c.next_attempt_at, UtcDateTime()),
            lease_expires_at=None,
            last_error=rows.c.error,
        )
        .where(*_fence(rows))
        .returning(deliveries.c.id)
    )


def insert_letters(connection: Connection, handlers: Mapping[str, str], *, now: datetime) -> None:
    """For each of these dead deliveries a delivery to its ``on_dead`` handler; for a letter that died itself none."""
    rows = json_rows("letters", {"id": deliveries.c.id.type, "handler": sa.Text()}, is_sqlite=_is_sqlite(connection))
    columns: dict[str, sa.ColumnElement[Any]] = {
        "id": new_id(),
        "wait_id": deliveries.c.wait_id,
        "handler": rows.c.handler,
        "outcome": deliveries.c.outcome,
        "status": literal(DeliveryStatus.PENDING, _STATUS),
        "attempt": sa.literal_column("0"),
        "next_attempt_at": sa.literal(now, UtcDateTime),
        "created_at": sa.literal(now, UtcDateTime),
        "dead_delivery_id": deliveries.c.id,
    }
    dead = sa.select(*columns.values()).join(rows, rows.c.id == deliveries.c.id)
    letters = to_json([{"id": delivery_id, "handler": handler} for delivery_id, handler in handlers.items()])
    connection.execute(
        sa.insert(deliveries).from_select(list(columns), dead.where(deliveries.c.dead_delivery_id.is_(None))),
        {"letters": letters},
    )


# -- handlers that nobody knows ----------------------------------------------------------------------------------------


def unclaimed(connection: Connection, known: Iterable[str], *, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Deliveries (id, handler) that wait since before then for handlers other than these; no paused ones."""
    paused = pauses.paused(connection)
    if paused.everything:
        return []
    found = (
        sa.select(deliveries.c.id, deliveries.c.handler)
        .where(
            _is(DeliveryStatus.PENDING),
            deliveries.c.handler.not_in(sorted({*known, *paused.handlers})),
            deliveries.c.created_at <= before,
            deliveries.c.next_attempt_at <= before,
        )
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    if paused.workflows:
        found = found.where(~_of_workflows(paused.workflows))
    return [(row[0], row[1]) for row in connection.execute(found).all()]


def bury_pending(connection: Connection, delivery_ids: Sequence[str], *, error: str) -> set[str]:
    """Make deliveries that nobody has tried dead. Returns those that landed."""
    bury = (
        sa.update(deliveries)
        .values(status=literal(DeliveryStatus.DEAD, _STATUS), last_error=error)
        .where(is_among(deliveries.c.id, delivery_ids, is_sqlite=_is_sqlite(connection)), _is(DeliveryStatus.PENDING))
        .returning(deliveries.c.id)
    )
    return set(connection.execute(bury).scalars())


# -- a wait's status follows its deliveries ----------------------------------------------------------------------------


def lock_waits(connection: Connection, delivery_ids: Iterable[str]) -> None:
    """Lock the waits of these deliveries, before the deliveries themselves change: the lock order."""
    ids = list(delivery_ids)
    theirs = sa.select(deliveries.c.wait_id).where(is_among(deliveries.c.id, ids, is_sqlite=_is_sqlite(connection)))
    connection.execute(sa.select(waits.c.id).where(waits.c.id.in_(theirs)).order_by(waits.c.id).with_for_update())


def mark_waits(
    connection: Connection,
    database: Database,
    delivery_ids: Iterable[str],
    *,
    dead: bool,
    now: datetime,
    reason: str,
    actor: str,
) -> None:
    """Set the waits of dead deliveries to ``error``, or those of revived ones back to what their resolution implies."""
    wanted = to_json([{"id": delivery_id} for delivery_id in delivery_ids])
    for to in (WaitExecutionStatus.ERROR,) if dead else sorted(TRANSITIONS[WaitExecutionStatus.ERROR]):
        _mark_waits(to, database.is_sqlite).run(
            connection, wanted=wanted, now=now, reason=reason, actor=actor, data=None
        )


@cache
def _mark_waits(to: WaitExecutionStatus, is_sqlite: bool) -> Claimed:
    wanted = json_rows("wanted", {"id": deliveries.c.id.type}, is_sqlite=is_sqlite)
    implied = [literal(each, waits.c.resolution) for each in Resolution if each.status is to]
    expected = [literal(status, waits.c.status) for status in sources_of(to) if not status.is_open]
    other = deliveries.alias("other")
    still_dead = sa.exists().where(
        other.c.wait_id == waits.c.id,
        other.c.status == literal(DeliveryStatus.DEAD, _STATUS),
        other.c.dead_delivery_id.is_(None),
    )
    # A letter about a dead delivery says nothing of the wait, whatever becomes of it.
    theirs = sa.select(deliveries.c.wait_id).where(
        deliveries.c.id.in_(sa.select(wanted.c.id)), deliveries.c.dead_delivery_id.is_(None)
    )
    claim = (
        sa.select(waits.c.id, waits.c.status.label("from_status"))
        .where(waits.c.id.in_(theirs), waits.c.status.in_(expected))
        .order_by(waits.c.id)
        .with_for_update()
    )
    if to is not WaitExecutionStatus.ERROR:
        claim = claim.where(waits.c.resolution.in_(implied), ~still_dead)

    def steps(claimed: sa.FromClause) -> list[UpdateBase]:
        status = literal(to, waits.c.status)
        change = sa.update(waits).values(status=status, updated_at=NOW)
        return [
            change.where(waits.c.id == claimed.c.id, waits.c.status == claimed.c.from_status),
            audit(claimed, status, is_sqlite=is_sqlite),
        ]

    return Claimed(claim, steps, lambda claimed: sa.select(claimed.c.id), is_sqlite=is_sqlite)


# -- by hand -----------------------------------------------------------------------------------------------------------


def retry_deliveries(connection: Connection, delivery_ids: Sequence[str], *, now: datetime) -> set[str]:
    """Make dead, dropped or pending deliveries due now, their attempts so far forgiven. Returns those that landed."""
    retry = (
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.PENDING, _STATUS),
            next_attempt_at=now,
            max_attempts=None,
        )
        .where(
            is_among(deliveries.c.id, delivery_ids, is_sqlite=_is_sqlite(connection)),
            _is(DeliveryStatus.DEAD, DeliveryStatus.DROPPED, DeliveryStatus.PENDING),
        )
        .returning(deliveries.c.id)
    )
    return set(connection.execute(retry).scalars())


def drop_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> set[str]:
    """Give up pending or dead deliveries; they are kept as dropped. Returns those that landed."""
    drop = (
        sa.update(deliveries)
        .values(status=literal(DeliveryStatus.DROPPED, _STATUS))
        .where(deliveries.c.id.in_(delivery_ids), _is(DeliveryStatus.DEAD, DeliveryStatus.PENDING))
        .returning(deliveries.c.id)
    )
    return set(connection.execute(drop).scalars())
