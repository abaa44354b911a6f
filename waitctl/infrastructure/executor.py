"""Statements that are text already, run by the driver itself: SQLAlchemy has written them, and need not be loaded."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property, lru_cache
from threading import Lock
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, TypeVar

from waitctl.infrastructure.sql_values import COPY, Convert, binder, reader

if TYPE_CHECKING:
    import sqlalchemy as sa

T = TypeVar("T")

Parameters = Mapping[str, Any]
NONE: Parameters = MappingProxyType({})


class Said(NamedTuple):
    """What is told of a statement: its name if it has one, its text and parameters, seconds, and the error."""

    name: str | None
    text: str
    parameters: Any
    took: float
    error: Exception | None


WATCHERS: list[Callable[[Said], None]] = []
"""Told of every statement of this process: `sql_log`."""


class Sent:
    """A statement as text for one dialect.

    ``binds`` are the kinds of parameters that are converted, ``given`` parameters that it brings along, as the driver
    takes them; ``columns`` the names and kinds of what it answers, None for the driver's own names.
    """

    def __init__(
        self,
        dialect: str,
        name: str | None,
        text: str,
        binds: Mapping[str, Any] = NONE,
        given: Parameters = NONE,
        columns: Sequence[tuple[str, Any]] | None = None,
    ) -> None:
        self.dialect, self.name, self.text = dialect, name, text
        self.binds, self.given, self.columns = binds, given, columns
        self._binders = [(key, binder(kind, dialect)) for key, kind in binds.items()]

    def bound(self, parameters: Parameters) -> dict[str, Any]:
        """The parameters as the driver takes them."""
        taken = {**self.given, **parameters}
        for key, convert in self._binders:
            taken[key] = convert(taken[key])
        return taken

    @cached_property
    def readers(self) -> list[tuple[int, Convert]]:
        """By their places, what values become that the driver hands out."""
        kinds = [(place, kind) for place, (_, kind) in enumerate(self.columns or ()) if kind]
        found = [(place, kind if callable(kind) else reader(kind, self.dialect)) for place, kind in kinds]
        return [(place, convert) for place, convert in found if convert is not None]

    @cached_property
    def row(self) -> type[Row]:
        """The type of its rows."""
        return _row_type(tuple(name for name, _ in self.columns or ()))

    def read(self, cursor: Any) -> list[Row]:
        """The rows that a cursor has."""
        row = self.row if self.columns is not None else _row_type(tuple(each[0] for each in cursor.description))
        if not self.readers:
            return list(map(row, cursor.fetchall()))
        rows = []
        for values in map(list, cursor.fetchall()):
            for place, convert in self.readers:
                values[place] = convert(values[place])
            rows.append(row(values))
        return rows


class Row(tuple[Any, ...]):
    """A row: a tuple whose values have names."""

    __slots__ = ()
    places: ClassVar[Mapping[str, int]] = {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self[self.places[name]]
        except KeyError:
            raise AttributeError(name) from None


@lru_cache(1024)  # making one takes longer than many a statement
def _row_type(names: tuple[str, ...]) -> type[Row]:
    return type("Row", (Row,), {"__slots__": (), "places": {name: place for place, name in enumerate(names)}})


class Rows(list[T]):
    """What a statement has answered."""

    rowcount = -1

    def all(self) -> list[T]:
        """Every row."""
        return self

    def first(self) -> T | None:
        """The first row, if there is one."""
        return self[0] if self else None

    def one(self) -> T:
        """The only row. Raises ``LookupError`` when there is none, or more."""
        if len(self) != 1:
            raise LookupError(f"found {len(self)} where one was to be")
        return self[0]

    def one_or_none(self) -> T | None:
        """The only row, if there is one. Raises ``LookupError`` when there are more."""
        return self.one() if self else None

    def scalars(self: Rows[Row]) -> Rows[Any]:
        """The first value of each row."""
        return Rows([row[0] for row in self])

    def scalar(self: Rows[Row]) -> Any:
        """The first value of the first row; None when there is no row."""
        return self[0][0] if self else None

    def scalar_one(self: Rows[Row]) -> Any:
        """The first value of the only row. Raises ``LookupError`` when there is none, or more."""
        return self.one()[0]

    def mappings(self: Rows[Row]) -> Rows[dict[str, Any]]:
        """Each row by the names of its values."""
        return Rows([dict(zip(row.places, row, strict=True)) for row in self])


class Rendered(Protocol):
    """A kept statement: see `kept`."""

    def sent(self, dialect: str) -> Sequence[Sent]:
        """What is sent for it, in its order."""


class Connection:
    """A driver's connection in a transaction that somebody else ends."""

    locks_topics = True
    """Whether nobody else may record or listen meanwhile: not where all of it will be undone."""

    def __init__(self, driver: Any, dialect: str, *, is_foreign: bool = False) -> None:
        self.driver, self.dialect, self._is_foreign = driver, dialect, is_foreign

    @classmethod
    def of(cls, connection: sa.Connection) -> Connection:
        """The session on a caller's connection of SQLAlchemy, in the caller's transaction."""
        if not connection.in_transaction():
            connection.begin()  # as SQLAlchemy itself does at the first statement
        return cls(connection.connection.driver_connection, connection.dialect.name, is_foreign=True)

    def execute(
        self, statement: Rendered | sa.Executable | str, parameters: Parameters | Sequence[Parameters] = NONE
    ) -> Rows[Row]:
        """Run a statement: one that is kept, a text in the driver's own form, or one of SQLAlchemy's, rendered now.

        A sequence of parameters runs it for each of them.
        """
        if isinstance(statement, str):
            return self.send(Sent(self.dialect, None, statement), parameters)
        if hasattr(statement, "sent"):
            (sent,) = statement.sent(self.dialect)
            return self.send(sent, parameters)
        from waitctl.infrastructure.rendering import render

        names = parameters if isinstance(parameters, Mapping) else parameters[0]
        return self.send(render(statement, self.dialect, names), parameters)

    def send(self, sent: Sent, parameters: Parameters | Sequence[Parameters]) -> Rows[Row]:
        """Run a statement that is text."""
        bound: Any = (
            sent.bound(parameters) if isinstance(parameters, Mapping) else [sent.bound(each) for each in parameters]
        )
        with self._running(sent.name, sent.text, bound) as cursor:
            run = cursor.executemany if isinstance(bound, list) else cursor.execute
            run(sent.text, bound)
            rows = Rows(sent.read(cursor) if cursor.description else ())
            rows.rowcount = cursor.rowcount
        return rows

    def copy(self, table: str, columns: Sequence[str], lines: str) -> None:
        """Take in rows of a table, as `as_copied` has them: PostgreSQL's quickest way."""
        text = COPY.format(table=table, columns=", ".join(f'"{name}"' for name in columns))
        with self._running("copy", text, NONE) as cursor, cursor.copy(text) as copy:
            copy.write(lines)

    @contextmanager
    def _running(self, name: str | None, text: str, bound: Any) -> Iterator[Any]:
        """A cursor for a statement, of which whoever watches is told."""
        cursor = self._cursor()
        began, failed = time.perf_counter() if WATCHERS else 0.0, None
        try:
            yield cursor
        except Exception as error:
            failed = error
            raise
        finally:
            for tell in WATCHERS:
                tell(Said(name, text, bound, time.perf_counter() - began, failed))
            cursor.close()

    def stream(self, statement: Rendered | sa.Executable, size: int) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement of many, as the driver hands them out; it holds no more than ``size`` of them."""
        from waitctl.infrastructure.rendering import render

        sent = render(statement, self.dialect)
        # The server keeps the rest of it: without a name, the driver would.
        cursor = self.driver.cursor(**({} if self.dialect == "sqlite" else {"name": "waitctl"}))
        try:
            cursor.execute(sent.text, sent.given)
            while rows := cursor.fetchmany(size):
                yield from rows
        finally:
            cursor.close()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """A part of the transaction that an error undoes alone."""
        self.execute("SAVEPOINT waitctl")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK TO SAVEPOINT waitctl")
            self.execute("RELEASE SAVEPOINT waitctl")
            raise
        self.execute("RELEASE SAVEPOINT waitctl")

    def _cursor(self) -> Any:
        """One that hands out tuples, and ids as texts, whatever a caller's connection is set to."""
        cursor = self.driver.cursor()
        if self._is_foreign and self.dialect == "sqlite":
            cursor.row_factory = None
        elif self._is_foreign:
            from waitctl.infrastructure.postgresql import hand_out_plainly

            hand_out_plainly(cursor)
        return cursor


class Driver(Protocol):
    """What differs between the two: see `engines`."""

    dialect: str

    def connect(self) -> Any:
        """A new connection."""

    def begin(self, connection: Any, *, write: bool) -> None:
        """Begin a transaction."""

    def is_lost(self, connection: Any) -> bool:
        """Whether nothing more will come of a connection."""


class Engine:
    """Connections that are kept open, each for a transaction at a time."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._lock = Lock()
        self._idle: list[Any] = []
        self._in_use = 0
        self._is_closed = False

    @contextmanager
    def begin(self, *, write: bool = False) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back by an error."""
        with self.connect() as connection:
            self._driver.begin(connection, write=write)
            yield Connection(connection, self._driver.dialect)
            connection.commit()

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A connection of the driver's. What an error leaves behind is rolled back; a lost one is closed."""
        with self._lock:
            connection = self._idle.pop() if self._idle else None
            self._in_use += 1
        try:
            if connection is None:
                connection = self._driver.connect()
            yield connection
        except BaseException:
            self._undo(connection)
            raise
        finally:
            with self._lock:
                self._in_use -= 1
                kept = connection is not None and not self._is_closed and not self._driver.is_lost(connection)
                if kept:
                    self._idle.append(connection)
            if connection is not None and not kept:
                _close(connection)

    def _undo(self, connection: Any) -> None:
        if connection is None:
            return
        with suppress(Exception):
            connection.rollback()
        if self._driver.is_lost(connection):  # and so will be those that nobody has asked since
            with self._lock:
                idle, self._idle = self._idle, []
            for each in idle:
                _close(each)

    def close(self, wait: float = 0) -> None:
        """Close every connection; those in use when they come back, for which ``wait`` seconds are waited."""
        with self._lock:
            idle, self._idle, self._is_closed = self._idle, [], True
        for each in idle:
            _close(each)
        deadline = time.monotonic() + wait
        while self._in_use and time.monotonic() < deadline:
            time.sleep(0.01)


def _close(connection: Any) -> None:
    with suppress(Exception):
        connection.close()
