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
    "bulk": "benchmarks.bulk:bulk",
    "create-file": "benchmarks.create_file:create_file",
    "claim-scaling": "benchmarks.claim_scaling:claim_scaling",
    "recurring": "benchmarks.recurring:recurring",
    "scale": "benchmarks.scale:scale",
    "peers-jobs": "benchmarks.peers.comparison:jobs",
    "peers-events": "benchmarks.peers.comparison:events",
    "peers-beside": "benchmarks.peers.comparison:beside",
    "peers-startup": "benchmarks.peers.comparison:startup",
    "resolution": "benchmarks.resolution:resolution",
    "startup": "benchmarks.startup:startup",
}

GROUPS = {"peers": tuple(name for name in HOMES if name.startswith("peers-"))}
"""Names for several."""
ON_REQUEST = {"scale"}
"""What is run when it is named: it loads ten million waits first."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"of {', '.join([*HOMES, *GROUPS])} (default: all but {', '.join(ON_REQUEST)})",
    )
    parser.add_argument("--quick", action="store_true", help="less of everything: for trying it out, not for judging")
    parser.add_argument("--peer", action="append", metavar="PEER", help="of the peers only this one; may be repeated")
    arguments = parser.parse_args()
    usual = [name for name in HOMES if name not in ON_REQUEST]
    names = [each for name in arguments.names or usual for each in GROUPS.get(name, (name,))]
    if unknown := set(names) - set(HOMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: there are {', '.join(HOMES)}")
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)  # as the command has it, for what is measured in this process
    comparisons: list[Comparison] = []
    with tempfile.TemporaryDirectory(prefix="waitctl-bench-") as folder, running_cluster() as cluster:
        setting = Setting(cluster, Path(folder), quick=arguments.quick, peers=arguments.peer)
        for name in names:
            module, _, function = HOMES[name].partition(":")
            comparisons += getattr(import_module(module), function)(setting)
    if comparisons:
        print(table(comparisons))
    return 0 if all(each.is_ok for each in comparisons) else 1


if __name__ == "__main__":
    sys.exit(main())
