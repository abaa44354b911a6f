"""Statements of the doctor: what is stuck, left over, full, or named by open waits. Each looks at a bounded part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from waitctl.domain.counts import CAP
from waitctl.domain.deliveries import DeliveryStatus
from waitctl.domain.waits import Resolution
from waitctl.infrastructure.schema import UtcDateTime, deliveries, listeners, quarantine, waits
from waitctl.infrastructure.sql_batch import by_dialect, statement
from waitctl.infrastructure.store.completion import ACTIVE, NOW, SCHEDULED
from waitctl.infrastructure.store.deliveries import in_status
from waitctl.infrastructure.store.waits import IS_OPEN, literal

_MORE = sa.literal_column(str(CAP + 1), sa.Integer)
_ONE = sa.literal_column("1", sa.Integer)
_RECENT = sa.literal_column("1000", sa.Integer)


def progress_at(connection: Connection) -> datetime | None:
    """When the clock last ended a wait: by being due or by its timeout, among the latest that ended."""
    return connection.execute(_progress_at()).scalar()


@statement
def _progress_at() -> sa.Select[Any]:
    """When a tick last ended a wait, among the thousand that ended last."""
    latest = sa.select(waits.c.resolved_at, waits.c.resolution).where(waits.c.resolved_at.is_not(None))
    ended = latest.order_by(waits.c.resolved_at.desc()).limit(_RECENT).subquery("ended")
    by_clock = [literal(each, waits.c.resolution) for each in (Resolution.DUE, Resolution.TIMEOUT)]
    last: sa.Select[Any] = sa.select(sa.func.max(ended.c.resolved_at, type_=UtcDateTime))
    return last.where(ended.c.resolution.in_(by_clock))


def lapsed_leases(connection: Connection, *, now: datetime) -> tuple[int, datetime | None]:
    """How many deliveries run on a lease that is over, up to the cap, and since when the oldest is."""
    row = connection.execute(_lapsed_leases(), {"now": now}).one()
    return int(row[0]), row[1]


@statement
def _lapsed_leases() -> sa.Select[Any]:
    """The deliveries that run on a lease which is over."""
    at = deliveries.c.lease_expires_at
    lapsed = sa.select(at).where(in_status(DeliveryStatus.RUNNING), at <= NOW).limit(_MORE).subquery("lapsed")
    columns: list[Any] = [sa.func.count(), sa.func.min(lapsed.c.lease_expires_at, type_=UtcDateTime)]
    return sa.select(*columns).select_from(lapsed)


def quarantined_by_source(connection: Connection) -> dict[str, int]:
    """How many payloads are kept of each source: no more than its config allows."""
    found = sa.select(quarantine.c.source, sa.func.count()).group_by(quarantine.c.source)
    return {row[0]: row[1] for row in connection.execute(found)}


@dataclass(frozen=True, slots=True)
class Named:
    """What open waits name: calendars, and versions of the zone rules. Of the next `CAP` ones for a time."""

    calendars: frozenset[str]
    tzdata: frozenset[str]


def named_by_open(connection: Connection) -> Named:
    """What the open waits name that are due next, and some of the others."""
    rows = connection.execute(_named_by_open()).all()
    return Named(*(frozenset(row[place] for row in rows if row[place]) for place in (0, 1)))


@statement
def _named_by_open() -> sa.Select[Any]:
    """The calendars and zone rules that the open waits name which are due next, and as many of those for events."""

    def named(found: sa.Select[Any]) -> sa.Select[Any]:
        return sa.select(*found.limit(_MORE).subquery().c)

    columns = [waits.c.wait_config[key].as_string().label(key) for key in ("calendar", "tzdata")]
    scheduled = sa.select(*columns).where(SCHEDULED).order_by(waits.c.scheduled_at)
    listening = (
        sa.select(*columns)
        .join(listeners, listeners.c.wait_id == waits.c.id)
        .where(ACTIVE)
        .order_by(listeners.c.expires_at)
    )
    both = sa.union_all(named(scheduled), named(listening)).subquery("named")
    return sa.select(*both.c).distinct()


def orphans(connection: Connection) -> Mapping[str, int]:
    """What belongs to nothing any more, up to the cap: deliveries without a wait, listeners of waits that ended."""
    row = connection.execute(_orphans()).one()
    return {"deliveries": int(row[0]), "listeners": int(row[1])}


@statement
def _orphans() -> sa.Select[Any]:
    """Unsettled deliveries whose wait is gone, and active listeners whose wait has ended."""
    unsettled = in_status(DeliveryStatus.PENDING, DeliveryStatus.RUNNING)
    gone = ~sa.exists().where(waits.c.id == deliveries.c.wait_id)
    lost = sa.select(_ONE).select_from(deliveries).where(unsettled, gone).limit(_MORE).subquery()
    is_open = sa.exists().where(waits.c.id == listeners.c.wait_id, IS_OPEN)
    left = sa.select(_ONE).select_from(listeners).where(ACTIVE, ~is_open).limit(_MORE).subquery()
    counts: list[Any] = [sa.select(sa.func.count()).select_from(each).scalar_subquery() for each in (lost, left)]
    return sa.select(*counts)


@dataclass(frozen=True, slots=True)
class Bloat:
    """How much of the database is room that nobody uses.

    ``dead`` of ``alive``: rows of the table that has most on PostgreSQL, pages on SQLite; ``pinned_for``: how long the
    oldest transaction has kept others from being cleared.
    """

    where: str
    dead: int
    alive: int
    pinned_for: timedelta | None = None


def bloat(connection: Connection) -> Bloat:
    """How much room nobody uses."""
    return by_dialect(connection, sqlite=_bloat_sqlite, postgresql=_bloat_postgresql)(connection)


def _bloat_sqlite(connection: Connection) -> Bloat:
    free, all_ = (
        int(connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()) for name in ("freelist_count", "page_count")
    )
    return Bloat("the file", free, all_ - free)


_WORST = sa.text(
    "SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables"
    " WHERE relname LIKE 'workflow%' OR relname LIKE 'waitctl%' ORDER BY n_dead_tup - n_live_tup DESC LIMIT 1"
)
_OLDEST = sa.text(
    "SELECT extract(epoch FROM clock_timestamp() - min(xact_start)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
)


def _bloat_postgresql(connection: Connection) -> Bloat:
    worst = connection.execute(_WORST).one_or_none()
    seconds = connection.execute(_OLDEST).scalar()
    pinned_for = None if seconds is None else timedelta(seconds=float(seconds))
    name, dead, alive = worst or ("no table", 0, 0)
    return Bloat(name, dead, alive, pinned_for)
