"""A process that has imported waitctl and done nothing else; its forks become commands. `tests.cli.forks` asks it.

A request is a byte on standard input, a socket, with descriptors: of the command line as JSON, of the three streams,
and of where to write the process id, in ten characters, and later the exit status. A command is a process of its own,
as if started by ``python -m waitctl``, and begins in a state that no command has touched.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TextIO

import coverage

DESCRIPTORS = 5
LATE = (
    "alembic.command",
    "alembic.ddl",
    "alembic.runtime.environment",
    "holidays",
    "psycopg",
    "rich.panel",
    "rich.table",
    "sqlalchemy.dialects.postgresql.psycopg",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "typer.rich_utils",
    "uuid_utils",
)
"""What commands import when they need it."""

running: dict[int, int] = {}
"""By the ids of the processes that run: where their exit statuses go."""


def preload() -> None:
    """Import all of waitctl but its ``__main__``, and what it loads late."""
    package = import_module("waitctl")
    modules = [module.name for module in pkgutil.walk_packages(package.__path__, "waitctl.")]
    for name in (*modules, *LATE):
        if not name.endswith(".__main__"):
            import_module(name)


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Fork at every request. In the fork, returns what is asked; here, None when nobody asks any more."""
    ended, wake = os.pipe()
    sources: list[socket.socket | int] = [requests, ended]
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        ready, _, _ = select.select(sources, [], [])
        if ended in ready:
            os.read(ended, 4096)
            reap()
        if requests not in ready:
            continue
        _, descriptors, _, _ = socket.recv_fds(requests, 1, DESCRIPTORS)
        if not descriptors:
            return None
        if (process := os.fork()) == 0:
            signal.set_wakeup_fd(-1)
            requests.close()
            return prepare(descriptors, (ended, wake, *running.values()))
        *theirs, answer = descriptors
        os.write(answer, b"%10d" % process)
        running[process] = answer
        for descriptor in theirs:
            os.close(descriptor)


def reap() -> None:
    """Tell the exit status of every command that has ended."""
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        answer = running.pop(process)
        os.write(answer, b"%d" % os.waitstatus_to_exitcode(status))
        os.close(answer)


def prepare(descriptors: list[int], others: Sequence[int]) -> dict[str, Any]:
    """Put signals and descriptors as a new interpreter has them; return what is asked."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    request, *streams, answer = descriptors
    with os.fdopen(request) as text:
        asked: dict[str, Any] = json.load(text)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for descriptor in (*streams, answer, *others):
        os.close(descriptor)
    return asked


def become(asked: dict[str, Any]) -> None:
    """Take on the folder, the environment and the arguments, and run as ``python -m waitctl`` does."""
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    sys.path[0] = str(Path.cwd())
    sys.argv[1:] = asked["arguments"]
    sys.stdin = reopened(sys.stdin, "r", None)
    sys.stdout = reopened(sys.stdout, "w", "\n")
    sys.stderr = reopened(sys.stderr, "w", "\n", buffering=1)
    coverage.process_startup(force=True)  # when the environment asks for it
    try:
        runpy.run_module("waitctl", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        end(stop.code)


def end(status: Any) -> None:
    """End as an interpreter does, but leave alone what it would take apart, object by object: most of the time."""
    vars(threading)["_shutdown"]()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def reopened(stream: TextIO, mode: Literal["r", "w"], newline: str | None, buffering: int = -1) -> TextIO:
    """The same stream, but it knows nothing of what it was opened on."""
    return open(
        stream.fileno(), mode, buffering, encoding=stream.encoding, errors=stream.errors, newline=newline, closefd=False
    )


def main() -> None:
    preload()
    gc.collect()
    gc.freeze()  # or every fork would copy what its collections touch
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run of the tests, which then hangs up
    signal.signal(signal.SIGCHLD, lambda *_: None)  # not ignored: it wakes
    asked = serve(socket.socket(fileno=os.dup(0)))
    if asked is not None:
        become(asked)


if __name__ == "__main__":
    main()
