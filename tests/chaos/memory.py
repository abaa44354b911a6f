"""A watch under an even load: what it has taken in the first half it keeps, and it takes no more."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from tests.chaos.races import OPEN, Racer
from tests.chaos.stage import Stage, started
from tests.cli.processes import interrupt
from waitctl import EventQuery

CONFIG = """
[handlers.nudge]
exec = ["/bin/true"]
"""

FLAT = 2.0
"""MB by which the resident memory may differ from its median, to either side, over the second half."""

SAMPLES = 120
STRETCH = 10
"""Looks whose median counts: what is taken for a moment, and given back, is no growth."""

PAUSE = 0.05
"""Seconds between two rounds of the load."""


@dataclass
class Watched:
    """A watch, somebody who gives it work, and the MB that it held at each look."""

    racer: Racer
    process: subprocess.Popen[bytes]
    held: list[float] = field(default_factory=list)

    def give(self, name: str) -> None:
        """A wait that is due, with a delivery, and one that an event ends."""
        self.racer.due(f"{name}-due", "nudge")
        self.racer.listening(name, EventQuery((OPEN,)))
        self.racer.matched(name)

    def look(self) -> None:
        """Note what the process holds."""
        assert self.process.poll() is None, "the watch has ended"
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        self.held.append(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024)

    def judge(self, *, strictly: bool) -> str:
        """What was seen; an hour of it has to be flat."""
        held = [median(self.held[start : start + STRETCH]) for start in range(0, SAMPLES, STRETCH)]
        settled = held[len(held) // 2 :]
        most = max(abs(each - median(settled)) for each in settled)
        assert not strictly or most <= FLAT, f"{held}"
        return f"{median(settled):.1f} MB, within {most:.1f} MB over the second half"


def memory(stage: Stage) -> str:
    """An hour by night, with a watch on each kind of database."""
    seconds = stage.times(3_600, 6)
    config = stage.config(CONFIG)
    watched: dict[str, Watched] = {}
    with ExitStack() as stack:
        for kind, url in stage.urls("memory"):
            racer = stack.enter_context(closing(Racer(url)))
            process = stack.enter_context(started(stage.command(url), "--config", str(config), "tick", "--watch", "-q"))
            watched[kind] = Watched(racer, process)
        began, rounds = time.monotonic(), 0
        for sample in range(1, SAMPLES + 1):
            while time.monotonic() < began + sample * seconds / SAMPLES:
                rounds += 1
                for each in watched.values():
                    each.give(f"{rounds}")
                time.sleep(PAUSE)  # the load itself: an even one
            for each in watched.values():
                each.look()
        for each in watched.values():
            interrupt(each.process, signal.SIGTERM).ok()
    said = (f"{kind}: {each.judge(strictly=stage.share >= 1)}" for kind, each in watched.items())
    return f"{rounds:,} rounds; " + "; ".join(said)
