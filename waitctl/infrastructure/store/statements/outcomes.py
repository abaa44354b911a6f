"""Statements on what becomes of deliveries, and of their waits with them. Each expects what it was decided on.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.statuses import DeliveryStatus, Resolution, WaitExecutionStatus, sources_of
from waitctl.infrastructure.column_types import UtcDateTime, new_id
from waitctl.infrastructure.dialects import JsonRows, Tuples, is_among, replace_known
from waitctl.infrastructure.schema import deliveries, outputs, waits
from waitctl.infrastructure.sql_batch import Claimed, statement
from waitctl.infrastructure.store.statements.completion import LIMIT, NOW, audit, claimed_ids
from waitctl.infrastructure.store.statements.deliveries import LEASE, STATUS, in_status, of_workflows, on_lease
from waitctl.infrastructure.store.statements.waits import literal

# -- settling ----------------------------------------------------------------------------------------------------------

_SETTLED = LEASE | {
    "status": deliveries.c.status.type,
    "attempt": sa.Integer(),
    "next_attempt_at": UtcDateTime(),
    "error": sa.Text(),
}


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
def _find_on_lease() -> Any:
    """The deliveries that are still on the lease that was taken."""
    taken = Tuples("taken", LEASE)
    return sa.select(deliveries.c.id).join(taken, on_lease(taken))


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


@statement
def _find_unclaimed(paused_workflows: frozenset[str]) -> sa.Select[Any]:
    """Deliveries that have waited since an instant for none of these handlers, the oldest first."""
    names, before = JsonRows("names", {"name": sa.Text()}), sa.bindparam("before", type_=UtcDateTime)
    found = sa.select(deliveries.c.id, deliveries.c.handler).where(
        in_status(DeliveryStatus.PENDING),
        deliveries.c.handler.not_in(sa.select(names.c.name)),
        deliveries.c.created_at <= before,
        deliveries.c.next_attempt_at <= before,
    )
    if paused_workflows:
        found = found.where(~of_workflows(paused_workflows))
    return found.order_by(deliveries.c.id).limit(LIMIT)


@statement
def _mark_pending_dead() -> Any:
    """Give up deliveries to handlers that nobody knows. Their waits are locked before (`lock_waits`)."""
    changed = {"status": literal(DeliveryStatus.DEAD, STATUS), "last_error": sa.bindparam("error", type_=sa.Text)}
    pending = sa.and_(is_among(deliveries.c.id), in_status(DeliveryStatus.PENDING))
    return sa.update(deliveries).values(changed).where(pending).returning(deliveries.c.id)


@statement
def _lock_waits() -> sa.Select[Any]:
    """Lock the waits of deliveries, by id: before the deliveries change."""
    theirs = sa.select(deliveries.c.wait_id).where(is_among(deliveries.c.id))
    return sa.select(waits.c.id).where(waits.c.id.in_(theirs)).order_by(waits.c.id).with_for_update()


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


@statement
def _keep_outputs() -> Any:
    """Keep what handlers have said in attempts that no later claim has overtaken."""
    said = JsonRows("said", LEASE | {"attempt": sa.Integer(), "output": sa.Text()})
    is_latest = sa.and_(deliveries.c.id == said.c.id, deliveries.c.claims == said.c.claim)
    rows = sa.select(said.c.id, said.c.attempt, said.c.output).where(is_latest)
    return replace_known(outputs, "delivery_id").from_select(["delivery_id", "attempt", "output"], rows)


@statement
def _get_output() -> sa.Select[Any]:
    """The end of what a delivery's handler has said."""
    own = outputs.c.delivery_id == sa.bindparam("delivery_id", type_=outputs.c.delivery_id.type)
    return sa.select(outputs.c.output, outputs.c.attempt).where(own)
