"""Statements of the doctor: what is stuck, left over, full, or named by open waits. Each looks at a bounded part."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from waitctl.domain.counts import CAP
from waitctl.domain.values import dataclass
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.kept import by_dialect, kept


def progress_at(connection: Connection) -> datetime | None:
    """When the clock last ended a wait: by being due or by its timeout, among the latest that ended."""
    at: datetime | None = connection.execute(kept("progress_at")).scalar()
    return at


def lapsed_leases(connection: Connection, *, now: datetime) -> tuple[int, datetime | None]:
    """How many deliveries run on a lease that is over, up to the cap, and since when the oldest is."""
    row = connection.execute(kept("lapsed_leases"), {"now": now}).one()
    return int(row[0]), row[1]


def quarantined_by_source(connection: Connection) -> dict[str, int]:
    """How many payloads are kept of each source: no more than its config allows."""
    import sqlalchemy as sa

    from waitctl.infrastructure.schema import quarantine

    found = sa.select(quarantine.c.source, sa.func.count()).group_by(quarantine.c.source)
    return {row[0]: row[1] for row in connection.execute(found)}


@dataclass(frozen=True, slots=True)
class Named:
    """What open waits name: calendars, and versions of the zone rules. Of the next `CAP` ones for a time."""

    calendars: frozenset[str]
    tzdata: frozenset[str]


def named_by_open(connection: Connection) -> Named:
    """What the open waits name that are due next, and some of the others."""
    rows = connection.execute(kept("named_by_open")).all()
    return Named(*(frozenset(row[place] for row in rows if row[place]) for place in (0, 1)))


def orphans(connection: Connection) -> Mapping[str, int]:
    """What belongs to nothing any more, up to the cap.

    Deliveries without a wait, listeners without an open wait, and waits for an event that listen to nothing.
    """
    row = connection.execute(kept("orphans")).one()
    return {what: min(int(count), CAP + 1) for what, count in zip(ORPHANS, row, strict=True)}


ORPHANS = ("deliveries", "listeners", "waits")


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
    free, all_ = (int(connection.execute(f"PRAGMA {name}").scalar_one()) for name in ("freelist_count", "page_count"))
    return Bloat("the file", free, all_ - free)


_WORST = (
    "SELECT relname, n_dead_tup, n_live_tup FROM pg_stat_user_tables"
    " WHERE relname LIKE 'workflow%%' OR relname LIKE 'waitctl%%' ORDER BY n_dead_tup - n_live_tup DESC LIMIT 1"
)
_OLDEST = (
    "SELECT extract(epoch FROM clock_timestamp() - min(xact_start)) FROM pg_stat_activity"
    " WHERE datname = current_database() AND backend_xmin IS NOT NULL AND pid <> pg_backend_pid()"
)


def _bloat_postgresql(connection: Connection) -> Bloat:
    worst = connection.execute(_WORST).one_or_none()
    seconds = connection.execute(_OLDEST).scalar()
    pinned_for = None if seconds is None else timedelta(seconds=float(seconds))
    name, dead, alive = worst or ("no table", 0, 0)
    return Bloat(name, dead, alive, pinned_for)
