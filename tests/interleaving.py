"""Several things at once: threads that start together, and locks that can be seen before one goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar, overload

import psycopg
import sqlalchemy as sa
from sqlalchemy.engine import make_url

from waitctl.infrastructure.database import Caller, host_clock
from waitctl.infrastructure.executor import WATCHERS, Said
from waitctl.infrastructure.schema import events

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")

_PATIENCE = 60
"""Seconds until a condition that never comes true fails the test. Nothing is asserted about time."""


def until(condition: Callable[[], Any], what: str) -> Any:
    """Poll until ``condition`` holds; return what it returned."""
    deadline = time.monotonic() + _PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.005)
    return found


class Background(Generic[T]):
    """A call in a thread of its own, begun at once."""

    def __init__(self, job: Callable[[], T]) -> None:
        self._job = job
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._job()
        except BaseException as error:  # noqa: BLE001 (raised again by result)
            self._error = error

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive()

    def result(self) -> T:
        self._thread.join(_PATIENCE)
        assert not self._thread.is_alive(), "never came back"
        if self._error is not None:
            raise self._error
        return self._result


@overload
def at_once(one: Callable[[], A], other: Callable[[], B], /) -> tuple[A, B]: ...


@overload
def at_once(
    one: Callable[[], A], other: Callable[[], B], third: Callable[[], object], fourth: Callable[[], object], /
) -> tuple[A, B, object, object]: ...


@overload
def at_once(one: Callable[[], A], /, *others: Callable[[], B]) -> tuple[A, *tuple[B, ...]]: ...


def at_once(*jobs: Callable[[], Any]) -> tuple[Any, ...]:
    """Run the jobs in a thread each, from the same moment; return what they returned."""
    barrier = threading.Barrier(len(jobs))

    def held(job: Callable[[], Any]) -> Any:
        barrier.wait(_PATIENCE)
        return job()

    running = [Background(partial(held, job)) for job in jobs]
    return tuple(each.result() for each in running)


def reach(at: datetime) -> None:
    """Wait until it is that late."""
    until(lambda: host_clock() >= at, str(at))


def insert_at_the_inbox(connection: Caller, event_type: str, contact_id: str) -> None:
    """What another system does: an event by SQL alone."""
    connection.execute(sa.insert(events).values(event_type=event_type, contact_id=contact_id))


def until_blocked(url: str, job: Background[Any], locktype: str | None = None) -> None:
    """Wait until PostgreSQL shows a lock (of this type) in this database that somebody waits for."""
    query = (
        "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE NOT l.granted AND a.datname = current_database()"
    )
    if locktype:
        query += f" AND l.locktype = '{locktype}'"
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as connection:

        def is_blocked() -> bool:
            if job.is_done:
                job.result()
                raise AssertionError("it did not wait for the lock")
            return connection.execute(query).fetchone() != (0,)

        until(is_blocked, "a lock that somebody waits for")


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """The statements, and their parameters, of this process that run meanwhile."""
    seen: list[tuple[str, Any]] = []

    def note(said: Said) -> None:
        seen.append((said.text, said.parameters))

    WATCHERS.append(note)
    try:
        yield seen
    finally:
        WATCHERS.remove(note)


KNOWN = {"23505"}
"""What an ingest meets that took events for new: a unique key has one already, and it begins the batch again."""


@contextmanager
def database_errors() -> Iterator[list[str]]:
    """The SQLSTATEs or messages of the errors of this process meets, retried or not."""
    seen: list[str] = []

    def note(said: Said) -> None:
        if said.error is not None:
            seen.append(getattr(said.error, "sqlstate", None) or str(said.error))

    WATCHERS.append(note)
    try:
        yield seen
    finally:
        WATCHERS.remove(note)


def count(connection: Caller, table: sa.Table, *where: Any) -> int:
    """How many rows there are."""
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*where)).scalar_one())
