"""How waits end: due, event, timeout, by hand, cancelled. Every ending goes through `ending_steps`.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from waitctl.domain.text import JsonObject
from waitctl.domain.waits import Resolution
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_ids


def expired_listeners(connection: Connection, *, now: datetime, limit: int) -> list[tuple[str, str, str]]:
    """The listeners of the ``limit`` waits that expired first, to lock their topics before `resolve_expired`.

    (wait, event type, contact): every listener of a wait, since an event for any of them may have come in time.
    """
    found = connection.execute(kept("find_expired"), {"now": now, "limit": limit})
    return [(row[0], row[1], row[2]) for row in found]


def resolve_expired(connection: Connection, wait_ids: Iterable[str], *, now: datetime, reason: str, actor: str) -> int:
    """Time out those of these waits that have expired, past those that somebody has in hand.

    Only waits whose topics are locked: beyond them an event in time may be stored and not yet matched.
    """
    audit = {"now": now, "reason": reason, "actor": actor, "data": None}
    return int(kept("time_out_expired").run(connection, wanted=json_ids(wait_ids), **audit)[0][0])


def expired_ids(connection: Connection, *, now: datetime) -> list[str]:
    """The waits whose deadline and grace have passed."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import waits
    from waitctl.infrastructure.store.statements.completion import _EXPIRED, _LISTENED

    found = sa.select(waits.c.id).select_from(_LISTENED).where(_EXPIRED).distinct()
    return list(connection.execute(found, {"now": now}).scalars())


def count_remaining(connection: Connection, *, now: datetime) -> int:
    """How many waits a tick at ``now`` would still end."""
    row = connection.execute(kept("count_remaining"), {"now": now}).one()
    return int(row[0]) + int(row[1])


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the clock and the inbox table will ask for next: an instant that has passed is overdue."""

    has_events: bool
    due_at: datetime | None
    expires_at: datetime | None


def look_ahead(connection: Connection) -> Ahead:
    """Three looks into indexes, in one statement: what a resident tick asks before it does anything."""
    row = connection.execute(kept("look_ahead")).one()
    return Ahead(bool(row[0]), row[1], row[2])


# -- by hand -----------------------------------------------------------------------------------------------------------


def end_waits(
    connection: Connection,
    wait_ids: Sequence[str],
    resolution: Resolution,
    *,
    now: datetime,
    reason: str,
    actor: str,
    data: JsonObject | None = None,
) -> set[str]:
    """End these waits by hand if they are still open. Returns the ids of those that landed."""
    audit = {"now": now, "reason": reason, "actor": actor, "data": data}
    return {row[0] for row in kept("end_by_hand", resolution).run(connection, wanted=json_ids(wait_ids), **audit)}
