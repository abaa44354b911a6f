"""How a command is run: with its input, its output kept, and an end when its time is up."""

from __future__ import annotations

import errno
import fcntl
import math
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import NamedTuple

from waitctl.domain.deliveries import MAX_OUTPUT
from waitctl.domain.text import storable
from waitctl.infrastructure.redaction import redact

KILL_AFTER = timedelta(seconds=5)
"""Between TERM and KILL for a command that outlives its timeout."""

MOST_NAMED = 1 << 20
"""Bytes of standard output that a command may name something with, when it is kept apart."""

_PIPE = 65536
"""Bytes that a pipe holds."""

_WIDE_PIPE = 1 << 20
"""Bytes that one for a large input holds, where the system allows: its limit for everybody on Linux."""

_LONGEST_POLL = 3600.0
"""Seconds that a poll lasts at most: what it takes is a C int of milliseconds, less than a month."""

_RESERVE = 32
"""Descriptors that commands leave to everything else: connections, a database's files."""

_NO_ROOM = frozenset({errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM})
"""What the system says when it has no room for one more process now."""

_UNKNOWN = 255
"""The exit status of a command of which it is not known."""

_GLANCE = 0.05
"""Seconds after which one looks whether a command has ended, where the system does not tell."""


class NoRoomError(Exception):
    """The system has no room for one more command now. It is no fault of the command's."""


class CommandEnd(NamedTuple):
    """How a command ended, and what it said: with both streams together, or with standard output apart."""

    status: int
    """The exit status; negative for a signal."""
    timed_out: bool
    said: str
    named: bytes = b""
    was_told: bool = False
    """Whether it was asked to end, and ended, before its time was up."""

    @property
    def output(self) -> str:
        """The end of all that it said. Of two streams that are apart nobody knows the order."""
        if not self.named:
            return self.said
        ids = redact(storable(self.named[-MAX_OUTPUT:].decode(errors="replace")).strip())
        return "\n".join(filter(None, (ids, self.said)))[-MAX_OUTPUT:]


def run_command(
    argv: Sequence[str],
    body: bytes,
    environment: Mapping[bytes, bytes],
    timeout: timedelta,
    *,
    folder: str | None = None,
    apart: bool = False,
    reserve: bool = True,
    begun: Callable[[], None] = lambda: None,
    told: int | None = None,
) -> CommandEnd:
    """Run a command that gets ``body`` on its standard input, in a session of its own, and wait for its end.

    Its exit counts, not the end of what a child of it may go on writing. ``apart`` keeps its standard output by itself;
    ``reserve`` leaves descriptors to everything else; ``begun`` is called when it runs; it is ended when the other end
    of ``told`` is closed. Raises `OSError`, `NoRoomError`, and `ValueError` for arguments
    that hold a NUL.
    """
    highest = _highest_descriptor() if reserve else math.inf
    command = _start(argv, body, environment, folder, highest, apart=apart)
    try:
        begun()
        return command.attend(timeout.total_seconds(), told)
    finally:
        command.close()


def _start(
    argv: Sequence[str],
    body: bytes,
    environment: Mapping[bytes, bytes],
    folder: str | None,
    highest: float,
    *,
    apart: bool,
) -> _Command:
    ours: list[int] = []
    theirs: list[int] = []
    try:
        stdin = _filled(body)
        feed = None
        if stdin is None:
            stdin, feed = os.pipe()
            ours.append(feed)
        theirs.append(stdin)
        outputs = []
        for _ in range(2 if apart else 1):
            read, write = os.pipe()
            ours.append(read)
            outputs.append(read)
            theirs.append(write)
        if max(ours) > highest:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        process = subprocess.Popen(
            argv,
            stdin=stdin,
            stdout=theirs[1],
            stderr=theirs[-1],
            env=environment,
            cwd=folder,
            start_new_session=True,  # a signal for tick is not for it, and its whole group can be ended
        )
    except BaseException as error:
        for descriptor in ours:
            os.close(descriptor)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise NoRoomError(error.strerror) from error
        raise
    finally:
        for descriptor in theirs:
            os.close(descriptor)
    return _Command(process, feed, body, outputs)


def _highest_descriptor() -> float:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return math.inf if most == resource.RLIM_INFINITY else most - _RESERVE


class _Command:
    """One that runs: what it is still to be fed with, and the tail of what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], feed: int | None, body: bytes, outputs: Sequence[int]) -> None:
        self._process = process
        self._feed = feed
        self._unsent = memoryview(body)
        self._open = set(outputs)
        self._said_on = outputs[-1]
        self._kept = {output: bytearray() for output in outputs}
        self._poll = select.poll()
        self._exit: int | None = None
        for output in outputs:
            self._poll.register(output, select.POLLIN)
        if feed is not None:
            _widen(feed)
            os.set_blocking(feed, False)
            self._poll.register(feed, select.POLLOUT)
        with suppress(OSError, AttributeError):
            self._exit = os.pidfd_open(process.pid)
            self._poll.register(self._exit, select.POLLIN)

    def attend(self, timeout: float, told: int | None = None) -> CommandEnd:
        """Feed it and hear it until it has ended. One that is out of time, or ``told`` to end, is asked, then ended."""
        deadline = time.monotonic() + timeout
        asked = was_told = False
        if told is not None:
            self._poll.register(told, 0)  # its other end being closed is always heard
        while (status := self._exit_status()) is None:
            if (left := deadline - time.monotonic()) <= 0:
                self._signal(signal.SIGKILL if asked else signal.SIGTERM)
                deadline = math.inf if asked else time.monotonic() + KILL_AFTER.total_seconds()
                asked = True
                continue
            for descriptor, _ in self._poll.poll(self._milliseconds(left)):
                if descriptor == self._feed:
                    self._send()
                elif descriptor in self._open:
                    self._receive(descriptor)
                elif descriptor == told:
                    self._poll.unregister(descriptor)
                    was_told, deadline = not asked, deadline if asked else -math.inf
        if asked:
            self._signal(signal.SIGKILL)  # what it left behind in its group
        self._drain()
        return CommandEnd(status, asked and not was_told, self._said, self._named, was_told)

    def _milliseconds(self, left: float) -> int:
        """How long to wait for news."""
        longest = _LONGEST_POLL if self._exit is not None else _GLANCE
        return math.ceil(min(left, longest) * 1000)

    def _send(self) -> None:
        assert self._feed is not None
        try:
            self._unsent = self._unsent[os.write(self._feed, self._unsent[:_WIDE_PIPE]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not want to read
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._forget(self._feed)
            self._feed = None

    def _receive(self, output: int) -> None:
        if data := os.read(output, _PIPE):
            self._keep(output, data)
        else:
            self._open.remove(output)
            self._forget(output)

    def _drain(self) -> None:
        """Take what it has left in its pipes: a pipe's capacity at most, for a child of it may go on writing."""
        for output in self._open:
            os.set_blocking(output, False)
            with suppress(BlockingIOError):
                for _ in range(16):
                    self._keep(output, os.read(output, _PIPE))

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        os.close(descriptor)

    def _keep(self, output: int, data: bytes) -> None:
        """Keep the tail of an output: of what names something a long one."""
        kept = self._kept[output]
        kept += data
        del kept[: -(MAX_OUTPUT if output == self._said_on else MOST_NAMED + 1)]

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _exit_status(self) -> int | None:
        """Its exit status, negative for a signal; ``None`` while it runs.

        `Popen.poll` would call one successful that somebody else in this process has waited for.
        """
        try:
            pid, status = os.waitpid(self._process.pid, os.WNOHANG)
        except ChildProcessError:
            self._process.returncode = _UNKNOWN
        else:
            self._process.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self._process.returncode

    @property
    def _said(self) -> str:
        """The last of what it printed: both streams together, or with standard output apart the other one."""
        said = self._kept[self._said_on]
        return redact(storable(said.decode(errors="replace")).strip()) if said else ""

    @property
    def _named(self) -> bytes:
        """What it printed on standard output, when that is apart."""
        return b"".join(bytes(kept) for output, kept in self._kept.items() if output != self._said_on)

    def close(self) -> None:
        """Let go of its pipes."""
        for descriptor in (self._feed, self._exit, *self._open):
            if descriptor is not None:
                os.close(descriptor)


def _filled(body: bytes) -> int | None:
    """The end to read of a pipe that holds all of ``body`` already; ``None`` when it is too much for a pipe."""
    if len(body) > _PIPE:
        return None
    read, write = os.pipe()
    try:
        if len(body) > select.PIPE_BUF:
            os.set_blocking(write, False)
        filled = os.write(write, body) == len(body)
    except OSError:
        filled = False
    os.close(write)
    if filled:
        return read
    os.close(read)
    return None


def _widen(pipe: int) -> None:
    """Let a pipe hold more, where the system can: whoever fills it has to wait for Python less often."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _WIDE_PIPE)
