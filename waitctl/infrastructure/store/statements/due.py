"""How waits end that are due, and those that are late; their deliveries go right to handlers that have room.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.intents import FIRST_DUE_AT
from waitctl.domain.statuses import DeliveryStatus, Outcome, Resolution
from waitctl.infrastructure.column_types import UtcDateTime, new_id
from waitctl.infrastructure.dialects import JsonRows, instant_in
from waitctl.infrastructure.schema import deliveries, waits
from waitctl.infrastructure.sql_batch import Claimed, Rows, statement
from waitctl.infrastructure.store.due import _FIRST_CLAIM
from waitctl.infrastructure.store.statements.completion import (
    ID,
    LIMIT,
    NOW,
    SCHEDULED,
    beyond,
    claimed_ids,
    count,
    ending_steps,
    handler_of,
    resolved,
)
from waitctl.infrastructure.store.statements.recurrences import IS_DUE
from waitctl.infrastructure.store.statements.waits import literal, plain_columns

_LATE_BEFORE = sa.bindparam("late_before", type_=UtcDateTime)
_HAS_POLICY = waits.c.late_policy.is_not(None)
_DUE = sa.and_(SCHEDULED, waits.c.scheduled_at <= NOW, sa.or_(~_HAS_POLICY, waits.c.scheduled_at >= _LATE_BEFORE))


# Since when a wait is due: one that was late and was moved to its next opening, since before that.
_DUE_AT = sa.case(
    (_HAS_POLICY, sa.func.coalesce(instant_in(waits.c.wait_config, FIRST_DUE_AT), waits.c.scheduled_at)),
    else_=waits.c.scheduled_at,
)


@statement
def _resume_due() -> Claimed:
    """Resume the waits that have been due longest. Locks them in that order, past the locked ones."""
    return Claimed(_claim_longest_due(), lambda claimed: ending_steps(claimed, Resolution.DUE), _how_many_up_to)


@statement
def _resume_and_lease(fields: tuple[str, ...]) -> Claimed:
    """Resume due waits, and lease as many deliveries as handlers have room for. Locks as `resume_due`."""
    capacities = JsonRows("capacities", _CAPACITY)
    columns = plain_columns(fields)

    def steps(claimed: FromClause) -> dict[str, UpdateBase]:
        steps = ending_steps(claimed, Resolution.DUE)
        names = ("id", "wait_id", "handler", "attempt", "max_attempts", "status")
        steps["ended"] = steps["ended"].returning(*columns)
        steps["sent"] = _leased_outbox(claimed, capacities).returning(*(deliveries.c[name] for name in names))
        return steps

    def result(claimed: FromClause, done: Rows) -> sa.Select[Any]:
        """How many there are, in every row; and what is leased, if anything."""
        ended, sent = done["ended"], done.get("sent", deliveries)
        one = _how_many_up_to(claimed, {}).subquery("one")
        is_leased = sent.c.status == literal(DeliveryStatus.RUNNING, deliveries.c.status)
        ids = (sent.c.id.label("delivery_id"), sent.c.handler.label("of_handler"))
        leased = sa.select(*ids, sent.c.attempt, sent.c.max_attempts, *ended.c)
        leased_ = leased.join_from(ended, sent, sent.c.wait_id == ended.c.id).where(is_leased).subquery("leased")
        return sa.select(*one.c, *leased_.c).select_from(one.outerjoin(leased_, sa.true()))

    return Claimed(_claim_longest_due(), steps, result)


def _claim_longest_due() -> sa.Select[Any]:
    place = (waits.c.scheduled_at, waits.c.id)
    claim = _claim_due().add_columns(waits.c.scheduled_at).where(_DUE, beyond(*place))
    return claim.order_by(*place).limit(LIMIT).with_for_update(skip_locked=True)


def _how_many_up_to(claimed: FromClause, _: Rows) -> sa.Select[Any]:
    """How many were claimed, the last of them, and whether a recurrence is due: a look into an index of few."""
    how_many = count(claimed, {}).scalar_subquery().label("ended")
    up_to = (claimed.c.scheduled_at.label("up_to_at"), claimed.c.id.label("up_to_id"))
    last_first = (claimed.c.scheduled_at.desc(), claimed.c.id.desc())
    return sa.select(how_many, *up_to, IS_DUE.label("may_recur")).order_by(*last_first).limit(sa.literal_column("1"))


def _claim_due() -> sa.Select[Any]:
    return sa.select(
        waits.c.id,
        waits.c.status.label("from_status"),
        handler_of(Outcome.DUE),
        _DUE_AT.label("due_at"),
        waits.c.resolution_event_id.label("event_id"),
    )


@statement
def _claim_late() -> sa.Select[Any]:
    """The waits with a policy that are late longest, past the locked ones. Locks them in that order."""
    place = (waits.c.scheduled_at, waits.c.id)
    return (
        sa.select(waits.c.id, waits.c.scheduled_at, waits.c.timezone, waits.c.wait_config)
        .where(SCHEDULED, _HAS_POLICY, waits.c.scheduled_at < _LATE_BEFORE, beyond(*place))
        .order_by(*place)
        .limit(LIMIT)
        .with_for_update(skip_locked=True)
    )


@statement
def _resume_late(deliver: bool) -> Claimed:
    """Resume the wanted waits, which `claim_late` has locked, each for its reason."""
    wanted = JsonRows("wanted", {"id": ID, "reason": sa.Text()})
    claim = _claim_due().add_columns(wanted.c.reason)
    if not deliver:
        nobody = sa.cast(sa.null(), sa.Text).label("handler")
        columns = [nobody if column.name == "handler" else column for column in claim.selected_columns]
        claim = claim.with_only_columns(*columns, maintain_column_froms=True)
    claim = claim.join(wanted, wanted.c.id == waits.c.id).where(SCHEDULED).order_by(waits.c.id)
    claim = claim.with_for_update(of=waits)
    return Claimed(claim, lambda claimed: ending_steps(claimed, Resolution.DUE), claimed_ids)


# -- leased as they come into being -----------------------------------------------------------------------------------

_CAPACITY: Mapping[str, Any] = {
    "handler": sa.Text(),
    "room": sa.Integer(),
    "begins": sa.Integer(),
    "lease_until": deliveries.c.lease_expires_at.type,
    "most_attempts": sa.Integer(),
}


def _leased_outbox(claimed: FromClause, capacities: FromClause) -> UpdateBase:
    """The outbox of due waits, of which each handler takes as many as it has room for at once.

    Not of one that an event had scheduled: what belongs to the event is for the dispatcher to look up.
    """
    place = sa.func.row_number().over(partition_by=claimed.c.handler, order_by=claimed.c.due_at)
    heard = claimed.c.handler.is_not(None)
    placed = sa.select(claimed.c.id, claimed.c.handler, claimed.c.event_id, place.label("place")).where(heard)
    placed_ = placed.subquery("placed")
    fits = sa.and_(
        capacities.c.handler == placed_.c.handler, capacities.c.room >= placed_.c.place, placed_.c.event_id.is_(None)
    )
    leased = capacities.c.handler.is_not(None)
    running, pending = (literal(each, deliveries.c.status) for each in (DeliveryStatus.RUNNING, DeliveryStatus.PENDING))
    columns: dict[str, sa.ColumnElement[Any]] = {
        "id": new_id(),
        "wait_id": placed_.c.id,
        "handler": placed_.c.handler,
        "outcome": resolved(placed_, Resolution.DUE, deliveries.c.outcome),
        "status": sa.cast(sa.case((leased, running), else_=pending), deliveries.c.status.type),
        "attempt": sa.case(
            (capacities.c.begins >= placed_.c.place, sa.literal_column("1")), else_=sa.literal_column("0")
        ),
        "claims": sa.case((leased, sa.literal_column(str(_FIRST_CLAIM))), else_=sa.literal_column("0")),
        "max_attempts": capacities.c.most_attempts,
        "lease_expires_at": capacities.c.lease_until,
        "next_attempt_at": NOW,
        "created_at": NOW,
    }
    rows = sa.select(*columns.values()).select_from(placed_.outerjoin(capacities, fits))
    return sa.insert(deliveries).from_select(list(columns), rows)
