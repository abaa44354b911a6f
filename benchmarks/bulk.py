"""A hundred thousand waits planned and applied on PostgreSQL, while two ticks watch the same database.

Each is two commands, from their start to their end. The goal is ten seconds for all.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.create_file import write_waits
from benchmarks.measure import Comparison, Setting, run, say, seconds

SECONDS = 10
BUSY = 10_000
"""Waits of others that the ticks resume meanwhile."""


def bulk(setting: Setting) -> list[Comparison]:
    """Cancel and undo, reschedule and undo, resume: in this order, on the same waits."""
    count = 20_000 if setting.quick else 100_000
    file, others = setting.folder / "waits.ndjson", setting.folder / "others.ndjson"
    write_waits(file, count)
    _write_others(others)
    with setting.cluster.migrated("bulk") as url:
        name = url.rpartition("/")[2].partition("?")[0]
        waitctl = [sys.executable, "-m", "waitctl", "--database-url", url]
        for each in (file, others):
            run([*waitctl, "create", "--file", str(each), "-q"])
        setting.cluster.psql(name, "ANALYZE;")

        def settle() -> None:
            setting.cluster.psql(name, "VACUUM ANALYZE; CHECKPOINT;")

        with _ticking(waitctl, 2):
            steps: list[Comparison] = []
            for action, options in (("cancel", ()), ("reschedule", ("--by", "+2h")), ("resume", ())):
                steps += _planned_and_applied(waitctl, count, action, options)
                settle()
    return steps


def _planned_and_applied(waitctl: list[str], count: int, action: str, options: tuple[str, ...]) -> Iterator[Comparison]:
    plans: list[str] = []

    def plan() -> None:
        planned = run([*waitctl, "bulk", action, "--workflow", "signup", *options, "-o", "json"])
        plans.append(json.loads(planned)["plan_id"])

    def apply() -> None:
        _check(count, json.loads(run([*waitctl, "bulk", "apply", plans[-1], "-o", "json"]))["applied"])

    def undo() -> None:
        _check(count, json.loads(run([*waitctl, "bulk", "undo", plans[-1], "-o", "json"]))["undone"])

    planning, applying = seconds(plan), seconds(apply)
    say(f"bulk {action}: planned in {planning:.1f} s, applied in {applying:.1f} s")
    yield _comparison(f"bulk: {action}, planned and applied", count, planning + applying)
    if action != "resume":
        yield _comparison(f"bulk: {action}, undone", count, seconds(undo))


def _comparison(what: str, count: int, took: float) -> Comparison:
    return Comparison(what, "waits/s", [count / took], [100_000 / SECONDS], at_least=1)


def _check(count: int, done: int) -> None:
    if done != count:
        raise SystemExit(f"of {count} waits {done} were changed")


def _write_others(file: Path) -> None:
    with file.open("w") as out:
        for number in range(BUSY):
            wait = {"type": "fixed-time", "duration": f"{1 + number % 60}s", "workflow": "others"}
            out.write(json.dumps(wait | {"execution": f"other-{number}", "step": "busy"}) + "\n")


@contextmanager
def _ticking(waitctl: list[str], count: int) -> Iterator[None]:
    ticks = [subprocess.Popen([*waitctl, "tick", "--watch", "-q"]) for _ in range(count)]
    try:
        yield
    finally:
        for tick in ticks:
            tick.terminate()
        for tick in ticks:
            tick.wait()
