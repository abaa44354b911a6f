"""The two drivers: how their connections are set up, and what SQLite has to be taught."""

from __future__ import annotations

import sqlite3
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import URL

from waitctl.domain.errors import DatabaseUnreachableError
from waitctl.domain.listeners import MAX_DISTINCT, contains, matches_text, scalar_text
from waitctl.domain.text import from_json, storable, to_json


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
    """Numbers as the decimals that jsonb makes of them. SQLite hands out a bare number as a number."""
    import json
    from decimal import Decimal

    if not isinstance(text, str):
        return Decimal(repr(text))
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


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
