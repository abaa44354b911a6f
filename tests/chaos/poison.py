"""A delivery that ends its tick, again and again, beside innocent ones: it dies alone."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa

from tests.chaos.stage import ROOT, Stage, hours_from_now
from tests.cli.processes import finish
from tests.receiver import Receiver, answer
from waitctl import Database, WaitSchedulingService, WaitSpec
from waitctl.infrastructure.schema import deliveries

ATTEMPTS = 8
"""The default ``max_attempts``: so many crashes the poison may cost."""

CONFIG = """
[handlers.poison]
python = "poisoned:end"

[handlers.function]
python = "poisoned:nothing"

[handlers.command]
exec = ["true"]

[handlers.hook]
webhook = "{url}"
"""

MODULE = """
import os, signal

def end(given):
    {crash}

def nothing(given):
    pass
"""

CRASHES = ("os._exit(1)", "os.kill(os.getpid(), signal.SIGSEGV)", "os.kill(os.getpid(), signal.SIGKILL)")


def poison(stage: Stage) -> str:
    """200 innocents in the full form, once for each way to crash."""
    said: list[str] = []
    for crash in CRASHES[: stage.times(len(CRASHES))]:
        (stage.folder / "poisoned.py").write_text(MODULE.format(crash=crash))
        for kind, url in stage.urls(f"poison{len(said)}"):
            said.append(f"{kind}: {one(stage, url)}")
    return "; ".join(said)


def one(stage: Stage, url: str) -> str:
    """Tick until the poison is dead, and three times more."""
    innocents = ("function", "command", "hook")
    with Database(url) as database:
        service = WaitSchedulingService(database)
        long_ago = datetime(2026, 1, 1, tzinfo=UTC)
        for number in range(stage.times(200, 30)):
            handler = "poison" if number == 7 else innocents[number % 3]
            service.create_fixed_time_wait("1s", WaitSpec(f"{handler}-{number}", handler=handler), base=long_ago)
    crashes, later = 0, 0
    by_status: dict[tuple[str, str], int] = {}
    with Receiver() as receiver:
        receiver.reply = answer(204)
        config = stage.config(CONFIG.format(url=receiver.url))
        for days in range(1, 40):
            tick = ("--config", str(config), "tick", "-o", "json", "--as-of", hours_from_now(24 * days))
            ended = finish(stage.command(url).start(*tick, env={"PYTHONPATH": f"{ROOT}:{stage.folder}"}))
            crashes += ended.code != 0
            by_status = statuses(url)
            if ("poison", "dead") in by_status:
                later += 1
                if later > 3 or not any(status in {"pending", "running"} for _, status in by_status):
                    break
    assert set(by_status) == {("poison", "dead")} | {(each, "delivered") for each in innocents}, by_status
    assert crashes <= ATTEMPTS, crashes
    return f"{crashes} crashes"


def statuses(url: str) -> dict[tuple[str, str], int]:
    """How many deliveries there are, by handler and status."""
    by = deliveries.c.handler, deliveries.c.status
    with Database(url) as database, database.read() as connection:
        found = connection.execute(sa.select(*by, sa.func.count()).group_by(*by))
        return {(handler, status.value): number for handler, status, number in found}
