"""What became of the waits of a year, asked of the totals; and what it costs to keep them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from benchmarks.measure import Comparison, Setting, say, seconds
from waitctl import Database, Settings, Tick, TickOptions, WaitSchedulingService, WaitSpec
from waitctl.application.operations.analytics import analyse
from waitctl.application.processor.run import Phase
from waitctl.application.retention import Upkeep
from waitctl.domain.analytics import Dimension
from waitctl.domain.filters import WaitFilter
from waitctl.domain.histograms import SECONDS
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.store import rollups

DAYS, WORKFLOWS, STEPS = 365, 10, 5
WAITS = 10_000_000
_WITHIN = 1.0
"""Seconds that a year may take."""


def _year(span: str) -> str:
    """The totals of a year by ``span``, an expression on the number of a day.

    Each day, each step of each workflow has events within a month, and waits that are late.
    """
    few = max(1, WAITS // DAYS // WORKFLOWS // STEPS // 30)
    measures = [
        *(("ended", outcome, 0, 10 * few) for outcome in ("event", "timeout", "due")),
        *(("to_event", "event", bound, few) for bound in SECONDS[5:29]),
        *(("late", outcome, bound, few) for outcome in ("due", "timeout") for bound in SECONDS[:5]),
        *(("attempt", outcome, bound, few) for outcome in ("delivered", "failed") for bound in (10, 25, 50)),
    ]
    rows = ", ".join(f"('{name}', '{outcome}', {bound}, {count})" for name, outcome, bound, count in measures)
    return f"""
        WITH RECURSIVE days(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM days WHERE n < {DAYS - 1}),
            workflows(w) AS (SELECT 0 UNION ALL SELECT w + 1 FROM workflows WHERE w < {WORKFLOWS - 1}),
            steps(s) AS (SELECT 0 UNION ALL SELECT s + 1 FROM steps WHERE s < {STEPS - 1}),
            measures(measure, outcome, bucket, count) AS (VALUES {rows})
        INSERT INTO waitctl_rollups
            (measure, day, workflow_id, wait_type, step_id, handler, source, outcome, bucket, count, total)
        SELECT measure, {span}, 'workflow-' || w, 'for_event', 'step-' || s, 'handler-' || s, '', outcome, bucket,
            sum(count), sum(count * bucket)
        FROM days, workflows, steps, measures GROUP BY 1, 2, w, s, outcome, bucket"""


_DAY = {"postgresql": "CAST(date '2025-01-01' + n AS text)", "sqlite": "date('2025-01-01', '+' || n || ' days')"}


@contextmanager
def _database(setting: Setting, kind: str) -> Iterator[Database]:
    if kind == "postgresql":
        with setting.cluster.migrated("analytics") as url, Database(url) as database:
            yield database
        return
    with Database(f"sqlite:///{setting.folder / 'analytics.db'}") as database:
        database.upgrade()
        yield database
    for file in setting.folder.glob("analytics.db*"):
        file.unlink()


def _ask(database: Database, kind: str, rounds: int) -> Iterator[Comparison]:
    day = _DAY[kind]
    for statement in (_year(day), _year(f"'m' || substr({day}, 1, 7)"), "ANALYZE"):
        database.write(partial(Connection.execute, statement=statement))
    with database.read() as connection:
        rows = connection.execute("SELECT count(*) FROM waitctl_rollups").scalar()
    say(f"{kind}: {rows:,} rows")
    for by in (None, *Dimension):
        took = [seconds(partial(analyse, database, WaitFilter(), by=by)) for _ in range(rounds)]
        name = f"a year of {WAITS:,} waits, {kind}, {f'by {by}' if by else 'in all'}"
        yield Comparison(name, "ms", [1000 * each for each in took], [1000 * _WITHIN] * rounds, at_most=1.0)


def _keep_up(database: Database, kind: str, count: int, rounds: int) -> Comparison:
    """A tick over waits that are due, beside what it takes to count them later."""
    service, settings = WaitSchedulingService(database), Settings("")
    options = TickOptions(only=frozenset({Phase.DUE}), time_budget=timedelta(hours=1))
    with database.read() as connection:
        past = database.clock(connection) - timedelta(days=1)

    def create(connection: Connection) -> None:
        for number in range(count):
            spec = WaitSpec(f"e-{number}", f"step-{number % 5}", workflow_id=f"workflow-{number % 10}")
            service.create_fixed_time_wait("1h", spec, base=past, connection=connection)

    def round_() -> tuple[float, float]:
        database.write(create)
        took = seconds(Tick(database, settings, options).run)
        database.write(lambda connection: connection.execute(_LONG_AGO[kind]))
        for mark in ("waits", "events"):
            database.write(partial(rollups.move_mark, name=mark, until=past))
        counting = seconds(Upkeep(database).run)
        database.write(lambda connection: connection.execute("DELETE FROM workflow_wait_executions"))
        return took, counting

    took = [round_() for _ in range(rounds)]
    ticks, both = [1000 * tick for tick, _ in took], [1000 * (tick + counting) for tick, counting in took]
    return Comparison(f"a tick over {count:,}, {kind}, and counting what it ended", "ms", both, ticks)


_LONG_AGO = {
    "postgresql": "UPDATE workflow_wait_executions SET resolved_at = resolved_at - interval '1 hour'",
    "sqlite": "UPDATE workflow_wait_executions"
    " SET resolved_at = strftime('%Y-%m-%d %H:%M:%f000', resolved_at, '-1 hour')",
}
"""Totals are two minutes behind: what has just ended is made older."""


def analytics(setting: Setting) -> list[Comparison]:
    """A year within a second, on both databases."""
    rounds = 3 if setting.quick else 5
    found: list[Comparison] = []
    for kind in ("sqlite", "postgresql"):
        with _database(setting, kind) as database:
            found.append(_keep_up(database, kind, 2_000 if setting.quick else 20_000, rounds))
        with _database(setting, kind) as database:
            found += _ask(database, kind, rounds)
    return found
