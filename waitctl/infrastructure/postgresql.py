"""PostgreSQL's driver, with an end to every wait. Importing it costs: only who connects does."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from concurrent.futures import Future, wait
from contextlib import suppress
from threading import Thread
from typing import Any, TypeVar

import psycopg
from psycopg import waiting
from psycopg.rows import tuple_row
from psycopg.types.json import set_json_loads
from psycopg.types.string import TextLoader

from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.text import from_json
from waitctl.infrastructure.patience import Patience

T = TypeVar("T")

_LOOK_UP = 0.1
"""Seconds after which one sees that the end has come nearer."""

_DEFAULTS: Mapping[str, Any] = {
    "application_name": "waitctl",
    "connect_timeout": 10,  # seconds an address
    # A peer that is gone is noticed after 35 seconds, whether one waits for it (the first three) or sends (the last).
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 35_000,
}

_OURS: Mapping[str, Any] = {"client_encoding": "utf8"}
"""Whatever the environment, the URL, the role or the database say: the driver cannot read every encoding."""

_SESSION = "SET TIME ZONE 'UTC'; SET DateStyle TO 'ISO'; SET standard_conforming_strings TO on"
"""Likewise what instants and texts look like. A pooler keeps these with each client's connection."""


class NoAnswerError(psycopg.OperationalError):
    """The server has not answered in time."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection that is closed when the server does not answer for as long as `Patience` lasts."""

    patience: Patience

    def wait(self, gen: Generator[Any, Any, T], interval: float = _LOOK_UP, timeout: float | None = None) -> T:
        """Wait as the driver does: every wait of a connection that is made goes through here."""
        named = {} if timeout is None else {"timeout": timeout}  # older drivers know none
        try:
            return waiting.wait(self._bounded(gen), self.pgconn.socket, interval, **named)
        except (NoAnswerError, KeyboardInterrupt, SystemExit):
            # A server that only is slow, or waits for a lock, shall not go on with what nobody waits for.
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=1)
            self.pgconn.finish()
            raise

    def _bounded(self, gen: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        began = time.monotonic()
        try:
            state = next(gen)
            while True:
                ready = yield state
                if not ready and time.monotonic() >= self.patience.ends_at(began):
                    raise NoAnswerError(f"no answer for {time.monotonic() - began:.0f} s")
                state = gen.send(ready)
        except StopIteration as done:
            result: T = done.value
            return result


def hand_out_plainly(cursor: psycopg.Cursor[Any]) -> None:
    """Tuples, and ids as texts, from a cursor of a caller's connection."""
    cursor.row_factory = tuple_row
    cursor.adapters.register_loader("uuid", TextLoader)


def connect(patience: Patience, options: Mapping[str, Any]) -> BoundedConnection:
    """Connect, in a thread: neither the resolution of a name nor a list of addresses keeps to a timeout.

    Raises `NoAnswerError` when the patience is over, and `InvalidSettingError` for options that the driver cannot read.
    """
    made: Future[BoundedConnection] = Future()
    began = time.monotonic()

    def attempt() -> None:
        try:
            connection = BoundedConnection.connect(**{**_DEFAULTS, **options, **_OURS})
            connection.patience = patience
            _set_up(connection)
        except BaseException as error:  # noqa: BLE001 (raised again by who waits)
            made.set_exception(error)
            return
        made.set_result(connection)

    Thread(target=attempt, name="connect", daemon=True).start()
    while not wait([made], _LOOK_UP).done:
        if time.monotonic() >= patience.ends_at(began):
            made.add_done_callback(_close)
            raise NoAnswerError(f"no connection within {time.monotonic() - began:.0f} s")
    try:
        return made.result()
    except psycopg.ProgrammingError:  # its words may repeat parts of the URL
        raise InvalidSettingError("the database URL is not valid: an option's value cannot be read") from None


def _set_up(connection: BoundedConnection) -> None:
    """Documents as our own reader makes them, ids as texts; isolation and settings are ours, whatever the defaults."""
    set_json_loads(from_json, connection)
    connection.adapters.register_loader("uuid", TextLoader)
    connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
    connection.autocommit = True
    connection.execute(_SESSION)
    connection.autocommit = False


def _close(made: Future[BoundedConnection]) -> None:
    """Nobody waits for it any more."""
    if made.exception() is None:
        made.result().close()
