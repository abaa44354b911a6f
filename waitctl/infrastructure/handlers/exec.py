"""The handler that runs a command: argv without a shell, the delivery as JSON on its standard input.

Exit status (sysexits.h): 0 delivered, 75 (EX_TEMPFAIL) try later without using up an attempt, 65 (EX_DATAERR) and
78 (EX_CONFIG) dead at once, anything else try again.
"""

from __future__ import annotations

import fcntl
import math
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import IO

from waitctl.domain.deliveries import Deferred, Delivered, Failed, HandlerResult, Rejected
from waitctl.domain.text import storable
from waitctl.infrastructure.handlers import Parcel

KILL_AFTER = timedelta(seconds=5)
"""Between TERM and KILL for a command that outlives its timeout."""

_TAIL = 4096
"""Bytes of output kept for `last_error`."""

_PIPE = 65536
"""Bytes that a pipe holds."""

_WIDE_PIPE = 1 << 20
"""Bytes that one for a batch holds, where the system allows: its limit for everybody on Linux."""

_MOST_NAMED = 1 << 20
"""Bytes of standard output that a batch may name its failures with: many times what all of them take."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a command ended, and what it said: with both streams together, or with standard output apart."""

    status: int
    timed_out: bool
    said: str
    named: bytes = b""


class ExecHandler:
    """Runs ``argv`` in a process group of its own: once per delivery, or once per ``batch`` of them.

    A batch is NDJSON, a delivery a line. What it prints on standard output, an id a line, are the deliveries that it
    failed; the others are delivered. Its exit status applies to those, or to all when it names none.
    """

    def __init__(
        self, argv: tuple[str, ...], timeout: timedelta, environment: Mapping[str, str], *, batch: bool = False
    ) -> None:
        self._argv = argv
        self._timeout = timeout.total_seconds()
        self._environment = {**os.environb, **_encoded(environment)}
        self._batch = batch

    def deliver(self, parcels: Sequence[Parcel]) -> list[HandlerResult]:
        """Run the command and judge its exit status."""
        if self._batch:
            return self._deliver_batch(parcels)
        results: list[HandlerResult] = []
        for parcel in parcels:
            argv, folder = self._command(parcel)
            environment = self._environment | _encoded(parcel.environment)
            ended = self._run(argv, parcel.body, environment, folder)
            results.append(ended if isinstance(ended, Failed) else _judge(ended, self._timeout))
        return results

    def _command(self, parcel: Parcel) -> tuple[Sequence[str], str | None]:
        """What runs for a parcel, and in which folder."""
        return self._argv, None

    def _deliver_batch(self, parcels: Sequence[Parcel]) -> list[HandlerResult]:
        # A tick that a handler started has that handler's delivery in its environment: none of this batch's.
        single = _encoded(parcels[0].environment).keys()
        environment = {name: value for name, value in self._environment.items() if name not in single}
        body = "".join([parcel.line for parcel in parcels]).encode()
        ended = self._run(self._argv, body, environment)
        if isinstance(ended, Failed):
            return [ended] * len(parcels)
        verdict = _judge(ended, self._timeout)
        if ended.timed_out or ended.status < 0:
            return [verdict] * len(parcels)  # what it had done by then, nobody knows
        if len(ended.named) > _MOST_NAMED:
            flooded = Failed(f"it printed more than {_MOST_NAMED:,} bytes, where the ids of failures belong")
            return [flooded] * len(parcels)
        named = {line.strip().decode(errors="replace") for line in ended.named.splitlines()}
        failed = {parcel.delivery_id for parcel in parcels} & named
        if ended.status == 0:
            verdict = Failed(f"named as failed{f': {ended.said}' if ended.said else ''}")
        everything = ended.status != 0 and not failed
        if not everything and not failed:
            return [Delivered()] * len(parcels)
        return [verdict if everything or parcel.delivery_id in failed else Delivered() for parcel in parcels]

    def _run(
        self, argv: Sequence[str], body: bytes, environment: Mapping[bytes, bytes], folder: str | None = None
    ) -> _Ended | Failed:
        try:
            stdin = _filled(body)
        except OSError as error:
            return Failed(f"cannot run {argv[0]}: {error.strerror}")
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE if stdin is None else stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE if self._batch else subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,  # a signal for tick is not for the command, and the whole group can be ended
            )
        except OSError as error:
            where = f" in {folder}" if folder else ""
            return Failed(f"cannot run {argv[0]}{where}: {error.strerror}")
        except ValueError as error:  # an environment that no process can have
            return Failed(f"cannot run {argv[0]}: {error}")
        finally:
            if stdin is not None:
                os.close(stdin)
        with process:
            talk = _Talk(process, body)
            try:
                timed_out = not talk.until_exit(self._timeout)
                if timed_out:
                    self._end(process, talk)
            finally:
                talk.close()
            return _Ended(process.returncode, timed_out, talk.said, talk.named)

    def close(self) -> None:
        """Nothing is kept."""

    def _end(self, process: subprocess.Popen[bytes], talk: _Talk) -> None:
        _signal_group(process, signal.SIGTERM)
        if not talk.until_exit(KILL_AFTER.total_seconds()):
            _signal_group(process, signal.SIGKILL)
            process.wait()
        _signal_group(process, signal.SIGKILL)  # what the command left behind in its group


class InlineHandler(ExecHandler):
    """Runs the command that the wait itself brings along, in the folder that it was given in."""

    def __init__(self, timeout: timedelta, environment: Mapping[str, str]) -> None:
        super().__init__((), timeout, environment)

    def _command(self, parcel: Parcel) -> tuple[Sequence[str], str | None]:
        command = parcel.document["wait"]["command"]
        return command["argv"], command["folder"]


def _encoded(environment: Mapping[str, str]) -> dict[bytes, bytes]:
    return {os.fsencode(name): os.fsencode(value) for name, value in environment.items()}


def _filled(body: bytes) -> int | None:
    """The end to read of a pipe that holds all of ``body`` already; ``None`` when it is too much for a pipe."""
    if len(body) > _PIPE:
        return None
    read, write = os.pipe()
    try:
        os.set_blocking(write, False)
        filled = os.write(write, body) == len(body)
    except OSError:
        filled = False
    os.close(write)
    if filled:
        return read
    os.close(read)
    return None


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
        assert process.stdout is not None
        self._process = process
        self._stdin, self._stdout = process.stdin, process.stdout
        self._unsent = memoryview(body)
        self._kept = {self._stdout: bytearray()}
        self._most = {self._stdout: _TAIL}
        if process.stderr is not None:
            self._kept[process.stderr], self._most[process.stderr] = bytearray(), _TAIL
            self._most[self._stdout] = _MOST_NAMED + 1
        # No selector: one for each of so many short processes costs more than what it saves.
        self._poll = select.poll()
        self._pipes: dict[int, IO[bytes]] = {}
        if self._stdin is not None:
            _widen(self._stdin)
            self._watch(self._stdin, select.POLLOUT)
        for pipe in self._kept:
            self._watch(pipe, select.POLLIN)
        # A file descriptor that becomes readable at exit, where the system has one; elsewhere we look 20 times a
        # second.
        self._exit_fd: int | None = None
        if hasattr(os, "pidfd_open"):
            with suppress(OSError):
                self._exit_fd = os.pidfd_open(process.pid)
                self._poll.register(self._exit_fd, select.POLLIN)

    def _watch(self, pipe: IO[bytes], events: int) -> None:
        descriptor = pipe.fileno()
        os.set_blocking(descriptor, False)
        self._poll.register(descriptor, events)
        self._pipes[descriptor] = pipe

    def _forget(self, pipe: IO[bytes]) -> None:
        self._poll.unregister(pipe.fileno())
        del self._pipes[pipe.fileno()]

    def until_exit(self, seconds: float) -> bool:
        """Talk until the process has exited; False when ``seconds`` were over first."""
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            wait = left if self._exit_fd is not None else min(left, 0.05)
            for descriptor, _ in self._poll.poll(math.ceil(wait * 1000)):
                pipe = self._pipes.get(descriptor)
                if pipe is not None and pipe is self._stdin:
                    self._send(pipe)
                elif pipe is not None:
                    self._receive(pipe)
        return True

    def _send(self, stdin: IO[bytes]) -> None:
        try:
            self._unsent = self._unsent[os.write(stdin.fileno(), self._unsent[:_WIDE_PIPE]) :]
        except BlockingIOError:
            return
        except OSError:  # it does not want to read
            self._unsent = self._unsent[:0]
        if not self._unsent:
            self._forget(stdin)
            with suppress(OSError):
                stdin.close()

    def _receive(self, pipe: IO[bytes]) -> bool:
        try:
            data = os.read(pipe.fileno(), _PIPE)
        except OSError:
            return False
        if not data:
            self._forget(pipe)
            return False
        kept = self._kept[pipe]
        kept += data
        del kept[: -self._most[pipe]]
        return True

    def close(self) -> None:
        """Take what is left in the pipe, and close it: a child left behind may go on writing, to nobody."""
        for pipe in self._kept:
            if pipe.fileno() in self._pipes:
                for _ in range(16):  # a pipe's capacity
                    if not self._receive(pipe):
                        break
        if self._exit_fd is not None:
            os.close(self._exit_fd)
        for pipe in filter(None, (self._stdin, *self._kept)):
            with suppress(OSError):
                pipe.close()

    @property
    def said(self) -> str:
        """The last of what the command printed, both streams together; of a batch, on standard error."""
        words = list(self._kept.values())[-1]
        return storable(words.decode(errors="replace")).strip()

    @property
    def named(self) -> bytes:
        """What a batch printed on standard output."""
        return bytes(self._kept[self._stdout])


def _widen(pipe: IO[bytes]) -> None:
    """Let a pipe hold more, where the system can: whoever fills it has to wait for Python less often."""
    with suppress(OSError, AttributeError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _WIDE_PIPE)


def _judge(ended: _Ended, timeout: float) -> HandlerResult:
    status, said = ended.status, f": {ended.said}" if ended.said else ""
    if ended.timed_out:
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
