"""A tick over waits that come again, against what two ordinary waits cost: the tick over one, and another created.

What was due within the last minute ends on time. Ours: each recurrence's open wait ends, and the next one is made. The
reference ends as many waits that come but once, and creates as many by the bulk path, in process like the tick.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.due_postgresql import tick_due
from benchmarks.measure import Comparison, Setting, alternate, seconds
from benchmarks.rows import COLUMNS
from waitctl import Database, WaitRequest, WaitSchedulingService, WaitSpec
from waitctl.infrastructure.database import host_clock

ZONE = "Europe/Berlin"
RULES = {
    "every day": '{"every": "1d"}',
    "cron": '{"cron": "0 9 * * mon-fri"}',
    "rrule": '{"rrule": "FREQ=MONTHLY;BYDAY=1MO"}',
}
WAITS, AUDIT, DELIVERIES, RECURRENCES = (
    *("workflow_wait_executions", "workflow_wait_transitions", "workflow_wait_deliveries"),
    "workflow_recurrences",
)

DUE = f"""
INSERT INTO {WAITS} ({COLUMNS})
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {{count}}),
due (n, due_at) AS (SELECT n, {{due_at}} FROM numbers)
SELECT {{id}}, 'signup', 'signup-' || n, 'nudge', 'user-' || n || '@example.org', 'fixed_time', 'scheduled', due_at,
       '{ZONE}', '{{config}}', {{context}}, 'nudge', due_at, due_at, NULL, NULL, NULL
  FROM due
"""

# Each recurrence bears the id of its first wait.
COMES_AGAIN = f"""
INSERT INTO {RECURRENCES} (id, workflow_id, workflow_execution_id, step_id, contact_id, rule, rules, timezone, context,
                           handler, status, created_by, occurrence, anchor_at, next_at, wait_id, created_at, updated_at)
SELECT id, workflow_id, workflow_execution_id, step_id, contact_id, '{{rule}}', '{{{{}}}}', timezone, context, handler,
       'active', 'bench', 1, created_at, scheduled_at, id, created_at, updated_at
  FROM {WAITS}
"""

COUNTS = f"""
SELECT (SELECT count(*) FROM {WAITS} WHERE status = 'resumed'),
       (SELECT count(*) FROM {WAITS} WHERE status = 'scheduled'),
       (SELECT count(*) FROM {DELIVERIES}), (SELECT count(*) FROM {AUDIT})
"""


@dataclass(frozen=True, slots=True)
class Place:
    """A database, how SQL is run on it, and how it is emptied."""

    name: str
    url: str
    sql: Callable[[str], str]
    empty: Callable[[], object]
    literals: dict[str, str]


def _postgresql(setting: Setting, url: str) -> Place:
    name = url.rpartition("/")[2].partition("?")[0]
    tables = f"{WAITS}, {AUDIT}, {DELIVERIES}, {RECURRENCES}"
    literals = {
        "due_at": "now() - (n % 60) * interval '1 second' - n * interval '1 microsecond'",
        "id": "waitctl_uuidv7()",
        "context": "jsonb_build_object('order', n)",
    }
    return Place(
        "PostgreSQL",
        url,
        lambda script: setting.cluster.psql(name, script),
        lambda: setting.cluster.psql(name, f"TRUNCATE {tables} CASCADE; CHECKPOINT;"),
        literals,
    )


def _sqlite(path: Path) -> Place:
    prepared = f"sqlite:///{path}"

    def sql(script: str) -> str:
        with closing(sqlite3.connect(path)) as connection, connection:
            return "|".join(map(str, connection.execute(script).fetchone() or ()))

    def empty() -> None:
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
        with Database(prepared) as database:
            database.upgrade()

    literals = {
        "due_at": "strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || (n % 60) || ' seconds') || printf('%03d', n % 1000)",
        "id": (
            "printf('%08x-%04x-7%03x-8%03x-%012x', 26214400 + (n >> 16), n & 65535, abs(random() % 4096), "
            "abs(random() % 4096), abs(random() % 281474976710656))"
        ),
        "context": """'{"order":' || n || '}'""",
    }
    return Place("SQLite", prepared, sql, empty, literals)


def recurring(setting: Setting) -> list[Comparison]:
    """Both databases; a span, and local times by an expression and by a rule."""
    with setting.cluster.migrated("recurring") as url:
        places = (_postgresql(setting, url), _sqlite(setting.folder / "recurring.db"))
        return [_compare(setting, place, kind) for place in places for kind in RULES]


def _compare(setting: Setting, place: Place, kind: str) -> Comparison:
    count, pairs = (3_000, 2) if setting.quick else (10_000, 5)

    def prepare(*, again: bool) -> None:
        place.empty()
        config = '{"duration": "1d"}'
        place.sql(DUE.format(count=count, config=config, **place.literals))
        if again:
            place.sql(COMES_AGAIN.format(rule=RULES[kind]))
        if place.name == "PostgreSQL":
            place.sql(f"VACUUM ANALYZE {WAITS}; VACUUM ANALYZE {RECURRENCES}; CHECKPOINT;")

    def check() -> None:
        found = place.sql(COUNTS).strip().split("|")
        if found != [str(each) for each in (count, count, count, 2 * count)]:
            raise SystemExit(f"of {count} waits, ended, open, delivered and audited are {found}")

    def ours() -> float:
        prepare(again=True)
        spent = seconds(lambda: tick_due(place.url))
        check()
        return 1000 * spent

    def two_waits() -> float:
        prepare(again=False)
        spent = seconds(lambda: tick_due(place.url)) + seconds(lambda: _create(place.url, count))
        check()
        return 1000 * spent

    what = f"recurring, {kind}: {place.name}"
    pairs_ = alternate(what, ours, two_waits, pairs=pairs)
    return Comparison(f"{what}, ended and made anew / two waits", "ms", *pairs_, at_most=1.2)


def _create(url: str, count: int) -> None:
    base = host_clock()
    with Database(url) as database:
        WaitSchedulingService(database, actor="bench").create_waits(
            WaitRequest.fixed_time(
                "1d",
                WaitSpec(
                    f"signup-{number}",
                    "nudge",
                    "signup",
                    f"user-{number}@example.org",
                    {"order": number},
                    "nudge",
                    timezone=ZONE,
                ),
                base=base,
            )
            for number in range(count)
        )
