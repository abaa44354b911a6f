"""A SIGKILL a second among four ticks: no wait is lost, none is resolved twice, each is handed out under one id."""

from __future__ import annotations

import json
import sqlite3
import time
from collections import defaultdict
from pathlib import Path

import sqlalchemy as sa

from benchmarks import rows
from tests.chaos.stage import Stage, hours_from_now
from tests.cli.processes import Waitctl, finish
from tests.invariants import invariants
from waitctl import Database
from waitctl.infrastructure.schema import deliveries, waits

TICKS = 4

# What a killed tick had begun comes back when its lease has run out: the last rounds are told a later time.
ROUNDS = 12

AUDIT = """
INSERT INTO workflow_wait_transitions (wait_id, at, to_status, reason, actor{id})
SELECT id, created_at, 'scheduled', 'created', 'chaos'{number} FROM workflow_wait_executions
"""

CONFIG = """
[handlers.nudge]
exec = ["/bin/sh", "-c", 'cat > "$0/$WAITCTL_DELIVERY_ID-$$"; exec sleep 0.02', "{log}"]
concurrency = 4
timeout = "5s"
max_attempts = 1000
backoff = "1s"
max_backoff = "1s"
"""


def kills(stage: Stage) -> str:
    """20,000 waits in the full form, on both databases."""
    count, seconds = stage.times(10_000, 500), stage.times(30, 4)
    said = []
    for kind, url in stage.urls("kills"):
        log = stage.folder / f"{kind}-log"
        log.mkdir()
        config = stage.config(CONFIG.format(log=log), f"{kind}.toml")
        fill(stage, url, count)
        killed = kill_ticks(stage, stage.command(url), config, seconds)
        drain(stage.command(url), config)
        said.append(f"{kind}: {count:,} waits, {killed} kills, {check(url, log, count):,} handed out")
    return "; ".join(said)


def fill(stage: Stage, url: str, count: int) -> None:
    """Due waits, as many as asked for, each with the first line of its audit trail."""
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        rows.insert_sqlite(path, rows.Kind.DUE, count)
        with sqlite3.connect(path) as connection:
            connection.execute(AUDIT.format(id=", id", number=", row_number() OVER ()"))
        return
    with stage.server.connect("kills") as server:
        server.execute(rows.insert_postgresql(rows.Kind.DUE, count).encode())
        server.execute(AUDIT.format(id="", number="").encode())


def kill_ticks(stage: Stage, command: Waitctl, config: Path, seconds: int) -> int:
    """Keep four ticks going for so long, and kill one of them a second. Returns how many were."""
    tick = ("--config", str(config), "tick", "-o", "json", "--batch-size", "200")
    running = [command.start(*tick) for _ in range(TICKS)]
    killed = 0
    deadline = time.monotonic() + seconds
    try:
        while time.monotonic() < deadline:
            time.sleep(stage.random.uniform(0.5, 1.5))  # the fault itself: when it strikes is chance
            victim = stage.random.randrange(TICKS)
            if running[victim].poll() is None:
                running[victim].kill()
                killed += 1
            for place, process in enumerate(running):
                if process.poll() is not None:
                    finish(process)
                    running[place] = command.start(*tick)
    finally:
        for process in running:
            process.kill()
            finish(process)
    return killed


def drain(command: Waitctl, config: Path) -> None:
    """Tick, an hour later each time, until there is nothing left to do."""
    report = None
    for hours in range(1, ROUNDS + 1):
        tick = ("tick", "-o", "json", "--as-of", hours_from_now(hours))
        report = command("--config", str(config), *tick).ok().json
        if report["stopped"] == "idle" and not any(report[key] for key in ("resumed", "delivered", "retried", "held")):
            return
    raise AssertionError(f"not idle after {ROUNDS} rounds: {report}")


def check(url: str, log: Path, count: int) -> int:
    """Every wait ended once, its one delivery is through, and what the handler saw of it bears one id."""
    with Database(url) as database, database.read() as connection:
        invariants(connection)
        ended = connection.execute(sa.select(sa.func.count()).select_from(waits).where(waits.c.resolution == "due"))
        assert ended.scalar() == count
        rows_ = connection.execute(sa.select(deliveries.c.wait_id, deliveries.c.id, deliveries.c.status)).all()
    assert len(rows_) == count and {status for *_, status in rows_} == {"delivered"}
    seen: dict[str, set[str]] = defaultdict(set)
    lines = 0
    for line in (line for file in log.iterdir() for line in file.read_text().splitlines()):
        if found := read(line):
            lines += 1
            seen[found[0]].add(found[1])
    wanted = {wait_id: {delivery_id} for wait_id, delivery_id, _ in rows_}
    missing = wanted.keys() - seen.keys()
    assert not missing, f"{len(missing)} were never handed out"
    assert {key: seen[key] for key in wanted} == wanted, "handed out under another id"
    return lines


def read(line: str) -> tuple[str, str] | None:
    """The wait and the delivery of a line; None for one that a kill cut off."""
    try:
        document = json.loads(line)
        return document["wait"]["id"], document["delivery_id"]
    except (ValueError, KeyError, TypeError):
        return None
