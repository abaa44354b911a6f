"""How waits end that are due, and those that are late; their deliveries go right to handlers that have room.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.deliveries import Capacity, Delivery, DeliveryStatus, Lease, Outcome
from waitctl.domain.intents import FIRST_DUE_AT
from waitctl.domain.text import JsonObject
from waitctl.domain.waits import Resolution
from waitctl.infrastructure.dialects import JsonRows, instant_in, json_rows
from waitctl.infrastructure.schema import UtcDateTime, deliveries, new_id, waits
from waitctl.infrastructure.sql_batch import Claimed, Rows, statement
from waitctl.infrastructure.store.completion import (
    ID,
    LIMIT,
    NOW,
    SCHEDULED,
    claimed_ids,
    count,
    ending_steps,
    handler_of,
    resolved,
)
from waitctl.infrastructure.store.waits import literal, plain_columns, read_fields


def resolve_due(
    connection: Connection,
    *,
    now: datetime,
    late_before: datetime,
    limit: int,
    reason: str,
    actor: str,
    capacities: Sequence[Capacity] = (),
    fields: tuple[str, ...] = (),
) -> tuple[int, list[LeasedBatch]]:
    """Resume the ``limit`` waits that have been due longest, past those that another tick has in hand.

    Late ones with a policy are left to `claim_late`. Deliveries that ``capacities`` has room for are leased as they
    come into being: a delivery is written twice then instead of three times, and its wait is not read again. Returns
    how many waits were resumed, and the leased deliveries with these ``fields`` of their waits, the id among them.
    """
    parameters: dict[str, Any] = {"now": now, "late_before": late_before, "limit": limit}
    parameters |= {"reason": reason, "actor": actor, "data": None}
    if not capacities:
        return int(_resume_due().run(connection, **parameters)[0][0]), []
    until = {each.handler: now + each.lease for each in capacities}
    room = [
        {
            "handler": each.handler,
            "room": each.room,
            "begins": each.begins,
            "lease_until": until[each.handler],
            "most_attempts": each.max_attempts,
        }
        for each in capacities
    ]
    rows = _resume_and_lease(fields).run(connection, **parameters, capacities=json_rows(room))
    leased: dict[str, LeasedBatch] = {}
    for row in rows if rows[0].delivery_id is not None else ():
        if (of_handler := leased.get(row.of_handler)) is None:
            of_handler = leased[row.of_handler] = LeasedBatch(row.of_handler, fields, now, until[row.of_handler], [])
        of_handler.rows.append(row)
    for of_handler in leased.values():
        of_handler.rows.sort(key=_IS_BEGUN, reverse=True)
    return int(rows[0][0]), list(leased.values())


_IS_BEGUN = attrgetter("attempt")
"""One for a delivery that begins as it comes into being, none for one that is leased alone."""


_FIRST = 1
"""The claim of a delivery that is leased as it comes into being."""

_BEFORE_FIELDS = 5
"""Columns of a row before the wait's: how many waits ended; the delivery's id, handler, attempt and last attempt."""


@dataclass(frozen=True, slots=True)
class LeasedBatch:
    """Deliveries of one handler that were leased as they came into being, by one statement; yet to be read.

    Those that are begun come first.
    """

    handler: str
    fields: tuple[str, ...]
    created_at: datetime
    lease_until: datetime
    rows: list[sa.Row[Any]]

    @property
    def leases(self) -> list[Lease]:
        """The first of each."""
        return [Lease(row.delivery_id, _FIRST) for row in self.rows]

    @property
    def begun(self) -> int:
        """How many are begun."""
        return sum(map(_IS_BEGUN, self.rows))

    def read(self, which: slice) -> list[tuple[Delivery, JsonObject]]:
        """Those of them, each with the fields of its wait as documents have them."""
        read = []
        for row in self.rows[which]:
            wait = read_fields(self.fields, row[_BEFORE_FIELDS:])
            attempt = (DeliveryStatus.RUNNING, 1, row.max_attempts, self.created_at, self.lease_until)
            fields = (row.delivery_id, wait["id"], self.handler, Outcome.DUE, *attempt, None, self.created_at, None)
            delivery = Delivery(*fields, claims=_FIRST)
            read.append((delivery, wait))
        return read


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
    claim = _claim_due().where(_DUE).order_by(waits.c.scheduled_at).limit(LIMIT).with_for_update(skip_locked=True)
    return Claimed(claim, lambda claimed: ending_steps(claimed, Resolution.DUE), count)


@statement
def _resume_and_lease(fields: tuple[str, ...]) -> Claimed:
    """Resume due waits, and lease as many deliveries as handlers have room for. Locks as `resume_due`."""
    capacities = JsonRows("capacities", _CAPACITY)
    claim = _claim_due().where(_DUE).order_by(waits.c.scheduled_at).limit(LIMIT).with_for_update(skip_locked=True)
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
        one = sa.select(count(claimed, {}).scalar_subquery().label("count")).subquery("one")
        is_leased = sent.c.status == literal(DeliveryStatus.RUNNING, deliveries.c.status)
        ids = (sent.c.id.label("delivery_id"), sent.c.handler.label("of_handler"))
        leased = sa.select(*ids, sent.c.attempt, sent.c.max_attempts, *ended.c)
        leased_ = leased.join_from(ended, sent, sent.c.wait_id == ended.c.id).where(is_leased).subquery("leased")
        return sa.select(one.c.count, *leased_.c).select_from(one.outerjoin(leased_, sa.true()))

    return Claimed(claim, steps, result)


def _claim_due() -> sa.Select[Any]:
    return sa.select(
        waits.c.id,
        waits.c.status.label("from_status"),
        handler_of(Outcome.DUE),
        _DUE_AT.label("due_at"),
        waits.c.resolution_event_id.label("event_id"),
    )


def due_ids(connection: Connection, *, now: datetime, late_before: datetime) -> list[str]:
    """The waits that are due, longest first, without the late ones that have a policy."""
    due = sa.select(waits.c.id).where(_DUE).order_by(waits.c.scheduled_at)
    return list(connection.execute(due, {"now": now, "late_before": late_before}).scalars())


# -- late --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LateWait:
    """A wait that is late and has a policy: what the domain judges it by."""

    id: str
    scheduled_at: datetime
    timezone: str
    wait_config: JsonObject


def claim_late(
    connection: Connection, *, late_before: datetime, limit: int, after: tuple[datetime, str] | None
) -> list[LateWait]:
    """Lock the ``limit`` waits with a policy that are late longest, beyond ``after`` (instant and id)."""
    at, wait_id = after or (None, None)
    parameters = {"late_before": late_before, "limit": limit, "after_at": at, "after_id": wait_id}
    return [LateWait(*row) for row in connection.execute(_claim_late(after is not None), parameters)]


@statement
def _claim_late(goes_on: bool) -> sa.Select[Any]:
    """The waits with a policy that are late longest, past the locked ones. Locks them in that order."""
    found = (
        sa.select(waits.c.id, waits.c.scheduled_at, waits.c.timezone, waits.c.wait_config)
        .where(SCHEDULED, _HAS_POLICY, waits.c.scheduled_at < _LATE_BEFORE)
        .order_by(waits.c.scheduled_at, waits.c.id)
        .limit(LIMIT)
        .with_for_update(skip_locked=True)
    )
    if not goes_on:
        return found
    after_at, after_id = sa.bindparam("after_at", type_=UtcDateTime), sa.bindparam("after_id", type_=ID)
    beyond = sa.and_(waits.c.scheduled_at == after_at, waits.c.id > after_id)
    return found.where(sa.or_(waits.c.scheduled_at > after_at, beyond))


def resolve_late(
    connection: Connection,
    reasons: Mapping[str, str],
    *,
    deliver: bool,
    now: datetime,
    actor: str,
) -> int:
    """Resume these waits, each for its reason; without ``deliver`` no handler hears of it."""
    wanted = json_rows({"id": wait_id, "reason": reason} for wait_id, reason in reasons.items())
    audit = {"now": now, "reason": "", "actor": actor, "data": None}
    return len(_resume_late(deliver).run(connection, wanted=wanted, **audit))


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
        "claims": sa.case((leased, sa.literal_column(str(_FIRST))), else_=sa.literal_column("0")),
        "max_attempts": capacities.c.most_attempts,
        "lease_expires_at": capacities.c.lease_until,
        "next_attempt_at": NOW,
        "created_at": NOW,
    }
    rows = sa.select(*columns.values()).select_from(placed_.outerjoin(capacities, fits))
    return sa.insert(deliveries).from_select(list(columns), rows)
