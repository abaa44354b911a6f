"""Commands that run at the same time, attended by one thread: one for each costs more than a short command does."""

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
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import NamedTuple

from waitctl.domain.text import storable

KILL_AFTER = timedelta(seconds=5)
"""Between TERM and KILL for a command that outlives its timeout."""

MOST_NAMED = 1 << 20
"""Bytes of standard output that a command may name something with, when it is kept apart."""

_TAIL = 4096
"""Bytes of output kept for `last_error`."""

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
"""Seconds after which the system is asked to tell of a command's exit; most have ended by then, with their output."""


class NoRoomError(Exception):
    """The system has no room for one more command now. It is no fault of the command's."""


class Ended(NamedTuple):
    """How a command ended, and what it said: with both streams together, or with standard output apart."""

    status: int
    """The exit status; negative for a signal."""
    timed_out: bool
    said: str
    named: bytes = b""


class Commands:
    """Runs commands, each in a session of its own, and tells who started one when it has ended.

    One thread calls; any other may `wake` it. Nothing that a command does holds up another: neither one that does not
    read nor one that floods, nor a child that it left behind with its pipes.
    """

    def __init__(self, timeout: timedelta) -> None:
        self._timeout = timeout.total_seconds()
        self._running: dict[_Command, Callable[[Ended], None]] = {}
        self._poll = select.poll()
        self._ready: dict[int, Callable[[], object]] = {}
        self._look_at = math.inf
        self._is_wanted = False
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._watch(self._woken, select.POLLIN, self._hear)
        most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._highest = math.inf if most == resource.RLIM_INFINITY else most - _RESERVE

    def __len__(self) -> int:
        """How many are running."""
        return len(self._running)

    def start(
        self,
        argv: Sequence[str],
        body: bytes,
        environment: Sequence[bytes],
        done: Callable[[Ended], None],
        *,
        own: Sequence[bytes] = (),
        folder: str | None = None,
        apart: bool = False,
    ) -> None:
        """Start a command that gets ``body`` on its standard input; `attend` says ``done`` when it has ended.

        ``environment`` is what it has in common with others, and ``own`` what it has not: ``NAME=value`` each.
        Raises `OSError`, `NoRoomError`, and `ValueError` for arguments that hold a NUL.
        """
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
            streams = theirs if apart else [*theirs, theirs[-1]]
            if self._running and max(ours) > self._highest:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            process = _started(argv, streams, [*environment, *own], folder)
        except BaseException as error:
            for descriptor in ours:
                os.close(descriptor)
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise NoRoomError(error.strerror) from error
            raise
        finally:
            for descriptor in theirs:
                os.close(descriptor)
        now = time.monotonic()
        command = _Command(process, feed, body, outputs, now + self._timeout)
        command.look_at = min(now + _GLANCE, command.deadline)
        self._look_at = min(self._look_at, command.look_at)
        self._running[command] = done
        for output in outputs:
            self._watch(output, select.POLLIN, partial(self._receive, command, output))
        if feed is not None:
            _widen(feed)
            os.set_blocking(feed, False)
            self._watch(feed, select.POLLOUT, partial(self._send, command, feed))

    # -- attending ------------------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Attend to them until some have ended, or until somebody calls `wake`."""
        before = len(self._running)
        while len(self._running) == before and not self._is_wanted:
            left = min(max(0.0, self._look_at - time.monotonic()), _LONGEST_POLL)
            for descriptor, _ in self._poll.poll(math.ceil(left * 1000)):
                if act := self._ready.get(descriptor):  # one before it may have ended its command
                    act()
            if (now := time.monotonic()) >= self._look_at:
                for command in [each for each in self._running if each.look_at <= now]:
                    self._look(command, now)
                self._look_at = min((each.look_at for each in self._running), default=math.inf)
        self._is_wanted = False

    def wake(self) -> None:
        """Let `attend` return; at once, if nobody is there."""
        with suppress(BlockingIOError):  # it has been told often enough
            os.write(self._waker, b"\0")

    def close(self) -> None:
        """Let go of what is kept, once none is running."""
        os.close(self._woken)
        os.close(self._waker)

    def _watch(self, descriptor: int, events: int, act: Callable[[], object]) -> None:
        self._poll.register(descriptor, events)
        self._ready[descriptor] = act

    def _forget(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        del self._ready[descriptor]
        os.close(descriptor)

    def _hear(self) -> None:
        os.read(self._woken, _PIPE)
        self._is_wanted = True

    def _send(self, command: _Command, feed: int) -> None:
        try:
            command.unsent = command.unsent[os.write(feed, command.unsent[:_WIDE_PIPE]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not want to read
            command.unsent = command.unsent[:0]
        if not command.unsent:
            command.feed = None
            self._forget(feed)

    def _receive(self, command: _Command, output: int) -> None:
        """Take what there is; when all of its output has come to an end, it has probably ended itself."""
        if data := os.read(output, _PIPE):
            command.keep(output, data)
            return
        command.open.remove(output)  # another one's may soon have the same number
        self._forget(output)
        if not command.open:
            self._look(command, time.monotonic())

    def _look(self, command: _Command, now: float) -> None:
        """See whether a command has ended or is out of time; else let the system tell of its exit, where it can."""
        if self._reap(command):
            return
        if now >= command.deadline:  # first it is asked to end, then it is ended
            command.signal(signal.SIGKILL if command.timed_out else signal.SIGTERM)
            command.deadline = math.inf if command.timed_out else now + KILL_AFTER.total_seconds()
            command.timed_out = True
        if command.exit is None:
            with suppress(OSError, AttributeError):
                command.exit = os.pidfd_open(command.process.pid)
                self._watch(command.exit, select.POLLIN, partial(self._reap, command))
        command.look_at = min(command.deadline, math.inf if command.exit is not None else now + _GLANCE)
        self._look_at = min(self._look_at, command.look_at)

    def _reap(self, command: _Command) -> bool:
        """Say how a command ended, if it has: its exit counts, not the end of what a child of it may go on writing."""
        status = _exit_status(command.process)
        if status is None:
            return False
        if command.timed_out:
            command.signal(signal.SIGKILL)  # what it left behind in its group
        for output in command.open:
            os.set_blocking(output, False)
            with suppress(BlockingIOError):
                for _ in range(16):  # a pipe's capacity
                    command.keep(output, os.read(output, _PIPE))
        for descriptor in (command.feed, command.exit, *command.open):
            if descriptor is not None:
                self._forget(descriptor)
        self._running.pop(command)(Ended(status, command.timed_out, command.said, command.named))
        return True


class _Command:
    """One that runs: what it is still to be fed with, and the tail of what it has said."""

    __slots__ = ("_kept", "_said_on", "deadline", "exit", "feed", "look_at", "open", "process", "timed_out", "unsent")

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        feed: int | None,
        body: bytes,
        outputs: Sequence[int],
        deadline: float,
    ) -> None:
        self.process = process
        self.feed = feed
        self.unsent = memoryview(body)
        self.open = list(outputs)
        self.exit: int | None = None
        self.deadline = self.look_at = deadline
        self.timed_out = False
        self._said_on = outputs[-1]
        self._kept = {output: bytearray() for output in outputs}

    def keep(self, output: int, data: bytes) -> None:
        """Keep the tail of an output: of what names something a long one."""
        kept = self._kept[output]
        kept += data
        del kept[: -(_TAIL if output == self._said_on else MOST_NAMED + 1)]

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the whole group."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, number)

    @property
    def said(self) -> str:
        """The last of what it printed: both streams together, or with standard output apart the other one."""
        said = self._kept[self._said_on]
        return storable(said.decode(errors="replace")).strip() if said else ""

    @property
    def named(self) -> bytes:
        """What it printed on standard output, when that is apart."""
        return b"".join(bytes(kept) for output, kept in self._kept.items() if output != self._said_on)


def _started(
    argv: Sequence[str], streams: Sequence[int], environment: Sequence[bytes], folder: str | None
) -> subprocess.Popen[bytes]:
    """Start a program in a session of its own: a signal for tick is not for it, and its whole group can be ended."""
    stdin, stdout, stderr = streams
    variables = dict(each.split(b"=", 1) for each in environment)
    return subprocess.Popen(
        argv, stdin=stdin, stdout=stdout, stderr=stderr, env=variables, cwd=folder, start_new_session=True
    )


def _exit_status(process: subprocess.Popen[bytes]) -> int | None:
    """Its exit status, negative for a signal; ``None`` while it runs.

    `Popen.poll` would call one successful that somebody else in this process has waited for.
    """
    try:
        pid, status = os.waitpid(process.pid, os.WNOHANG)
    except ChildProcessError:
        process.returncode = _UNKNOWN
    else:
        process.returncode = os.waitstatus_to_exitcode(status) if pid else None
    return process.returncode


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
