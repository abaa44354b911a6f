"""Whole processes: how long a shell script waits for `waitctl`, against minimal apps of the same libraries."""

from __future__ import annotations

import compileall
import os
import sqlite3
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import waitctl
from benchmarks.measure import Comparison, Setting, alternate, run, seconds
from waitctl import Database


def startup(setting: Setting) -> list[Comparison]:
    """`waitctl --help` and `waitctl create fixed-time 3d` on an SQLite database that is there."""
    for package in (Path(waitctl.__file__).parent, Path(__file__).parent):
        compileall.compile_dir(package, quiet=1)
    pairs = 5 if setting.quick else 25
    database = setting.folder / "startup.db"
    with Database(f"sqlite:///{database}") as opened:
        opened.upgrade()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WAITCTL_")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    environment |= {"WAITCTL_DATABASE_URL": f"sqlite:///{database}", "XDG_CONFIG_HOME": str(setting.folder)}

    def milliseconds(module: str, arguments: Sequence[str]) -> float:
        return 1000 * seconds(lambda: run([sys.executable, "-m", module, *arguments], env=environment))

    comparisons = []
    for reference, arguments in (
        ("benchmarks.reference_help", ["--help"]),
        ("benchmarks.reference_create", ["create", "fixed-time", "3d"]),
    ):
        command = " ".join(["waitctl", *arguments])
        milliseconds("waitctl", arguments)
        milliseconds(reference, arguments)
        measured = alternate(
            command,
            partial(milliseconds, "waitctl", arguments),
            partial(milliseconds, reference, arguments),
            pairs=pairs,
            silent=True,
        )
        comparisons.append(Comparison(f"startup: {command} / minimal app", "ms", *measured, at_most=1.3))
    _check(database, 2 * (pairs + 1))
    return comparisons


def _check(database: Path, waits: int) -> None:
    """Both must have written a wait and its audit a run."""
    connection = sqlite3.connect(database)
    counts = "SELECT (SELECT count(*) FROM workflow_wait_executions), (SELECT count(*) FROM workflow_wait_transitions)"
    written = connection.execute(counts).fetchone()
    connection.close()
    if written != (waits, waits):
        raise SystemExit(f"of {waits} creates, the waits and audit rows written are {written}")
