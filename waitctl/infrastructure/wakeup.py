"""Waiting for a change: PostgreSQL says when something was written, and elsewhere one looks again after a while."""

from __future__ import annotations

import math
import os
import select
import time
from contextlib import suppress
from types import TracebackType

from waitctl.infrastructure.database import CHANNEL, Database
from waitctl.infrastructure.engines import Listener

_LONGEST_POLL = 86_400.0
"""Seconds of one poll: the system counts milliseconds in 31 bits."""


class Wakeup:
    """Wakes whoever waits for a change in ``database``: on SQLite only `wake` does.

    Behind a connection pooler LISTEN succeeds and never wakes. So a wake-up may only shorten a wait that ends anyway.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listening: Listener | None = None
        self._awake, self._waker = os.pipe()
        os.set_blocking(self._awake, False)
        os.set_blocking(self._waker, False)

    def __enter__(self) -> Wakeup:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop_listening()
        os.close(self._awake)
        os.close(self._waker)

    def wake(self) -> None:
        """End the wait that is under way, or the next one. May be called by a signal handler and by any thread."""
        with suppress(BlockingIOError):  # full: it will wake as it is
            os.write(self._waker, b"!")

    def wait(self, seconds: float) -> bool:
        """Wait until somebody else has written or `wake` was called. False when ``seconds`` are over first."""
        deadline = time.monotonic() + seconds
        self.listen()
        while (left := deadline - time.monotonic()) > 0:
            readable = self._poll(left)
            if self._awake in readable:
                self._drain()
                return True
            if readable and self._has_news():
                return True
        return False

    def rest(self, seconds: float) -> None:
        """Wait until `wake` is called, for ``seconds`` at most, and listen anew afterwards: the database is away."""
        self._stop_listening()
        if self._poll(seconds):
            self._drain()

    def _poll(self, seconds: float) -> set[int]:
        """The descriptors on which something has come in. By poll: select takes none beyond 1023."""
        poll = select.poll()
        poll.register(self._awake, select.POLLIN)
        if self._listening is not None:
            poll.register(self._listening.fileno(), select.POLLIN)
        return {descriptor for descriptor, _ in poll.poll(math.ceil(min(seconds, _LONGEST_POLL) * 1000))}

    def listen(self) -> None:
        """Begin to listen, so that a change which follows is not missed. What cannot be listened to is looked at."""
        if self._database.is_sqlite or self._listening is not None:
            return
        self._listening = self._database.listen(CHANNEL)

    def _has_news(self) -> bool:
        """Whether somebody else has written something. A connection that is lost is news, too."""
        news = None if self._listening is None else self._listening.payloads()
        if news is None:
            self._stop_listening()
            return True
        return any(who != self._database.identity for who in news)

    def _drain(self) -> None:
        try:
            while os.read(self._awake, 1024):
                pass
        except BlockingIOError:
            pass

    def _stop_listening(self) -> None:
        if self._listening is not None:
            self._listening.close()
            self._listening = None
