"""What will end in the next hours or days: the histogram of `waitctl upcoming`."""

from __future__ import annotations

from datetime import datetime, timedelta

from waitctl.domain.instants import check_zone, format_instant
from waitctl.domain.text import JsonObject, check_text
from waitctl.domain.upcoming import Bucket, Grain, bucket_starts, fold
from waitctl.domain.values import dataclass
from waitctl.infrastructure.database import Caller, Database
from waitctl.infrastructure.store import upcoming as store


@dataclass(frozen=True, slots=True)
class Upcoming:
    """How many waits end when, as it stood at ``now``: overdue, in buckets up to ``until``, later."""

    grain: Grain
    timezone: str
    now: datetime
    until: datetime
    overdue: int
    buckets: tuple[Bucket, ...]
    later: int

    @property
    def total(self) -> int:
        """How many waits end by the clock at all."""
        return self.overdue + sum(bucket.total for bucket in self.buckets) + self.later

    def to_json(self) -> JsonObject:
        """The document of `waitctl upcoming`."""
        return {
            "by": self.grain,
            "timezone": self.timezone,
            "from": format_instant(self.now),
            "until": format_instant(self.until),
            "overdue": self.overdue,
            "buckets": [
                {
                    "start": format_instant(bucket.start),
                    "scheduled": bucket.scheduled,
                    "timeouts": bucket.timeouts,
                    "total": bucket.total,
                }
                for bucket in self.buckets
            ],
            "later": self.later,
        }


def list_upcoming(
    database: Database,
    *,
    grain: Grain = Grain.HOUR,
    until: datetime | timedelta | None = None,
    timezone: str = "UTC",
    workflow_id: str | None = None,
    connection: Caller | None = None,
) -> Upcoming:
    """Count what a tick will end, hour by hour or day by day, by the clocks of ``timezone``.

    Scheduled waits by their instant, event waits by the end of their grace; those without a timeout never. ``until`` is
    exclusive. Raises `InvalidWaitDateError` when it is past or more than 2,000 buckets off, `InvalidTimezoneError`.
    """
    check_zone(timezone)
    if workflow_id is not None:
        check_text(workflow_id, "the workflow")
    with database.read(connection) as connection_:
        now = database.clock(connection_)
        starts, end = bucket_starts(now, until, timezone, grain)
        counts = store.count_upcoming(connection_, now=now, until=end, workflow_id=workflow_id)
    buckets = fold(starts, counts.scheduled, counts.timeouts)
    return Upcoming(grain, timezone, now, end, counts.overdue, buckets, counts.later)


@dataclass(frozen=True, slots=True)
class Soon:
    """What ends next, in buckets; ``is_capped``: there is more of it than was counted, from some bucket on."""

    timezone: str
    buckets: tuple[Bucket, ...]
    is_capped: bool


def list_soon(database: Database, *, grain: Grain = Grain.HOUR, timezone: str = "UTC") -> Soon:
    """Count what ends next, as `list_upcoming`, but of each kind the first 10,000: for a screen that looks often.

    Raises `InvalidTimezoneError`.
    """
    check_zone(timezone)
    with database.read() as connection:
        now = database.clock(connection)
        starts, end = bucket_starts(now, None, timezone, grain)
        counts = store.count_next(connection, now=now, until=end)
    return Soon(timezone, fold(starts, counts.scheduled, counts.timeouts), counts.is_capped)
