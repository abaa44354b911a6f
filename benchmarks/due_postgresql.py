"""Resolving due waits on PostgreSQL, against one hand-written statement a batch, run by psql."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta

from benchmarks.measure import Comparison, Setting, alternate, run, seconds
from benchmarks.rows import Kind, insert_postgresql
from waitctl import Database, Settings, Tick, TickOptions
from waitctl.application.processor.run import Phase
from waitctl.domain.handlers import HandlerConfig, PythonConfig

TABLES = ("workflow_wait_executions", "workflow_wait_transitions", "workflow_wait_deliveries")
BATCH = 1000
NUDGE = HandlerConfig("nudge", PythonConfig("benchmarks.handlers:nothing"))
"""Of the waits: what no host knows is held, counted and logged."""

REFERENCES = (
    ("workflow_event_listeners", "wait_id", "workflow_wait_executions"),
    ("workflow_listener_matches", "wait_id", "workflow_wait_executions"),
    ("workflow_delivery_outputs", "delivery_id", "workflow_wait_deliveries"),
)

# Our tables once more, with everything that is on them: what refers to one costs each update of it.
COPIES = (
    "CREATE SCHEMA copies;"
    + "".join(f"CREATE TABLE copies.{table} (LIKE public.{table} INCLUDING ALL);" for table in TABLES)
    + "".join(
        f"CREATE TABLE copies.{table}"
        f" (LIKE public.{table} INCLUDING ALL, FOREIGN KEY ({column}) REFERENCES copies.{to} ON DELETE CASCADE);"
        for table, column, to in REFERENCES
    )
)

# The same columns with no more than a tick cannot do without: primary keys and the index that the claim reads.
BARE = (
    "CREATE SCHEMA bare;"
    + "".join(
        f"CREATE TABLE bare.{table} (LIKE public.{table} INCLUDING DEFAULTS INCLUDING IDENTITY);" for table in TABLES
    )
    + """
ALTER TABLE bare.workflow_wait_executions ADD PRIMARY KEY (id);
ALTER TABLE bare.workflow_wait_transitions ADD PRIMARY KEY (wait_id, id);
ALTER TABLE bare.workflow_wait_deliveries ADD PRIMARY KEY (id);
CREATE INDEX ON bare.workflow_wait_executions (scheduled_at) WHERE status = 'scheduled';
"""
)

# What somebody would write by hand for one batch.
BY_HAND = """
WITH claimed AS (
    SELECT id, handler, scheduled_at
      FROM {schema}.workflow_wait_executions
     WHERE status = 'scheduled' AND scheduled_at <= now()
     ORDER BY scheduled_at
     LIMIT {batch}
       FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE {schema}.workflow_wait_executions AS wait
       SET status = 'resumed', resolution = 'due', resolved_at = now(), updated_at = now(),
           late_seconds = floor(extract(epoch FROM now() - claimed.scheduled_at))
      FROM claimed
     WHERE wait.id = claimed.id
 RETURNING wait.id, wait.handler
), audit AS (
    INSERT INTO {schema}.workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor)
    SELECT id, now(), 'scheduled', 'resumed', 'due', 'tick@host:1' FROM ended
), outbox AS (
    INSERT INTO {schema}.workflow_wait_deliveries
           (id, wait_id, handler, outcome, status, attempt, next_attempt_at, created_at)
    SELECT public.waitctl_uuidv7(), id, handler, 'due', 'pending', 0, now(), now() FROM ended
     WHERE handler IS NOT NULL
)
SELECT count(*) FROM ended;
"""

RESET = (
    "SET client_min_messages = warning;"
    + "".join(f"TRUNCATE {{schema}}.{table} CASCADE;" for table in TABLES)
    + (
        "INSERT INTO {schema}.workflow_wait_executions SELECT * FROM prepared ORDER BY id;"
        + "".join(f"VACUUM ANALYZE {{schema}}.{table};" for table in TABLES)
        + "CHECKPOINT;"
    )
)

CHECK = """
SELECT (SELECT count(*) FROM {schema}.workflow_wait_executions WHERE status = 'resumed'),
       (SELECT count(*) FROM {schema}.workflow_wait_transitions),
       (SELECT count(*) FROM {schema}.workflow_wait_deliveries WHERE status = 'pending');
"""


class Race:
    """One database with the same due waits in several schemas, to be resolved in each its own way."""

    def __init__(self, setting: Setting, url: str, waits: int) -> None:
        self._psql = setting.cluster.psql
        self._name = url.rpartition("/")[2].partition("?")[0]
        self._url = url
        self.waits = waits
        tables = "CREATE TABLE prepared (LIKE workflow_wait_executions);"
        self._psql(self._name, COPIES + BARE + tables + insert_postgresql(Kind.DUE, waits, "prepared"))

    def product(self) -> float:
        """Waits a second by `Tick`."""
        return self._rate("public", lambda: tick_due(self._url))

    def process(self) -> float:
        """Waits a second by a whole `waitctl tick`, from its start to its exit."""
        command = [sys.executable, "-m", "waitctl", "--database-url", self._url]
        command += ["tick", "-q", "--only", "due", "--time-budget", "1h", "--batch-size", str(BATCH)]
        return self._rate("public", lambda: run(command))

    def by_hand(self, schema: str) -> Callable[[], float]:
        """Waits a second by psql and the statement above, on the tables of ``schema``."""
        statement = BY_HAND.format(schema=schema, batch=BATCH)
        script = statement * (self.waits // BATCH)
        return lambda: self._rate(schema, lambda: self._psql(self._name, script))

    def _rate(self, schema: str, work: Callable[[], object]) -> float:
        self._psql(self._name, RESET.format(schema=schema))
        rate = self.waits / seconds(work)
        done = self._psql(self._name, CHECK.format(schema=schema)).split("|")
        if set(map(int, done)) != {self.waits}:
            raise SystemExit(f"{schema}: of {self.waits} waits, resumed, audited and in the outbox are {done}")
        return rate


def tick_due(url: str) -> None:
    """Resolve all due waits in process."""
    options = TickOptions(batch_size=BATCH, only=frozenset({Phase.DUE}), time_budget=timedelta(hours=1))
    with Database(url) as database:
        Tick(database, Settings(url, handlers={"nudge": NUDGE}), options).run()


def due(setting: Setting) -> list[Comparison]:
    """`waitctl tick` against the hand-written statement on copies of its tables."""
    with setting.cluster.migrated("due") as url:
        race = Race(setting, url, 20_000 if setting.quick else 200_000)
        by_hand = race.by_hand("copies")
        in_process = alternate("due-postgresql", race.product, by_hand, pairs=2 if setting.quick else 6)
        whole = alternate("due-postgresql, whole process", race.process, by_hand, pairs=2 if setting.quick else 3)
    return [
        Comparison("due-postgresql: tick / CTE by psql", "waits/s", *in_process, at_least=0.75),
        Comparison("due-postgresql: whole process / CTE by psql", "waits/s", *whole),
    ]


def lean_tables(setting: Setting) -> list[Comparison]:
    """The hand-written statement on copies of our tables against the same on a bare schema."""
    with setting.cluster.migrated("lean") as url:
        race = Race(setting, url, 20_000 if setting.quick else 200_000)
        pairs = alternate("lean-tables", race.by_hand("copies"), race.by_hand("bare"), pairs=2 if setting.quick else 6)
    return [Comparison("lean-tables: our tables / bare", "waits/s", *pairs, at_least=0.8)]
