"""Statements of retention: what ended long ago goes, in batches; keys and ids stay as tombstones.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. One prunes at a time, by the lock
of its mark (`rollups.lock_mark`); what anybody else has locked is left for the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.deliveries import DeliveryStatus
from waitctl.infrastructure.dialects import JsonRows, insert_new, is_among, json_rows
from waitctl.infrastructure.schema import (
    UtcDateTime,
    deliveries,
    events,
    listeners,
    matches,
    quarantine,
    tombstones,
    transitions,
    waits,
    webhook_tokens,
)
from waitctl.infrastructure.sql_batch import by_dialect, statement
from waitctl.infrastructure.store.completion import LIMIT, NOW
from waitctl.infrastructure.store.deliveries import in_status
from waitctl.infrastructure.store.waits import load

_ONE = sa.literal_column("1", sa.Integer)
BEFORE = sa.bindparam("before", type_=UtcDateTime)
AFTER = sa.bindparam("after", type_=UtcDateTime)


# -- waits -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Prunable:
    """A wait that may go, and whether its key has to be remembered."""

    id: str
    resolved_at: datetime
    is_keyed: bool


def claim_ended(connection: Connection, *, before: datetime, after: datetime, limit: int) -> list[Prunable]:
    """Lock waits that ended before an instant, from ``after`` on, the longest ago first.

    None that has a delivery which is not through: its handler is to hear of it.
    """
    rows = connection.execute(_claim_ended(), {"before": before, "after": after, "limit": limit})
    return [Prunable(*row) for row in rows]


@statement
def _claim_ended() -> sa.Select[Any]:
    """The waits that ended longest ago and whose deliveries are through. Locks them, past the locked ones."""
    return _ended().order_by(waits.c.resolved_at).limit(LIMIT).with_for_update(skip_locked=True)


def _ended() -> sa.Select[Any]:
    # A condition each: of both together PostgreSQL knows no index, and reads the whole outbox.
    settled = [
        ~sa.exists().where(deliveries.c.wait_id == waits.c.id, in_status(status))
        for status in (DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
    ]
    columns = (waits.c.id, waits.c.resolved_at, waits.c.idempotency_key.is_not(None))
    return sa.select(*columns).where(waits.c.resolved_at >= AFTER, waits.c.resolved_at < BEFORE, *settled)


def count_ended(connection: Connection, *, before: datetime) -> dict[str, int]:
    """How many waits, deliveries and lines of audit trails `delete_waits` would delete."""
    ended = _ended().subquery("ended")
    counts = [sa.select(sa.func.count()).select_from(ended).scalar_subquery()]
    for table in (deliveries, transitions):
        theirs = sa.select(sa.func.count()).select_from(table.join(ended, ended.c.id == table.c.wait_id))
        counts.append(theirs.scalar_subquery())
    parameters = {"before": before, "after": datetime(1970, 1, 1, tzinfo=UTC)}
    row = connection.execute(sa.select(*counts), parameters).one()
    return dict(zip(("waits", "deliveries", "transitions"), row, strict=True))


def delete_waits(connection: Connection, found: Sequence[Prunable], *, now: datetime) -> dict[str, int]:
    """Delete waits that are claimed, with all that is theirs; their keys become tombstones. Returns how much went."""
    if keyed := [each.id for each in found if each.is_keyed]:
        _keep_keys(connection, keyed, now)
    ids = {"ids": [each.id for each in found]}
    return {
        "transitions": connection.execute(_delete_of(transitions.name), ids).rowcount,
        "deliveries": connection.execute(_delete_of(deliveries.name), ids).rowcount,
        "waits": connection.execute(_delete_of(waits.name), ids).rowcount,
    }


@statement
def _delete_of(table: str) -> sa.Delete:
    """Delete these waits, or what is theirs; their listeners go with them."""
    rows = {each.name: each for each in (waits, deliveries, transitions)}[table]
    return sa.delete(rows).where(is_among(rows.c.id if rows is waits else rows.c.wait_id))


def _keep_keys(connection: Connection, wait_ids: Sequence[str], now: datetime) -> None:
    """Remember what was asked under these waits' keys, and what became of it."""
    rows = (
        {
            "scope": wait.workflow_id or "",
            "key": wait.idempotency_key,
            "wait_id": wait.id,
            "fingerprint": wait.fingerprint,
            "resolution": wait.resolution,
            "resolved_at": wait.resolved_at,
        }
        for wait in load(connection, sa.select(waits).where(is_among(waits.c.id)), ids=wait_ids)
    )
    connection.execute(_insert_keys(), {"kept": json_rows(rows), "now": now})


@statement
def _insert_keys() -> sa.Insert:
    """Tombstones of the keys of waits that are pruned."""
    names = ("scope", "key", "wait_id", "fingerprint", "resolution", "resolved_at")
    kept = JsonRows("kept", {name: tombstones.c[name].type for name in names})
    columns = [sa.literal_column("'wait_key'", sa.Text), *(kept.c[name] for name in names), NOW]
    return insert_new(tombstones).from_select(["kind", *names, "created_at"], sa.select(*columns).where(sa.true()))


# -- events ------------------------------------------------------------------------------------------------------------


def find_old_events(connection: Connection, *, before: datetime, first_id: str, last_id: str, limit: int) -> list[str]:
    """The ids of events that were received before an instant, from one id on and before another.

    None that is not correlated yet, or that a wait which is still there was ended by, or has counted.
    """
    parameters = {"before": before, "first_id": first_id, "last_id": last_id, "limit": limit}
    return list(connection.execute(_find_old_events(), parameters).scalars())


@statement
def _find_old_events() -> sa.Select[Any]:
    """Events that were received long ago and that no wait which is still there refers to, by the clock in their ids."""
    referred = sa.exists().where(listeners.c.matched_event_id == events.c.id)
    counted = sa.exists().where(matches.c.event_id == events.c.id)
    return _old_events().where(~referred, ~counted).order_by(events.c.id).limit(LIMIT)


def _old_events() -> sa.Select[Any]:
    kind = events.c.id.type
    return sa.select(events.c.id).where(
        events.c.id >= sa.bindparam("first_id", type_=kind),
        events.c.id < sa.bindparam("last_id", type_=kind),
        events.c.received_at < BEFORE,
        events.c.correlated_at.is_not(None),
    )


def count_old_events(connection: Connection, *, before: datetime, first_id: str, last_id: str) -> int:
    """How many events `find_old_events` finds in all, once the waits that `delete_waits` deletes are gone."""
    stays = waits.c.id.not_in(_ended().with_only_columns(waits.c.id))
    referred = sa.exists().where(listeners.c.matched_event_id == events.c.id, waits.c.id == listeners.c.wait_id, stays)
    counted = sa.exists().where(matches.c.event_id == events.c.id, waits.c.id == matches.c.wait_id, stays)
    found = _old_events().where(~referred, ~counted).subquery()
    parameters = {"before": before, "after": datetime(1970, 1, 1, tzinfo=UTC), "first_id": first_id, "last_id": last_id}
    return int(connection.execute(sa.select(sa.func.count()).select_from(found), parameters).scalar_one())


def delete_events(connection: Connection, event_ids: Sequence[str], *, now: datetime) -> int:
    """Delete these events; what their senders called them becomes tombstones. Returns how many went."""
    connection.execute(_insert_event_ids(), {"ids": event_ids, "now": now})
    return connection.execute(_delete_events(), {"ids": event_ids}).rowcount


@statement
def _insert_event_ids() -> sa.Insert:
    """Tombstones of the senders' ids of events that are pruned."""
    columns = (sa.literal_column("'event_id'", sa.Text), events.c.source, events.c.external_id, NOW)
    found = sa.select(*columns).where(is_among(events.c.id), events.c.external_id.is_not(None))
    return insert_new(tombstones).from_select(["kind", "scope", "key", "created_at"], found)


@statement
def _delete_events() -> sa.Delete:
    """Delete these events."""
    return sa.delete(events).where(is_among(events.c.id))


# -- what remembers ----------------------------------------------------------------------------------------------------


def forget_tombstones(connection: Connection, *, before: datetime, limit: int) -> int:
    """Forget keys and ids that were pruned before an instant, ``limit`` of each kind of memory. Returns how many."""
    parameters = {"before": before, "limit": limit}
    return sum(connection.execute(_forget(table), parameters).rowcount for table in _MEMORIES)


_MEMORIES = {tombstones.name: tombstones.c.created_at, webhook_tokens.name: webhook_tokens.c.seen_at}


@statement
def _forget(table: str) -> sa.Delete:
    """Forget what was remembered for long, the oldest first."""
    at = _MEMORIES[table]
    memory = at.table
    assert isinstance(memory, sa.Table)
    old = memory.alias("old")
    key = [column.name for column in memory.primary_key.columns]
    oldest = sa.select(*(old.c[name] for name in key)).where(old.c[at.name] < BEFORE).order_by(old.c[at.name])
    return sa.delete(memory).where(sa.tuple_(*(memory.c[name] for name in key)).in_(oldest.limit(LIMIT)))


def count_quarantined(connection: Connection, *, before: datetime) -> int:
    """How many payloads were kept before an instant."""
    old = sa.select(sa.func.count()).where(quarantine.c.received_at < before)
    return int(connection.execute(old).scalar_one())


def delete_quarantined(connection: Connection, *, before: datetime) -> int:
    """Forget payloads that were kept before an instant. Returns how many."""
    return connection.execute(sa.delete(quarantine).where(quarantine.c.received_at < before)).rowcount


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
    free, pages = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in ("freelist_count", "page_count")
    )
    spare = free - max(_PAGES_AT_ONCE, (pages - free) // 4)
    if spare <= 0:
        return False
    driver: Any = connection.connection.driver_connection
    for _ in range(min(spare, _PAGES_AT_ONCE)):
        driver.execute("PRAGMA incremental_vacuum(1)")  # frees a page a step, and Python's driver makes one step of it
    left = int(connection.exec_driver_sql("PRAGMA freelist_count").scalar_one())
    return left < free and spare > _PAGES_AT_ONCE
