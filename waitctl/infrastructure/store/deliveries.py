"""Statements on deliveries, the outbox. Every change expects the attempt or the status it was decided on."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import starmap
from typing import Any, NamedTuple

from waitctl.domain.deliveries import Delivery, Lease
from waitctl.domain.handlers import take_signature
from waitctl.domain.statuses import DeliveryStatus
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_rows
from waitctl.infrastructure.store import pauses

# -- reading -----------------------------------------------------------------------------------------------------------


def get_delivery(connection: Connection, delivery_id: str) -> Delivery | None:
    """The delivery with this id."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import deliveries

    row = connection.execute(sa.select(deliveries).where(deliveries.c.id == delivery_id)).mappings().one_or_none()
    return Delivery(**row) if row else None


def get_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> list[Delivery]:
    """The deliveries with these ids, oldest first."""
    return list(starmap(Delivery, connection.execute(kept("get_deliveries"), {"ids": delivery_ids}).all()))


def list_deliveries(
    connection: Connection,
    *,
    statuses: Sequence[DeliveryStatus],
    handler: str | None,
    limit: int,
    after: str | None = None,
) -> list[Delivery]:
    """Deliveries, newest first, older than the delivery ``after``."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import deliveries
    from waitctl.infrastructure.store.statements.deliveries import in_status

    found = sa.select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
    if after is not None:
        found = found.where(deliveries.c.id < after)
    if handler is not None:
        found = found.where(deliveries.c.handler == handler)
    if statuses:
        found = found.where(in_status(*statuses))
    return list(starmap(Delivery, connection.execute(found).all()))


class NamedDelivery(NamedTuple):
    """A delivery by what people know it by."""

    delivery_id: str
    wait_id: str
    execution: str
    step: str
    handler: str
    status: DeliveryStatus
    attempt: int
    max_attempts: int | None
    next_attempt_at: datetime
    last_error: str | None


def name_deliveries(connection: Connection, delivery_ids: Collection[str]) -> list[NamedDelivery]:
    """These deliveries, and whose they are."""
    found = connection.execute(kept("name_deliveries"), {"ids": sorted(delivery_ids)})
    return [NamedDelivery(*row) for row in found]


def held_between(
    connection: Connection, handlers: Iterable[str], first: str, end: str, *, limit: int
) -> list[NamedDelivery]:
    """Deliveries that wait for other handlers than ``handlers``, or for a pause to end; their ids between these."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import deliveries
    from waitctl.infrastructure.store.statements.deliveries import in_status, of_workflows, whose_deliveries

    paused = pauses.paused(connection)
    found = whose_deliveries().where(in_status(DeliveryStatus.PENDING), deliveries.c.id >= first, deliveries.c.id < end)
    if not paused.everything:
        held: sa.ColumnElement[bool] = deliveries.c.handler.not_in(sorted(set(handlers) - paused.handlers))
        if paused.workflows:
            held = sa.or_(held, of_workflows(paused.workflows))
        found = found.where(held)
    return [NamedDelivery(*row) for row in connection.execute(found.order_by(deliveries.c.id).limit(limit))]


def dead_ids(connection: Connection, *, handler: str | None = None, workflow_id: str | None = None) -> list[str]:
    """Every dead delivery, of this handler and workflow if they are named."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import deliveries
    from waitctl.infrastructure.store.statements.deliveries import in_status, of_workflows

    found = sa.select(deliveries.c.id).where(in_status(DeliveryStatus.DEAD)).order_by(deliveries.c.id)
    if handler is not None:
        found = found.where(deliveries.c.handler == handler)
    if workflow_id is not None:
        found = found.where(of_workflows([workflow_id]))
    return list(connection.execute(found).scalars())


def count_held(connection: Connection, handlers: Iterable[str]) -> int:
    """How many deliveries wait for a handler that is not one of ``handlers``, or for the end of a pause."""
    paused = pauses.paused(connection)
    if paused.everything:
        return int(connection.execute(kept("count_unsettled")).scalar_one())
    awake = sorted(set(handlers) - paused.handlers)
    if not paused.workflows:
        return count_unsettled_but(connection, awake)
    held = kept("count_held", frozenset(paused.workflows))
    return int(connection.execute(held, {"names": _names(awake)}).scalar_one())


def count_unsettled_but(connection: Connection, handlers: Iterable[str]) -> int:
    """How many deliveries are not through, to other handlers than these.

    What these have in the indexes is not read: it may be a million entries, dead ones among them.
    """
    names = {"names": _names({"", *handlers})}
    return sum(row[0] for row in connection.execute(kept("count_unsettled_between"), names))


def next_attempt_at(connection: Connection, handlers: Sequence[str], *, now: datetime) -> datetime | None:
    """When a delivery to one of ``handlers`` may be tried next, later than now; leases that will run out count."""
    at: datetime | None = connection.execute(kept("next_attempt_at"), {"names": _names(handlers), "now": now}).scalar()
    return at


def _names(handlers: Iterable[str]) -> str:
    return json_rows({"name": each} for each in handlers)


def manual_data(connection: Connection, wait_ids: Sequence[str]) -> dict[str, JsonObject]:
    """What `resume --data` gave, by wait."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import transitions

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
    rows = connection.execute(kept("inline_commands", now is not None), parameters).all()
    return [(row.id, row.wait_id, row.command, take_signature({"command": row.command})) for row in rows]


def claimable_ids(connection: Connection, handlers: Iterable[str], *, now: datetime) -> list[str]:
    """The deliveries that a tick which knows ``handlers`` would hand out now."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import deliveries
    from waitctl.infrastructure.store.statements.deliveries import _LAPSED, _WAITING, of_workflows

    paused = pauses.paused(connection)
    wanted = () if paused.everything else sorted(set(handlers) - paused.handlers)
    found = sa.select(deliveries.c.id).where(_WAITING | _LAPSED, deliveries.c.handler.in_(wanted))
    if paused.workflows:
        found = found.where(~of_workflows(paused.workflows))
    return list(connection.execute(found.order_by(deliveries.c.next_attempt_at), {"now": now}).scalars())


class Turns(NamedTuple):
    """Of one handler: since when its first delivery waits, and its first lease is over. ``None``: there is none."""

    waiting: datetime | None
    lapsed: datetime | None


EARLIEST = datetime.min.replace(tzinfo=UTC)


def first_turns(connection: Connection, lows: Mapping[str, Turns], *, now: datetime) -> dict[str, Turns]:
    """The first turns of those handlers that may be handed something now.

    Only from the instants of ``lows`` on, a handler's own: what was claimed stays in the index as long as anybody can
    see it, and would be read again by each look.
    """
    names = json_rows(
        {"name": name, "waiting_low": low.waiting or EARLIEST, "lapsed_low": low.lapsed or EARLIEST}
        for name, low in lows.items()
    )
    rows = connection.execute(kept("first_turns"), {"names": names, "now": now}).all()
    return {row[0]: Turns(row[1], row[2]) for row in rows if row[1] is not None or row[2] is not None}


def claim_deliveries(
    connection: Connection,
    handler: str,
    *,
    now: datetime,
    lease_until: datetime,
    max_attempts: int,
    limit: int,
    low: datetime = EARLIEST,
    lapsed: bool = False,
    paused_workflows: Iterable[str] = (),
    but: Sequence[str] = (),
) -> tuple[list[Delivery], set[str]]:
    """Lease the ``limit`` deliveries of a handler that have waited longest; if ``lapsed``, whose leases ran out.

    Only from the instant ``low`` on, and none of ``but``.

    Returns them with the number of the attempt that is to begin (`begin_deliveries` counts it), and those of their
    waits that may have others.
    """
    parameters: dict[str, Any] = {"of_handler": handler, "now": now, "low": low, "limit": limit, "but": but}
    parameters |= {"lease_until": lease_until, "most_attempts": max_attempts}
    claim = kept("claim_deliveries", frozenset(paused_workflows), lapsed, bool(but))
    rows: list[Any] = claim.run(connection, **parameters)
    return [Delivery(*row[:-1]) for row in rows], {row.wait_id for row in rows if row.shared}


def lease_rows(leases: Iterable[Lease]) -> list[tuple[str, str]]:
    """Leases as the parameter of a `Tuples` of `LEASE`; by id, which is the order in which rows are locked."""
    return [(delivery_id, str(claim)) for delivery_id, claim in sorted(leases)]


def renew_leases(connection: Connection, leases: Sequence[Lease], *, lease_until: datetime) -> None:
    """Lease for longer what is still in hand. One whose lease ran out and was claimed anew is another's."""
    connection.execute(kept("renew_leases"), {"taken": lease_rows(leases), "lease_until": lease_until})


def release_deliveries(connection: Connection, leases: Sequence[Lease], *, begun: bool) -> None:
    """Give back leases that were taken and never handed out: as if they had not been taken.

    ``begun``: though their attempt was counted.
    """
    connection.execute(kept("release_deliveries"), {"taken": lease_rows(leases), "counted": int(begun)})


def send_notification(connection: Connection, channel: str, payload: str) -> None:
    """Tell PostgreSQL's listeners, at the commit."""
    import sqlalchemy as sa

    connection.execute(sa.select(sa.func.pg_notify(channel, payload)))


# -- by hand -----------------------------------------------------------------------------------------------------------


def retry_deliveries(connection: Connection, delivery_ids: Sequence[str], *, now: datetime) -> set[str]:
    """Make dead, dropped or pending deliveries due now, their attempts so far forgiven. Returns those that landed."""
    return set(connection.execute(kept("retry_deliveries"), {"ids": delivery_ids, "now": now}).scalars())


def drop_deliveries(connection: Connection, delivery_ids: Sequence[str]) -> set[str]:
    """Give up pending or dead deliveries; they are kept as dropped. Returns those that landed."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import deliveries
    from waitctl.infrastructure.store.statements.deliveries import STATUS, in_status
    from waitctl.infrastructure.store.statements.waits import literal

    drop = (
        sa.update(deliveries)
        .values(status=literal(DeliveryStatus.DROPPED, STATUS))
        .where(deliveries.c.id.in_(delivery_ids), in_status(DeliveryStatus.DEAD, DeliveryStatus.PENDING))
        .returning(deliveries.c.id)
    )
    return set(connection.execute(drop).scalars())
