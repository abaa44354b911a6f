"""The whole life of a wait, stage by stage, on both databases: time, bytes written and bytes kept a wait."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Protocol

import sqlalchemy as sa

from benchmarks.measure import Comparison, Setting, say, seconds
from waitctl import (
    Database,
    EventQuery,
    EventService,
    Settings,
    Tick,
    TickOptions,
    WaitExecutionStatus,
    WaitSchedulingService,
    WaitSpec,
)
from waitctl.application.processor.run import Phase
from waitctl.domain.filters import WaitFilter
from waitctl.domain.handlers import HandlerConfig, PythonConfig
from waitctl.infrastructure import schema
from waitctl.infrastructure.dialects import is_among
from waitctl.infrastructure.executor import Connection

HOUR = timedelta(hours=1)
BATCH = 1000
TABLES = (schema.waits, schema.transitions, schema.deliveries, schema.listeners)
"""The waits, and what carries their ids."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stage took for each wait: microseconds, bytes written (WAL), and bytes that tables and indexes grew by."""

    micros: float
    written: float
    kept: float


class Meter(Protocol):
    """A database that tells how much was written to it so far, and how large it is."""

    def written(self) -> int:
        """Bytes so far: of WAL on PostgreSQL, all that this process has written on SQLite."""
        ...

    def size(self) -> int:
        """Bytes of all tables and indexes."""
        ...

    def settle(self) -> None:
        """No stage is to do another one's cleaning up."""


class PostgreSQLMeter:
    """A database of the run's cluster."""

    def __init__(self, setting: Setting, name: str) -> None:
        self._psql, self._name = setting.cluster.psql, name

    def written(self) -> int:
        return int(self._psql(self._name, "SELECT pg_current_wal_insert_lsn() - '0/0'::pg_lsn"))

    def size(self) -> int:
        sizes = "SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relname ~ '^w(ork|ait)'"
        return int(self._psql(self._name, sizes))

    def settle(self) -> None:
        self._psql(self._name, "VACUUM ANALYZE; CHECKPOINT")


class SqliteMeter:
    """A file."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def written(self) -> int:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
        return int(next(line for line in lines if line.startswith("wchar")).split()[1])

    def size(self) -> int:
        with self._database.read() as connection:
            pages, size = (connection.execute(f"PRAGMA {name}").scalar() for name in ("page_count", "page_size"))
        assert pages is not None
        assert size is not None
        return int(pages * size)

    def settle(self) -> None:
        self._database.write(lambda connection: connection.execute("ANALYZE"))


class Life:
    """One database, and the stages of the lives of ``count`` waits, half of which end by the clock."""

    def __init__(self, database: Database, meter: Meter, count: int, few: int) -> None:
        self._database, self._meter = database, meter
        self._half, self._few = count // 2, few
        self._service = WaitSchedulingService(database)
        nudge = HandlerConfig("nudge", PythonConfig("benchmarks.handlers:nothing", own_process=False), concurrency=8)
        self._settings = Settings("", handlers={"nudge": nudge})
        with database.read() as connection:
            self._past = database.clock(connection) - timedelta(days=1)

    def stages(self) -> Iterator[tuple[str, Cost]]:
        """Each stage with what it cost a wait, in the order of a life."""
        half, few = self._half, self._few
        whole = 2 * half + few
        stages: list[tuple[str, int, Callable[[], object]]] = [
            ("create, many in a transaction", half, lambda: self._database.write(self._create_many)),
            ("create, one by one", few, self._create_ones),
            ("create for an event, many", half, lambda: self._database.write(self._listen_many)),
            ("resolve due", half + few, lambda: self._tick(Phase.DUE)),
            ("correlate an event", half, self._correlate),
            ("deliver and settle", whole, lambda: self._tick(Phase.DELIVER)),
            ("status", few, self._status),
            ("list 50 by status", few, self._list),
            ("history", few, self._history),
            ("delete, in batches", whole, self._delete),
        ]
        for name, count, work in stages:
            self._meter.settle()
            written, size = self._meter.written(), self._meter.size()
            took = seconds(work)
            yield (
                name,
                Cost(
                    1e6 * took / count,
                    (self._meter.written() - written) / count,
                    (self._meter.size() - size) / count,
                ),
            )

    def _create(self, name: str, connection: Connection | None = None) -> None:
        spec = WaitSpec(
            name,
            "nudge",
            workflow_id="signup",
            contact_id=f"{name}@example.org",
            context={"order": name},
            handler="nudge",
        )
        self._service.create_fixed_time_wait("1h", spec, base=self._past, connection=connection)

    def _create_many(self, connection: Connection) -> None:
        for number in range(self._half):
            self._create(f"many-{number}", connection)

    def _create_ones(self) -> None:
        for number in range(self._few):
            self._create(f"one-{number}")

    def _listen_many(self, connection: Connection) -> None:
        for number in range(self._half):
            spec = WaitSpec(f"event-{number}", "nudge", contact_id=f"event-{number}@example.org", handler="nudge")
            self._service.create_event_wait(EventQuery(("email_open",)), spec, connection=connection)

    def _tick(self, phase: Phase) -> None:
        options = TickOptions(batch_size=BATCH, only=frozenset({phase}), time_budget=HOUR)
        Tick(self._database, self._settings, options).run()

    def _correlate(self) -> None:
        lines = [
            json.dumps({"type": "email_open", "contact": f"event-{number}@example.org", "id": str(number)}).encode()
            for number in range(self._half)
        ]
        totals = EventService(self._database).ingest_ndjson(enumerate(lines, 1))
        if totals.matched != self._half:
            raise SystemExit(f"of {self._half} events, {totals.matched} matched")

    def _some(self) -> list[str]:
        found, _ = self._service.list_waits(WaitFilter(), limit=self._few)
        return [each.wait.id for each in found]

    def _status(self) -> None:
        for wait_id in self._some():
            self._service.get_wait_status(wait_id)

    def _list(self) -> None:
        for _ in range(self._few):
            self._service.list_waits(WaitFilter(statuses=(WaitExecutionStatus.RESUMED,)), limit=50)

    def _history(self) -> None:
        for wait_id in self._some():
            self._service.get_history(wait_id)

    def _delete(self) -> None:
        """What has been delivered, with all that carries its id: what pruning comes down to."""

        def batch(connection: Connection) -> int:
            waits, ids = schema.waits, "ids"
            ended = sa.select(waits.c.id).where(waits.c.status == WaitExecutionStatus.RESUMED).order_by(waits.c.id)
            found = {ids: list(connection.execute(ended.limit(BATCH)).scalars())}
            for table in TABLES[1:]:
                connection.execute(sa.delete(table).where(is_among(table.c.wait_id, ids)), found)
            return int(connection.execute(sa.delete(waits).where(is_among(waits.c.id, ids)), found).rowcount)

        deleted = 0
        while (count := self._database.write(batch)) == BATCH:
            deleted += count
        if deleted + count != 2 * self._half + self._few:
            raise SystemExit(f"{deleted + count} waits had ended, not {2 * self._half + self._few}")


@contextmanager
def _lived(setting: Setting, kind: str, count: int, few: int) -> Iterator[Life]:
    if kind == "postgresql":
        with setting.cluster.migrated("life") as url, Database(url) as database:
            name = url.rpartition("/")[2].partition("?")[0]
            yield Life(database, PostgreSQLMeter(setting, name), count, few)
        return
    path = setting.folder / "life.db"
    with Database(f"sqlite:///{path}") as database:
        database.upgrade()
        yield Life(database, SqliteMeter(database), count, few)
    for file in setting.folder.glob("life.db*"):
        file.unlink()


def life(setting: Setting) -> list[Comparison]:
    """Print the table; there is nothing that it is compared with."""
    count, few, rounds = (1_000, 50, 2) if setting.quick else (2_000, 200, 5)
    costs: dict[str, dict[str, list[Cost]]] = {}
    for number in range(rounds):
        for kind in ("postgresql", "sqlite") if number % 2 else ("sqlite", "postgresql"):
            with _lived(setting, kind, count, few) as lived:
                for stage, cost in lived.stages():
                    costs.setdefault(stage, {}).setdefault(kind, []).append(cost)
            say(f"life {number + 1}/{rounds}: {kind}")
    print(_table(costs))
    return []


def _table(costs: Mapping[str, Mapping[str, list[Cost]]]) -> str:
    head = "".join(f"{f'{kind}: µs':>16}{'written':>10}{'kept':>8}" for kind in ("postgresql", "sqlite"))
    lines = [f"{'a wait, medians':32}{head}"]
    for stage, by_kind in costs.items():
        cells = ""
        for kind in ("postgresql", "sqlite"):
            each = by_kind[kind]
            micros, written, kept = (median(getattr(cost, name) for cost in each) for name in Cost.__slots__)
            cells += f"{micros:16,.0f}{written:10,.0f}{kept:8,.0f}"
        lines.append(f"{stage:32}{cells}")
    return "\n".join(lines)
