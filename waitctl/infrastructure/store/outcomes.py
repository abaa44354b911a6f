"""Statements on what becomes of deliveries, and of their waits with them. Each expects what it was decided on.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from operator import attrgetter

from waitctl.domain.deliveries import AttemptOutput, Lease, Settlement
from waitctl.domain.statuses import TRANSITIONS, WaitExecutionStatus
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_ids, json_rows
from waitctl.infrastructure.store import pauses
from waitctl.infrastructure.store.deliveries import count_unsettled_but, lease_rows


def deliver(connection: Connection, leases: Iterable[Lease], *, now: datetime) -> int:
    """Write that these were delivered, each fenced by its lease. Returns how many landed.

    A zombie whose lease ran out holds an older claim and changes nothing.
    """
    return int(connection.execute(kept("mark_delivered"), {"taken": lease_rows(leases), "now": now}).rowcount)


def begin_deliveries(connection: Connection, leases: Iterable[Lease]) -> set[str]:
    """Count an attempt of each, with the fence of `deliver`. Returns the ids that landed.

    What becomes of one that did not land is another's: it must not begin.
    """
    return set(connection.execute(kept("begin_deliveries"), {"taken": lease_rows(leases)}).scalars())


def find_on_lease(connection: Connection, leases: Iterable[Lease]) -> set[str]:
    """The ids of those that are still on the lease that was taken."""
    return set(connection.execute(kept("find_on_lease"), {"taken": lease_rows(leases)}).scalars())


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
    return set(connection.execute(kept("settle_deliveries"), {"settled": json_rows(rows)}).scalars())


def keep_outputs(connection: Connection, said: Iterable[AttemptOutput]) -> None:
    """Keep the end of what handlers have said, each on the lease that it was said under, instead of what was before."""
    rows = (
        {"id": each.lease.delivery_id, "claim": each.lease.claim, "attempt": each.attempt, "output": each.text}
        for each in sorted(said)
    )
    connection.execute(kept("keep_outputs"), {"said": json_rows(rows)})


def get_output(connection: Connection, delivery_id: str) -> tuple[str, int] | None:
    """The end of what a delivery's handler has said, and in which attempt; ``None`` when it has said nothing."""
    row = connection.execute(kept("get_output"), {"delivery_id": delivery_id}).one_or_none()
    return None if row is None else (row.output, row.attempt)


def insert_dead_letter_notices(connection: Connection, handlers: Mapping[str, str], *, now: datetime) -> None:
    """For each of these dead deliveries a delivery to its ``on_dead`` handler; for a notice that died itself none."""
    notices = json_rows({"id": delivery_id, "handler": handler} for delivery_id, handler in handlers.items())
    connection.execute(kept("insert_notices"), {"notices": notices, "now": now})


# -- handlers that nobody knows ----------------------------------------------------------------------------------------


def unclaimed(connection: Connection, known: Iterable[str], *, before: datetime, limit: int) -> list[tuple[str, str]]:
    """Deliveries (id, handler) that wait since before then for handlers other than these; no paused ones."""
    paused = pauses.paused(connection)
    others = {*known, *paused.handlers}
    if paused.everything or not count_unsettled_but(connection, others):
        return []
    names = json_rows({"name": each} for each in sorted(others))
    found = kept("find_unclaimed", frozenset(paused.workflows))
    rows = connection.execute(found, {"names": names, "before": before, "limit": limit}).all()
    return [(row[0], row[1]) for row in rows]


def mark_pending_dead(connection: Connection, delivery_ids: Sequence[str], *, error: str) -> set[str]:
    """Make deliveries that nobody has tried dead. Returns those that landed."""
    return set(connection.execute(kept("mark_pending_dead"), {"ids": delivery_ids, "error": error}).scalars())


# -- a wait's status follows its deliveries ----------------------------------------------------------------------------


def lock_waits(connection: Connection, delivery_ids: Iterable[str]) -> None:
    """Lock the waits of these deliveries, before the deliveries themselves change: the lock order."""
    connection.execute(kept("lock_waits"), {"ids": list(delivery_ids)})


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
        kept("mark_waits", to).run(connection, wanted=wanted, **audit)
