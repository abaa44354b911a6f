"""Statements of retention: what ended long ago goes, in batches; keys and ids stay as tombstones.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. One prunes at a time, by the lock
of its mark (`rollups.lock_mark`); what anybody else has locked is left for the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from waitctl.domain.values import dataclass
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import by_dialect, kept
from waitctl.infrastructure.sql_values import json_rows
from waitctl.infrastructure.store.rollups import roll_up_errors

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# -- waits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prunable:
    """A wait that may go; whether its key has to be remembered, and that its delivery is dead to be counted."""

    id: str
    resolved_at: datetime
    is_keyed: bool
    is_in_error: bool


def claim_ended(connection: Connection, *, before: datetime, after: datetime, limit: int) -> list[Prunable]:
    """Lock waits that ended before an instant, from ``after`` on, the longest ago first.

    None that has a delivery which is not through: its handler is to hear of it.
    """
    rows = connection.execute(kept("claim_ended"), {"before": before, "after": after, "limit": limit})
    return [Prunable(*row) for row in rows]


def count_prunable(connection: Connection, *, before: datetime) -> dict[str, int]:
    """How many waits, deliveries and lines of audit trails `delete_waits` would delete."""
    row = connection.execute(kept("count_prunable"), {"before": before, "after": _EPOCH}).one()
    return dict(zip(("waits", "deliveries", "transitions"), row, strict=True))


def delete_waits(connection: Connection, found: Sequence[Prunable], *, now: datetime) -> dict[str, int]:
    """Delete waits that are claimed, with all that is theirs; their keys become tombstones. Returns how much went."""
    if keyed := [each.id for each in found if each.is_keyed]:
        _keep_keys(connection, keyed, now)
    if in_error := [each.id for each in found if each.is_in_error]:
        roll_up_errors(connection, in_error)
    ids = {"ids": [each.id for each in found]}
    return {
        "transitions": connection.execute(kept("delete_of", "workflow_wait_transitions"), ids).rowcount,
        "deliveries": connection.execute(kept("delete_of", "workflow_wait_deliveries"), ids).rowcount,
        "waits": connection.execute(kept("delete_of", "workflow_wait_executions"), ids).rowcount,
    }


def _keep_keys(connection: Connection, wait_ids: Sequence[str], now: datetime) -> None:
    """Remember what was asked under these waits' keys, and what became of it."""
    from waitctl.infrastructure.store.waits import get_waits

    rows = (
        {
            "scope": wait.workflow_id or "",
            "key": wait.idempotency_key,
            "wait_id": wait.id,
            "fingerprint": wait.fingerprint,
            "resolution": wait.resolution,
            "resolved_at": wait.resolved_at,
        }
        for wait in get_waits(connection, wait_ids).values()
    )
    connection.execute(kept("insert_keys"), {"kept": json_rows(rows), "now": now})


# -- events ------------------------------------------------------------------------------------------------------------


def find_old_events(connection: Connection, *, before: datetime, first_id: str, last_id: str, limit: int) -> list[str]:
    """The ids of events that were received before an instant, from one id on and before another.

    None that is not correlated yet, or that a wait which is still there was ended by, or has counted.
    """
    parameters = {"before": before, "first_id": first_id, "last_id": last_id, "limit": limit}
    return list(connection.execute(kept("find_old_events"), parameters).scalars())


def count_old_events(connection: Connection, *, before: datetime, first_id: str, last_id: str) -> int:
    """How many events `find_old_events` finds in all, once the waits that `delete_waits` deletes are gone."""
    parameters = {"before": before, "after": _EPOCH, "first_id": first_id, "last_id": last_id}
    return int(connection.execute(kept("count_old_events"), parameters).scalar_one())


def delete_events(connection: Connection, event_ids: Sequence[str], *, now: datetime) -> int:
    """Delete these events; what their senders called them becomes tombstones. Returns how many went."""
    connection.execute(kept("insert_event_ids"), {"ids": event_ids, "now": now})
    return connection.execute(kept("delete_events"), {"ids": event_ids}).rowcount


# -- what remembers ----------------------------------------------------------------------------------------------------


def forget_tombstones(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget keys and ids that were pruned before an instant, ``limit`` of each kind of memory. Returns how many."""
    parameters = {"before": before, "limit": limit}
    return sum(connection.execute(kept("forget", table), parameters).rowcount for table in _MEMORIES)


_MEMORIES = ("waitctl_tombstones", "waitctl_webhook_tokens")


def count_old_quarantined(connection: Connection, *, before: datetime) -> int:
    """How many payloads were kept before an instant."""
    return int(connection.execute(kept("count_old_quarantined"), {"before": before}).scalar_one())


def delete_old_quarantined(connection: Connection, *, before: datetime) -> int:
    """Forget payloads that were kept before an instant. Returns how many."""
    return connection.execute(kept("delete_old_quarantined"), {"before": before}).rowcount


def delete_expired_plans(connection: Connection, *, now: datetime, limit: int) -> bool:
    """Delete some waits of the plan that expired first, and then itself. Returns whether there may be more to do."""
    plan_id = connection.execute(kept("find_expired_plans"), {"now": now}).scalar()
    if plan_id is None:
        return False
    gone = connection.execute(kept("delete_entries"), {"plan": plan_id, "limit": limit}).rowcount
    if gone < limit:
        connection.execute(kept("delete_plan"), {"plan": plan_id})
    return True


# -- room --------------------------------------------------------------------------------------------------------------

_PAGES_AT_ONCE = 1000


def give_back(connection: Connection) -> bool:
    """Give pages of an SQLite file that nothing needs back to the disk, some at once. Returns whether more can go.

    Those that new waits will need soon stay: a quarter of what is in use. A file that an older waitctl made gives
    nothing back. PostgreSQL's autovacuum does this by itself.
    """
    return by_dialect(connection, sqlite=_give_back_sqlite, postgresql=_gives_back_itself)(connection)


def _gives_back_itself(_: Connection) -> bool:
    return False


def _give_back_sqlite(connection: Connection) -> bool:
    free, pages = (int(connection.execute(f"PRAGMA {name}").scalar_one()) for name in ("freelist_count", "page_count"))
    spare = free - max(_PAGES_AT_ONCE, (pages - free) // 4)
    if spare <= 0:
        return False
    for _ in range(min(spare, _PAGES_AT_ONCE)):
        connection.driver.execute(
            "PRAGMA incremental_vacuum(1)"
        )  # frees a page a step, and Python's driver makes one step of it
    left = int(connection.execute("PRAGMA freelist_count").scalar_one())
    return left < free and spare > _PAGES_AT_ONCE
