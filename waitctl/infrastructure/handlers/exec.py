"""The handler that runs a command: argv without a shell, the delivery as JSON on its standard input.

Exit status (sysexits.h): 0 delivered, 75 (EX_TEMPFAIL) try later without using up an attempt, 65 (EX_DATAERR) and
78 (EX_CONFIG) dead at once, anything else try again.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

from waitctl.domain.deliveries import Deferred, Delivered, Failed, HandlerResult, Rejected
from waitctl.domain.text import storable
from waitctl.infrastructure.handlers import Parcel

KILL_AFTER = timedelta(seconds=5)
"""Between TERM and KILL for a command that outlives its timeout."""

_TAIL = 4096
"""Bytes of output kept for `last_error`."""

_CHUNK = 65536


class ExecHandler:
    """Runs ``argv`` once per delivery, in a process group of its own."""

    def __init__(self, argv: tuple[str, ...], timeout: timedelta, environment: Mapping[str, str]) -> None:
        self._argv = argv
        self._timeout = timeout.total_seconds()
        self._environment = environment

    def deliver(self, parcel: Parcel) -> HandlerResult:
        """Run the command and judge its exit status."""
        try:
            process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment, **parcel.environment},
                start_new_session=True,  # a signal for tick is not for the command, and the whole group can be ended
            )
        except OSError as error:
            return Failed(f"cannot run {self._argv[0]}: {error.strerror}")
        with process:
            talk = _Talk(process, parcel.body)
            try:
                timed_out = not talk.until_exit(self._timeout)
                if timed_out:
                    self._end(process, talk)
            finally:
                talk.close()
            return _judge(process.returncode, timed_out, self._timeout, talk.tail())

    def _end(self, process: subprocess.Popen[bytes], talk: _Talk) -> None:
        _signal_group(process, signal.SIGTERM)
        if not talk.until_exit(KILL_AFTER.total_seconds()):
            _signal_group(process, signal.SIGKILL)
            process.wait()
        _signal_group(process, signal.SIGKILL)  # what the command left behind in its group


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


class _Talk:
    """Feeds a command its input and keeps the tail of its output, until it exits.

    Waits for the exit of the process, not for the end of its output: a child that it left behind may hold the pipe
    open for ever. Never blocks on either pipe, so that neither a command that does not read nor one that floods can
    hold it up.
    """

    def __init__(self, process: subprocess.Popen[bytes], body: bytes) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._unsent = memoryview(body)
        self._tail = bytearray()
        self._selector = selectors.DefaultSelector()
        for pipe, events in ((self._stdin, selectors.EVENT_WRITE), (self._stdout, selectors.EVENT_READ)):
            os.set_blocking(pipe.fileno(), False)
            self._selector.register(pipe, events)
        # A file descriptor that becomes readable at exit, where the system has one; elsewhere we look 20 times a
        # second.
        self._exit_fd: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._exit_fd = os.pidfd_open(process.pid)
                self._selector.register(self._exit_fd, selectors.EVENT_READ)

    def until_exit(self, seconds: float) -> bool:
        """Talk until the process has exited; False when ``seconds`` were over first."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            for key, _ in self._selector.select(left if self._exit_fd is not None else min(left, 0.05)):
                if key.fileobj is self._stdin:
                    self._send()
                elif key.fileobj is self._stdout:
                    self._receive()
        return True

    def _send(self) -> None:
        try:
            self._unsent = self._unsent[os.write(self._stdin.fileno(), self._unsent[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not want to read
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._selector.unregister(self._stdin)
            with suppress(OSError):
                self._stdin.close()

    def _receive(self) -> bool:
        try:
            data = os.read(self._stdout.fileno(), _CHUNK)
        except OSError:
            return False
        if not data:
            self._selector.unregister(self._stdout)
            return False
        self._tail += data
        del self._tail[:-_TAIL]
        return True

    def close(self) -> None:
        """Take what is left in the pipe, and close it: a child left behind may go on writing, to nobody."""
        if self._stdout in self._selector.get_map():
            for _ in range(16):  # a pipe's capacity
                if not self._receive():
                    break
        self._selector.close()
        if self._exit_fd is not None:
            os.close(self._exit_fd)
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):
                pipe.close()

    def tail(self) -> str:
        """The last of what the command printed, both streams together."""
        return storable(self._tail.decode(errors="replace")).strip()


def _judge(status: int, timed_out: bool, timeout: float, output: str) -> HandlerResult:
    said = f": {output}" if output else ""
    if timed_out:
        return Failed(f"timed out after {timeout:g} s{said}")
    match status:
        case 0:
            return Delivered()
        case os.EX_TEMPFAIL:
            return Deferred(f"exit status 75{said}")
        case os.EX_DATAERR | os.EX_CONFIG:
            return Rejected(f"exit status {status}{said}")
        case _ if status < 0:
            return Failed(f"ended by signal {_signal_name(-status)}{said}")
        case _:
            return Failed(f"exit status {status}{said}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
