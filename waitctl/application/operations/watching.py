"""What `waitctl top` shows: one look at what goes on, cheap enough to be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from waitctl.application.deliveries.handler_factory import handlers_of
from waitctl.application.heartbeat import SILENT_AFTER
from waitctl.application.operations.doctor import MAX_OVERDUE, service_of
from waitctl.application.operations.runs import PastRun
from waitctl.application.waits.results import PendingWaitsSummary
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.counts import CAP
from waitctl.domain.health import Service
from waitctl.domain.values import dataclass
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.store import health, overview, ticks
from waitctl.infrastructure.store.overview import NextDue

_RATED = timedelta(seconds=10)
_FEW = 5


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What goes on. ``rate``: waits that ended a second of late; ``rate_is_more``: or more than that."""

    database: str
    summary: PendingWaitsSummary
    service: Service
    rate: float
    rate_is_more: bool
    next_due: Sequence[NextDue]
    runs: Sequence[PastRun]


def take_snapshot(settings: Settings, database: Database) -> Snapshot:
    """Look. Raises `DatabaseError`."""
    known = [config.name for config in handlers_of(settings, database)]
    service = WaitSchedulingService(database, settings=settings)
    with database.read() as connection:
        summary = service.list_pending_waits(handlers=known, failing=True, connection=connection)
        ended = overview.count_ended_since(connection, summary.now - _RATED)
        progress_at = health.progress_at(connection)
        verdict = service_of(summary, progress_at, max_overdue=MAX_OVERDUE, max_tick_age=SILENT_AFTER)
        real_now = summary.real_now or summary.now
        runs = ticks.list_ticks(connection, since=real_now - timedelta(days=1), limit=_FEW)
        due = overview.next_due(connection, limit=_FEW)
    rate = ended / _RATED.total_seconds()
    return Snapshot(database.name, summary, verdict, rate, ended > CAP, due, [PastRun(row, None) for row in runs])
