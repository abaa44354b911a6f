"""The two drivers: how their connections are set up, and what SQLite has to be taught."""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError

from waitctl.domain.errors import DatabaseUnreachableError
from waitctl.domain.listeners import MAX_DISTINCT, contains, matches_text, scalar_text
from waitctl.domain.text import from_json, storable, to_json
from waitctl.infrastructure.patience import Patience
from waitctl.infrastructure.sqlite_file import BUSY_SECONDS

_BUSY_SLICE = 1.0
"""Seconds for which SQLite waits for a write lock without looking up."""


def sqlite_engine(url: URL, patience: Patience) -> Engine:
    """An engine whose transactions say themselves how they begin; for another's lock they wait as ``patience`` says.

    Raises `DatabaseUnreachableError` when the library is older than 3.35.
    """
    if sqlite3.sqlite_version_info < (3, 35):
        raise DatabaseUnreachableError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    engine = sa.create_engine(
        url,
        json_serializer=to_json,
        json_deserializer=from_json,
        hide_parameters=True,  # what people wrote has no place in an error
        connect_args={"timeout": BUSY_SECONDS, "isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        _distrust_schema(connection)
        add_functions(connection)

    # The driver is in autocommit: we say ourselves how a transaction begins. A deferred one that reads and then
    # writes fails at once with SQLITE_BUSY_SNAPSHOT when another wrote in between, whatever the busy timeout.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if connection.get_execution_options().get("waitctl_write"):
            _set_busy_timeout(driver, _BUSY_SLICE)
            try:
                _begin_immediate(connection, patience)
            finally:
                _set_busy_timeout(driver, BUSY_SECONDS)
            return
        if patience.is_limited:
            now = time.monotonic()
            _set_busy_timeout(driver, min(patience.ends_at(now) - now, BUSY_SECONDS))
        connection.exec_driver_sql("BEGIN")

    return engine


def _begin_immediate(connection: Connection, patience: Patience) -> None:
    """Take the write lock. SQLite waits for it without an ear for signals, so a second at a time."""
    began = time.monotonic()
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            busy = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
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
    calls = " OR ".join(f"instr(lower(sql), '{name}')" for name in _FUNCTIONS)
    found = connection.execute(f"SELECT 1 FROM sqlite_master WHERE type IN ('trigger', 'view') AND ({calls})")
    if found.fetchone() is not None:
        raise sqlite3.OperationalError("unsafe use of a function")


def add_functions(connection: sqlite3.Connection) -> None:
    """What our statements call and SQLite has not: on our connections, and on those that a caller hands us."""
    for name, function in _FUNCTIONS.items():
        connection.create_function(name, 2, function, deterministic=True)


def _matches_text(data: str | float, match: str) -> bool:
    return matches_text(_exact_json(data), _exact_json(match))


def _contains(data: str | float, part: str) -> bool:
    return contains(_exact_json(data), _exact_json(part))


def _distinct(data: str | float, key: str | None) -> str | None:
    text = None if key is None else scalar_text(_exact_json(data), key)
    if text is None or len(text) <= MAX_DISTINCT:
        return text if text is None else storable(text)
    from hashlib import sha256

    return f"sha256:{sha256(storable(text).encode()).hexdigest()}"


_FUNCTIONS: Mapping[str, Callable[..., bool | str | None]] = {
    "waitctl_matches_text": _matches_text,
    "waitctl_contains": _contains,
    "waitctl_distinct": _distinct,
}


def _exact_json(text: str | float) -> Any:
    """Numbers as the decimals that jsonb makes of them. SQLite hands out a bare number as a number.

    What is nested too deeply for Python to read is null: it matches nothing, and stops nobody.
    """
    import json
    from decimal import Decimal

    if not isinstance(text, str):
        return Decimal(repr(text))
    try:
        return json.loads(text, parse_int=Decimal, parse_float=Decimal)
    except RecursionError:
        return None


def postgresql_engine(url: URL, patience: Patience) -> Engine:
    """An engine that works behind a transaction pooler, its sessions in UTC; every wait ends as ``patience`` says."""
    # prepare_threshold None: behind a transaction pooler a prepared statement may be on another connection, and a
    # generic plan would lose the partial indexes.
    engine = sa.create_engine(
        url,
        json_serializer=to_json,
        json_deserializer=from_json,
        hide_parameters=True,  # what people wrote has no place in an error
        isolation_level="READ COMMITTED",
        pool_pre_ping=False,
        connect_args={"prepare_threshold": None},
    )

    @event.listens_for(engine, "do_connect")
    def connect(_: object, __: object, ___: object, options: dict[str, Any]) -> Any:
        from waitctl.infrastructure import postgresql

        return postgresql.connect(patience, options)

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        from psycopg.types.string import TextLoader

        # Ids are texts here: the driver's own loader makes an object of each, of which SQLAlchemy makes a text again.
        connection.adapters.register_loader("uuid", TextLoader)
        connection.autocommit = True
        connection.execute("SET TIME ZONE 'UTC'")
        connection.autocommit = False

    return engine


def close_pool(engine: Engine, wait: float) -> None:
    """Close the connections of an engine; those that are in use are closed when they come back."""
    pool: Any = engine.pool
    event.listen(pool, "checkin", lambda _, record: record.invalidate())
    engine.dispose()
    deadline = time.monotonic() + wait
    while pool.checkedout() and time.monotonic() < deadline:
        time.sleep(0.01)


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


def listen(engine: Engine, channel: str) -> Listener | None:
    """Listen on a connection of its own; ``None`` when there is none to be had now."""
    import psycopg

    try:
        raw = engine.raw_connection()
        connection: Any = raw.driver_connection
        raw.detach()
        connection.autocommit = True
        connection.execute(f'LISTEN "{channel}"')
    except (DBAPIError, psycopg.Error):
        return None
    return Listener(connection)
