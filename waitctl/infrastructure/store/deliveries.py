"""Statements on deliveries, the outbox. Every change expects the attempt or the status it was decided on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import starmap
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.deliveries import Delivery, DeliveryStatus, Lease
from waitctl.domain.handlers import INLINE
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.dialects import JsonRows, Tuples, is_among, is_one_of, json_rows
from waitctl.infrastructure.schema import UtcDateTime, deliveries, transitions, waits
from waitctl.infrastructure.sql_batch import Claimed, Rows, statement
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.completion import LIMIT, NOW
from waitctl.infrastructure.store.waits import literal, take_signature

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


def get_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> list[Delivery]:
    """The deliveries with these ids, oldest first."""
    return list(starmap(Delivery, connection.execute(_get_deliveries(), {"ids": delivery_ids}).all()))


@statement
def _get_deliveries() -> sa.Select[Any]:
    """The deliveries with these ids."""
    return sa.select(deliveries).where(is_among(deliveries.c.id)).order_by(deliveries.c.id)


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


def next_attempt_at(connection: Connection, handlers: Sequence[str], *, now: datetime) -> datetime | None:
    """When a delivery to one of ``handlers`` may be tried next, later than now; leases that will run out count."""
    return connection.execute(_next_attempt_at(), {"names": _names(handlers), "now": now}).scalar()


@statement
def _next_attempt_at() -> sa.Select[Any]:
    """When one of these handlers may be handed something next."""
    names = JsonRows("names", {"name": sa.Text()})
    ends: list[Any] = []
    for status, column in (
        (DeliveryStatus.PENDING, deliveries.c.next_attempt_at),
        (DeliveryStatus.RUNNING, deliveries.c.lease_expires_at),
    ):
        # The first of each handler is one look into the index; a minimum over all of them would read it whole.
        first = (
            sa.select(column)
            .where(in_status(status), deliveries.c.handler == names.c.name, column > NOW)
            .order_by(column)
        )
        ends.append(sa.select(first.limit(1).scalar_subquery().label("at")).select_from(names))
    at = sa.union_all(*ends).subquery().c.at
    return sa.select(sa.func.min(at, type_=UtcDateTime))


def _names(handlers: Iterable[str]) -> str:
    return json_rows({"name": each} for each in handlers)


def manual_data(connection: Connection, wait_ids: Sequence[str]) -> dict[str, JsonObject]:
    """What `resume --data` gave, by wait."""
    if not wait_ids:
        return {}
    found = sa.select(transitions.c.wait_id, transitions.c.data).where(
        transitions.c.wait_id.in_(wait_ids), transitions.c.data.is_not(None)
    )
    return {row[0]: row[1] for row in connection.execute(found)}


def inline_commands(
    connection: Connection, *, limit: int, now: datetime | None = None
) -> list[tuple[str, str, Any, str | None]]:
    """The first deliveries that commands of waits are to take: their ids, the waits', the commands, the signatures.

    With ``now`` those that can be claimed then, the first to be claimed first; else all that are not through.
    """
    parameters = {"limit": limit} | ({} if now is None else {"now": now})
    rows = connection.execute(_inline_commands(now is not None), parameters).all()
    return [(row.id, row.wait_id, row.command, take_signature({"command": row.command})) for row in rows]


@statement
def _inline_commands(claimable: bool) -> sa.Select[Any]:
    """The commands that deliveries to inline commands are about, the longest waiting first."""
    unsettled = _WAITING | _LAPSED if claimable else in_status(DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
    found = sa.select(deliveries.c.id, deliveries.c.wait_id, waits.c.command)
    found = found.join_from(deliveries, waits, waits.c.id == deliveries.c.wait_id)
    to_inline = deliveries.c.handler == literal(INLINE, deliveries.c.handler)
    return found.where(to_inline, unsettled).order_by(deliveries.c.next_attempt_at).limit(LIMIT)


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


def claimable_handlers(connection: Connection, handlers: Sequence[str], *, now: datetime) -> dict[str, bool]:
    """Those of ``handlers`` that have something to be handed out now, and whether a lease of theirs ran out."""
    rows = connection.execute(_claimable_handlers(), {"names": _names(handlers), "now": now})
    return {name: bool(has_lapsed) for name, has_lapsed in rows}


@statement
def _claimable_handlers() -> sa.Select[Any]:
    """Those of these handlers that may be handed something now, and whether a lease of theirs ran out."""
    name = JsonRows("names", {"name": sa.Text()}).c.name
    mine: sa.Select[Any] = sa.select(sa.literal_column("1")).where(deliveries.c.handler == name)
    has_lapsed = sa.exists(mine.where(_LAPSED))
    return sa.select(name, has_lapsed.label("has_lapsed")).where(sa.exists(mine.where(_WAITING)) | has_lapsed)


def claim_deliveries(
    connection: Connection,
    handler: str,
    *,
    now: datetime,
    lease_until: datetime,
    max_attempts: int,
    limit: int,
    lapsed: bool = False,
    paused_workflows: Iterable[str] = (),
    but: Sequence[str] = (),
) -> tuple[list[Delivery], set[str]]:
    """Lease the ``limit`` deliveries of a handler that have waited longest; if ``lapsed``, whose leases ran out.

    None of ``but``.

    Returns them with the number of the attempt that is to begin (`begin_deliveries` counts it), and those of their
    waits that may have others.
    """
    parameters: dict[str, Any] = {"of_handler": handler, "now": now, "limit": limit, "but": but}
    parameters |= {"lease_until": lease_until, "most_attempts": max_attempts}
    claim = _claim_deliveries(frozenset(paused_workflows), lapsed, bool(but))
    rows: list[Any] = claim.run(connection, **parameters)
    return [Delivery(*row[:-1]) for row in rows], {row.wait_id for row in rows if row.shared}


@statement
def _claim_deliveries(paused_workflows: frozenset[str], lapsed: bool, but_some: bool) -> Claimed:
    """Lease the deliveries of a handler that have waited longest. Locks them in that order, past the locked ones."""
    # One walk along one index: the two conditions in one would read and sort the whole outbox.
    condition, turn = (_LAPSED, deliveries.c.lease_expires_at) if lapsed else (_WAITING, deliveries.c.next_attempt_at)
    mine = sa.select(deliveries.c.id).where(deliveries.c.handler == sa.bindparam("of_handler", type_=sa.Text))
    if paused_workflows:
        mine = mine.where(~of_workflows(paused_workflows))
    if but_some:
        mine = mine.where(sa.not_(is_among(deliveries.c.id, "but")))
    claim = mine.where(condition).order_by(turn).limit(LIMIT).with_for_update(skip_locked=True)
    last = deliveries.c.attempt + sa.bindparam("most_attempts", type_=sa.Integer)
    lease = sa.update(deliveries).values(
        status=literal(DeliveryStatus.RUNNING, STATUS),
        claims=deliveries.c.claims + sa.literal_column("1"),
        max_attempts=sa.func.coalesce(deliveries.c.max_attempts, last),
        lease_expires_at=sa.bindparam("lease_until", type_=UtcDateTime),
    )

    def steps(claimed: sa.FromClause) -> dict[str, UpdateBase]:
        return {"leased": lease.where(is_one_of(deliveries.c.id, sa.select(claimed.c.id))).returning(*deliveries.c)}

    def result(_: sa.FromClause, done: Rows) -> sa.Select[Any]:
        leased, other = done["leased"], deliveries.alias("other")
        has_others = sa.exists().where(other.c.wait_id == leased.c.wait_id, other.c.id != leased.c.id)
        begins = (leased.c.attempt + sa.literal_column("1", sa.Integer)).label("attempt")
        columns = [begins if column.name == "attempt" else column for column in leased.c]
        return sa.select(*columns, has_others.label("shared"))

    return Claimed(claim, steps, result)


LEASE = {"id": deliveries.c.id.type, "claim": sa.Integer()}


def on_lease(taken: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a delivery is still on the lease that was ``taken``: what `LEASE` says, and more."""
    same = sa.and_(deliveries.c.id == taken.c.id, deliveries.c.claims == taken.c.claim)
    return sa.and_(same, in_status(DeliveryStatus.RUNNING))


def lease_rows(leases: Iterable[Lease]) -> list[tuple[str, str]]:
    """Leases as the parameter of a `Tuples` of `LEASE`; by id, which is the order in which rows are locked."""
    return [(delivery_id, str(claim)) for delivery_id, claim in sorted(leases)]


def renew_leases(connection: Connection, leases: Sequence[Lease], *, lease_until: datetime) -> None:
    """Lease for longer what is still in hand. One whose lease ran out and was claimed anew is another's."""
    connection.execute(_renew_leases(), {"taken": lease_rows(leases), "lease_until": lease_until})


@statement
def _renew_leases() -> sa.Update:
    """Lease deliveries for longer that are still on the lease that was taken."""
    until = sa.bindparam("lease_until", type_=UtcDateTime)
    return sa.update(deliveries).values(lease_expires_at=until).where(on_lease(Tuples("taken", LEASE)))


def release_deliveries(connection: Connection, leases: Sequence[Lease], *, begun: bool) -> None:
    """Give back leases that were taken and never handed out: as if they had not been taken.

    ``begun``: though their attempt was counted.
    """
    connection.execute(_release_deliveries(), {"taken": lease_rows(leases), "counted": int(begun)})


@statement
def _release_deliveries() -> sa.Update:
    """Give deliveries back that are still on the lease that was taken."""
    attempt = deliveries.c.attempt - sa.bindparam("counted", type_=sa.Integer)
    changed = {
        "status": literal(DeliveryStatus.PENDING, STATUS),
        "attempt": attempt,
        "max_attempts": sa.case((attempt > sa.literal_column("0", sa.Integer), deliveries.c.max_attempts)),
        "lease_expires_at": sa.null(),
    }
    return sa.update(deliveries).values(changed).where(on_lease(Tuples("taken", LEASE)))


def notify(connection: Connection, channel: str, payload: str) -> None:
    """Tell PostgreSQL's listeners, at the commit."""
    connection.execute(sa.select(sa.func.pg_notify(channel, payload)))


# -- by hand -----------------------------------------------------------------------------------------------------------


def retry_deliveries(connection: Connection, delivery_ids: Sequence[str], *, now: datetime) -> set[str]:
    """Make dead, dropped or pending deliveries due now, their attempts so far forgiven. Returns those that landed."""
    return set(connection.execute(_retry_deliveries(), {"ids": delivery_ids, "now": now}).scalars())


@statement
def _retry_deliveries() -> Any:
    """Make deliveries due now, their attempts so far forgiven."""
    changed = {
        "status": literal(DeliveryStatus.PENDING, STATUS),
        "next_attempt_at": NOW,
        "max_attempts": sa.null(),
    }
    may_be = in_status(DeliveryStatus.DEAD, DeliveryStatus.DROPPED, DeliveryStatus.PENDING)
    retry = sa.update(deliveries).values(changed).where(is_among(deliveries.c.id), may_be)
    return retry.returning(deliveries.c.id)


def drop_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> set[str]:
    """Give up pending or dead deliveries; they are kept as dropped. Returns those that landed."""
    drop = (
        sa.update(deliveries)
        .values(status=literal(DeliveryStatus.DROPPED, STATUS))
        .where(deliveries.c.id.in_(delivery_ids), in_status(DeliveryStatus.DEAD, DeliveryStatus.PENDING))
        .returning(deliveries.c.id)
    )
    return set(connection.execute(drop).scalars())
