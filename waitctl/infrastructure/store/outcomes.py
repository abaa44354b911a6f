"""Statements on what becomes of deliveries, and of their waits with them. Each expects what it was decided on.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from operator import attrgetter
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.sql.dml import UpdateBase

from waitctl.domain.deliveries import DeliveryStatus, Lease, Settlement
from waitctl.domain.text import to_json
from waitctl.domain.waits import TRANSITIONS, Resolution, WaitExecutionStatus, sources_of
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.schema import UtcDateTime, deliveries, new_id, waits
from waitctl.infrastructure.sql_batch import (
    Claimed,
    as_tuples,
    instant_text,
    is_among,
    json_rows,
    speaks_sqlite,
    tuples,
)
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.completion import NOW, audit, claimed_ids
from waitctl.infrastructure.store.deliveries import STATUS, in_status, of_workflows
from waitctl.infrastructure.store.waits import literal

# -- settling ----------------------------------------------------------------------------------------------------------

_ATTEMPT = {"id": deliveries.c.id.type, "expected": sa.Integer()}
_SETTLED = _ATTEMPT | {"status": sa.Text(), "attempt": sa.Integer(), "next_attempt_at": sa.Text(), "error": sa.Text()}


def deliver(connection: Connection, database: Database, leases: Iterable[Lease], *, now: datetime) -> int:
    """Write that these attempts were taken, each fenced by its number. Returns how many landed.

    A zombie whose lease ran out holds an older attempt and changes nothing.
    """
    texts = [(delivery_id, str(attempt)) for delivery_id, attempt in sorted(leases)]
    rows = as_tuples(texts, is_sqlite=database.is_sqlite)
    result = connection.execute(_deliver(database.is_sqlite), {"rows": rows, "now": now})
    return len(result.all()) if database.is_sqlite else int(result.rowcount)


def settle_deliveries(connection: Connection, database: Database, settlements: Iterable[Settlement]) -> set[str]:
    """Write what became of attempts that were not taken, with the fence of `deliver`. Returns the ids that landed."""
    is_sqlite = database.is_sqlite
    rows = [
        {
            "id": each.delivery_id,
            "expected": each.expected_attempt,
            "status": each.status,
            "attempt": each.attempt,
            "next_attempt_at": instant_text(each.next_attempt_at, is_sqlite=is_sqlite),
            "error": each.error,
        }
        for each in sorted(settlements, key=attrgetter("delivery_id"))
    ]
    return set(connection.execute(_settle(is_sqlite), {"rows": to_json(rows)}).scalars())


@cache
def _deliver(is_sqlite: bool) -> Any:
    """What most attempts come to: nothing but ids and numbers travels for it."""
    rows = tuples("rows", _ATTEMPT, is_sqlite=is_sqlite)
    now = sa.bindparam("now", type_=UtcDateTime)
    taken = (
        sa.update(deliveries)
        .values(
            status=literal(DeliveryStatus.DELIVERED, STATUS),
            next_attempt_at=now,
            lease_expires_at=None,
            last_error=None,
            delivered_at=now,
        )
        .where(*_fence(rows))
    )
    return taken.returning(deliveries.c.id) if is_sqlite else taken  # SQLite's driver does not count after a WITH


def _fence(rows: sa.FromClause) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        deliveries.c.id == rows.c.id,
        deliveries.c.attempt == rows.c.expected,
        in_status(DeliveryStatus.RUNNING),
    )


@cache
def _settle(is_sqlite: bool) -> Any:
    rows = json_rows("rows", _SETTLED, is_sqlite=is_sqlite)

    def as_type(column: Any, kind: Any) -> Any:
        return sa.type_coerce(column, kind) if is_sqlite else sa.cast(column, kind)

    return (
        sa.update(deliveries)
        .values(
            status=as_type(rows.c.status, STATUS.type),
            attempt=rows.c.attempt,
            next_attempt_at=as_type(rows.c.next_attempt_at, UtcDateTime()),
            lease_expires_at=None,
            last_error=rows.c.error,
        )
        .where(*_fence(rows))
        .returning(deliveries.c.id)
    )


def insert_dead_letter_notices(connection: Connection, handlers: Mapping[str, str], *, now: datetime) -> None:
    """For each of these dead deliveries a delivery to its ``on_dead`` handler; for a notice that died itself none."""
    rows = json_rows("notices", {"id": deliveries.c.id.type, "handler": sa.Text()}, is_sqlite=speaks_sqlite(connection))
    columns: dict[str, sa.ColumnElement[Any]] = {
        "id": new_id(),
        "wait_id": deliveries.c.wait_id,
        "handler": rows.c.handler,
        "outcome": deliveries.c.outcome,
        "status": literal(DeliveryStatus.PENDING, STATUS),
        "attempt": sa.literal_column("0"),
        "next_attempt_at": sa.literal(now, UtcDateTime),
        "created_at": sa.literal(now, UtcDateTime),
        "dead_delivery_id": deliveries.c.id,
    }
    dead = sa.select(*columns.values()).join(rows, rows.c.id == deliveries.c.id)
    notices = to_json([{"id": delivery_id, "handler": handler} for delivery_id, handler in handlers.items()])
    connection.execute(
        sa.insert(deliveries).from_select(list(columns), dead.where(deliveries.c.dead_delivery_id.is_(None))),
        {"notices": notices},
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
            in_status(DeliveryStatus.PENDING),
            deliveries.c.handler.not_in(sorted({*known, *paused.handlers})),
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
    bury = (
        sa.update(deliveries)
        .values(status=literal(DeliveryStatus.DEAD, STATUS), last_error=error)
        .where(
            is_among(deliveries.c.id, delivery_ids, is_sqlite=speaks_sqlite(connection)),
            in_status(DeliveryStatus.PENDING),
        )
        .returning(deliveries.c.id)
    )
    return set(connection.execute(bury).scalars())


# -- a wait's status follows its deliveries ----------------------------------------------------------------------------


def lock_waits(connection: Connection, delivery_ids: Iterable[str]) -> None:
    """Lock the waits of these deliveries, before the deliveries themselves change: the lock order."""
    ids = list(delivery_ids)
    theirs = sa.select(deliveries.c.wait_id).where(is_among(deliveries.c.id, ids, is_sqlite=speaks_sqlite(connection)))
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

    def steps(claimed: sa.FromClause) -> list[UpdateBase]:
        status = literal(to, waits.c.status)
        change = sa.update(waits).values(status=status, updated_at=NOW)
        return [
            change.where(waits.c.id == claimed.c.id, waits.c.status == claimed.c.from_status),
            audit(claimed, status, is_sqlite=is_sqlite),
        ]

    return Claimed(claim, steps, claimed_ids, is_sqlite=is_sqlite)
