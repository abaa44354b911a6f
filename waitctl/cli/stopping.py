"""Ctrl-C and SIGTERM while a stream is read: the first ends the stream, a second Ctrl-C the command."""

from __future__ import annotations

import io
import os
import select
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from types import FrameType

    from _typeshed import WriteableBuffer


_AT_MOST = 9.5
"""Seconds between a signal and the end of the process, whatever it waits for: a reader that takes nothing, say."""


def end_soon() -> None:
    """End this process within ten seconds: by a signal, which needs neither a thread nor a step of Python's."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, _AT_MOST)


class Stoppable:
    """Lets SIGTERM and the first SIGINT end a stream as if it had no more lines: what was read is still recorded.

    Python runs a handler between two steps of its own: for a signal that comes just before a read that is, too late,
    and the read lasts until somebody writes. So the signal also makes a pipe readable, and every read of `input` waits
    for that pipe beside its stream. The second SIGINT raises `KeyboardInterrupt`. ``on_stop`` is called by the handler.
    """

    def __init__(self, on_stop: Callable[[], None] = lambda: None) -> None:
        self.stopped = False
        self._on_stop = on_stop

    def __enter__(self) -> Stoppable:
        self._woken, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._fd_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._fd_before)
        os.close(self._woken)
        os.close(self._waker)

    def _stop(self, number: int, _: FrameType | None) -> None:
        if self.stopped and number == signal.SIGINT:
            raise KeyboardInterrupt
        if not self.stopped:
            end_soon()
        self.stopped = True
        self._on_stop()

    def input(self, stream: BinaryIO) -> BinaryIO:
        """What ``stream`` holds from here on, until a signal comes; nothing may have been read from it."""
        return io.BufferedReader(_Input(stream.fileno(), self._woken), 64 * 1024)

    def until_stopped(self, lines: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
        """The lines that are there already, too, until a signal comes."""
        for line in lines:
            if self.stopped:
                return
            yield line


def read(stream: BinaryIO, most: int = -1) -> bytes:
    """What ``stream`` holds, ``most`` bytes at most. Raises `KeyboardInterrupt` for a signal, at whatever moment."""
    with Stoppable() as stoppable:
        content = stoppable.input(stream).read(most)
    if stoppable.stopped:
        raise KeyboardInterrupt
    return content


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does: what is half done is cleared away on the way out."""

    def end(*_: object) -> None:
        end_soon()
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Input(io.RawIOBase):
    """Reads a file descriptor that ends when another one has something to say."""

    def __init__(self, given: int, woken: int) -> None:
        self._given, self._woken = given, woken

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        # By poll: select takes no descriptor beyond 1023.
        poll = select.poll()
        for descriptor in (self._given, self._woken):
            poll.register(descriptor, select.POLLIN)
        ready = {descriptor for descriptor, _ in poll.poll()}
        return 0 if self._woken in ready else os.readv(self._given, [buffer])
