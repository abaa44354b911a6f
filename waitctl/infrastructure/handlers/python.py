"""The handler that calls a function in a process of its own, which may end without the tick.

All calls share that process, each by a thread of it. When it ends, what was in progress then is called again, each
alone in a new one: which of them ended it is only known of one that was alone. Nothing but that one has failed.
"""

from __future__ import annotations

import json
import marshal
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from queue import Empty, SimpleQueue
from threading import Condition, Lock, Timer

from waitctl.domain.deliveries import Deferred, Delivered, Failed, HandlerResult, Rejected
from waitctl.domain.values import dataclass
from waitctl.infrastructure.handlers import HandlerNotReadyError, Payload, nothing
from waitctl.infrastructure.handlers.commands import KILL_AFTER
from waitctl.infrastructure.handlers.function_process import BEGINS, DELIVERED, KINDS, LENGTH, NOT_BEGUN
from waitctl.infrastructure.redaction import redact

_MOST_AT_ONCE = 64
"""Documents of a call; each has a byte in the file that says where it stands."""

_BEGIN = "import sys; sys.path[:] = {path!r}; from waitctl.infrastructure.handlers import function_process as here; "

_FAREWELL = 5.0
"""Seconds that a process has for what it does at its end."""

_GLANCE = 0.5
"""Seconds after which one looks whether the process has ended: a child that it left may keep its socket open."""

_MOST_STARTS = 3
"""Processes in a row that end before they begin with anything: then it is not what they were called with."""


class PythonHandler:
    """Calls ``package.module:function``. Raises `HandlerNotReadyError` when this host cannot import it."""

    most_at_once = _MOST_AT_ONCE
    one_by_one = True

    def __init__(self, function: str, timeout: timedelta) -> None:
        self._function = function
        self._timeout = timeout
        self._starting = Lock()
        self._process: _Process | None = None
        with suppress(OSError):  # short of something that may be there again when it is called
            self._process = _Process(function, timeout)
        self._turns = _Turns()
        self._stopping: Timer | None = None
        self._is_stopped = False
        self._why_stopped = "it outlived its timeout when the tick was told to end"

    def deliver(self, payloads: Sequence[Payload], begun: Callable[[], None] = nothing) -> Sequence[HandlerResult]:
        """Call the function for each."""
        results: dict[int, HandlerResult] = {}
        while left := [place for place in range(len(payloads)) if place not in results]:
            with self._turns.shared():
                answer = self._call([payloads[place] for place in left], begun)
            results.update((left[place], result) for place, result in answer.results.items())
            for place in answer.interrupted:
                if self._is_stopped:
                    results[left[place]] = Failed(f"{self._why_stopped}: {answer.ended}")
                    continue
                with self._turns.alone():
                    alone = self._call([payloads[left[place]]], begun)
                results[left[place]] = alone.results.get(0) or Failed(f"its process ended: {alone.ended}")
        return [results[place] for place in range(len(payloads))]

    def _call(self, payloads: Sequence[Payload], begun: Callable[[], None]) -> _Answer:
        """Call the function for as many as it comes to: one at least, or all are to be tried later."""
        ended = ""
        for _ in range(_MOST_STARTS):
            if self._is_stopped:
                return _Answer.deferred(len(payloads), "the tick was told to end")
            try:
                answer = self._running().call(payloads, begun)
            except HandlerNotReadyError as error:
                return _Answer.deferred(len(payloads), str(error))
            except OSError as error:
                return _Answer.deferred(len(payloads), f"cannot start its process, or speak to it: {error.strerror}")
            if answer.results or answer.interrupted:
                return answer
            ended = answer.ended
        return _Answer.deferred(len(payloads), f"its process ended: {ended}")

    def _running(self) -> _Process:
        with self._starting:
            if self._process is None or self._process.has_ended():
                self._close()
                self._process = _Process(self._function, self._timeout)
            return self._process

    def _close(self) -> None:
        if self._process is not None:
            self._process.close()
            self._process = None

    def stop(self, *, at_once: bool = False) -> None:
        """End the process when what it runs has had its timeout once more: it may block, or be stopped itself."""
        if self._stopping is not None:
            self._stopping.cancel()
        if at_once:
            self._why_stopped = "it was ended: the tick was told to end at once"
        seconds = 0.0 if at_once else (self._timeout + KILL_AFTER).total_seconds()
        self._stopping = Timer(seconds, self._kill)
        self._stopping.daemon = True
        self._stopping.start()

    def _kill(self) -> None:
        with self._starting:
            self._is_stopped = True
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process."""
        if self._stopping is not None:
            self._stopping.cancel()
        with self._starting:
            self._close()


class _Turns:
    """Calls share their process, or one has it alone."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._sharing = 0
        self._waiting = 0
        self._is_alone = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """With others, but not before those that want to be alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_alone and not self._waiting)
            self._sharing += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharing -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """With no other."""
        with self._changed:
            self._waiting += 1
            self._changed.wait_for(lambda: not self._is_alone and not self._sharing)
            self._waiting -= 1
            self._is_alone = True
        try:
            yield
        finally:
            with self._changed:
                self._is_alone = False
                self._changed.notify_all()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What became of the payloads of a call, by their places, and which were in progress when their process ended."""

    results: dict[int, HandlerResult]
    interrupted: Sequence[int] = ()
    ended: str = ""

    @staticmethod
    def deferred(count: int, why: str) -> _Answer:
        """All are to be tried later."""
        return _Answer(dict.fromkeys(range(count), Deferred(why)))


class _Process:
    """A process that has imported a function. Raises `HandlerNotReadyError` when it could not.

    Raises `OSError` when the system is short of descriptors, processes or memory.
    """

    def __init__(self, function: str, timeout: timedelta) -> None:
        self._control, theirs = socket.socketpair()
        self._idle: SimpleQueue[_Channel] = SimpleQueue()
        self._reaping = Lock()
        with theirs:
            call = f"here.main({theirs.fileno()}, {function!r}, {timeout.total_seconds()!r})"
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-u", "-P", "-c", _BEGIN.format(path=sys.path) + call],
                    stdin=subprocess.DEVNULL,
                    stdout=_stderr(),  # standard output is the tick's own
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError:
                self._control.close()
                raise
        with self._control.makefile("rb") as said:
            greeting = said.readline()
        if greeting != b"\n":
            why = json.loads(greeting) if greeting else f"importing {function} ended its process: {self.how_it_ended()}"
            self.close()
            raise HandlerNotReadyError(why)

    def has_ended(self) -> bool:
        """Whether it has ended."""
        with self._reaping:
            return self._process.poll() is not None

    def kill(self) -> None:
        """End it, unless it has ended."""
        with self._reaping:
            self._process.kill()

    def how_it_ended(self) -> str:
        """Wait for its end, which is near; bring it about if it does not come."""
        with self._reaping:
            try:
                status = self._process.wait(_FAREWELL)
            except subprocess.TimeoutExpired:
                self._process.kill()
                status = self._process.wait()
        return f"exit status {status}" if status >= 0 else f"ended by signal {_signal_name(-status)}"

    def call(self, payloads: Sequence[Payload], begun: Callable[[], None]) -> _Answer:
        """Call the function for each payload."""
        try:
            channel = self._idle.get_nowait()
        except Empty:
            channel = _Channel()
        call = _marshalled(payloads, tells=begun is not nothing)
        lines, is_complete = channel.exchange(self._control, call, self.has_ended, begun)
        stands = channel.progress[: len(payloads)]
        results: dict[int, HandlerResult] = {}
        try:
            results = _results(stands, lines)
        except (ValueError, TypeError, LookupError):  # somebody else writes there: what comes next is no answer, either
            is_complete = False
            self.kill()
        if is_complete:
            self._idle.put(channel)
            return _Answer(results)
        channel.close()
        interrupted = [place for place, where in enumerate(stands) if where != NOT_BEGUN and place not in results]
        return _Answer(results, interrupted, self.how_it_ended())

    def close(self) -> None:
        """Tell it to end, and see to it that it does."""
        self._control.close()
        with suppress(Empty):
            while True:
                self._idle.get_nowait().close()
        self.how_it_ended()


class _Channel:
    """A call's way to the process, kept for the next: a socket, and a file that says where each payload stands.

    Making one raises `OSError` when the system is short of descriptors or memory.
    """

    def __init__(self) -> None:
        self._socket, self._theirs = socket.socketpair()
        self._file: int | None = _zeros(_MOST_AT_ONCE)
        try:
            self.progress = mmap.mmap(self._file, _MOST_AT_ONCE)
        except BaseException:
            self._let_go()
            raise

    def exchange(
        self, control: socket.socket, documents: bytes, has_ended: Callable[[], bool], begun: Callable[[], None]
    ) -> tuple[list[bytes], bool]:
        """Call with these documents. Returns the lines that came, and whether the call came to its end."""
        self.progress[:] = bytes(_MOST_AT_ONCE)
        try:
            self._hand_over(control)
            self._socket.sendall(len(documents).to_bytes(LENGTH) + documents)
        except OSError:  # the process has ended, and has read no call whole
            return [], False
        came = b""
        while self._has_more(has_ended) and (data := self._receive()):
            if data.startswith(BEGINS):
                begun()
                data = data[len(BEGINS) :]
            came += data
            if came == b"\n" or came.endswith(b"\n\n"):
                return came.split(b"\n")[:-2], True
        return came.split(b"\n")[:-1], False

    def _hand_over(self, control: socket.socket) -> None:
        """Give the process the other end, if it has not got it."""
        if self._file is not None:
            socket.send_fds(control, [b"\n"], [self._theirs.fileno(), self._file])
            self._let_go()

    def _has_more(self, has_ended: Callable[[], bool]) -> bool:
        """Wait until something has come. Returns false when nothing has, and nothing will."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        while not poll.poll(_GLANCE * 1000):
            if has_ended():
                return bool(poll.poll(0))
        return True

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""

    def _let_go(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._theirs.close()

    def close(self) -> None:
        """Let go of it."""
        self._let_go()
        self.progress.close()
        self._socket.close()


def _zeros(size: int) -> int:
    """A file of so many zeros that has its room already: where a disk is full, who writes to a map of it is killed."""
    if sys.platform == "linux":
        file = os.memfd_create("waitctl")
    else:
        with tempfile.TemporaryFile() as temporary:
            file = os.dup(temporary.fileno())
    try:
        os.write(file, bytes(size))
    except BaseException:
        os.close(file)
        raise
    return file


def _marshalled(payloads: Sequence[Payload], *, tells: bool) -> bytes:
    """The documents, and whether to tell that the call begins."""
    try:
        return marshal.dumps(([payload.document for payload in payloads], tells))
    except ValueError:  # what is no plain value, but is written as one
        return marshal.dumps(([json.loads(payload.body) for payload in payloads], tells))


def _results(stands: bytes, lines: Sequence[bytes]) -> dict[int, HandlerResult]:
    results: dict[int, HandlerResult] = {place: Delivered() for place, where in enumerate(stands) if where == DELIVERED}
    for place, number, error, after, said in map(json.loads, lines):
        output, kind = redact(said) if said else "", KINDS[number]
        if kind is Delivered:
            if place in results:  # else its process ended before it had noted so
                results[place] = Delivered(output)
        elif kind is Rejected:
            results[place] = Rejected(error, output)
        else:
            later = None if after is None else timedelta(seconds=after)
            results[place] = (Failed if kind is Failed else Deferred)(error, later, output)
    return results


def _stderr() -> int:
    """Where its standard output goes: to the tick's standard error, if it has one."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
