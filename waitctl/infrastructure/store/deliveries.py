"""Statements on deliveries, the outbox. Every change expects the attempt or the status it was decided on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from itertools import starmap
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.deliveries import Backlog, Delivery, DeliveryStatus, Lease
from waitctl.domain.text import JsonObject, to_json
from waitctl.infrastructure.schema import UtcDateTime, deliveries, transitions, waits
from waitctl.infrastructure.sql_batch import is_among, is_one_of, json_rows, speaks_sqlite
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.completion import LIMIT, NOW
from waitctl.infrastructure.store.waits import literal

STATUS = deliveries.c.status


def in_status(*statuses: DeliveryStatus) -> sa.ColumnElement[bool]:
    """Whether a delivery is in one of these."""
    if len(statuses) == 1:
        return STATUS == literal(statuses[0], STATUS)
    return STATUS.in_([literal(status, STATUS) for status in statuses])


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
    among = is_among(deliveries.c.id, delivery_ids, is_sqlite=speaks_sqlite(connection))
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
        found = found.where(in_status(*statuses))
    return list(starmap(Delivery, connection.execute(found).all()))


def dead_ids(connection: Connection, *, handler: str | None = None, workflow_id: str | None = None) -> list[str]:
    """Every dead delivery, of this handler and workflow if they are named."""
    found = sa.select(deliveries.c.id).where(in_status(DeliveryStatus.DEAD)).order_by(deliveries.c.id)
    if handler is not None:
        found = found.where(deliveries.c.handler == handler)
    if workflow_id is not None:
        found = found.where(of_workflows([workflow_id]))
    return list(connection.execute(found).scalars())


def of_workflows(workflow_ids: Iterable[str]) -> sa.ColumnElement[bool]:
    """Whether a delivery is of a wait of one of these workflows."""
    theirs = sa.exists().where(waits.c.id == deliveries.c.wait_id, waits.c.workflow_id.in_(sorted(workflow_ids)))
    return theirs.correlate(deliveries)


def count_outbox(connection: Connection, handlers: Iterable[str]) -> tuple[int, int, int]:
    """How many deliveries are not through, how many of those are held, and how many are dead."""
    unsettled = in_status(DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
    pending = sa.select(sa.func.count()).select_from(deliveries).where(unsettled)
    dead = sa.select(sa.func.count()).select_from(deliveries).where(in_status(DeliveryStatus.DEAD))
    return (
        int(connection.execute(pending).scalar_one()),
        count_held(connection, handlers),
        int(connection.execute(dead).scalar_one()),
    )


def count_held(connection: Connection, handlers: Iterable[str]) -> int:
    """How many deliveries wait for a handler that is not one of ``handlers``, or for the end of a pause."""
    unsettled = sa.select(sa.func.count()).where(in_status(DeliveryStatus.PENDING, DeliveryStatus.RUNNING))
    paused = pauses.paused(connection)
    if not paused.everything:
        held: sa.ColumnElement[bool] = deliveries.c.handler.not_in(sorted(set(handlers) - paused.handlers))
        if paused.workflows:
            held = sa.or_(held, of_workflows(paused.workflows))
        unsettled = unsettled.where(held)
    return int(connection.execute(unsettled).scalar_one())


def next_attempt_at(connection: Connection, handlers: Sequence[str], *, now: datetime) -> datetime | None:
    """When a delivery to one of ``handlers`` may be tried next, later than now; leases that will run out count."""
    return connection.execute(
        _next_attempt(speaks_sqlite(connection)), {"names": _names(handlers), "now": now}
    ).scalar()


@cache
def _next_attempt(is_sqlite: bool) -> sa.Select[Any]:
    name = json_rows("names", {"name": sa.Text()}, is_sqlite=is_sqlite).c.name
    ends: list[Any] = []
    for status, column in (
        (DeliveryStatus.PENDING, deliveries.c.next_attempt_at),
        (DeliveryStatus.RUNNING, deliveries.c.lease_expires_at),
    ):
        # The first of each handler is one look into the index; a minimum over all of them would read it whole.
        first = sa.select(column).where(in_status(status), deliveries.c.handler == name, column > NOW).order_by(column)
        ends.append(sa.select(first.limit(1).scalar_subquery().label("at")).select_from(name.table))
    at = sa.union_all(*ends).subquery().c.at
    return sa.select(sa.func.min(at, type_=UtcDateTime))


def _names(handlers: Iterable[str]) -> str:
    return to_json([{"name": each} for each in handlers])


def backlogs(connection: Connection, *, now: datetime) -> list[Backlog]:
    """What every handler with anything unsettled or dead has before it; what is through does not count."""
    pending = in_status(DeliveryStatus.PENDING)
    due = _WAITING

    def count(condition: sa.ColumnElement[bool], name: str) -> sa.Label[int]:
        return sa.func.count(sa.case((condition, 1))).label(name)

    found = (
        sa.select(
            deliveries.c.handler,
            count(pending, "pending"),
            count(due, "due"),
            count(sa.and_(pending, deliveries.c.last_error.is_not(None)), "failing"),
            count(in_status(DeliveryStatus.RUNNING), "running"),
            count(in_status(DeliveryStatus.DEAD), "dead"),
            sa.func.min(sa.case((due, deliveries.c.next_attempt_at)), type_=UtcDateTime).label("oldest_due_at"),
        )
        .where(in_status(DeliveryStatus.PENDING, DeliveryStatus.RUNNING, DeliveryStatus.DEAD))
        .group_by(deliveries.c.handler)
        .order_by(deliveries.c.handler)
    )
    return [Backlog(**row) for row in connection.execute(found, {"now": now}).mappings()]


def manual_data(connection: Connection, wait_ids: Sequence[str]) -> dict[str, JsonObject]:
    """What `resume --data` gave, by wait."""
    if not wait_ids:
        return {}
    found = sa.select(transitions.c.wait_id, transitions.c.data).where(
        transitions.c.wait_id.in_(wait_ids), transitions.c.data.is_not(None)
    )
    return {row[0]: row[1] for row in connection.execute(found)}


# -- claiming ----------------------------------------------------------------------------------------------------------


_WAITING = sa.and_(in_status(DeliveryStatus.PENDING), deliveries.c.next_attempt_at <= NOW)
"""Pending and due."""

_LAPSED = sa.and_(in_status(DeliveryStatus.RUNNING), deliveries.c.lease_expires_at <= NOW)
"""Running on a lease that ran out."""


def claimable_ids(connection: Connection, handlers: Iterable[str], *, now: datetime) -> list[str]:
    """The deliveries that a tick which knows ``handlers`` would hand out now."""
    paused = pauses.paused(connection)
    wanted = () if paused.everything else sorted(set(handlers) - paused.handlers)
    found = sa.select(deliveries.c.id).where(_WAITING | _LAPSED, deliveries.c.handler.in_(wanted))
    if paused.workflows:
        found = found.where(~of_workflows(paused.workflows))
    return list(connection.execute(found.order_by(deliveries.c.next_attempt_at), {"now": now}).scalars())


def claimable_handlers(connection: Connection, handlers: Sequence[str], *, now: datetime) -> list[str]:
    """Those of ``handlers`` that have something to be handed out now."""
    found = _claimable(speaks_sqlite(connection))
    return list(connection.execute(found, {"names": _names(handlers), "now": now}).scalars())


@cache
def _claimable(is_sqlite: bool) -> sa.Select[Any]:
    name = json_rows("names", {"name": sa.Text()}, is_sqlite=is_sqlite).c.name
    mine: sa.Select[Any] = sa.select(sa.literal_column("1")).where(deliveries.c.handler == name)
    return sa.select(name).where(sa.exists(mine.where(_WAITING)) | sa.exists(mine.where(_LAPSED)))


def claim_deliveries(
    connection: Connection,
    handler: str,
    *,
    now: datetime,
    lease_until: datetime,
    max_attempts: int,
    limit: int,
    paused_workflows: Iterable[str] = (),
) -> tuple[list[Delivery], set[str]]:
    """Lease the ``limit`` deliveries of a handler that have waited longest: attempt + 1, running.

    Returns them as they are now, and those of their waits that may have others.
    The attempt counts before anything runs, so that a crash while it runs has used it up.
    """
    claim = _claim(frozenset(paused_workflows), speaks_sqlite(connection))
    parameters = {
        "of_handler": handler,
        "now": now,
        "lease_until": lease_until,
        "most_attempts": max_attempts,
        "limit": limit,
    }
    claimed: list[Delivery] = []
    shared: set[str] = set()
    for *fields, has_others in connection.execute(claim, parameters).all():
        delivery = Delivery(*fields)
        claimed.append(delivery)
        if has_others:
            shared.add(delivery.wait_id)
    return claimed, shared


@lru_cache(maxsize=16)
def _claim(paused_workflows: frozenset[str], is_sqlite: bool) -> Any:
    # Two fences, each one walk along one index: the two conditions in one would read and sort the whole outbox.
    mine = sa.select(deliveries.c.id).where(deliveries.c.handler == sa.bindparam("of_handler", type_=sa.Text))
    if paused_workflows:
        mine = mine.where(~of_workflows(paused_workflows))
    lapsed, waiting = (
        mine.where(condition).order_by(turn).limit(LIMIT).with_for_update(skip_locked=True).cte(name)
        for condition, turn, name in (
            (_LAPSED, deliveries.c.lease_expires_at, "lapsed"),
            (_WAITING, deliveries.c.next_attempt_at, "waiting"),
        )
    )
    claimed = sa.union_all(sa.select(lapsed.c.id), sa.select(waiting.c.id)).limit(LIMIT)
    last = deliveries.c.attempt + sa.bindparam("most_attempts", type_=sa.Integer)
    other = deliveries.alias("other")
    has_others = sa.exists().where(other.c.wait_id == deliveries.c.wait_id, other.c.id != deliveries.c.id)
    # SQLAlchemy names no table in SQLite's RETURNING, so that `wait_id` would be the other's: each may have some.
    shared = sa.true() if is_sqlite else has_others.correlate(deliveries)
    return (
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.RUNNING, STATUS),
            attempt=deliveries.c.attempt + 1,
            max_attempts=sa.func.coalesce(deliveries.c.max_attempts, last),
            lease_expires_at=sa.bindparam("lease_until", type_=UtcDateTime),
        )
        .where(is_one_of(deliveries.c.id, claimed, is_sqlite=is_sqlite))
        .returning(*deliveries.c, shared)
    )


def _leased_as(leases: Sequence[Lease]) -> sa.ColumnElement[bool]:
    """Still on the lease that was taken."""
    attempts = sa.tuple_(deliveries.c.id, deliveries.c.attempt)
    return sa.and_(attempts.in_(leases), in_status(DeliveryStatus.RUNNING))


def renew_leases(connection: Connection, leases: Sequence[Lease], *, lease_until: datetime) -> None:
    """Lease for longer what is still in hand. One whose lease ran out and was claimed anew is another's."""
    connection.execute(sa.update(deliveries).values(lease_expires_at=lease_until).where(_leased_as(leases)))


def release_deliveries(connection: Connection, leases: Sequence[Lease]) -> None:
    """Give back leases that were taken and never handed out: as if they had not been taken."""
    connection.execute(
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.PENDING, STATUS),
            attempt=deliveries.c.attempt - 1,
            max_attempts=sa.case((deliveries.c.attempt > 1, deliveries.c.max_attempts)),
            lease_expires_at=None,
        )
        .where(_leased_as(leases))
    )


def notify(connection: Connection, channel: str, payload: str) -> None:
    """Tell PostgreSQL's listeners, at the commit."""
    connection.execute(sa.select(sa.func.pg_notify(channel, payload)))


# -- by hand -----------------------------------------------------------------------------------------------------------


def retry_deliveries(connection: Connection, delivery_ids: Sequence[str], *, now: datetime) -> set[str]:
    """Make dead, dropped or pending deliveries due now, their attempts so far forgiven. Returns those that landed."""
    retry = (
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.PENDING, STATUS),
            next_attempt_at=now,
            max_attempts=None,
        )
        .where(
            is_among(deliveries.c.id, delivery_ids, is_sqlite=speaks_sqlite(connection)),
            in_status(DeliveryStatus.DEAD, DeliveryStatus.DROPPED, DeliveryStatus.PENDING),
        )
        .returning(deliveries.c.id)
    )
    return set(connection.execute(retry).scalars())


def drop_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> set[str]:
    """Give up pending or dead deliveries; they are kept as dropped. Returns those that landed."""
    drop = (
        sa.update(deliveries)
        .values(status=literal(DeliveryStatus.DROPPED, STATUS))
        .where(deliveries.c.id.in_(delivery_ids), in_status(DeliveryStatus.DEAD, DeliveryStatus.PENDING))
        .returning(deliveries.c.id)
    )
    return set(connection.execute(drop).scalars())
