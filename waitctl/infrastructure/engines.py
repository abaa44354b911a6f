"""The two drivers: how their connections are set up, and what SQLite has to be taught."""

from __future__ import annotations

import math
import sqlite3
import time
from typing import TYPE_CHECKING, Any

from waitctl.domain.errors import DatabaseUnreachableError
from waitctl.infrastructure.sqlite_file import BUSY_SECONDS, sqlite_argument
from waitctl.infrastructure.sqlite_functions import FUNCTIONS, OwnConnection, add_functions

if TYPE_CHECKING:
    from waitctl.infrastructure.database_url import Url
    from waitctl.infrastructure.patience import Patience

SYNCHRONOUS = "FULL"
"""A commit survives a power cut."""

_BUSY_SLICE = 1.0
"""Seconds for which SQLite waits for a write lock without looking up."""


class Sqlite:
    """Connections to a file, whose transactions wait for another's lock as ``patience`` says."""

    dialect = "sqlite"

    def __init__(self, url: Url, patience: Patience) -> None:
        if sqlite3.sqlite_version_info < (3, 35):
            raise DatabaseUnreachableError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
        self._file, self._is_uri = sqlite_argument(url)
        self._patience = patience

    def connect(self) -> sqlite3.Connection:
        """A connection that knows what our statements call.

        The driver is in autocommit: we say ourselves how a transaction begins.
        """
        connection = sqlite3.connect(
            self._file,
            timeout=BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
            uri=self._is_uri,
            factory=OwnConnection,
        )
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
        _distrust_schema(connection)
        add_functions(connection)
        return connection

    def begin(self, connection: sqlite3.Connection, *, write: bool) -> None:
        """Begin; a writer takes the lock at once.

        A deferred transaction that reads and then writes fails with SQLITE_BUSY_SNAPSHOT when another wrote in between,
        whatever the busy timeout.
        """
        if write:
            _set_busy_timeout(connection, _BUSY_SLICE)
            try:
                _begin_immediate(connection, self._patience)
            finally:
                _set_busy_timeout(connection, BUSY_SECONDS)
            return
        if self._patience.is_limited:
            now = time.monotonic()
            _set_busy_timeout(connection, min(self._patience.ends_at(now) - now, BUSY_SECONDS))
        connection.execute("BEGIN")

    def is_lost(self, _: sqlite3.Connection) -> bool:
        """A file does not go away by itself."""
        return False


def _begin_immediate(connection: sqlite3.Connection, patience: Patience) -> None:
    """Take the write lock. SQLite waits for it without an ear for signals, so a second at a time."""
    began = time.monotonic()
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            busy = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() >= min(patience.ends_at(began), began + BUSY_SECONDS):
                raise
        else:
            return


def _set_busy_timeout(connection: sqlite3.Connection, seconds: float) -> None:
    connection.execute(f"PRAGMA busy_timeout = {math.ceil(seconds * 1000)}")


_SUSPECTS_JSON = (3, 38) <= sqlite3.sqlite_version_info < (3, 41)
"""SQLite then takes its own JSON functions for unsafe, and our tables check their documents by them."""


def _distrust_schema(connection: sqlite3.Connection) -> None:
    """Let no trigger or view that somebody left in the file call a function of ours."""
    if not _SUSPECTS_JSON:
        connection.execute("PRAGMA trusted_schema = OFF")
        return
    calls = " OR ".join(f"instr(lower(sql), '{name}')" for name in FUNCTIONS)
    found = connection.execute(f"SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view') AND ({calls})")
    if found.fetchone() is not None:
        raise sqlite3.OperationalError("unsafe use of a function")


class Postgresql:
    """Connections that work behind a transaction pooler, in UTC; every wait ends as ``patience`` says."""

    dialect = "postgresql"

    def __init__(self, url: Url, patience: Patience) -> None:
        self._options, self._patience = url.options(), patience

    def connect(self) -> Any:
        """A connection for READ COMMITTED transactions.

        Nothing is prepared: behind a transaction pooler a prepared statement may be on another connection, and a
        generic plan would lose the partial indexes.
        """
        from waitctl.infrastructure import postgresql

        return postgresql.connect(self._patience, {**self._options, "prepare_threshold": None})

    def begin(self, connection: Any, *, write: bool) -> None:
        """The driver begins by itself."""

    def is_lost(self, connection: Any) -> bool:
        """Whether it is closed, by whomever."""
        return bool(connection.closed)


class Listener:
    """A connection of PostgreSQL's driver that listens to one channel."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def fileno(self) -> int:
        """What becomes readable when something has come in."""
        descriptor: int = self._connection.fileno()
        return descriptor

    def payloads(self) -> list[str] | None:
        """What has come in, without waiting; ``None`` when the connection is lost."""
        import psycopg

        try:
            return [notice.payload for notice in self._connection.notifies(timeout=0)]
        except psycopg.Error:
            return None

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


def listen(driver: Postgresql, channel: str) -> Listener | None:
    """Listen on a connection of its own; ``None`` when there is none to be had now."""
    import psycopg

    try:
        connection = driver.connect()
        connection.autocommit = True
        connection.execute(f'LISTEN "{channel}"')
    except psycopg.Error:
        return None
    return Listener(connection)
