"""Statements on deliveries, the outbox. Every change expects the attempt or the status it was decided on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.handlers import INLINE
from waitctl.domain.statuses import DeliveryStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import JsonRows, Tuples, is_among, is_one_of
from waitctl.infrastructure.schema import deliveries, waits
from waitctl.infrastructure.sql_batch import Claimed, RowsByName, statement
from waitctl.infrastructure.store.statements.completion import LIMIT, NOW
from waitctl.infrastructure.store.statements.waits import literal

STATUS = deliveries.c.status


def in_status(*statuses: DeliveryStatus) -> sa.ColumnElement[bool]:
    """Whether a delivery is in one of these."""
    if len(statuses) == 1:
        return STATUS == literal(statuses[0], STATUS)
    return STATUS.in_([literal(status, STATUS) for status in statuses])


@statement
def _get_deliveries() -> sa.Select[Any]:
    """The deliveries with these ids."""
    return sa.select(deliveries).where(is_among(deliveries.c.id)).order_by(deliveries.c.id)


def of_workflows(workflow_ids: Iterable[str]) -> sa.ColumnElement[bool]:
    """Whether a delivery is of a wait of one of these workflows."""
    theirs = sa.exists().where(waits.c.id == deliveries.c.wait_id, waits.c.workflow_id.in_(sorted(workflow_ids)))
    return theirs.correlate(deliveries)


_UNSETTLED = in_status(DeliveryStatus.PENDING, DeliveryStatus.RUNNING)


@statement
def _count_unsettled() -> sa.Select[Any]:
    """How many deliveries are not through."""
    return sa.select(sa.func.count()).select_from(deliveries).where(_UNSETTLED)


@statement
def _count_held(paused_workflows: frozenset[str]) -> sa.Select[Any]:
    """How many deliveries wait for a handler that is none of these, or are of a workflow that is paused."""
    names = JsonRows("names", {"name": sa.Text()})
    held: sa.ColumnElement[bool] = deliveries.c.handler.not_in(sa.select(names.c.name))
    if paused_workflows:
        held = sa.or_(held, of_workflows(paused_workflows))
    return sa.select(sa.func.count()).select_from(deliveries).where(_UNSETTLED, held)


@statement
def _count_unsettled_between() -> sa.Select[Any]:
    """How many deliveries are not through that the indexes have between these names of handlers."""
    name = JsonRows("names", {"name": sa.Text()}).c.name
    gaps = sa.select(name.label("after"), sa.func.lead(name).over(order_by=name).label("before")).subquery("gaps")

    def count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        """By a sub-select for each gap: a join would be made the other way round, by reading the whole index."""
        unsettled = (DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
        of_status = [sa.select(sa.func.count()).where(in_status(each), condition) for each in unsettled]
        pending, running = (each.select_from(deliveries).correlate(gaps).scalar_subquery() for each in of_status)
        return pending + running

    behind = deliveries.c.handler > gaps.c.after
    between = count(sa.and_(behind, deliveries.c.handler < gaps.c.before))
    return sa.select(sa.case((gaps.c.before.is_(None), count(behind)), else_=between))


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


@statement
def _first_turns() -> sa.Select[Any]:
    """Since when the first delivery of each of these handlers waits, and since when its first lease is over."""
    lows = {"waiting_low": UtcDateTime(), "lapsed_low": UtcDateTime()}
    names = JsonRows("names", {"name": sa.Text(), **lows})

    def first(condition: sa.ColumnElement[bool], turn: sa.ColumnElement[Any], low: sa.ColumnElement[Any]) -> Any:
        mine = sa.select(turn).where(deliveries.c.handler == names.c.name, condition, turn >= low)
        return sa.type_coerce(mine.order_by(turn).limit(sa.literal_column("1")).scalar_subquery(), UtcDateTime)

    waiting = first(_WAITING, deliveries.c.next_attempt_at, names.c.waiting_low)
    lapsed = first(_LAPSED, deliveries.c.lease_expires_at, names.c.lapsed_low)
    return sa.select(names.c.name, waiting.label("waiting"), lapsed.label("lapsed"))


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
    claim = (
        mine.where(condition, turn >= sa.bindparam("low", type_=UtcDateTime))
        .order_by(turn)
        .limit(LIMIT)
        .with_for_update(skip_locked=True)
    )
    last = deliveries.c.attempt + sa.bindparam("most_attempts", type_=sa.Integer)
    lease = sa.update(deliveries).values(
        status=literal(DeliveryStatus.RUNNING, STATUS),
        claims=deliveries.c.claims + sa.literal_column("1"),
        max_attempts=sa.func.coalesce(deliveries.c.max_attempts, last),
        lease_expires_at=sa.bindparam("lease_until", type_=UtcDateTime),
    )

    def steps(claimed: sa.FromClause) -> dict[str, UpdateBase]:
        return {"leased": lease.where(is_one_of(deliveries.c.id, sa.select(claimed.c.id)))}

    def result(_: sa.FromClause, done: RowsByName) -> sa.Select[Any]:
        leased, other = done["leased"], deliveries.alias("other")
        has_others = sa.exists().where(other.c.wait_id == leased.c.wait_id, other.c.id != leased.c.id)
        begins = (leased.c.attempt + sa.literal_column("1", sa.Integer)).label("attempt")
        columns = [begins if column.name == "attempt" else column for column in leased.c]
        return sa.select(*columns, has_others.label("shared"))

    return Claimed(claim, steps, result, told=lambda _: {"leased": list(deliveries.c)})


LEASE = {"id": deliveries.c.id.type, "claim": sa.Integer()}


def on_lease(taken: sa.FromClause) -> sa.ColumnElement[bool]:
    """Whether a delivery is still on the lease that was ``taken``: what `LEASE` says, and more."""
    same = sa.and_(deliveries.c.id == taken.c.id, deliveries.c.claims == taken.c.claim)
    return sa.and_(same, in_status(DeliveryStatus.RUNNING))


@statement
def _renew_leases() -> sa.Update:
    """Lease deliveries for longer that are still on the lease that was taken."""
    until = sa.bindparam("lease_until", type_=UtcDateTime)
    return sa.update(deliveries).values(lease_expires_at=until).where(on_lease(Tuples("taken", LEASE)))


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


@statement
def _name_deliveries() -> sa.Select[Any]:
    """Deliveries, and the execution and step of their waits."""
    return whose_deliveries().where(is_among(deliveries.c.id)).order_by(deliveries.c.id)


def whose_deliveries() -> sa.Select[Any]:
    """Deliveries, and the execution and step of their waits."""
    own = [deliveries.c[name] for name in ("status", "attempt", "max_attempts", "next_attempt_at", "last_error")]
    whose = (deliveries.c.wait_id, waits.c.workflow_execution_id, waits.c.step_id, deliveries.c.handler)
    return sa.select(deliveries.c.id, *whose, *own).join_from(deliveries, waits, waits.c.id == deliveries.c.wait_id)
