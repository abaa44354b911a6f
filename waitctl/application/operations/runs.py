"""The runs of the processor: when, where, what they did, and where there were none for too long."""

from __future__ import annotations

from datetime import datetime, timedelta

from waitctl.application.documents import instant
from waitctl.domain.filters import When
from waitctl.domain.runs import RunSpan, gaps
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import ticks
from waitctl.infrastructure.store.ticks import TickRow


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run, and how long nothing ran before it where that is longer than three times the usual."""

    tick: TickRow
    gap: timedelta | None

    def to_json(self) -> JsonObject:
        """The document of `waitctl ticks`: what the run did is null as long as it has not said so."""
        report = dict(self.tick.report or {})
        report.pop("as_of", None)
        return {
            "started_at": instant(self.tick.started_at),
            "finished_at": instant(self.tick.finished_at),
            "host": self.tick.host,
            "pid": self.tick.pid,
            "as_of": instant(self.tick.as_of),
            "gap_seconds": None if self.gap is None else int(self.gap.total_seconds()),
            **{name: report.get(name) for name in _DID},
        }


_DID = (
    *("correlated", "resumed", "timed_out", "moved", "delivered", "retried", "dead", "stale"),
    *("held", "remaining_due", "quarantined", "pruned", "stopped"),
)


@dataclass(frozen=True, slots=True)
class Runs:
    """Runs, newest first, as of ``now``; ``more``: whether there are others."""

    runs: list[PastRun]
    now: datetime
    more: bool = False


def list_runs(database: Database, *, since: When, limit: int | None = None) -> Runs:
    """The runs since then, newest first, at most ``limit``; by the real clock."""
    with database.read() as connection:
        now = database.real_clock(connection)
        from_ = now + since if isinstance(since, timedelta) else since
        found = ticks.list_ticks(connection, since=from_)
    spans = [RunSpan(row.started_at, row.finished_at or row.started_at) for row in found]
    runs = [PastRun(row, gap) for row, gap in zip(found, gaps(spans), strict=True)]
    return Runs(runs[:limit], now, more=limit is not None and len(runs) > limit)
