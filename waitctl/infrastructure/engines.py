"""The two drivers: how their connections are set up, what SQLite has to be taught, and what their errors mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from waitctl.domain.errors import (
    DatabaseBusyError,
    DatabaseFullError,
    DatabaseReadOnlyError,
    DatabaseUnreachableError,
    SchemaVersionError,
    WaitStepError,
)
from waitctl.domain.listeners import MAX_DISTINCT, contains, matches_text, scalar_text
from waitctl.domain.text import from_json, storable, to_json

RETRIED_STATES = {"40P01", "40001"}  # deadlock detected, serialization failure


def sqlite_engine(url: URL, busy_seconds: float) -> Engine:
    """An engine whose transactions say themselves how they begin; a write waits ``busy_seconds`` for another."""
    if sqlite3.sqlite_version_info < (3, 35):
        raise DatabaseUnreachableError(f"SQLite {sqlite3.sqlite_version} is too old: 3.35 or newer is needed")
    engine = sa.create_engine(
        url,
        json_serializer=to_json,
        json_deserializer=from_json,
        connect_args={"timeout": busy_seconds, "isolation_level": None, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
        add_functions(connection)

    # The driver is in autocommit: we say ourselves how a transaction begins. A deferred one that reads and then
    # writes fails at once with SQLITE_BUSY_SNAPSHOT when another wrote in between, whatever the busy timeout.
    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("waitctl_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def add_functions(connection: sqlite3.Connection) -> None:
    """What our statements call and SQLite has not: on our connections, and on those that a caller hands us."""
    connection.create_function("waitctl_matches_text", 2, _matches_text, deterministic=True)
    connection.create_function("waitctl_contains", 2, _contains, deterministic=True)
    connection.create_function("waitctl_distinct", 2, _distinct, deterministic=True)


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


def postgresql_engine(url: URL) -> Engine:
    """An engine that works behind a transaction pooler, its sessions in UTC."""
    # prepare_threshold None: behind a transaction pooler a prepared statement may be on another connection, and a
    # generic plan would lose the partial indexes.
    engine = sa.create_engine(
        url,
        json_serializer=to_json,
        json_deserializer=from_json,
        isolation_level="READ COMMITTED",
        pool_pre_ping=False,
        connect_args={"prepare_threshold": None, "application_name": "waitctl", "connect_timeout": 10},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _: object) -> None:
        from psycopg.types.string import TextLoader

        # Ids are texts here: the driver's own loader makes an object of each, of which SQLAlchemy makes a text again.
        connection.adapters.register_loader("uuid", TextLoader)
        connection.autocommit = True
        connection.execute("SET TIME ZONE 'UTC'")
        connection.autocommit = False

    return engine


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


# -- errors ------------------------------------------------------------------------------------------------------------


@contextmanager
def translated_errors(name: Callable[[], str]) -> Iterator[None]:
    """Turn the driver's errors into ours, by what they mean to the caller of the database of that name."""
    try:
        yield
    except WaitStepError:
        raise
    except DBAPIError as error:
        translated = _translate(error, name())
        if translated is None:
            raise
        raise translated from error


_SQLITE_ERRORS: Sequence[tuple[str, type[WaitStepError], str]] = (
    ("readonly", DatabaseReadOnlyError, "{name} is read-only"),
    ("already exists", SchemaVersionError, "{name} has tables of another application with the names of ours"),
    ("not a database", DatabaseUnreachableError, "{name} is not a database"),
    ("malformed", DatabaseUnreachableError, "{name} is damaged"),
    ("unable to open", DatabaseUnreachableError, "cannot open {name}"),
    ("is locked", DatabaseBusyError, "{name} is locked by another process"),
    ("disk is full", DatabaseFullError, "the disk of {name} is full"),
    ("disk I/O error", DatabaseUnreachableError, "the disk of {name} cannot be read or written"),
)


def _translate(error: DBAPIError, name: str) -> WaitStepError | None:
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        for fragment, kind, message in _SQLITE_ERRORS:
            if fragment in str(cause):
                return kind(message.format(name=name))
        return None
    state = getattr(cause, "sqlstate", None)
    reason = str(cause).strip().partition("\n")[0]
    if state in RETRIED_STATES:
        return DatabaseBusyError(f"another transaction was in the way: {reason}", hint="run it again")
    if state == "25006":
        return DatabaseReadOnlyError(f"{name} is read-only")
    if state == "53100":
        return DatabaseFullError(f"the disk of {name} is full")
    if state == "42501":
        return DatabaseUnreachableError(f"{name}: {reason}")
    # Class 08: connection exceptions, 28: authorization, 3D: no such database, 57P: shutdown.
    unreachable = state is None or state[:2] in {"08", "28", "3D"} or state[:3] == "57P"
    if unreachable and isinstance(error, OperationalError | InterfaceError):
        return DatabaseUnreachableError(f"cannot reach {name}: {reason}")
    return None
