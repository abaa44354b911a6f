"""Statements of retention: what ended long ago goes, in batches; keys and ids stay as tombstones.

Lock order, here and everywhere: topic buckets → waits by id → listeners → deliveries. One prunes at a time, by the lock
of its mark (`rollups.lock_mark`); what anybody else has locked is left for the next time.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from waitctl.domain.statuses import DeliveryStatus, WaitExecutionStatus
from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.dialects import JsonRows, insert_new, is_among
from waitctl.infrastructure.schema import (
    deliveries,
    events,
    listeners,
    matches,
    quarantine,
    tombstones,
    transitions,
    uncounted,
    waits,
    webhook_tokens,
)
from waitctl.infrastructure.sql_batch import statement
from waitctl.infrastructure.store.statements.completion import LIMIT, NOW
from waitctl.infrastructure.store.statements.deliveries import in_status
from waitctl.infrastructure.store.statements.waits import literal, row_exists

BEFORE = sa.bindparam("before", type_=UtcDateTime)
AFTER = sa.bindparam("after", type_=UtcDateTime)


@statement
def _claim_ended() -> sa.Select[Any]:
    """The waits that ended longest ago, are counted, and have no delivery in hand. Locks them, past the locked ones."""
    counted = ~row_exists(uncounted.c.wait_id == waits.c.id, of=waits)
    return _ended().where(counted).order_by(waits.c.resolved_at).limit(LIMIT).with_for_update(skip_locked=True)


def _ended() -> sa.Select[Any]:
    # Both in one condition: no partial index holds them. By that of one, each look could read all that are pending.
    in_hand = in_status(DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
    unsettled = row_exists(deliveries.c.wait_id == waits.c.id, in_hand, of=waits)
    in_error = waits.c.status == literal(WaitExecutionStatus.ERROR, waits.c.status)
    columns = (waits.c.id, waits.c.resolved_at, waits.c.idempotency_key.is_not(None), in_error)
    return sa.select(*columns).where(waits.c.resolved_at >= AFTER, waits.c.resolved_at < BEFORE, ~unsettled)


@statement
def _count_prunable() -> sa.Select[Any]:
    """How many waits ended long ago, and how many deliveries and lines of audit trails are theirs."""
    ended = _ended().subquery("ended")
    counts: list[Any] = [sa.select(sa.func.count()).select_from(ended).scalar_subquery()]
    for table in (deliveries, transitions):
        theirs = sa.select(sa.func.count()).select_from(table.join(ended, ended.c.id == table.c.wait_id))
        counts.append(theirs.scalar_subquery())
    return sa.select(*counts)


@statement
def _delete_of(table: str) -> sa.Delete:
    """Delete these waits, or what is theirs; their listeners, and what was said at their deliveries, go with them."""
    rows = {each.name: each for each in (waits, deliveries, transitions)}[table]
    return sa.delete(rows).where(is_among(rows.c.id if rows is waits else rows.c.wait_id))


@statement
def _insert_keys() -> sa.Insert:
    """Tombstones of the keys of waits that are pruned."""
    names = ("scope", "key", "wait_id", "fingerprint", "resolution", "resolved_at")
    kept = JsonRows("kept", {name: tombstones.c[name].type for name in names})
    columns = [sa.literal_column("'wait_key'", sa.Text), *(kept.c[name] for name in names), NOW]
    return insert_new(tombstones).from_select(["kind", *names, "created_at"], sa.select(*columns).where(sa.true()))


@statement
def _find_old_events() -> sa.Select[Any]:
    """Events that were received long ago and that no wait which is still there refers to, by the clock in their ids."""
    referred = row_exists(listeners.c.matched_event_id == events.c.id, of=events)
    counted = row_exists(matches.c.event_id == events.c.id, of=events)
    return _old_events().where(~referred, ~counted).order_by(events.c.id).limit(LIMIT)


def _old_events() -> sa.Select[Any]:
    kind = events.c.id.type
    return sa.select(events.c.id).where(
        events.c.id >= sa.bindparam("first_id", type_=kind),
        events.c.id < sa.bindparam("last_id", type_=kind),
        events.c.received_at < BEFORE,
        events.c.correlated_at.is_not(None),
    )


@statement
def _count_old_events() -> sa.Select[Any]:
    """How many events were received long ago, and no wait refers to that is to stay."""
    stays = waits.c.id.not_in(_ended().with_only_columns(waits.c.id))
    referred = sa.exists().where(listeners.c.matched_event_id == events.c.id, waits.c.id == listeners.c.wait_id, stays)
    counted = sa.exists().where(matches.c.event_id == events.c.id, waits.c.id == matches.c.wait_id, stays)
    return sa.select(sa.func.count()).select_from(_old_events().where(~referred, ~counted).subquery())


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


_OLD = quarantine.c.received_at < BEFORE


@statement
def _count_old_quarantined() -> sa.Select[Any]:
    """How many payloads were kept long ago."""
    return sa.select(sa.func.count()).select_from(quarantine).where(_OLD)


@statement
def _delete_old_quarantined() -> sa.Delete:
    """Forget payloads that were kept long ago."""
    return sa.delete(quarantine).where(_OLD)
