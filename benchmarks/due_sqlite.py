"""Resolving due waits on SQLite, against the same batches written by hand with the bare driver."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

from benchmarks.due_postgresql import BATCH, tick_due
from benchmarks.measure import Comparison, Setting, alternate, seconds
from benchmarks.rows import Kind, insert_sqlite
from waitctl import Database
from waitctl.infrastructure.database import host_clock

CLAIM = """
INSERT INTO claimed
SELECT id, handler, scheduled_at FROM workflow_wait_executions
 WHERE status = 'scheduled' AND scheduled_at <= :now ORDER BY scheduled_at LIMIT :limit
"""

END = """
UPDATE workflow_wait_executions
   SET status = 'resumed', resolution = 'due', resolved_at = :now, updated_at = :now,
       late_seconds = CAST((julianday(:now) - julianday(claimed.due_at)) * 86400 AS INTEGER)
  FROM claimed
 WHERE workflow_wait_executions.id = claimed.id
"""

AUDIT = """
INSERT INTO workflow_wait_transitions (wait_id, id, at, from_status, to_status, reason, actor)
SELECT id, (SELECT coalesce(max(rowid), 0) FROM workflow_wait_transitions) + row_number() OVER (),
       :now, 'scheduled', 'resumed', 'due', 'tick@host:1'
  FROM claimed
"""

OUTBOX = """
INSERT INTO workflow_wait_deliveries (id, wait_id, handler, outcome, status, attempt, next_attempt_at, created_at)
SELECT printf('%08x-%04x-7%03x-8%03x-%012x', :millis >> 16, :millis & 65535, abs(random() % 4096),
              abs(random() % 4096), abs(random() % 281474976710656)),
       id, handler, 'due', 'pending', 0, :now, :now
  FROM claimed WHERE handler IS NOT NULL
"""


def by_hand(path: Path) -> None:
    """Resolve all due waits, a transaction a batch."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TEMP TABLE claimed (id, handler, due_at)")
    claimed = BATCH
    while claimed == BATCH:
        at = host_clock()
        now = {
            "now": at.replace(tzinfo=None).isoformat(" ", "microseconds"),
            "millis": int(at.timestamp() * 1000),
            "limit": BATCH,
        }
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM claimed")
        for statement in (CLAIM, END, AUDIT, OUTBOX):
            connection.execute(statement, now)
        (claimed,) = connection.execute("SELECT count(*) FROM claimed").fetchone()
        connection.execute("COMMIT")
    connection.close()


def due(setting: Setting) -> list[Comparison]:
    """`waitctl tick` against bare `sqlite3`, each on its own copy of one file."""
    waits = 20_000 if setting.quick else 200_000
    prepared, copy = setting.folder / "prepared.db", setting.folder / "copy.db"
    with Database(f"sqlite:///{prepared}") as database:
        database.upgrade()
    insert_sqlite(str(prepared), Kind.DUE, waits)

    def rate(work: Callable[[], object]) -> float:
        shutil.copyfile(prepared, copy)
        rate = waits / seconds(work)
        check(copy, waits)
        for file in setting.folder.glob("copy.db*"):
            file.unlink()
        return rate

    pairs = alternate(
        "due-sqlite",
        lambda: rate(lambda: tick_due(f"sqlite:///{copy}")),
        lambda: rate(lambda: by_hand(copy)),
        pairs=2 if setting.quick else 6,
    )
    prepared.unlink()
    return [Comparison("due-sqlite: tick / bare sqlite3", "waits/s", *pairs, at_least=0.7)]


def check(path: Path, waits: int) -> None:
    """Everything must have been resolved, audited and put into the outbox."""
    connection = sqlite3.connect(path)
    done = connection.execute(
        "SELECT (SELECT count(*) FROM workflow_wait_executions WHERE status = 'resumed'),"
        " (SELECT count(*) FROM workflow_wait_transitions), (SELECT count(*) FROM workflow_wait_deliveries)"
    ).fetchone()
    connection.close()
    if set(done) != {waits}:
        raise SystemExit(f"of {waits} waits, resumed, audited and in the outbox are {done}")
