"""A zoo of handlers that misbehave, all in one tick: each gets what it deserves, and the good ones are served."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import sqlalchemy as sa

from tests.chaos.stage import ROOT, Stage, check_words
from tests.cli.processes import finish
from tests.receiver import Receiver, answer, drip, reset
from waitctl import Database, WaitSchedulingService, WaitSpec
from waitctl.infrastructure.schema import deliveries

TICK = ("tick", "-o", "json", "--time-budget", "20s")

MOST_MEMORY = 400 * 2**20
"""Bytes that a tick may take, whatever its handlers print or answer."""

GOOD, DEAD, AGAIN = "delivered", "dead", "pending"

COMMANDS = {
    "good": ("cat >/dev/null", GOOD),
    "reads-nothing": ("exit 0", GOOD),
    "closes-its-input": ("exec 0<&-; sleep 0.1", GOOD),
    "prints-much": ("cat >/dev/null; head -c 50000000 /dev/zero; head -c 50000000 /dev/zero >&2", GOOD),
    "prints-no-text": ("cat >/dev/null; printf '\\377\\376\\000\\033[31m'; exit 65", DEAD),
    "fails": ("exit 3", AGAIN),
    "later": ("exit 75", AGAIN),
    "gives-up": ("exit 78", DEAD),
    "kills-itself": ("kill -9 $$", AGAIN),
    "hangs": ("trap '' TERM; sleep 60", AGAIN),
    "leaves-a-child": ("sleep 60 & exit 0", GOOD),
    "kills-its-group": ("kill -9 0", AGAIN),
}

ANSWERS: dict[str, tuple[bytes | Callable[[socket.socket, Receiver], object], str]] = {
    "hook-good": (answer(204), GOOD),
    "hook-gone": (answer(410, "gone"), DEAD),
    "hook-fails": (answer(500, "x" * 1_000_000), AGAIN),
    "hook-resets": (lambda connection, _: reset(connection), AGAIN),
    "hook-drips": (drip(b"HTTP/1.1 200 OK\r\n", b"X-More: yes\r\n"), AGAIN),
    "hook-floods": (drip(b"HTTP/1.1 500 No\r\n\r\n", b"y" * 65536), AGAIN),
    "hook-is-none": (b"SSH-2.0-OpenSSH\r\n", AGAIN),
}

FUNCTIONS = {
    "returns": ("return object()", GOOD),
    "raises": ("raise ValueError('\\x1b[31m' * 100000)", AGAIN),
    "exits": ("raise SystemExit(0)", AGAIN),
    "prints": ("print('{}' * 100000); import os; os.write(1, b'no json')", GOOD),
    "leaves-a-thread": ("import threading, time; threading.Thread(target=time.sleep, args=(60,)).start()", GOOD),
    "changes-what-it-got": ("given.clear()", GOOD),
}


def zoo(stage: Stage) -> str:
    """Several of each animal in the full form."""
    said = []
    several = stage.times(10, 2)
    with ExitStack() as stack:
        config = stage.config(make_config(stage, stack))
        wanted = {name: status for kind in (COMMANDS, ANSWERS, FUNCTIONS) for name, (_, status) in kind.items()}
        for kind, url in stage.urls("zoo"):
            with Database(url) as database:
                service = WaitSchedulingService(database)
                long_ago = datetime(2026, 1, 1, tzinfo=UTC)
                for name in wanted:
                    for number in range(several):
                        service.create_fixed_time_wait("1s", WaitSpec(f"{name}-{number}", handler=name), base=long_ago)
            path = {"PYTHONPATH": f"{ROOT}:{stage.folder}"}
            process = stage.command(url).start("--config", str(config), *TICK, env=path)
            with Memory(process) as memory:
                ended = finish(process)
            check_words(ended, 0)
            assert ended.json["delivered"] >= several, ended
            with Database(url) as database, database.read() as connection:
                found = connection.execute(
                    sa.select(deliveries.c.handler, deliveries.c.status, deliveries.c.last_error)
                )
                wrong = [row for row in found if row.status != wanted[row.handler]]
            assert not wrong, wrong[:10]
            assert memory.peak < MOST_MEMORY, f"{memory.peak:,} bytes"
            said.append(f"{kind}: {several * len(wanted)} deliveries of {len(wanted)} kinds, {memory.peak >> 20} MiB")
    return "; ".join(said)


def make_config(stage: Stage, stack: ExitStack) -> str:
    """The handlers, and what they run or talk to."""
    lines = []
    for name, (script, _) in COMMANDS.items():
        lines += [f"[handlers.{name}]", f'exec = ["/bin/bash", "-c", {quoted(script)}]', 'timeout = "2s"']
    for name, (reply, _) in ANSWERS.items():
        receiver = stack.enter_context(Receiver())
        receiver.reply = reply
        lines += [f"[handlers.{name}]", f'webhook = "{receiver.url}"', 'timeout = "2s"']
    module = stage.folder / "zoo_functions.py"
    module.write_text(
        "".join(f"def {name.replace('-', '_')}(given):\n    {body}\n" for name, (body, _) in FUNCTIONS.items())
    )
    for name in FUNCTIONS:
        lines += [f"[handlers.{name}]", f'python = "zoo_functions:{name.replace("-", "_")}"']
    return "\n".join(lines)


def quoted(text: str) -> str:
    """A basic string of TOML."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


class Memory:
    """Looks at the most memory that a process ever had, for as long as it is there. In bytes."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.peak = 0
        self._status = Path(f"/proc/{process.pid}/status")
        self._ended = Event()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(0.02):
            with suppress(OSError):
                found = re.search(r"VmHWM:\s+(\d+) kB", self._status.read_text())
                self.peak = max(self.peak, int(found[1]) * 1024 if found else 0)
