"""What it costs to resolve 1,000 due waits among few and among many that are not due."""

from __future__ import annotations

from contextlib import ExitStack

from benchmarks.measure import Comparison, Setting, alternate, seconds
from benchmarks.rows import Kind, insert_postgresql, insert_sqlite
from waitctl import Database
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.store import due

DUE = 1000


def claim_scaling(setting: Setting) -> list[Comparison]:
    """One batch of a tick, undone each time; half of the waits that are not due are for later, half are history."""
    few, many = 10_000, 100_000 if setting.quick else 1_000_000
    comparisons = []
    for kind in ("postgresql", "sqlite"):
        with ExitStack() as stack:
            databases = [
                _postgresql(setting, stack, waits) if kind == "postgresql" else _sqlite(setting, stack, waits)
                for waits in (many, few)
            ]
            for database in databases * 3:
                _milliseconds(database)  # caches warm, statements compiled
            pairs = alternate(
                f"claim-scaling {kind}",
                lambda: _milliseconds(databases[0]),  # noqa: B023 (called at once)
                lambda: _milliseconds(databases[1]),  # noqa: B023
                pairs=20 if setting.quick else 60,
                silent=True,
            )
        comparisons.append(
            Comparison(f"claim-scaling: 1,000 of {many:,} / of {few:,}, {kind}", "ms", *pairs, at_most=1.3)
        )
    return comparisons


def _milliseconds(database: Database) -> float:
    def batch(connection: Connection) -> None:
        now = database.clock(connection)
        resolved, _ = due.resolve_due(connection, now=now, late_before=now, limit=DUE, reason="due", actor="benchmark")
        if resolved != DUE:
            raise SystemExit(f"{resolved} waits were due, not {DUE}")

    return 1000 * seconds(lambda: database.write(batch, rollback=True))


def _postgresql(setting: Setting, stack: ExitStack, waits: int) -> Database:
    url = stack.enter_context(setting.cluster.migrated(f"claim_{waits}"))
    name = url.rpartition("/")[2].partition("?")[0]
    inserts = (
        insert_postgresql(Kind.LATER, waits // 2),
        insert_postgresql(Kind.DONE, waits // 2),
        insert_postgresql(Kind.DUE, DUE),
    )
    setting.cluster.psql(name, "".join(inserts) + "VACUUM ANALYZE;CHECKPOINT;")
    return stack.enter_context(Database(url))


def _sqlite(setting: Setting, stack: ExitStack, waits: int) -> Database:
    path = setting.folder / f"claim-{waits}.db"
    database = stack.enter_context(Database(f"sqlite:///{path}"))
    database.upgrade()
    insert_sqlite(str(path), Kind.LATER, waits // 2)
    insert_sqlite(str(path), Kind.DONE, waits // 2)
    insert_sqlite(str(path), Kind.DUE, DUE)
    return database
