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
from waitctl.infrastructure.sql_batch import Claimed, RowsByName, statement
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
    own = ("delivery_id", "of_handler", "attempt", "max_attempts", "lease_until")

    def steps(placed: FromClause) -> dict[str, UpdateBase]:
        return ending_steps(placed, Resolution.DUE) | {"sent": _leased_outbox(placed)}

    def told(placed: FromClause) -> dict[str, list[sa.ColumnElement[Any]]]:
        return {"ended": [*(placed.c[name] for name in own), *plain_columns(fields)]}

    def result(placed: FromClause, done: RowsByName) -> sa.Select[Any]:
        """How many there are, in every row; and what is leased, if anything."""
        ended = done["ended"]
        one = _how_many_up_to(placed, {}).subquery("one")
        columns = [column for column in ended.c if column.name != "lease_until"]
        leased = sa.select(*columns).where(ended.c.lease_until.is_not(None)).subquery("leased")
        return sa.select(*one.c, *leased.c).select_from(one.outerjoin(leased, sa.true()))

    return Claimed(_claim_longest_due(), steps, result, placed=_placed, told=told)


def _claim_longest_due() -> sa.Select[Any]:
    place = (waits.c.scheduled_at, waits.c.id)
    claim = _claim_due().add_columns(waits.c.scheduled_at).where(_DUE, beyond(*place))
    return claim.order_by(*place).limit(LIMIT).with_for_update(skip_locked=True)


def _how_many_up_to(claimed: FromClause, _: RowsByName) -> sa.Select[Any]:
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


def _placed(claimed: FromClause) -> sa.Select[Any]:
    """The claimed waits, each with its delivery to be; of a handler's, as many are leased as it has room for.

    Not one that an event had scheduled: what belongs to the event is for the dispatcher to look up. All of it is known
    before anything is written, for what a wait and its delivery return could only be joined afterwards. How many rows
    a claim has is what planners misjudge most, and a loop over a thousand by a thousand takes longer than all else.
    """
    capacities = JsonRows("capacities", _CAPACITY)
    place = sa.func.row_number().over(partition_by=claimed.c.handler, order_by=claimed.c.due_at).label("place")
    heard = sa.select(*claimed.c, place).subquery("heard")
    fits = sa.and_(
        capacities.c.handler == heard.c.handler, capacities.c.room >= heard.c.place, heard.c.event_id.is_(None)
    )
    is_begun = capacities.c.begins >= heard.c.place
    return sa.select(
        *(column for column in heard.c if column.name != "place"),
        new_id().label("delivery_id"),
        heard.c.handler.label("of_handler"),
        sa.case((is_begun, sa.literal_column("1", sa.Integer)), else_=sa.literal_column("0", sa.Integer)).label(
            "attempt"
        ),
        capacities.c.most_attempts.label("max_attempts"),
        capacities.c.lease_until,
    ).select_from(heard.outerjoin(capacities, fits))


def _leased_outbox(placed: FromClause) -> UpdateBase:
    """The outbox of due waits, as they are placed."""
    leased = placed.c.lease_until.is_not(None)
    running, pending = (literal(each, deliveries.c.status) for each in (DeliveryStatus.RUNNING, DeliveryStatus.PENDING))
    columns: dict[str, sa.ColumnElement[Any]] = {
        "id": placed.c.delivery_id,
        "wait_id": placed.c.id,
        "handler": placed.c.of_handler,
        "outcome": resolved(placed, Resolution.DUE, deliveries.c.outcome),
        "status": sa.cast(sa.case((leased, running), else_=pending), deliveries.c.status.type),
        "attempt": placed.c.attempt,
        "claims": sa.case((leased, sa.literal_column(str(_FIRST_CLAIM))), else_=sa.literal_column("0")),
        "max_attempts": placed.c.max_attempts,
        "lease_expires_at": placed.c.lease_until,
        "next_attempt_at": NOW,
        "created_at": NOW,
    }
    rows = sa.select(*columns.values()).where(placed.c.of_handler.is_not(None))
    return sa.insert(deliveries).from_select(list(columns), rows)
