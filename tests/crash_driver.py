"""Runs waitctl in processes that kill themselves at a commit. Started by test_crashes.py, asked on standard input.

A line asks for one run, as JSON: ``{"url", "as_of", "task": "tick" | "ingest" | "upkeep" | "bulk", "kill": [n, "before" | "after"] | null, …}``.
Each run is a fork that imports nothing any more; the answer is a line with its exit status, negative for a signal.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from tests import heard
from tests.cli.fork_server import preload
from waitctl import Database, EventService, Settings, Tick, TickOptions, TickReport
from waitctl.application import retention
from waitctl.application.operations import bulk
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.errors import ConflictError
from waitctl.domain.handlers import ExecConfig, HandlerConfig, PythonConfig, Target, WebhookConfig
from waitctl.infrastructure import database
from waitctl.infrastructure.executor import Connection, Engine

commits = 0


def kill_at(number: int, when: str) -> None:
    """SIGKILL this process before or after its commit number ``number``."""

    class Killed(Engine):
        @contextmanager
        def begin(self, *, write: bool = False) -> Iterator[Connection]:
            global commits
            with super().begin(write=write) as connection:
                yield connection
                commits += 1
                if commits == number and when == "before":
                    os.kill(os.getpid(), signal.SIGKILL)
            if commits >= number:  # another thread may have counted on meanwhile
                os.kill(os.getpid(), signal.SIGKILL)

    setattr(database, "Engine", Killed)  # noqa: B010 (what it has imported is not its to hand out)


def tick(asked: dict[str, Any], **options: Any) -> TickReport:
    handlers = {}
    if target := _target(asked):
        for name, attempts in asked.get("max_attempts", {"nudge": RetryPolicy().max_attempts}).items():
            handlers[name] = HandlerConfig(
                name,
                target,
                timeout=timedelta(seconds=asked.get("timeout", 30)),
                concurrency=asked.get("concurrency", 1),
                retry=RetryPolicy(max_attempts=attempts),
            )
    settings = Settings(asked["url"], handlers=handlers)
    with Database(asked["url"], as_of=datetime.fromisoformat(asked["as_of"])) as opened:
        return Tick(opened, settings, TickOptions(batch_size=asked.get("batch_size", 2)), **options).run()


def _target(asked: dict[str, Any]) -> Target | None:
    if "webhook" in asked:
        return WebhookConfig(asked["webhook"])
    if "python" in asked:
        os.environ[heard.HEARD] = asked["heard"]
        heard.file()
        return PythonConfig(asked["python"], own_process=asked["own_process"])
    return ExecConfig(tuple(asked["exec"]), batch=asked.get("batch", False)) if "exec" in asked else None


def ingest(asked: dict[str, Any]) -> None:
    with Database(asked["url"], as_of=datetime.fromisoformat(asked["as_of"])) as opened:
        lines = Path(asked["lines"]).read_bytes().splitlines()
        EventService(opened).ingest_ndjson(enumerate(lines, 1))


def upkeep(asked: dict[str, Any]) -> None:
    """Count and prune, two at a time."""
    retention.PRUNED_AT_ONCE = 2
    setattr(retention, "_ROLLED_AT_ONCE", 2)  # noqa: B010 (a constant of its own)
    with Database(asked["url"], as_of=datetime.fromisoformat(asked["as_of"])) as opened:
        retention.Upkeep(opened, older_than=timedelta(days=1)).run()


def work_at_plan(asked: dict[str, Any]) -> None:
    """Apply a plan or undo it, two waits at a time; one that is through stays so."""
    vars(bulk).update(LEASE=timedelta(0), _DONE_AT_ONCE=2)
    with Database(asked["url"], as_of=datetime.fromisoformat(asked["as_of"])) as opened, suppress(ConflictError):
        service = bulk.BulkService(opened)
        (service.undo if asked["undo"] else service.apply)(asked["plan"])


TASKS: dict[str, Callable[[dict[str, Any]], object]] = {
    "tick": tick,
    "ingest": ingest,
    "upkeep": upkeep,
    "bulk": work_at_plan,
}


def run_and_die(asked: dict[str, Any]) -> int:
    """Run in a fork; what it exited with."""
    child = os.fork()
    if child == 0:
        try:
            if asked["kill"]:
                kill_at(*asked["kill"])
            TASKS[asked["task"]](asked)
            os._exit(0)
        except BaseException:  # noqa: BLE001 (a fork must not fall back into its parent's code)
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def run_until_told() -> None:
    """A tick that SIGTERM interrupts, in this process itself; prints its report."""
    asked = json.loads(sys.stdin.readline())
    told = False

    def on_term(*_: object) -> None:
        nonlocal told
        told = True
        Path(asked["told"]).touch()

    signal.signal(signal.SIGTERM, on_term)
    print(json.dumps(tick(asked, interrupted=lambda: told).to_json()), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--until-told"]:
        run_until_told()
    else:
        preload()
        gc.collect()
        gc.freeze()  # or every fork would copy what its collections touch
        for line in sys.stdin:
            print(run_and_die(json.loads(line)), flush=True)
