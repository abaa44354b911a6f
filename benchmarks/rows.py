"""Waits by the hundred thousand, made by the databases themselves."""

from __future__ import annotations

import sqlite3
from enum import StrEnum


class Kind(StrEnum):
    """Which waits: due now, scheduled for later, or resumed long ago."""

    DUE = "due"
    LATER = "later"
    DONE = "done"


COLUMNS = (
    "id, workflow_id, workflow_execution_id, step_id, contact_id, wait_type, status, scheduled_at, timezone, "
    "wait_config, context, handler, created_at, updated_at, resolved_at, resolution, late_seconds"
)

# Each wait lasts one, two or three days, so that they fall due in another order than they were created in.
_POSTGRESQL = """
INSERT INTO {table} ({columns})
SELECT public.waitctl_uuidv7(), 'signup', '{kind}-' || n, 'nudge', 'user-' || n || '@example.org', 'fixed_time',
       '{status}', due_at, 'UTC', jsonb_build_object('duration', '3d'), jsonb_build_object('order', n), 'nudge',
       due_at - interval '3 days', due_at - interval '3 days', {resolved}
  FROM generate_series(1, {count}) AS n,
       LATERAL (SELECT now() {sign} (1 + n % 3) * interval '1 day' + n * interval '1 ms') AS due (due_at);
"""

_SQLITE = """
INSERT INTO workflow_wait_executions ({columns})
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count}),
due (n, due_at) AS (
  SELECT n, strftime('%Y-%m-%d %H:%M:%f000', 'now', '{sign}' || (1 + n % 3) || ' days',
                     '+' || (n / 1000.0) || ' seconds')
    FROM numbers)
SELECT printf('%08x-%04x-7%03x-8%03x-%012x', {prefix} + (n >> 16), n & 65535, abs(random() % 4096),
              abs(random() % 4096), abs(random() % 281474976710656)),
       'signup', '{kind}-' || n, 'nudge', 'user-' || n || '@example.org', 'fixed_time',
       '{status}', due_at, 'UTC', '{{"duration":"3d"}}', '{{"order":' || n || '}}', 'nudge', due_at, due_at, {resolved}
  FROM due
"""


def _values(kind: Kind, count: int) -> dict[str, object]:
    done = kind is Kind.DONE
    return {
        "columns": COLUMNS,
        "count": count,
        "kind": kind,
        "status": "resumed" if done else "scheduled",
        "sign": "+" if kind is Kind.LATER else "-",
        "resolved": "due_at, 'due', 0" if done else "NULL, NULL, NULL",
    }


def insert_postgresql(kind: Kind, count: int, table: str = "workflow_wait_executions") -> str:
    """The statement that makes ``count`` waits."""
    return _POSTGRESQL.format(table=table, **_values(kind, count))


def insert_sqlite(path: str, kind: Kind, count: int) -> None:
    """Make ``count`` waits in the database at ``path``."""
    prefix = 0x01900000 + 0x10000 * list(Kind).index(kind)  # a head of its own for the ids of each kind
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(_SQLITE.format(prefix=prefix, **_values(kind, count)))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
