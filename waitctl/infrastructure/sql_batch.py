"""The batch: rows claimed by one transaction and what is done to them, on both databases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, FromClause
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.types import TypeEngine

from waitctl.domain.instants import format_instant
from waitctl.domain.text import to_json
from waitctl.infrastructure.schema import UtcDateTime


def speaks_sqlite(connection: Connection) -> bool:
    """Whether the other end is SQLite."""
    return connection.dialect.name == "sqlite"


def json_rows(name: str, columns: Mapping[str, TypeEngine[Any]], *, is_sqlite: bool) -> FromClause:
    """A table made of one parameter ``name``: a JSON array of objects with these keys.

    A parameter a row costs 20 to 40 µs; one JSON parameter a batch next to nothing.
    """
    parameter = sa.bindparam(name, type_=sa.Text)
    if not is_sqlite:
        return (
            sa.func.jsonb_to_recordset(sa.cast(parameter, _jsonb()))
            .table_valued(*(sa.column(key, kind) for key, kind in columns.items()), name=name)
            .render_derived(with_types=True)
        )
    each = sa.func.json_each(parameter).table_valued("value", name=f"{name}_each")
    extracted = (
        sa.type_coerce(sa.func.json_extract(each.c.value, f'$."{key}"'), kind).label(key)
        for key, kind in columns.items()
    )
    return sa.select(*extracted).select_from(each).cte(name)


_NULL = "\x02"


def tuples(name: str, columns: Mapping[str, TypeEngine[Any]], *, is_sqlite: bool) -> FromClause:
    """`json_rows` for many rows: each is the texts of its values, in the order of ``columns``; see `as_tuples`.

    As lines on PostgreSQL, which splits them in less than half the time that it needs to read JSON.
    """
    parameter = sa.bindparam(name, type_=sa.Text)
    if is_sqlite:
        each = sa.func.json_each(parameter).table_valued("value", name=f"{name}_each")
        values = [sa.func.json_extract(each.c.value, f"$[{place}]") for place in range(len(columns))]
        typed = zip(values, columns.items(), strict=True)
        return sa.select(*(sa.type_coerce(value, kind).label(key) for value, (key, kind) in typed)).cte(name)
    line = sa.func.unnest(_lines(parameter)).column_valued(f"{name}_line")
    array = sa.func.string_to_array(line, sa.text(r"E'\t'"), sa.text(r"E'\x02'"), type_=sa.ARRAY(sa.Text))
    # OFFSET 0: each line would be split anew for every column.
    split = sa.select(array.label("value")).offset(0).subquery(f"{name}_split")
    places = ((sa.literal_column(str(place), sa.Integer), *column) for place, column in enumerate(columns.items(), 1))
    return sa.select(*(sa.cast(split.c.value[place], kind).label(key) for place, key, kind in places)).cte(name)


def as_tuples(rows: Sequence[Sequence[str | None]], *, is_sqlite: bool) -> str:
    """Rows as the parameter of `tuples`.

    No text may hold a tab, a line feed or U+0002. Raises ``ValueError`` before one of the first two moves the others.
    """
    if is_sqlite:
        return to_json(list(rows))
    lines = ["\t".join([_NULL if text is None else text for text in row]) for row in rows]
    text = "\n".join(lines)
    if text.count("\n") != max(len(lines) - 1, 0) or text.count("\t") != sum(len(row) - 1 for row in rows):
        raise ValueError("a text holds a tab or a line feed")
    return text


def any_line(name: str) -> Any:
    """Any of the lines of a parameter: not a constant, of which PostgreSQL would look up statistics line by line."""
    line = sa.func.unnest(_lines(sa.bindparam(name, type_=sa.Text)))
    return sa.any_(sa.func.array(sa.select(line).scalar_subquery(), type_=sa.ARRAY(sa.Text)))


def _lines(parameter: sa.BindParameter[Any]) -> sa.Function[Any]:
    return sa.func.string_to_array(parameter, sa.text(r"E'\n'"), type_=sa.ARRAY(sa.Text))


def seconds_between(early: Any, late: Any, *, is_sqlite: bool) -> sa.ColumnElement[int]:
    """Whole seconds from one instant to another, in SQL."""
    if is_sqlite:
        days = sa.func.julianday(late, type_=sa.Float) - sa.func.julianday(early, type_=sa.Float)
        return sa.cast(days * 86400 + 0.0005, sa.Integer)
    return sa.cast(sa.func.floor(sa.func.extract("epoch", late - early)), sa.BigInteger)


def is_one_of(subject: Any, ids: Any, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether it is one of a batch's ids. PostgreSQL guesses a batch large, and reads a whole table for it."""
    if is_sqlite:
        among: sa.ColumnElement[bool] = subject.in_(ids)
        return among
    array = sa.func.array(ids.scalar_subquery(), type_=sa.ARRAY(subject.type))
    equal: sa.ColumnElement[bool] = subject == sa.any_(array)
    return equal


def is_among(subject: Any, ids: Sequence[str], *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """Whether it is one of these ids: one parameter, whose statement is compiled once, however many there are."""
    bound = sa.bindparam("ids", as_ids(ids, is_sqlite=is_sqlite), sa.Text, unique=True)
    return _is_in(subject, bound, is_sqlite)


def is_among_ids(subject: Any, *, is_sqlite: bool) -> sa.ColumnElement[bool]:
    """The same for a statement that is kept: the parameter is ``ids``, and its value what `as_ids` makes."""
    return _is_in(subject, sa.bindparam("ids", type_=sa.Text), is_sqlite)


def as_ids(ids: Sequence[str], *, is_sqlite: bool) -> str:
    """Ids as one parameter."""
    return json.dumps(list(ids)) if is_sqlite else "\n".join(ids)


def _is_in(subject: Any, ids: sa.BindParameter[Any], is_sqlite: bool) -> sa.ColumnElement[bool]:
    if is_sqlite:
        among: sa.ColumnElement[bool] = subject.in_(sa.select(sa.func.json_each(ids).table_valued("value").c.value))
        return among
    equal: sa.ColumnElement[bool] = subject == sa.any_(sa.cast(_lines(ids), sa.ARRAY(subject.type)))
    return equal


def instant_text(at: datetime | None, *, is_sqlite: bool) -> str | None:
    """An instant as an element of `json_rows`: the text that SQLite stores, or one that PostgreSQL reads."""
    if at is None:
        return None
    text = (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(" ", "microseconds")
    return text.removesuffix("+00:00") if is_sqlite else text


def rfc3339(at: Any, *, is_sqlite: bool) -> sa.ColumnElement[Any]:
    """An instant for `read_rfc3339`: on PostgreSQL as text, in whatever zone the session is behind its pooler."""
    if is_sqlite:
        return sa.type_coerce(at, UtcDateTime)
    return sa.func.to_char(sa.func.timezone("UTC", at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"', type_=sa.Text)


def read_rfc3339(value: str | datetime) -> str:
    """The instant as `format_instant` writes it: a fraction only where there is one."""
    if not isinstance(value, str):
        return format_instant(value)
    return value.replace(".000000Z", "Z")


class Claimed:
    """A claim on rows and what is done to them, in one transaction: the shape of every batch.

    ``claim`` selects and locks the rows (the fence); each of ``steps`` makes a statement from them; ``result`` selects
    what the caller wants to know, from the claim and, on PostgreSQL, from what the steps return. On PostgreSQL all of
    it is one statement of data-modifying CTEs and no row travels that nobody asks for;
    on SQLite, where a CTE may only read, the claim fills a temporary table and the steps follow one by one, under the
    write lock. Build it once, run it per batch.
    """

    _temporary = "waitctl_claimed"
    COLUMNS = (
        *("id", "from_status", "handler", "due_at", "event_id", "listener_id"),
        *("scheduled_at", "timeout_at", "expires_at", "gated", "config", "late_policy", "timezone", "reason"),
    )

    def __init__(
        self,
        claim: sa.Select[Any],
        steps: Callable[[FromClause], Sequence[UpdateBase]],
        result: Callable[[FromClause, Sequence[sa.CTE]], sa.Select[Any]],
        *,
        is_sqlite: bool,
    ) -> None:
        self._is_sqlite = is_sqlite
        if not is_sqlite:
            fence = claim.cte("claim")
            ctes = [step.cte(f"step_{number}") for number, step in enumerate(steps(fence))]
            self._statements: list[sa.Executable] = [result(fence, ctes).add_cte(*ctes)]
            return
        names = [column.name for column in claim.selected_columns]
        table = sa.table(self._temporary, *(sa.column(column.name, column.type) for column in claim.selected_columns))
        fill = sa.insert(sa.table(self._temporary, *map(sa.column, names))).from_select(names, claim)
        self._statements = [sa.delete(table), fill, *steps(table), result(table, ())]

    def run(self, connection: Connection, **parameters: Any) -> list[sa.Row[Any]]:
        """Claim and do. Returns the rows of ``result``."""
        if self._is_sqlite:
            connection.exec_driver_sql(f"CREATE TEMP TABLE IF NOT EXISTS {self._temporary} ({', '.join(self.COLUMNS)})")
        *steps, last = self._statements
        for statement in steps:
            connection.execute(statement, parameters)
        return list(connection.execute(last, parameters).all())


def _jsonb() -> TypeEngine[Any]:
    from sqlalchemy.dialects.postgresql import JSONB

    return JSONB()
