"""The peak memory of a tick over a million due waits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.measure import Comparison, Setting, run, say
from benchmarks.rows import Kind, insert_postgresql, insert_sqlite
from waitctl import Database

LIMIT_MIB = 80

# A process of its own. Not by getrusage, whose peak a process inherits from the one that forked it: with the packages
# that the benchmarks load, that was 115 MiB where the tick itself had 60.
CHILD = """
import re, sys
from benchmarks.due_postgresql import tick_due
tick_due(sys.argv[1])
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


def memory(setting: Setting) -> list[Comparison]:
    """Peak resident memory of the tick's process, on both databases."""
    waits = 100_000 if setting.quick else 1_000_000
    comparisons = []
    for name, database in (("postgresql", _postgresql), ("sqlite", _sqlite)):
        with database(setting, waits) as url:
            peak = int(run([sys.executable, "-c", CHILD, url])) / 1024
        say(f"memory {name}: {peak:.0f} MiB")
        comparisons.append(
            Comparison(f"memory: tick over {waits:,} due, {name}", "MiB", [peak], [LIMIT_MIB], at_most=1.0)
        )
    return comparisons


@contextmanager
def _postgresql(setting: Setting, waits: int) -> Iterator[str]:
    with setting.cluster.migrated("memory") as url:
        name = url.rpartition("/")[2].partition("?")[0]
        setting.cluster.psql(name, insert_postgresql(Kind.DUE, waits) + "VACUUM ANALYZE;")
        yield url


@contextmanager
def _sqlite(setting: Setting, waits: int) -> Iterator[str]:
    path = setting.folder / "memory.db"
    with Database(f"sqlite:///{path}") as database:
        database.upgrade()
    insert_sqlite(str(path), Kind.DUE, waits)
    yield f"sqlite:///{path}"
    for file in setting.folder.glob("memory.db*"):
        file.unlink()
