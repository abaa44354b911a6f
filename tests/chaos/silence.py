"""A network that goes silent: no error, no answer. Every command ends by its own deadline, or within a minute."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import ExitStack

from tests.chaos.proxy import Proxy
from tests.chaos.stage import Stage, check_words, until
from tests.chaos.stops import INSIDE, locked, ready_socket
from tests.cli.processes import finish

MARGIN = 15.0
"""Seconds beyond its own deadline that a command may take."""

NOTICED = 60.0
"""Seconds after which a connection that says nothing is given up by a command without a deadline."""

DEADLINES: tuple[tuple[tuple[str, ...], float, tuple[int, ...]], ...] = (
    (("await", "{wait}", "--timeout", "3s"), 3.0, (5, 6)),
    (("tick", "--time-budget", "3s"), 3.0, (5,)),
    (("create", "fixed-time", "3d"), NOTICED, (5,)),
    (("event", "record", "email_open", "--contact", "a@example.org"), NOTICED, (5,)),
    (("status", "{wait}"), NOTICED, (5,)),
)


def silence(stage: Stage) -> str:
    """Silent from the start, and silent in the middle of a statement."""
    url = stage.server.create("silence")
    wait = stage.command(url)("create", "for-event", "email_open", "--contact", "x@example.org", "-o", "id").ok()
    asked = [
        (tuple(word.format(wait=wait.out.strip()) for word in words), deadline, codes)
        for words, deadline, codes in DEADLINES
        if deadline < NOTICED or stage.share >= 1  # a minute of waiting is for the full form
    ]
    first = all_end(stage, asked, inside=False)
    second = all_end(stage, asked, inside=True)
    return f"the slowest took {first:.0f} s when silent from the start, {second:.0f} s inside; {sigterm(stage):.0f} s after SIGTERM"


def all_end(stage: Stage, asked: list[tuple[tuple[str, ...], float, tuple[int, ...]]], *, inside: bool) -> float:
    """Start them all at once, each behind a proxy of its own. Returns the seconds that the slowest took."""
    with ExitStack() as stack:
        proxies = [stack.enter_context(Proxy(stage.server.port)) for _ in asked]
        commands = [stage.command(stage.server.url("silence", proxy.port)) for proxy in proxies]
        if not inside:
            for proxy in proxies:
                proxy.silent.set()
            running = [command.start(*words) for command, (words, *_) in zip(commands, asked, strict=True)]
        else:
            look, hold = (stack.enter_context(stage.server.connect("silence")) for _ in range(2))
            stack.enter_context(locked(hold, "workflow_wait_executions, workflow_events"))
            running = [command.start(*words) for command, (words, *_) in zip(commands, asked, strict=True)]
            until(lambda: look.execute(INSIDE).fetchone() == (len(asked),), "all of them inside a statement")
            for proxy in proxies:
                proxy.silent.set()
        return wait_for(running, [(deadline + MARGIN, codes) for _, deadline, codes in asked])


def wait_for(running: list[subprocess.Popen[bytes]], limits: list[tuple[float, tuple[int, ...]]]) -> float:
    """See each end in time and in plain words."""
    began = time.monotonic()
    try:
        for process, (limit, codes) in sorted(zip(running, limits, strict=True), key=lambda pair: pair[1][0]):
            try:
                process.wait(max(0.1, began + limit - time.monotonic()))
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{process.args!r} is still there after {limit} s") from None
            check_words(finish(process), *codes)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
                finish(process)
    return time.monotonic() - began


def sigterm(stage: Stage) -> float:
    """A resident tick behind a silent network ends within ten seconds of SIGTERM. Returns how many it took."""
    with Proxy(stage.server.port) as proxy, ready_socket(stage) as (address, said):
        command = stage.command(stage.server.url("silence", proxy.port))
        resident = command.start("tick", "--watch", "--interval", "1s", env={"NOTIFY_SOCKET": address})
        until(lambda: b"READY=1" in said(), "a resident tick that is ready")
        proxy.silent.set()
        time.sleep(2)  # the fault itself: let it run into the silence
        resident.send_signal(signal.SIGTERM)
        return wait_for([resident], [(10.0, (0,))])
