"""Whole processes: how long a shell script waits for `waitctl`, against what it cannot do without."""

from __future__ import annotations

import compileall
import os
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import waitctl
from benchmarks.measure import Comparison, Setting, alternate, run, seconds
from waitctl import Database

COMMANDS = (
    "create fixed-time 3d",
    "event record email_open --contact ada",
    "tick",
    "status -e order-17 -s wait",
    "list --limit 50",
    "pending",
)
OWN = 60.0
"""Milliseconds that a command has for itself, beyond Python, Typer and the driver."""
MEMORY = 45.0
"""MiB that a command may hold at its peak."""

_SAYS_ITS_PEAK = """
import re, sys
from waitctl.cli.app import run
assert run(sys.argv[1:]) == 0
print(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1])
"""


def startup(setting: Setting) -> list[Comparison]:
    """`waitctl --help` against an app of two commands; scripts against the imports of Typer and a driver."""
    for package in (Path(waitctl.__file__).parent, Path(__file__).parent):
        compileall.compile_dir(package, quiet=1)
    help_ = _alternate(["-m", "waitctl", "--help"], ["-m", "benchmarks.reference_help", "--help"], {}, setting)
    comparisons = [Comparison("startup: waitctl --help / minimal app", "ms", *help_, at_most=1.3)]
    with setting.cluster.migrated("startup") as server:
        for driver, url in (("sqlite3", f"sqlite:///{setting.folder / 'startup.db'}"), ("psycopg", server)):
            comparisons += _commands(driver, url, setting)
    return comparisons


_WAITCTL = ("-m", "waitctl")


def _commands(driver: str, url: str, setting: Setting) -> list[Comparison]:
    environment = {"WAITCTL_DATABASE_URL": url, "XDG_CONFIG_HOME": str(setting.folder)}
    with Database(url) as database:
        database.upgrade()
    _run([*_WAITCTL, "create", "fixed-time", "3d", "-e", "order-17"], environment)
    comparisons = []
    for command in COMMANDS:
        imports = ["-c", f"import typer, {driver}"]
        ours, theirs = _alternate([*_WAITCTL, *command.split()], imports, environment, setting)
        what = f"startup: waitctl {command.split(' -')[0]}, less {OWN:.0f} ms / import typer, {driver}"
        comparisons.append(Comparison(what, "ms", [each - OWN for each in ours], theirs, at_most=1.0))
        peak = _peak(command.split(), environment)
        what = f"startup: memory of waitctl {command.split(' -')[0]} with {driver} / {MEMORY:.0f} MiB"
        comparisons.append(Comparison(what, "MiB", [peak], [MEMORY], at_most=1.0))
    return comparisons


def _alternate(
    ours: Sequence[str], theirs: Sequence[str], environment: Mapping[str, str], setting: Setting
) -> tuple[list[float], list[float]]:
    for each in (ours, theirs):
        _run(each, environment)  # its files are read
    measure = (partial(_run, each, environment) for each in (ours, theirs))
    return alternate(" ".join(ours), *measure, pairs=3 if setting.quick else 9, silent=True)


def _run(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """Milliseconds that a Python takes for these arguments."""
    return 1000 * seconds(lambda: run([sys.executable, *arguments], env=_whole(environment)))


def _peak(arguments: Sequence[str], environment: Mapping[str, str]) -> float:
    """MiB that a process of its own holds at most with these arguments."""
    said = run([sys.executable, "-c", _SAYS_ITS_PEAK, *arguments], env=_whole(environment))
    return int(said.split()[-1]) / 1024


def _whole(environment: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WAITCTL_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**kept, **environment}
