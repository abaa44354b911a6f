"""The process that a ``python`` handler's functions run in: what speaks to `PythonHandler` at its other end.

It gets channels, a socket and a file each, and serves every one by a thread. A call is the length of what follows and
the documents as marshal has them: quicker than JSON, and both ends are one Python. While it runs, the file says of each
document where it stands, so that this is known when the process ends. What was not delivered is a line of JSON on the
socket, and an empty line the end of the call.
"""

from __future__ import annotations

import atexit
import marshal
import mmap
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from threading import Thread, local
from typing import Any, TextIO, cast

from waitctl.domain.deliveries import MAX_OUTPUT, Deferred, Delivered, Failed, HandlerResult, Rejected
from waitctl.domain.text import storable, to_json
from waitctl.infrastructure.handlers import HandlerNotReadyError
from waitctl.infrastructure.handlers.functions import FunctionHandler

LENGTH = 8
"""Bytes of the number that a call begins with."""

BEGINS = b"!"
"""What comes before all lines when the call is to tell that it begins."""

NOT_BEGUN, BEGUN, DELIVERED, NOT_DELIVERED = range(4)
"""Where a document stands."""

KINDS: tuple[type[HandlerResult], ...] = (Failed, Deferred, Rejected, Delivered)
"""What a line of a result begins with is a place in this."""

_FATAL = (signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGQUIT, signal.SIGSEGV, signal.SIGTRAP)
"""Signals that end the process after a while in which its other threads go on.

One that a function sends to its own process is to end that function: threads without a call do not take it.
"""

_GLANCE = 0.05
"""Seconds after which one looks whether a call is over, once the tick is gone."""

_EASY_TO_END = "500"
"""Of a thousand: the system ends this process rather than its tick when memory runs out."""


def main(control: int, function: str, timeout: float) -> None:
    """Import the function, say so or why not, and serve the channels that come, until no more can.

    ``timeout`` is a coroutine's, in seconds.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # for the tick, which lets what runs come to its end
        signal.signal(number, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, _FATAL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_EASY_TO_END, encoding="ascii")
    tick = socket.socket(fileno=control)
    ears = Ears(sys.stdout)
    sys.stdout = sys.stderr = cast("TextIO", ears)
    try:
        handler = FunctionHandler(function, timedelta(seconds=timeout))
    except HandlerNotReadyError as error:
        with suppress(ConnectionError):
            tick.sendall(to_json(str(error)).encode() + b"\n")
        return
    with suppress(ConnectionError):  # the tick is gone
        tick.sendall(b"\n")
        counted: dict[socket.socket, float] = {}
        for channel, file in _channels(tick):
            Thread(target=_serve, args=(handler, ears, channel, file, counted), daemon=True).start()
        _wait_for(counted, timeout)
    atexit._run_exitfuncs()  # noqa: SLF001 (what the function's libraries have asked for)
    os._exit(0)  # an ordinary exit would wait for threads that the function has left


def _wait_for(counted: Mapping[socket.socket, float], timeout: float) -> None:
    """Let calls whose attempt is counted, perhaps their only one, have their time though the tick is gone.

    ``counted`` says since when each is in progress, as of ``time.monotonic``; ``timeout`` is in seconds. A command that
    has begun goes on, too.
    """
    while any(time.monotonic() < began + timeout for began in list(counted.values())):
        time.sleep(_GLANCE)


def _channels(tick: socket.socket) -> Iterator[tuple[socket.socket, mmap.mmap]]:
    while True:
        _, descriptors, _, _ = socket.recv_fds(tick, 1, 2)
        if not descriptors:
            return
        channel, file = descriptors
        os.set_inheritable(channel, False)
        progress = mmap.mmap(file, 0)
        os.close(file)
        yield socket.socket(fileno=channel), progress


def _serve(
    handler: FunctionHandler,
    ears: Ears,
    channel: socket.socket,
    progress: mmap.mmap,
    counted: dict[socket.socket, float],
) -> None:
    try:
        _answer_calls(handler, ears, channel, progress, counted)
    except ConnectionError:  # the tick is gone
        os._exit(os.EX_SOFTWARE)
    except BaseException as error:  # noqa: BLE001 (the tick must not wait for an answer that never comes)
        with suppress(OSError):
            sys.stdout.write("".join(traceback.format_exception_only(error)))
        os._exit(os.EX_SOFTWARE)


def _answer_calls(
    handler: FunctionHandler,
    ears: Ears,
    channel: socket.socket,
    progress: mmap.mmap,
    counted: dict[socket.socket, float],
) -> None:
    with channel, channel.makefile("rb") as calls:
        while length := calls.read(LENGTH):
            size = int.from_bytes(length)
            if len(call := calls.read(size)) < size or len(length) < LENGTH:
                return  # the tick went while it spoke
            documents, tells = marshal.loads(call)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _FATAL)
            if tells:
                counted[channel] = time.monotonic()
                channel.sendall(BEGINS)
            for place, document in enumerate(documents):
                progress[place] = BEGUN
                result = handler.call(document)
                output = ears.heard()
                if output or not isinstance(result, Delivered):
                    channel.sendall(_line(place, result, output))
                progress[place] = DELIVERED if isinstance(result, Delivered) else NOT_DELIVERED
            signal.pthread_sigmask(signal.SIG_BLOCK, _FATAL)
            counted.pop(channel, None)
            channel.sendall(b"\n")


def _line(place: int, result: HandlerResult, output: str) -> bytes:
    kind = KINDS.index(type(result))
    error = None if isinstance(result, Delivered) else result.error
    after = None
    if isinstance(result, Failed | Deferred) and result.retry_after is not None:
        after = result.retry_after.total_seconds()
    return to_json([place, kind, error, after, output]).encode() + b"\n"


class Ears:
    """Standard output and error of the process: passes on what is written, and keeps the end of what a thread says."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._said = local()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        kept: str = getattr(self._said, "text", "")
        self._said.text = (kept + text)[-MAX_OUTPUT:]
        return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def heard(self) -> str:
        """The end of what this thread has said since it was asked last: 4 KiB at most."""
        text: str = getattr(self._said, "text", "")
        self._said.text = ""
        return storable(text.encode(errors="replace")[-MAX_OUTPUT:].decode(errors="ignore")).strip() if text else ""
