"""Whatever a statement of ours reads and writes is read and written through SQLAlchemy, too, and is the same.

A plugin of pytest: ``python -m pytest -p tests.both_ways FILES`` does so in every test of these files. SQLAlchemy runs
each statement first, in a savepoint that is rolled back, and the executor behind it. Compared are the rows that it
answers, what the tables that it writes hold then, and errors by their class. Where another transaction may have written
between the two, both are run again: what differs each time differs by who ran it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from itertools import product
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.visitors import iterate

from waitctl.domain.text import from_json, to_json
from waitctl.infrastructure.database import host_clock
from waitctl.infrastructure.executor import NONE, Connection, Row, Rows
from waitctl.infrastructure.kept import COLUMNS, TEMPORARY, Kept
from waitctl.infrastructure.rendering import load_statements
from waitctl.infrastructure.schema import metadata
from waitctl.infrastructure.sql_batch import NAME, STATEMENTS, Claimed

_AGAIN = 10
"""Times that both are run before a difference is no other transaction's doing."""

_MOST = 300
"""Rows of a table, and bytes of a value, that are looked at; of more rows only what a statement answers is compared."""

_MADE_UP = re.compile(r".*_\d+")
"""The name of a column that has none, by SQLAlchemy's counting."""

_ID = re.compile(r"([0-9a-f]{8})-([0-9a-f]{4})-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_INSTANT = re.compile(r"20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?")

_DRIVER: ContextVar[Any] = ContextVar("driver")


def _engine(url: str) -> sa.Engine:
    """One on whatever connection `_DRIVER` holds, of whose transaction it neither begins nor ends anything."""
    json = {"json_serializer": to_json, "json_deserializer": from_json}
    engine = sa.create_engine(url, creator=_DRIVER.get, poolclass=sa.NullPool, pool_reset_on_return=None, **json)
    for name in ("do_begin", "do_commit", "do_rollback", "do_close"):
        setattr(engine.dialect, name, lambda _: None)
    return engine


_ENGINES = {"sqlite": _engine("sqlite+pysqlite://"), "postgresql": _engine("postgresql+psycopg://")}


@dataclass(frozen=True)
class Statement:
    """One of ours as SQLAlchemy has it, and the tables that it writes."""

    name: str
    steps: Sequence[Any]
    written: Sequence[sa.Table]

    @classmethod
    def of(cls, name: str, steps: Sequence[Any]) -> Statement:
        """What is to be known of it."""
        written = {str(part.table) for step in steps for part in iterate(step) if isinstance(part, UpdateBase)}
        return cls(name, steps, [metadata.tables[table] for table in sorted(written - {TEMPORARY})])


@lru_cache(4096)
def _kept(name: str, arguments: tuple[Any, ...], dialect: str) -> Statement:
    built = STATEMENTS[name](*arguments)
    return Statement.of(name, list(getattr(built, dialect).values()) if isinstance(built, Claimed) else [built])


@dataclass
class Outcome:
    """What came of a statement: its rows and the names of their columns, or an error, and what tables hold then."""

    rows: Sequence[tuple[Any, ...]] = ()
    names: Sequence[str] = ()
    tables: Sequence[Sequence[tuple[Any, ...]]] = ()
    error: BaseException | None = None

    def told(self, since: float, *, is_named: bool) -> object:
        """What is to be the same whoever ran it: all but the ids and the instants that were made ``since`` then."""
        if self.error is not None:
            return type(self.error)
        rows = [_masked(row, since) for row in self.rows]
        tables = [sorted([_masked(row, since) for row in rows]) for rows in self.tables]
        return sorted(rows) if self.tables else rows, tables, self.names if is_named and rows else ()


def _digest(value: object) -> object:
    """A body of a webhook by its hash, since a table of them is read with each statement; anything else as it is."""
    if isinstance(value, bytes | memoryview) and len(value) > _MOST:
        return sha256(value).hexdigest()
    return value


def _masked(row: tuple[Any, ...], since: float) -> str:
    def of_id(found: re.Match[str]) -> str:
        return "(new)" if int(found[1] + found[2], 16) >= int(since * 1000) else found[0]

    def of_instant(found: re.Match[str]) -> str:
        try:
            at = datetime.fromisoformat(f"{found[0]}+00:00")
        except ValueError:  # a text that looks like one
            return found[0]
        return "(now)" if at.timestamp() >= since else found[0]

    text = "|".join([f"{type(value).__name__} {_digest(value)}" for value in row])
    return _INSTANT.sub(of_instant, _ID.sub(of_id, text))


class Comparison:
    """Runs statements both ways. ``read`` and ``written``: the names of those that were, which grow."""

    def __init__(self) -> None:
        load_statements()
        self.read: set[str] = set()
        self.written: set[str] = set()

    def run(
        self, connection: Connection, statement: Statement, parameters: Any, ours: Callable[[], Rows[Row]]
    ) -> Rows[Row]:
        """Run one. Returns what ours has answered, or raises what it raises."""
        again = _AGAIN
        while True:
            since = host_clock().timestamp() - 0.002  # SQLite's clock knows thousandths
            connection.driver.execute("SAVEPOINT both_ways")
            by_them = _by_sqlalchemy(connection, statement, parameters)
            connection.driver.execute("ROLLBACK TO SAVEPOINT both_ways")
            rows, by_us = _by_us(connection, statement, ours)
            is_named = len(set(by_them.names)) == len(by_them.names) and not any(map(_MADE_UP.fullmatch, by_them.names))
            told = by_us.told(since, is_named=is_named), by_them.told(since, is_named=is_named)
            if told[0] == told[1]:
                break
            if by_us.error is not None and _is_of_others(by_us.error):
                raise by_us.error
            again -= 1
            assert again or told[0] == told[1], statement.name
            connection.driver.execute("ROLLBACK TO SAVEPOINT both_ways")
        if by_us.error is not None:
            raise by_us.error
        connection.driver.execute("RELEASE SAVEPOINT both_ways")
        (self.written if statement.written else self.read).add(statement.name)
        return rows


def _by_sqlalchemy(connection: Connection, statement: Statement, parameters: Any) -> Outcome:
    rows: Sequence[tuple[Any, ...]] = ()
    names: Sequence[str] = ()
    _DRIVER.set(connection.driver)
    is_one = isinstance(parameters, Mapping)
    try:
        with _ENGINES[connection.dialect].connect() as theirs:
            for step, each in product(statement.steps, [parameters] if is_one else parameters):
                result = theirs.execute(step, each)
                if result.returns_rows:
                    names, rows = list(result.keys()), [tuple(row) for row in result]
    except sa.exc.DBAPIError as error:
        return Outcome(error=error.orig)
    return Outcome(_uncounted(rows, names, statement), names, _look(connection, statement))


def _by_us(connection: Connection, statement: Statement, ours: Callable[[], Rows[Row]]) -> tuple[Rows[Row], Outcome]:
    try:
        rows = ours()
    except (sqlite3.Error, psycopg.Error) as error:
        return Rows(), Outcome(error=error)
    names = list(rows[0].places) if rows else ()
    return rows, Outcome(_uncounted(rows, names, statement), names, _look(connection, statement))


def _is_counted(column: sa.Column[Any]) -> bool:
    """Whether it is numbered by a sequence, which counts on whatever is rolled back."""
    return column.identity is not None


def _uncounted(rows: Sequence[tuple[Any, ...]], names: Sequence[str], statement: Statement) -> list[tuple[Any, ...]]:
    counted = {column.name for table in statement.written for column in table.c if _is_counted(column)}
    if not counted:
        return list(rows)
    return [
        tuple(
            [None if name in counted and type(value) is int else value for name, value in zip(names, row, strict=True)]
        )
        for row in rows
    ]


def _look(connection: Connection, statement: Statement) -> Sequence[Sequence[tuple[Any, ...]]]:
    """What is in the tables that it writes."""
    looks = []
    for table in statement.written:
        columns = [f'"{column.name}"' for column in table.c if not _is_counted(column)]
        rows = connection.driver.execute(f"SELECT {', '.join(columns)} FROM {table.name} LIMIT {_MOST + 1}").fetchall()
        looks.append(rows if len(rows) <= _MOST else [])
    return looks


def _is_of_others(error: BaseException) -> bool:
    """Whether a lock, another transaction or the server ended it, and with it what could be compared."""
    if isinstance(error, psycopg.Error):
        return error.sqlstate is None or error.sqlstate[:2] in {"08", "25", "40", "53", "55", "57", "58"}
    return isinstance(error, sqlite3.OperationalError)


def compare(monkeypatch: pytest.MonkeyPatch) -> Comparison:
    """Run every statement both ways from now on."""
    comparison = Comparison()
    execute, run = Connection.execute, Kept.run

    def execute_both(self: Connection, statement: Any, parameters: Any = NONE) -> Rows[Row]:
        if isinstance(statement, str) or (isinstance(statement, Kept) and statement.name not in STATEMENTS):
            return execute(self, statement, parameters)
        if isinstance(statement, Kept):
            both = _kept(statement.name, statement.arguments, self.dialect)
        else:
            name = statement.get_execution_options().get(NAME) or "of its moment"
            both = Statement.of(name, [statement])
        return comparison.run(self, both, parameters, lambda: execute(self, statement, parameters))

    def run_both(self: Kept, session: Connection, **parameters: Any) -> list[Row]:
        both = _kept(self.name, self.arguments, session.dialect)
        if session.dialect == "sqlite":
            session.execute(f"CREATE TEMP TABLE IF NOT EXISTS {TEMPORARY} ({', '.join(COLUMNS)})")
        return comparison.run(session, both, parameters, lambda: Rows(run(self, session, **parameters)))

    monkeypatch.setattr(Connection, "execute", execute_both)
    monkeypatch.setattr(Kept, "run", run_both)
    return comparison


@pytest.fixture(autouse=True)
def compared_unless_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the plugin does to every test."""
    if request.node.get_closest_marker("one_way") is None:
        compare(monkeypatch)
