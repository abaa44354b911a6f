"""What became of waits that have ended: outcomes, events against timeouts, how long and how late, attempts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from waitctl.application.retention import between_marks
from waitctl.domain.analytics import Counted, Dimension, Group, gather
from waitctl.domain.durations import format_timedelta
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.filters import WaitFilter, When, meant_instant
from waitctl.domain.histograms import BEYOND, SECONDS
from waitctl.domain.instants import format_instant
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass, replace
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.store import analytics


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was counted, in all and by group; ``is_whole``: it holds what has been pruned, too."""

    since: datetime | None
    until: datetime
    by: Dimension | None
    is_whole: bool
    everything: Group
    groups: Sequence[tuple[str, Group]]

    def to_json(self) -> JsonObject:
        """The document of `waitctl analytics`."""
        return {
            "since": None if self.since is None else format_instant(self.since),
            "until": format_instant(self.until),
            "by": self.by,
            "includes_pruned": self.is_whole,
            "total": self.everything.to_json(),
            "groups": [self.group_json(name, group) for name, group in self.groups],
        }

    def group_json(self, name: str, group: Group) -> JsonObject:
        """A group with its name: what it has in common, or null."""
        assert self.by is not None
        return {self.by.value: name or None, **group.to_json()}


def analyse(
    database: Database, wanted: WaitFilter, *, by: Dimension | None = None, since: When | None = None
) -> Analysis:
    """Count what became of the waits that are meant, of the whole days (in UTC) from that of ``since`` on.

    Type, workflow, step and handler are answered from the totals, which hold what has been pruned; everything else from
    the waits that are still there. Raises `InvalidWaitConfigurationError` for what only an open wait can be.
    """
    _refuse_open(wanted)
    with database.read() as connection:
        now = database.clock(connection)
        first = None if since is None else _day_of(meant_instant(since, now))
        is_whole = replace(wanted, workflow_id=None, step_id=None, handler=None, wait_types=()).is_empty
        look = _from_totals if is_whole else _from_waits
        everything, groups = gather(look(connection, wanted, by, first, now))
    return Analysis(first, now, by, is_whole, everything, groups if by else ())


def _from_totals(
    connection: Connection, wanted: WaitFilter, by: Dimension | None, since: datetime | None, _: datetime
) -> list[Counted]:
    def look(marks: Sequence[datetime]) -> list[Counted]:
        return analytics.counted(connection, wanted, by, since=since, mark=marks[0])

    return between_marks(connection, look)


def _from_waits(
    connection: Connection, wanted: WaitFilter, by: Dimension | None, since: datetime | None, now: datetime
) -> list[Counted]:
    return analytics.counted_where_they_stand(connection, wanted, by, since=since, now=now)


def span_words(found: Analysis) -> str:
    """Of which days."""
    since = "since the beginning" if found.since is None else f"since {found.since:%Y-%m-%d} (days in UTC)"
    return since if found.is_whole else f"{since}, of those that are not pruned"


def bucket_words(bound: int) -> str:
    """What is counted below an upper bound, in words."""
    if bound == BEYOND:
        return f"> {format_timedelta(timedelta(seconds=SECONDS[-1]))}"
    return f"≤ {format_timedelta(timedelta(seconds=bound))}" if bound else "at once"


def seconds_words(seconds: float | None) -> str:
    """So many seconds for people."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 60 else format_timedelta(timedelta(seconds=round(seconds)))


def share_words(share: float | None) -> str:
    """A share for people."""
    return "-" if share is None else f"{share:.1%}"


def _day_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _refuse_open(wanted: WaitFilter) -> None:
    """Raise `InvalidWaitConfigurationError` for a filter that no wait which has ended can meet."""
    asked = [f"--status {status}" for status in wanted.statuses if status.is_open]
    asked += [
        option
        for option, given in (
            ("--due-before", wanted.due_before),
            ("--due-after", wanted.due_after),
            ("--overdue", wanted.overdue or None),
        )
        if given is not None
    ]
    if asked:
        raise InvalidWaitConfigurationError(
            f"{asked[0]} means open waits, and these are of waits that have ended",
            hint="--since T says from which day on; waitctl pending counts what is open",
        )
