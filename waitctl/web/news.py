"""Whether anything has changed: one thread asks for all who wait, while anybody does."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from waitctl.domain.errors import DatabaseError
from waitctl.infrastructure.database import Database
from waitctl.infrastructure.wakeup import Wakeup

_LOOK_AGAIN = 1.0
"""Seconds after which one looks again, whether or not the database has said anything: SQLite never does."""


class News:
    """Wakes whoever waits for a change: after one that PostgreSQL tells of, else once a second."""

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url, create=False)  # its own: it hears what the others of us write, too
        self._waiting = set[asyncio.Future[bool]]()
        self._thread: threading.Thread | None = None
        self._wakeup: Wakeup | None = None
        self.closing = False

    async def wait(self, seconds: float) -> bool:
        """Wait until something may have changed, for so long at most, or until the server stops.

        Whether the database has said so; else it is only time to look again.
        """
        if self.closing:
            return False
        loop = asyncio.get_running_loop()
        future: asyncio.Future[bool] = loop.create_future()
        self._waiting.add(future)
        if self._thread is None:
            self._wakeup = Wakeup(self._database)
            self._thread = threading.Thread(target=self._listen, args=(loop, self._wakeup), name="news", daemon=True)
            self._thread.start()
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting.discard(future)

    def _listen(self, loop: asyncio.AbstractEventLoop, wakeup: Wakeup) -> None:
        while not self.closing:
            is_news = False
            with suppress(DatabaseError):
                is_news = wakeup.wait(_LOOK_AGAIN)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._tell, is_news)

    def _tell(self, is_news: bool) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(is_news)

    def stop(self) -> None:
        """Let everybody go who waits; a signal handler may call it."""
        self.closing = True
        if (wakeup := self._wakeup) is not None:
            wakeup.wake()

    def close(self) -> None:
        """The same, and wait for the thread."""
        self.stop()
        wakeup, self._wakeup = self._wakeup, None  # nobody wakes it any more: its descriptors may be another's then
        if self._thread is not None and wakeup is not None:
            self._thread.join(_LOOK_AGAIN + 1)
            if not self._thread.is_alive():  # else it waits for a database that does not answer, and ends with us
                wakeup.__exit__(None, None, None)
        self._database.close()
