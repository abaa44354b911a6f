"""Ingesting events on PostgreSQL: what each resumes one of many waits, and what matches nothing.

The references are run by psql, from the same file of NDJSON: one hand-written, set-based statement per 1,000 events
that correlates them, and a bare bulk insert.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from benchmarks.measure import Comparison, Setting, alternate, run, seconds
from waitctl import Database, Settings, Tick, TickOptions
from waitctl.application.events.ndjson import read_lines
from waitctl.application.events.recording import EventService
from waitctl.application.processor.run import Phase
from waitctl.infrastructure.indexes import metadata

BATCH = 1000

TABLES = (
    "workflow_events",
    "workflow_event_listeners",
    "workflow_wait_executions",
    "workflow_wait_transitions",
    "workflow_wait_deliveries",
    "waitctl_tombstones",
)

# Waits for the click of a contact each, and beside them as many listeners.
WAITS = """
INSERT INTO workflow_wait_executions
       (id, workflow_execution_id, step_id, contact_id, wait_type, status, timeout_at, timezone, wait_config, handler,
        created_at, updated_at)
SELECT waitctl_uuidv7(), 'signup-' || n, 'clicked', 'user-' || n || '@example.org', 'for_event', 'waiting',
       now() + interval '9 days', 'UTC', jsonb_build_object('timeout', '10d'), 'nudge',
       now() - interval '1 day', now() - interval '1 day'
  FROM generate_series(1, {waits}) AS n;
INSERT INTO workflow_event_listeners
       (id, wait_id, event_type, contact_id, exclusive, status, since_at, timeout_at, expires_at)
SELECT waitctl_uuidv7(), id, 'email_click', contact_id, false, 'active', created_at, timeout_at, timeout_at
  FROM workflow_wait_executions;
"""

# What somebody would write by hand for one batch: store the events, and resume the waits that listen for them.
BY_HAND = """
BEGIN;
WITH given AS (
    SELECT * FROM lines WHERE n > {first} AND n <= {first} + {batch}
), stored AS (
    INSERT INTO workflow_events
           (id, event_type, contact_id, data, source, external_id, occurred_at, received_at, correlated_at)
    SELECT waitctl_uuidv7(), event ->> 'type', event ->> 'contact', event -> 'data', 'cli', event ->> 'id',
           (event ->> 'at')::timestamptz, now(), now()
      FROM given
        ON CONFLICT DO NOTHING
 RETURNING id, event_type, contact_id, received_at
), claimed AS (
    SELECT wait.id, wait.handler, listener.id AS listener_id, stored.id AS event_id
      FROM stored
      JOIN workflow_event_listeners AS listener
        ON listener.contact_id = stored.contact_id AND listener.event_type = stored.event_type
       AND listener.status = 'active'
      JOIN workflow_wait_executions AS wait ON wait.id = listener.wait_id AND wait.status = 'waiting'
     WHERE stored.received_at >= listener.since_at AND stored.received_at < listener.timeout_at
     ORDER BY wait.id
       FOR UPDATE OF wait
), ended AS (
    UPDATE workflow_wait_executions AS wait
       SET status = 'resumed', resolution = 'event', resolved_at = now(), updated_at = now(),
           resolution_event_id = claimed.event_id
      FROM claimed
     WHERE wait.id = claimed.id
 RETURNING wait.id
), closed AS (
    UPDATE workflow_event_listeners AS listener
       SET status = 'matched', matched_event_id = claimed.event_id, matched_at = now()
      FROM claimed
     WHERE listener.id = claimed.listener_id
), audit AS (
    INSERT INTO workflow_wait_transitions (wait_id, at, from_status, to_status, reason, actor)
    SELECT id, now(), 'waiting', 'resumed', 'event ' || event_id, 'ada@host' FROM claimed
), outbox AS (
    INSERT INTO workflow_wait_deliveries
           (id, wait_id, handler, outcome, status, attempt, next_attempt_at, created_at)
    SELECT waitctl_uuidv7(), id, handler, 'event', 'pending', 0, now(), now() FROM claimed
)
SELECT count(*) FROM ended;
COMMIT;
"""

# A bare bulk insert: the same columns with the same indexes, and nobody asks whether anything listens.
BULK = """
INSERT INTO workflow_events
       (id, event_type, contact_id, data, source, external_id, occurred_at, received_at, correlated_at)
SELECT waitctl_uuidv7(), event ->> 'type', event ->> 'contact', event -> 'data', 'cli', event ->> 'id',
       (event ->> 'at')::timestamptz, now(), now()
  FROM lines WHERE n > {first} AND n <= {first} + {batch};
"""

# As other systems do: the inbox table's six columns.
DOOR = """
INSERT INTO workflow_events (event_type, contact_id, data, source, external_id, occurred_at)
SELECT event ->> 'type', event ->> 'contact', event -> 'data', 'crm', event ->> 'id', (event ->> 'at')::timestamptz
  FROM lines;
"""

LOAD = """
DROP TABLE IF EXISTS lines;
CREATE UNLOGGED TABLE lines (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, event jsonb NOT NULL);
\\copy lines (event) FROM '{file}'
"""

CHECK = """
SELECT (SELECT count(*) FROM workflow_events WHERE correlated_at IS NOT NULL),
       (SELECT count(*) FROM workflow_wait_executions WHERE status = 'resumed' AND resolution = 'event'),
       (SELECT count(*) FROM workflow_event_listeners WHERE status = 'matched'),
       (SELECT count(*) FROM workflow_wait_transitions),
       (SELECT count(*) FROM workflow_wait_deliveries WHERE status = 'pending');
"""


class Race:
    """A database with open waits, to be woken each time anew, and a file of events."""

    def __init__(self, setting: Setting, stack: ExitStack, name: str, *, waits: int, events: int, resume: bool) -> None:
        self._psql = setting.cluster.psql
        self._url = stack.enter_context(setting.cluster.migrated(name))
        self._name = self._url.rpartition("/")[2].partition("?")[0]
        self._events, self._resume = events, resume
        self._file = setting.folder / f"{name}.ndjson"
        write_events(self._file, events, waits if resume else 0)
        prepared = "".join(f"CREATE TABLE prepared_{table} AS TABLE {table};" for table in TABLES[1:3])
        self._psql(self._name, WAITS.format(waits=waits) + prepared)
        self._psql(self._name, LOAD.format(file=self._file))

    def process(self) -> float:
        """Events a second by a whole `waitctl event ingest`, from its start to its exit."""
        command = [sys.executable, "-m", "waitctl", "--database-url", self._url]
        return self._rate(lambda: run([*command, "event", "ingest", str(self._file), "-o", "json"]))

    def service(self) -> float:
        """Events a second by `EventService`, in process."""
        return self._rate(self._ingest)

    def _ingest(self) -> None:
        with Database(self._url) as database, self._file.open("rb") as stream:
            EventService(database, actor="benchmark").ingest_ndjson(read_lines(stream))

    def by_hand(self, statement: str) -> Callable[[], float]:
        """Events a second by psql, the file read by it, too."""
        batches = "".join(statement.format(first=first, batch=BATCH) for first in range(0, self._events, BATCH))
        script = LOAD.format(file=self._file) + batches
        return lambda: self._rate(lambda: self._psql(self._name, script))

    def door(self) -> float:
        """Events a second that ticks correlate, which others have inserted."""
        options = TickOptions(batch_size=BATCH, only=frozenset({Phase.EVENTS}))

        def tick() -> None:
            with Database(self._url) as database:
                Tick(database, Settings(self._url), options).run()

        return self._rate(tick, before=DOOR)

    def _rate(self, work: Callable[[], object], before: str = "") -> float:
        self._reset()
        if before:
            self._psql(self._name, f"{before}VACUUM ANALYZE workflow_events;CHECKPOINT;")
        rate = self._events / seconds(work)
        resumed = self._events if self._resume else 0
        done = [int(count) for count in self._psql(self._name, CHECK).split("|")]
        if done != [self._events, *[resumed] * 4]:
            raise SystemExit(f"of {self._events} events, stored, resumed, matched, audited, in the outbox are {done}")
        return rate

    def _reset(self) -> None:
        """The same tables again: their indexes are made after they were filled, which is ten times as fast."""
        truncate = f"TRUNCATE {', '.join(TABLES)} CASCADE;"
        changed = "SELECT count(*) FROM workflow_wait_executions WHERE status <> 'waiting'"
        if int(self._psql(self._name, changed)) == 0:
            truncate = "TRUNCATE workflow_events, workflow_wait_transitions, workflow_wait_deliveries CASCADE;"
            self._psql(self._name, f"{truncate}VACUUM ANALYZE;CHECKPOINT;")
            return
        tables = TABLES[1:3]
        indexes = [index for table in tables for index in metadata.tables[table].indexes]
        names = ", ".join(f"'{index.name}'" for index in indexes)
        definitions = self._psql(self._name, f"SELECT indexdef || ';' FROM pg_indexes WHERE indexname IN ({names})")
        dropped = "".join(f"DROP INDEX {index.name};" for index in indexes)
        filled = "".join(f"INSERT INTO {table} SELECT * FROM prepared_{table};" for table in reversed(tables))
        self._psql(self._name, f"{dropped}{truncate}{filled}{definitions}VACUUM ANALYZE;CHECKPOINT;")


def write_events(file: Path, events: int, waits: int) -> None:
    """A line for every ``waits / events``-th contact, or for contacts that nobody waits for."""
    step = waits // events or 1
    with file.open("w") as out:
        for number in range(events):
            contact = f"user-{1 + number * step}@example.org" if waits else f"stranger-{number}@example.org"
            event = {
                "type": "email_click",
                "contact": contact,
                "id": f"evt-{number}",
                "at": "2026-03-02T08:58:00Z",
                "data": {"url": f"https://example.org/offer/{number}", "campaign": "spring", "position": number % 7},
            }
            out.write(json.dumps(event) + "\n")


def resuming(setting: Setting) -> list[Comparison]:
    """`waitctl event ingest` of events that each resume a wait, against one statement a batch by psql."""
    waits, events = (100_000, 20_000) if setting.quick else (1_000_000, 100_000)
    pairs = 2 if setting.quick else 4
    with ExitStack() as stack:
        race = Race(setting, stack, "ingest", waits=waits, events=events, resume=True)
        by_hand = race.by_hand(BY_HAND)
        whole = alternate("ingest-postgresql", race.process, by_hand, pairs=pairs)
        door = alternate("ingest-postgresql, inbox table", race.door, by_hand, pairs=2)
    return [
        Comparison("ingest-postgresql: event ingest / CTE by psql", "events/s", *whole, at_least=0.6),
        Comparison("ingest-postgresql: tick at the inbox table / CTE by psql", "events/s", *door),
    ]


def unmatched(setting: Setting) -> list[Comparison]:
    """`waitctl event ingest` of events that match nothing, against a bare bulk insert of the same."""
    waits, events = (100_000, 20_000) if setting.quick else (1_000_000, 400_000)
    with ExitStack() as stack:
        race = Race(setting, stack, "unmatched", waits=waits, events=events, resume=False)
        bulk = race.by_hand(BULK)

        def cost(rate: Callable[[], float]) -> Callable[[], float]:
            return lambda: 1_000_000 / rate()

        pairs = alternate("ingest-unmatched", cost(race.process), cost(bulk), pairs=2 if setting.quick else 4)
    return [Comparison("ingest-unmatched: event ingest / bulk insert by psql", "µs/event", *pairs, at_most=1.5)]
