"""A server that refuses: every command against each SQLSTATE, and a watch that goes on through all of them."""

from __future__ import annotations

import subprocess
from contextlib import closing

from tests.chaos.stage import Stage, check_words, started, until
from tests.chaos.stops import ready_socket
from tests.cli.processes import Waitctl, interrupt
from tests.cli.test_cli_faults import Case
from tests.faults import FAULTS, PlainRole

MOST = 8
"""Commands a state; `tests.cli.test_cli_faults` tries them all."""


def refusals(stage: Stage) -> str:
    """Which commands are tried against which state is for chance to say; a short form tries one state."""
    states = stage.random.sample(sorted(FAULTS), stage.times(len(FAULTS)))
    tried = sum(refused(stage, state) for state in states)
    return f"{tried} commands refused in plain words, and {len(states)} watches went on"


def refused(stage: Stage, state: str) -> int:
    """Returns how many commands were tried."""
    url = stage.server.create(f"refusals_{state.lower()}")
    with closing(PlainRole(url)) as role, ready_socket(stage) as (address, said):
        case = Case(role, url, stage.folder)
        role.prepare(state, "100ms")
        resident = ("tick", "--watch", "--interval", "1s", "-q")
        with started(case.run, *resident, env={"NOTIFY_SOCKET": address}) as watch:
            until(lambda: b"READY=1" in said(), "a watch that is ready")
            names = stage.random.sample(sorted(case.lines), stage.times(MOST))
            case.lines = {name: case.lines[name] for name in names}
            with role.fault(state):
                for _, ended in case.each():
                    check_words(ended, 0, 5, 6)
            goes_on(watch, Waitctl(stage.folder, url))
    return len(names)


def goes_on(watch: subprocess.Popen[bytes], command: Waitctl) -> None:
    """It ends a wait that is due by now, and then itself when it is told to."""
    wait = command("create", "fixed-time", "1s", "-o", "id").ok().out.strip()
    until(lambda: command("status", wait, "-o", "json").json["status"] == "resumed", "a wait that ends")
    check_words(interrupt(watch), 0)
