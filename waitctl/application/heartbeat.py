"""Whether anything ticks: without a tick no wait ends, and nobody says so."""

from __future__ import annotations

from datetime import timedelta

from waitctl.domain.durations import format_timedelta
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import ticks

SILENT_AFTER = timedelta(minutes=10)
"""How long no tick may have run before somebody should be told."""

REMEDY = "waitctl init --cron, or --systemd, has one run every minute"


def last_tick_age(database: Database) -> timedelta | None:
    """How long ago a tick was last seen to run; ``None`` when none ever was. Raises `DatabaseError`.

    Less than nothing when that was in the future.
    """
    with database.read() as connection:
        last = ticks.last_tick(connection)
        now = database.real_clock(connection)
    return None if last is None else now - last.at


def silence(database: Database) -> str | None:
    """How long nothing has ticked, in words; ``None`` when something does."""
    with database.read() as connection:
        last = ticks.last_tick(connection)
        now = database.real_clock(connection)
    if last is None:
        return "no tick has run on this database yet"
    age = now - last.at
    return f"no tick has run for {format_timedelta(age)} (the last one on {last.host})" if age > SILENT_AFTER else None
