"""A host whose clock is three hours off for one tick: said in one line, and healed by one command."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.stage import Stage, check_words
from tests.cli.processes import Finished, Waitctl, finish

PLACES = ("/usr/lib", "/usr/local/lib", "/lib")

HEAL = ("tick", "-o", "json", "--ignore-clock")


def clocks(stage: Stage) -> str:
    """On SQLite the host's clock is the only one; PostgreSQL's ticks do not look at it."""
    library = next((str(each) for place in PLACES for each in Path(place).rglob("libfaketimeMT.so.1")), None)
    if library is None:
        return "not tried: libfaketime is not on this machine (apt-get install libfaketime)"
    for kind, url in stage.urls("clocks"):
        command = stage.command(url)
        wait = command("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
        check_words(off(command, library, "-3h", "tick", "-o", "json"), 0)
        check_words(off(command, library, "+3h", "tick", "-o", "json"), 0)
        assert command("status", wait, "-o", "json").ok().json["status"] == (
            "resumed" if kind == "sqlite" else "scheduled"
        )
        next_wait = command("create", "fixed-time", "1s", "-o", "id").ok().out.strip()
        behind = finish(command.start("tick", "-o", "json"))
        check_words(behind, 5 if kind == "sqlite" else 0)
        check_words(finish(command.start(*HEAL)), 0)
        ended = finish(command.start("tick", "-o", "json"))
        check_words(ended, 0)
        awaited = command.start("await", next_wait, "--timeout", "30s")
        while awaited.poll() is None:
            check_words(finish(command.start("tick", "-o", "json")), 0)
        check_words(finish(awaited), 0)
    return "three hours behind and ahead on both databases, healed by --ignore-clock"


def off(command: Waitctl, library: str, by: str, *arguments: str) -> Finished:
    """Run it on a clock that is wrong."""
    return finish(
        command.start(*arguments, env={"LD_PRELOAD": library, "FAKETIME": by, "FAKETIME_DONT_FAKE_MONOTONIC": "1"})
    )
