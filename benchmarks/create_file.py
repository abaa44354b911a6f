"""`waitctl create --file` of a hundred thousand waits, beside the same rows by each database's own quickest way.

On PostgreSQL psql's COPY of what was created, waits and audit; on SQLite the driver's bare executemany of it, a
thousand a transaction. Ours is the whole process, from reading the file to its exit.
"""

from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from benchmarks.measure import Comparison, Setting, alternate, run, seconds
from waitctl import Database

BATCH = 1000
WAITS, AUDIT = "workflow_wait_executions", "workflow_wait_transitions"


def write_waits(file: Path, count: int) -> None:
    """Lines as a script writes them for a campaign."""
    with file.open("w") as out:
        for number in range(count):
            wait = {
                "type": "fixed-time",
                "duration": "3d",
                "workflow": "signup",
                "execution": f"signup-{number}",
                "step": "nudge",
                "contact": f"user-{number}@example.org",
                "handler": "nudge",
                "context": {"order": number, "campaign": "spring", "url": f"https://example.org/offer/{number}"},
            }
            out.write(json.dumps(wait) + "\n")


def _create(url: str, file: Path, count: int) -> float:
    """Waits a second."""
    command = [sys.executable, "-m", "waitctl", "--database-url", url, "create", "--file", str(file), "-o", "json"]
    return count / seconds(lambda: run(command))


def create_file(setting: Setting) -> list[Comparison]:
    """Both databases."""
    count = 20_000 if setting.quick else 100_000
    pairs = 2 if setting.quick else 4
    file = setting.folder / "waits.ndjson"
    write_waits(file, count)
    return [_on_postgresql(setting, file, count, pairs), _on_sqlite(setting, file, count, pairs)]


def _on_postgresql(setting: Setting, file: Path, count: int, pairs: int) -> Comparison:
    with setting.cluster.migrated("create_file") as url:
        name = url.rpartition("/")[2].partition("?")[0]
        copies = {table: setting.folder / f"{table}.copy" for table in (WAITS, AUDIT)}

        def empty() -> None:
            setting.cluster.psql(name, f"TRUNCATE {WAITS}, {AUDIT} CASCADE; CHECKPOINT;")

        def check() -> None:
            made = setting.cluster.psql(name, f"SELECT count(*) FROM {WAITS}; SELECT count(*) FROM {AUDIT};").split()
            if made != [str(count)] * 2:
                raise SystemExit(f"of {count} waits there are {made}")

        def ours() -> float:
            empty()
            rate = _create(url, file, count)
            check()
            return rate

        def copy() -> float:
            empty()
            script = "".join(f"\\copy {table} FROM '{copied}'\n" for table, copied in copies.items())
            rate = count / seconds(lambda: setting.cluster.psql(name, script))
            check()
            return rate

        ours()
        setting.cluster.psql(name, "".join(f"\\copy {table} TO '{copied}'\n" for table, copied in copies.items()))
        rates = alternate("create-file, PostgreSQL", ours, copy, pairs=pairs)
    return Comparison("create-file: PostgreSQL, create --file / COPY by psql", "waits/s", *rates, at_least=0.5)


def _on_sqlite(setting: Setting, file: Path, count: int, pairs: int) -> Comparison:
    path = setting.folder / "create-file.db"

    def fresh() -> None:
        for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            name.unlink(missing_ok=True)
        with Database(f"sqlite:///{path}") as database:
            database.upgrade()

    def ours() -> float:
        fresh()
        return _create(f"sqlite:///{path}", file, count)

    ours()
    rows: dict[str, list[tuple[object, ...]]] = {}
    with closing(sqlite3.connect(path)) as connection:
        for table in (WAITS, AUDIT):
            rows[table] = connection.execute(f"SELECT * FROM {table}").fetchall()
    if [len(each) for each in rows.values()] != [count] * 2:
        raise SystemExit(f"of {count} waits there are {[len(each) for each in rows.values()]}")

    def bare() -> float:
        fresh()
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
                connection.execute(f"PRAGMA {pragma}")
            return count / seconds(lambda: _insert(connection, rows))

    rates = alternate("create-file, SQLite", ours, bare, pairs=pairs)
    return Comparison("create-file: SQLite, create --file / bare executemany", "waits/s", *rates, at_least=0.5)


def _insert(connection: sqlite3.Connection, rows: dict[str, list[tuple[object, ...]]]) -> None:
    for first in range(0, len(rows[WAITS]), BATCH):
        connection.execute("BEGIN IMMEDIATE")
        for table, given in rows.items():
            batch = given[first : first + BATCH]
            connection.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(batch[0]))})", batch)
        connection.execute("COMMIT")
