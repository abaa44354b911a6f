"""Metrics for Prometheus: gauges of what is open, and counters that outlive what is pruned."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waitctl.application.deliveries.handler_factory import handlers_of
from waitctl.application.retention import between_marks, first_id_of
from waitctl.application.waits.results import PendingWaitsSummary
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.counts import told
from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.histograms import HANDLER_MILLISECONDS, SECONDS, cumulative
from waitctl.domain.statuses import Resolution
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Connection, Database
from waitctl.infrastructure.new_files import replace_text
from waitctl.infrastructure.store import health, rollups

if TYPE_CHECKING:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

_SECONDS, _MILLISECONDS = 1.0, 0.001


class _Values:
    """What the metrics are made of, read in one transaction."""

    def __init__(self, settings: Settings, database: Database) -> None:
        known = [config.name for config in handlers_of(settings, database)]
        service = WaitSchedulingService(database, settings=settings)
        with database.read() as connection:
            self.summary: PendingWaitsSummary = service.list_pending_waits(handlers=known, connection=connection)
            self.quarantined = health.quarantined_by_source(connection)
            self.orphans = health.orphans(connection)
            fresh, events, rows = _counted(connection)
        self.resolved: dict[str, int] = defaultdict(int, dict.fromkeys((each.value for each in Resolution), 0))
        self.late: dict[int, int] = defaultdict(int)
        self.late_sum = 0
        for _, _, outcome, _, count, _ in rows["ended"]:
            self.resolved[outcome] += count
        for _, _, _, bucket, count, total in rows["late"]:
            self.late[bucket] += count
            self.late_sum += total
        for measure, outcome, bucket, count, total in fresh:
            if measure == "ended":
                self.resolved[outcome] += count
            else:
                self.late[bucket] += count
                self.late_sum += total
        self.events: dict[str, int] = defaultdict(int, events)
        for _, source, _, _, count, _ in rows["event"]:
            self.events[source] += count
        self.attempts = rows["attempt"]


def _counted(connection: Connection) -> tuple[list[Any], dict[str, int], dict[str, list[Any]]]:
    """What is in no total yet, of waits and of events, and the totals; together they count everything once."""

    def look(marks: Sequence[datetime]) -> tuple[list[Any], dict[str, int], dict[str, list[Any]]]:
        fresh = rollups.not_yet(connection, marks[0])
        events = rollups.events_not_yet(connection, first_id_of(marks[1]))
        return fresh, events, {name: rollups.totals(connection, name) for name in ("ended", "late", "event", "attempt")}

    return between_marks(connection, look)


def _metrics(values: _Values) -> Iterator[Metric]:
    yield from _gauges(values)
    yield from _counters(values)
    yield from _histograms(values)


def _gauges(values: _Values) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    gauge = partial(_family, GaugeMetricFamily)
    summary = values.summary
    age = summary.last_tick_age
    yield gauge(
        "oldest_due_age_seconds",
        "How long the wait has been due that was due first; 0 when none is.",
        of=[(summary.oldest_overdue_seconds or 0,)],
    )
    yield gauge(
        "last_tick_age_seconds",
        "How long ago a tick was last seen; infinite before the first.",
        of=[(float("inf") if age is None else age.total_seconds(),)],
    )
    yield gauge(
        "waits",
        "Open waits by status, up to 10,000.",
        "status",
        of=[(status.value, told(count)) for status, count in summary.counts.by_status.items()],
    )
    yield gauge("overdue", "Waits that a tick would end now, up to 10,000.", of=[(told(summary.counts.overdue),)])
    listeners = summary.listeners
    yield gauge(
        "listeners",
        "Listeners by state, up to 10,000: active; of them those that expire within an hour, and those that have.",
        "state",
        of=[
            ("active", told(listeners.active)),
            ("expiring_1h", told(listeners.expiring_1h)),
            ("expired_unswept", told(listeners.expired_unswept)),
        ],
    )
    yield gauge(
        "orphans",
        "Deliveries without a wait, listeners without an open one, waits that listen to nothing, up to 10,000.",
        "kind",
        of=[(kind, told(count)) for kind, count in values.orphans.items()],
    )
    yield gauge(
        "deliveries",
        "Deliveries that are not through, and dead ones, by handler and status, up to 10,000.",
        "handler",
        "status",
        of=[
            (each.handler, status, told(count))
            for each in summary.backlogs
            for status, count in (("pending", each.pending), ("running", each.running), ("dead", each.dead))
        ],
    )
    yield gauge("deliveries_held", "Deliveries that this host may not hand out.", of=[(told(summary.deliveries_held),)])
    yield gauge("quarantined", "Webhooks in quarantine, by source.", "source", of=sorted(values.quarantined.items()))


def _counters(values: _Values) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    counter = partial(_family, CounterMetricFamily)
    yield counter("resolved", "Waits that have ended, by resolution.", "resolution", of=sorted(values.resolved.items()))
    yield counter("events", "Events that were recorded, by source.", "source", of=sorted(values.events.items()))
    attempts: dict[tuple[str, str], int] = defaultdict(int)
    for handler, _, result, _, count, _ in values.attempts:
        attempts[handler, result] += count
    yield counter(
        "delivery_attempts",
        "Attempts of handlers, by what came of them.",
        "handler",
        "result",
        of=[(*names, count) for names, count in sorted(attempts.items())],
    )


def _family(
    kind: type[CounterMetricFamily | GaugeMetricFamily],
    name: str,
    words: str,
    *labels: str,
    of: Iterable[tuple[Any, ...]],
) -> Metric:
    family = kind(f"waitctl_{name}", words, labels=labels)
    for *names, value in of:
        family.add_metric(names, value)
    return family


def _histograms(values: _Values) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    def buckets(counts: dict[int, int], every: Iterable[int], unit: float) -> list[tuple[str, float]]:
        bounds = [(str(round(bound * unit, 3)), float(count)) for bound, count in cumulative(counts, every)]
        return [*bounds, ("+Inf", float(sum(counts.values())))]

    late = HistogramMetricFamily("waitctl_lateness_seconds", "How late waits were ended that end by the clock.")
    late.add_metric([], buckets(values.late, SECONDS, _SECONDS), values.late_sum)
    yield late
    took = HistogramMetricFamily("waitctl_handler_seconds", "How long handlers took.", labels=["handler"])
    counts: dict[str, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    sums: dict[str, int] = defaultdict(int)
    for handler, _, _, bucket, count, total in values.attempts:
        counts[handler][bucket] += count
        sums[handler] += total
    for handler in sorted(counts):
        took.add_metric(
            [handler], buckets(counts[handler], HANDLER_MILLISECONDS, _MILLISECONDS), sums[handler] * _MILLISECONDS
        )
    yield took


def metrics_text(settings: Settings, database: Database) -> str:
    """Everything in Prometheus' text format. Raises `DatabaseError`."""
    from prometheus_client import CollectorRegistry, generate_latest

    values = _Values(settings, database)
    registry = CollectorRegistry()
    registry.register(_Collector(lambda: _metrics(values)))
    return generate_latest(registry).decode()


class _Collector:
    """What the library asks."""

    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self.collect = collect


def write_textfile(path: Path, text: str) -> None:
    """Put a text in the place of a file, which others may read: whole or not at all. Raises `InvalidSettingError`."""
    try:
        replace_text(path, text, mode=0o644)
    except OSError as error:
        raise InvalidSettingError(f"cannot write {path}: {error.strerror}") from error
