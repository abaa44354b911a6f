"""A second database that follows the first one: how far behind it is."""

from __future__ import annotations

from datetime import timedelta

from waitctl.infrastructure.database import Database

STALE_AFTER = timedelta(minutes=2)
"""From when on it is said to whoever has not asked: ticks every minute leave no replica without news for longer."""

# An idle database has no news, so this is what holds at least, not how much is missing.
_AGE = """
SELECT CASE WHEN pg_is_in_recovery()
            THEN extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())::float8 END
"""


def age_of(database: Database) -> timedelta | None:
    """How long ago what a replica of PostgreSQL shows was true; None where nothing tells. Raises `DatabaseError`."""
    if database.is_sqlite:
        return None
    with database.read() as connection:
        age: float | None = connection.execute(_AGE).scalar()
    return None if age is None else timedelta(seconds=max(0, round(age)))
