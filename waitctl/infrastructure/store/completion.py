"""How waits end: due, event, timeout, by hand, cancelled. Every ending goes through `ending_steps`.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from waitctl.domain.values import dataclass
from waitctl.infrastructure.kept import kept
from waitctl.infrastructure.sql_values import json_ids

if TYPE_CHECKING:
    from waitctl.domain.statuses import Resolution
    from waitctl.domain.text import JsonObject
    from waitctl.infrastructure.executor import Connection

# -- the low-water mark ------------------------------------------------------------------------------------------------


class Mark(NamedTuple):
    """A place in the order of an index by instant and id, before which nothing is known to be left.

    What a claim has ended stays in the index until no snapshot can see it and a vacuum has come by. A claim that begins
    at the front reads all of it again, each time: 400 ms for a million.
    """

    at: datetime
    id: str = "00000000-0000-0000-0000-000000000000"


FIRST = Mark(datetime.min.replace(tzinfo=UTC))
"""Before everything."""


def mark_parameters(mark: Mark, name: str = "low") -> dict[str, Any]:
    """The parameters of a statement that begins beyond a mark."""
    return {f"{name}_at": mark.at, f"{name}_id": mark.id}


# -- expired -----------------------------------------------------------------------------------------------------------


def expired_listeners(
    connection: Connection, *, now: datetime, limit: int, low: Mark = FIRST
) -> tuple[list[tuple[str, str, str]], Mark]:
    """The listeners of the ``limit`` waits that expired first beyond ``low``, to lock their topics.

    (wait, event type, contact): every listener of a wait, since an event for any of them may have come in time. And the
    mark beyond which the next ones lie.
    """
    rows = connection.execute(kept("find_expired"), {"now": now, "limit": limit, **mark_parameters(low)}).all()
    return [(row[0], row[1], row[2]) for row in rows], max((Mark(row[3], row[4]) for row in rows), default=low)


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


def count_remaining(connection: Connection, *, now: datetime, due_low: Mark = FIRST, expires_low: Mark = FIRST) -> int:
    """How many waits beyond these marks a tick at ``now`` would still end."""
    low = mark_parameters(due_low, "due") | mark_parameters(expires_low, "expires")
    row = connection.execute(kept("count_remaining"), {"now": now, **low}).one()
    return int(row[0]) + int(row[1])


@dataclass(frozen=True, slots=True)
class Ahead:
    """What the clock and the inbox table will ask for next: an instant that has passed is overdue."""

    has_events: bool
    due_at: datetime | None
    expires_at: datetime | None


def look_ahead(connection: Connection, *, due_low: Mark = FIRST, expires_low: Mark = FIRST) -> Ahead:
    """Three looks into indexes, in one statement: what a tick asks before it does anything. Beyond these marks."""
    low = mark_parameters(due_low, "due") | mark_parameters(expires_low, "expires")
    row = connection.execute(kept("look_ahead"), low).one()
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
