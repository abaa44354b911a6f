"""Commands as forks of `tests.cli.fork_server`: what takes half a second to import is imported once a worker."""

from __future__ import annotations

import atexit
import errno
import json
import os
import selectors
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

FORK_SERVER = Path(__file__).with_name("fork_server.py")
FORK_CALLER = Path(__file__).with_name("fork_caller.py")
PID_WIDTH = 10


@cache
def _fork_server(environment: tuple[tuple[str, str], ...]) -> socket.socket:
    """The socket of a fork server that was started in this environment. It lives as long as this process."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(
            [sys.executable, str(FORK_SERVER)], stdin=theirs.fileno(), stdout=subprocess.DEVNULL, env=dict(environment)
        )

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


def run(
    started_in: Mapping[str, str],
    asked: Mapping[str, Any],
    given: bytes | None,
    patience: float,
    *,
    terminal: bool = False,
) -> tuple[int, bytes, bytes]:
    """Run a command to its end; return its exit status, negative for a signal, and what it printed.

    ``started_in`` is the environment of the fork server, ``asked`` what a fork of it takes on. Without ``given`` standard
    input is the null device; with ``terminal`` standard output is one. Kills a command that outlasts ``patience`` seconds and raises `TimeoutError`.
    """
    request, stderr, answer = (os.pipe() for _ in range(3))
    stdout = os.openpty() if terminal else os.pipe()
    writes = {request[1]: json.dumps(asked).encode()}
    if given is None:
        stdin = os.open(os.devnull, os.O_RDONLY)
    else:
        stdin, writer = os.pipe()
        writes[writer] = given
    theirs = [request[0], stdin, stdout[1], stderr[1], answer[1]]
    socket.send_fds(_fork_server(tuple(started_in.items())), [b"."], theirs)
    for descriptor in theirs:
        os.close(descriptor)
    process = int(os.read(answer[0], PID_WIDTH))
    try:
        out, err, status = _exchange(writes, [stdout[0], stderr[0], answer[0]], patience)
    except TimeoutError:
        os.kill(process, signal.SIGKILL)
        raise
    return int(status), out, err


@contextmanager
def program(started_in: Mapping[str, str], folder: Path) -> Iterator[Path]:
    """Meanwhile there is a program ``waitctl`` in ``folder``, for scripts to call: each call is a fork.

    ``started_in`` is the environment of the fork server; what a script sets is the command's alone.
    """
    server = _fork_server(tuple(started_in.items()))
    path = folder / "waitctl"
    with tempfile.TemporaryDirectory(prefix="waitctl-") as short, socket.socket(socket.AF_UNIX) as listener:
        address = f"{short}/asked"  # no longer than a socket's name may be
        listener.bind(address)
        listener.listen()
        relay = threading.Thread(target=_relay, args=(listener, server))
        relay.start()
        caller = shlex.join([sys.executable, "-ISE", str(FORK_CALLER), address])
        path.write_text(f'#!/bin/sh\nexec {caller} "$@"\n')
        path.chmod(0o755)
        try:
            yield path
        finally:
            with socket.socket(socket.AF_UNIX) as end:
                end.connect(address)
            relay.join()


def _relay(listener: socket.socket, server: socket.socket) -> None:
    """Hand what callers ask for on to the fork server, until one asks for nothing."""
    while True:
        with listener.accept()[0] as caller:
            _, descriptors, _, _ = socket.recv_fds(caller, 1, 5)
        if not descriptors:
            return
        socket.send_fds(server, [b"."], descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _exchange(writes: Mapping[int, bytes], reads: Sequence[int], patience: float) -> list[bytes]:
    """Write and read all of these pipes to their ends, as they are ready; close them, and return what was read."""
    deadline = time.monotonic() + patience
    left = {descriptor: memoryview(data) for descriptor, data in writes.items()}
    read: dict[int, list[bytes]] = {descriptor: [] for descriptor in reads}
    with selectors.DefaultSelector() as selector:
        for descriptor in left:
            os.set_blocking(descriptor, False)
            selector.register(descriptor, selectors.EVENT_WRITE)
        for descriptor in read:
            selector.register(descriptor, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(deadline - time.monotonic())
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if not (_write(key.fd, left) if key.fd in left else _read(key.fd, read)):
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return [b"".join(parts) for parts in read.values()]


def _write(descriptor: int, left: dict[int, memoryview]) -> bool:
    """Write what the pipe takes. Whether there is more."""
    try:
        left[descriptor] = left[descriptor][os.write(descriptor, left[descriptor]) :]
    except BrokenPipeError:  # the command does not want it
        return False
    return len(left[descriptor]) > 0


def _read(descriptor: int, read: dict[int, list[bytes]]) -> bool:
    """Read what the pipe has. Whether there may be more."""
    try:
        part = os.read(descriptor, 65536)
    except OSError as error:
        if error.errno != errno.EIO:  # how Linux says that the other side of a terminal hung up
            raise
        return False
    read[descriptor].append(part)
    return bool(part)
