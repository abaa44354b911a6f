"""Run the benchmarks: ``python -m benchmarks [NAME…] [--quick]``. Exits 1 when a required ratio is missed."""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.measure import Comparison, Setting, table
from benchmarks.postgres import running_cluster
from waitctl.__main__ import OBJECTS_BETWEEN_COLLECTIONS

HOMES = {
    "due-postgresql": "benchmarks.due_postgresql:due",
    "lean-tables": "benchmarks.due_postgresql:lean_tables",
    "due-sqlite": "benchmarks.due_sqlite:due",
    "ingest-postgresql": "benchmarks.ingest:resuming",
    "ingest-unmatched": "benchmarks.ingest:unmatched",
    "deliver-python": "benchmarks.deliveries:python",
    "deliver-batch": "benchmarks.deliveries:batch",
    "deliver-exec": "benchmarks.deliveries:command",
    "deliver-webhook": "benchmarks.deliveries:webhook",
    "watch": "benchmarks.deliveries:watch",
    "web": "benchmarks.web:web",
    "memory": "benchmarks.memory:memory",
    "life": "benchmarks.life:life",
    "analytics": "benchmarks.analytics:analytics",
    "soak": "benchmarks.soak:soak",
    "hosts": "benchmarks.hosts:hosts",
    "create-file": "benchmarks.create_file:create_file",
    "claim-scaling": "benchmarks.claim_scaling:claim_scaling",
    "recurring": "benchmarks.recurring:recurring",
    "resolution": "benchmarks.resolution:resolution",
    "startup": "benchmarks.startup:startup",
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(HOMES)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="less of everything: for trying it out, not for judging")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(HOMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(HOMES)}")
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)  # as the command has it, for what is measured in this process
    comparisons: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="waitctl-bench-") as folder, running_cluster() as cluster:
        setting = Setting(cluster, Path(folder), quick=arguments.quick)
        for name in arguments.names or HOMES:
            module, _, function = HOMES[name].partition(":")
            comparisons += getattr(import_module(module), function)(setting)
    if comparisons:
        print(table(comparisons))
    return 0 if all(each.is_ok for each in comparisons) else 1


if __name__ == "__main__":
    sys.exit(main())
