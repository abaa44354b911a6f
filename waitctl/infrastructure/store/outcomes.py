"""Statements on what becomes of deliveries, and of their waits with them. Each expects what it was decided on.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.deliveries import DeliveryStatus, Lease, Settlement
from waitctl.domain.waits import TRANSITIONS, Resolution, WaitExecutionStatus, sources_of
from waitctl.infrastructure.dialects import JsonRows, Tuples, is_among, json_ids, json_rows
from waitctl.infrastructure.schema import UtcDateTime, deliveries, new_id, waits
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.completion import NOW, audit, claimed_ids
from waitctl.infrastructure.store.deliveries import (
    LEASE,
    STATUS,
    in_status,
    lease_rows,
    of_workflows,
    on_lease,
    unsettled_between,
)
from waitctl.infrastructure.store.waits import literal

# -- settling ----------------------------------------------------------------------------------------------------------

_SETTLED = LEASE | {
    "status": deliveries.c.status.type,
    "attempt": sa.Integer(),
    "next_attempt_at": UtcDateTime(),
    "error": sa.Text(),
}


def deliver(connection: Connection, leases: Iterable[Lease], *, now: datetime) -> int:
    """Write that these were delivered, each fenced by its lease. Returns how many landed.

    A zombie whose lease ran out holds an older claim and changes nothing.
    """
    return int(connection.execute(_mark_delivered(), {"taken": lease_rows(leases), "now": now}).rowcount)


def begin_deliveries(connection: Connection, leases: Iterable[Lease]) -> set[str]:
    """Count an attempt of each, before it begins, with the fence of `deliver`. Returns the ids that landed.

    What becomes of one that did not land is another's: it must not begin.
    """
    return set(connection.execute(_begin_deliveries(), {"taken": lease_rows(leases)}).scalars())


def settle_deliveries(connection: Connection, settlements: Iterable[Settlement]) -> set[str]:
    """Write what became of attempts that were not taken, with the fence of `deliver`. Returns the ids that landed."""
    rows = (
        {
            "id": each.lease.delivery_id,
            "claim": each.lease.claim,
            "status": each.status,
            "attempt": each.attempt,
            "next_attempt_at": each.next_attempt_at,
            "error": each.error,
        }
        for each in sorted(settlements, key=attrgetter("lease"))
    )
    return set(connection.execute(_settle_deliveries(), {"settled": json_rows(rows)}).scalars())


@statement
def _mark_delivered() -> sa.Update:
    """Write that attempts were taken: what most come to, so that nothing but ids and numbers travels for it."""
    changed = {
        "status": literal(DeliveryStatus.DELIVERED, STATUS),
        "next_attempt_at": NOW,
        "lease_expires_at": sa.null(),
        "last_error": sa.null(),
        "delivered_at": NOW,
    }
    return sa.update(deliveries).values(changed).where(on_lease(Tuples("taken", LEASE)))


@statement
def _begin_deliveries() -> Any:
    """Count an attempt of deliveries that are still on the lease that was taken."""
    changed = {"attempt": deliveries.c.attempt + sa.literal_column("1", sa.Integer)}
    begun = sa.update(deliveries).values(changed).where(on_lease(Tuples("taken", LEASE)))
    return begun.returning(deliveries.c.id)


@statement
def _settle_deliveries() -> Any:
    """Write what became of attempts that were not taken. Their waits are locked before (`lock_waits`)."""
    settled = JsonRows("settled", _SETTLED)
    changed = {
        "status": settled.c.status,
        "attempt": settled.c.attempt,
        "next_attempt_at": settled.c.next_attempt_at,
        "lease_expires_at": sa.null(),
        "last_error": settled.c.error,
    }
    return sa.update(deliveries).values(changed).where(on_lease(settled)).returning(deliveries.c.id)


def insert_dead_letter_notices(connection: Connection, handlers: Mapping[str, str], *, now: datetime) -> None:
    """For each of these dead deliveries a delivery to its ``on_dead`` handler; for a notice that died itself none."""
    notices = json_rows({"id": delivery_id, "handler": handler} for delivery_id, handler in handlers.items())
    connection.execute(_insert_notices(), {"notices": notices, "now": now})


@statement
def _insert_notices() -> sa.Insert:
    """A delivery to its handler for each dead delivery that is to be told of, and is no such notice itself."""
    rows = JsonRows("notices", {"id": deliveries.c.id.type, "handler": sa.Text()})
    columns: dict[str, sa.ColumnElement[Any]] = {
        "id": new_id(),
        "wait_id": deliveries.c.wait_id,
        "handler": rows.c.handler,
        "outcome": deliveries.c.outcome,
        "status": literal(DeliveryStatus.PENDING, STATUS),
        "attempt": sa.literal_column("0"),
        "next_attempt_at": NOW,
        "created_at": NOW,
        "dead_delivery_id": deliveries.c.id,
    }
    dead = sa.select(*columns.values()).join(rows, rows.c.id == deliveries.c.id)
    return sa.insert(deliveries).from_select(list(columns), dead.where(deliveries.c.dead_delivery_id.is_(None)))


# -- handlers that nobody knows ----------------------------------------------------------------------------------------


def unclaimed(connection: Connection, known: Iterable[str], *, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Deliveries (id, handler) that wait since before then for handlers other than these; no paused ones."""
    paused = pauses.paused(connection)
    if paused.everything or not (gaps := unsettled_between(connection, {*known, *paused.handlers})):
        return []
    found = (
        sa.select(deliveries.c.id, deliveries.c.handler)
        .where(
            in_status(DeliveryStatus.PENDING),
            sa.or_(*(gap.condition for gap in gaps)),
            deliveries.c.created_at <= before,
            deliveries.c.next_attempt_at <= before,
        )
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    if paused.workflows:
        found = found.where(~of_workflows(paused.workflows))
    return [(row[0], row[1]) for row in connection.execute(found).all()]


def mark_pending_dead(connection: Connection, delivery_ids: Sequence[str], *, error: str) -> set[str]:
    """Make deliveries that nobody has tried dead. Returns those that landed."""
    return set(connection.execute(_mark_pending_dead(), {"ids": delivery_ids, "error": error}).scalars())


@statement
def _mark_pending_dead() -> Any:
    """Give up deliveries to handlers that nobody knows. Their waits are locked before (`lock_waits`)."""
    changed = {"status": literal(DeliveryStatus.DEAD, STATUS), "last_error": sa.bindparam("error", type_=sa.Text)}
    pending = sa.and_(is_among(deliveries.c.id), in_status(DeliveryStatus.PENDING))
    return sa.update(deliveries).values(changed).where(pending).returning(deliveries.c.id)


# -- a wait's status follows its deliveries ----------------------------------------------------------------------------


def lock_waits(connection: Connection, delivery_ids: Iterable[str]) -> None:
    """Lock the waits of these deliveries, before the deliveries themselves change: the lock order."""
    connection.execute(_lock_waits(), {"ids": list(delivery_ids)})


@statement
def _lock_waits() -> sa.Select[Any]:
    """Lock the waits of deliveries, by id: before the deliveries change."""
    theirs = sa.select(deliveries.c.wait_id).where(is_among(deliveries.c.id))
    return sa.select(waits.c.id).where(waits.c.id.in_(theirs)).order_by(waits.c.id).with_for_update()


def mark_waits(
    connection: Connection,
    delivery_ids: Iterable[str],
    *,
    dead: bool,
    now: datetime,
    reason: str,
    actor: str,
) -> None:
    """Set the waits of dead deliveries to ``error``, or those of revived ones back to what their resolution implies."""
    wanted = json_ids(delivery_ids)
    audit = {"now": now, "reason": reason, "actor": actor, "data": None}
    for to in (WaitExecutionStatus.ERROR,) if dead else sorted(TRANSITIONS[WaitExecutionStatus.ERROR]):
        _mark_waits(to).run(connection, wanted=wanted, **audit)


@statement
def _mark_waits(to: WaitExecutionStatus) -> Claimed:
    """Give the waits of the wanted deliveries the status that follows from these. Locks the waits by id."""
    wanted = JsonRows("wanted", {"id": deliveries.c.id.type})
    implied = [literal(each, waits.c.resolution) for each in Resolution if each.status is to]
    expected = [literal(status, waits.c.status) for status in sources_of(to) if not status.is_open]
    other = deliveries.alias("other")
    still_dead = sa.exists().where(
        other.c.wait_id == waits.c.id,
        other.c.status == literal(DeliveryStatus.DEAD, STATUS),
        other.c.dead_delivery_id.is_(None),
    )
    # A notice of a dead delivery says nothing of the wait, whatever becomes of it.
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

    def steps(claimed: sa.FromClause) -> dict[str, UpdateBase]:
        status = literal(to, waits.c.status)
        change = sa.update(waits).values(status=status, updated_at=NOW)
        marked = change.where(waits.c.id == claimed.c.id, waits.c.status == claimed.c.from_status)
        return {"marked": marked, "audited": audit(claimed, status)}

    return Claimed(claim, steps, claimed_ids)
