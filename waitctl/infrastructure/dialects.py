"""What differs between SQLite and PostgreSQL inside a statement: the compiler decides it, so no caller need know.

Each construct says what it means; below it stands what becomes of it in either database.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import SyntaxExtension
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

from waitctl.infrastructure.column_types import UtcDateTime
from waitctl.infrastructure.sql_values import encode_texts, encode_tuples

# -- many values in one parameter --------------------------------------------------------------------------------------


class JsonRows(sa.TableClause):
    """A table made of one parameter of its name: what `json_rows` makes of objects with these keys.

    A parameter a row costs 20 to 40 µs; one JSON parameter a batch next to nothing.
    """

    inherit_cache = True
    encoding: type[TypeEngine[Any]] = sa.Text

    def __init__(self, name: str, columns: Mapping[str, TypeEngine[Any]]) -> None:
        super().__init__(name, *(sa.column(key, kind) for key, kind in columns.items()))
        self.parameter = sa.bindparam(name, type_=self.encoding)


class TupleText(TypeDecorator[Any]):
    """The parameter of `Tuples`: rows, or the text that `as_tuples` has made of them ahead."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Encode what is not encoded yet."""
        return encode_tuples(value, dialect.name)


class Tuples(JsonRows):
    """`JsonRows` for many rows, from what `as_tuples` makes of them.

    As lines on PostgreSQL, which splits them in less than half the time that it needs to read JSON.
    """

    inherit_cache = True
    encoding = TupleText


class Texts(TypeDecorator[Any]):
    """Texts without line feeds, ids among them, as one parameter: lines on PostgreSQL, a JSON array on SQLite."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str:
        """Encode an iterable of texts."""
        return encode_texts(value, dialect.name)


_STORED_INSTANT = 26
"""Characters of an instant in SQLite: those of `instant_text` without the zone."""


@compiles(JsonRows, "postgresql")
def _json_rows_postgresql(rows: JsonRows, compiler: SQLCompiler, **settings: Any) -> str:
    _enter(rows, settings)
    columns = ", ".join(f"{compiler.preparer.quote(c.name)} {_type(compiler, c.type)}" for c in rows.c)
    return f"jsonb_to_recordset(CAST({compiler.process(rows.parameter)} AS JSONB)) AS {rows.name}({columns})"


@compiles(JsonRows, "sqlite")
def _json_rows_sqlite(rows: JsonRows, compiler: SQLCompiler, **settings: Any) -> str:
    return _each(rows, compiler, settings, [f"'$.\"{column.name}\"'" for column in rows.c])


@compiles(Tuples, "postgresql")
def _tuples_postgresql(rows: Tuples, compiler: SQLCompiler, **settings: Any) -> str:
    _enter(rows, settings)
    columns = ", ".join(
        f"CAST(split.value[{place}] AS {_type(compiler, column.type)}) AS {compiler.preparer.quote(column.name)}"
        for place, column in enumerate(rows.c, 1)
    )
    # OFFSET 0: each line would be split anew for every column.
    lines = f"unnest({_lines(compiler.process(rows.parameter))}) AS line"
    split = rf"SELECT string_to_array(line, E'\t', E'\x02') AS value FROM {lines} OFFSET 0"
    return f"(SELECT {columns} FROM ({split}) AS split) AS {rows.name}"


@compiles(Tuples, "sqlite")
def _tuples_sqlite(rows: Tuples, compiler: SQLCompiler, **settings: Any) -> str:
    return _each(rows, compiler, settings, [f"'$[{place}]'" for place in range(len(rows.c))])


def _each(rows: JsonRows, compiler: SQLCompiler, settings: Mapping[str, Any], paths: Sequence[str]) -> str:
    _enter(rows, settings)
    columns = []
    for column, path in zip(rows.c, paths, strict=True):
        value = f"json_extract(value, {path})"
        if isinstance(column.type, UtcDateTime):
            value = f"substr({value}, 1, {_STORED_INSTANT})"
        columns.append(f"{value} AS {compiler.preparer.quote(column.name)}")
    return f"(SELECT {', '.join(columns)} FROM json_each({compiler.process(rows.parameter)})) AS {rows.name}"


def _enter(rows: JsonRows, settings: Mapping[str, Any]) -> None:
    """Tell SQLAlchemy, which looks for tables that nothing joins, of this one."""
    if (linter := settings.get("from_linter")) is not None:
        linter.froms[rows] = rows.name


def _type(compiler: SQLCompiler, kind: TypeEngine[Any]) -> str:
    return compiler.dialect.type_compiler_instance.process(kind)


def _lines(text: str) -> str:
    return rf"string_to_array({text}, E'\n')"


class _Condition(FunctionElement[bool]):
    """A condition that SQLAlchemy need not compare with 1 on SQLite, which would hide it from the indexes."""

    type = sa.Boolean()
    inherit_cache = True
    _is_implicitly_boolean = True


# -- membership --------------------------------------------------------------------------------------------------------


class is_one_of(_Condition):  # noqa: N801 (a SQL function)
    """Whether a value is one that a sub-select finds.

    PostgreSQL guesses a batch large, and reads a whole table for it, unless it is an array.
    """

    inherit_cache = True

    def __init__(self, subject: sa.ColumnElement[Any], found: sa.Select[Any] | sa.CompoundSelect[Any]) -> None:
        super().__init__(subject, found.scalar_subquery())


@compiles(is_one_of, "postgresql")
def _is_one_of_postgresql(element: is_one_of, compiler: SQLCompiler, **settings: Any) -> str:
    subject, found = (compiler.process(each, **settings) for each in element.clauses)
    return f"{subject} = ANY (ARRAY{found})"


@compiles(is_one_of, "sqlite")
def _is_one_of_sqlite(element: is_one_of, compiler: SQLCompiler, **settings: Any) -> str:
    subject, found = (compiler.process(each, **settings) for each in element.clauses)
    return f"{subject} IN {found}"


class is_among(_Condition):  # noqa: N801 (a SQL function)
    """Whether a value is one of the texts of the parameter ``name``, which is compiled once, however many there are.

    PostgreSQL does not see how many before it runs: of thousands that it saw 14 would rather read a whole table.
    """

    inherit_cache = True

    def __init__(self, subject: sa.ColumnElement[Any], name: str = "ids") -> None:
        super().__init__(subject, sa.bindparam(name, type_=Texts))


@compiles(is_among, "postgresql")
def _is_among_postgresql(element: is_among, compiler: SQLCompiler, **settings: Any) -> str:
    subject, texts = element.clauses
    array = f"CAST({_lines(compiler.process(texts, **settings))} AS {_type(compiler, subject.type)}[])"
    return f"{compiler.process(subject, **settings)} = ANY (ARRAY(SELECT unnest({array})))"


@compiles(is_among, "sqlite")
def _is_among_sqlite(element: is_among, compiler: SQLCompiler, **settings: Any) -> str:
    subject, texts = (compiler.process(each, **settings) for each in element.clauses)
    return f"{subject} IN (SELECT value FROM json_each({texts}))"


class is_joined_among(is_among):  # noqa: N801 (a SQL function)
    """`is_among` of a row that a join with a parameter of many finds anyway.

    PostgreSQL would read the whole table for the join. SQLite looks its rows up, and would go through both parameters.
    """

    inherit_cache = True


@compiles(is_joined_among, "sqlite")
def _is_joined_among_sqlite(element: is_joined_among, compiler: SQLCompiler, **settings: Any) -> str:
    return "TRUE"


class any_of(FunctionElement[str]):  # noqa: N801 (a SQL function)
    """Any of the texts of a parameter: not a constant, of which PostgreSQL would look up statistics text by text."""

    inherit_cache = True

    def __init__(self, name: str) -> None:
        super().__init__(sa.bindparam(name, type_=Texts))


@compiles(any_of, "postgresql")
def _any_of_postgresql(element: any_of, compiler: SQLCompiler, **settings: Any) -> str:
    return f"ANY (ARRAY(SELECT unnest({_lines(compiler.process(element.clauses, **settings))})))"


class octets(FunctionElement[int]):  # noqa: N801 (a SQL function)
    """How many bytes a text or a JSON document takes, as the database writes it."""

    type = sa.Integer()
    inherit_cache = True


@compiles(octets, "postgresql")
def _octets_postgresql(element: octets, compiler: SQLCompiler, **settings: Any) -> str:
    return f"octet_length(CAST({compiler.process(element.clauses, **settings)} AS TEXT))"


@compiles(octets, "sqlite")
def _octets_sqlite(element: octets, compiler: SQLCompiler, **settings: Any) -> str:
    return f"length(CAST({compiler.process(element.clauses, **settings)} AS BLOB))"


# -- instants ----------------------------------------------------------------------------------------------------------


class seconds_between(FunctionElement[int]):  # noqa: N801 (a SQL function)
    """Whole seconds from one instant to another."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(seconds_between, "postgresql")
def _seconds_between_postgresql(element: seconds_between, compiler: SQLCompiler, **settings: Any) -> str:
    early, late = (compiler.process(each, **settings) for each in element.clauses)
    return f"CAST(floor(extract(epoch FROM {late} - {early})) AS BIGINT)"


@compiles(seconds_between, "sqlite")
def _seconds_between_sqlite(element: seconds_between, compiler: SQLCompiler, **settings: Any) -> str:
    early, late = (compiler.process(each, **settings) for each in element.clauses)
    return f"CAST((julianday({late}) - julianday({early})) * 86400 + 0.0005 AS INTEGER)"


class quarter_of(FunctionElement[int]):  # noqa: N801 (a SQL function)
    """The number of an instant's quarter hour since the epoch."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(quarter_of, "postgresql")
def _quarter_of_postgresql(element: quarter_of, compiler: SQLCompiler, **settings: Any) -> str:
    return f"CAST(floor(extract(epoch FROM {compiler.process(element.clauses, **settings)}) / 900) AS BIGINT)"


@compiles(quarter_of, "sqlite")
def _quarter_of_sqlite(element: quarter_of, compiler: SQLCompiler, **settings: Any) -> str:
    # Without the fraction, which SQLite rounds: 59.9999 is no minute.
    second = f"strftime('%s', substr({compiler.process(element.clauses, **settings)}, 1, 19))"
    return f"CAST({second} AS INTEGER) / 900"


class rfc3339(FunctionElement[str]):  # noqa: N801 (a SQL function)
    """An instant for `read_rfc3339`: a text, in whatever zone the session is behind its pooler."""

    type = sa.Text()
    inherit_cache = True


@compiles(rfc3339, "postgresql")
def _rfc3339_postgresql(element: rfc3339, compiler: SQLCompiler, **settings: Any) -> str:
    at = compiler.process(element.clauses, **settings)
    return f"""to_char(timezone('UTC', {at}), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""


@compiles(rfc3339, "sqlite")
def _rfc3339_sqlite(element: rfc3339, compiler: SQLCompiler, **settings: Any) -> str:
    return f"replace({compiler.process(element.clauses, **settings)}, ' ', 'T') || 'Z'"


class instant_in(FunctionElement[datetime]):  # noqa: N801 (a SQL function)
    """The instant whose text, in RFC 3339 and UTC, stands under a key of a document."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, document: sa.ColumnElement[Any], key: str) -> None:
        super().__init__(document, sa.literal_column(key))


@compiles(instant_in, "postgresql")
def _instant_in_postgresql(element: instant_in, compiler: SQLCompiler, **settings: Any) -> str:
    document, key = (compiler.process(each, **settings) for each in element.clauses)
    return f"CAST({document} ->> '{key}' AS {_type(compiler, element.type)})"


@compiles(instant_in, "sqlite")
def _instant_in_sqlite(element: instant_in, compiler: SQLCompiler, **settings: Any) -> str:
    document, key = (compiler.process(each, **settings) for each in element.clauses)
    text = f"replace(replace(json_extract({document}, '$.{key}'), 'T', ' '), 'Z', '.000000')"
    return f"substr({text}, 1, {_STORED_INSTANT})"


# -- documents ---------------------------------------------------------------------------------------------------------


class matches_text(_Condition):  # noqa: N801 (a SQL function)
    """Whether every path of the second document names, in the first one, a value of that text."""

    inherit_cache = True


_NOT_SCALAR = "coalesce(jsonb_typeof({found}), 'null') IN ('null', 'object', 'array')"


@compiles(matches_text, "postgresql")
def _matches_text_postgresql(element: matches_text, compiler: SQLCompiler, **settings: Any) -> str:
    data, match = (compiler.process(each, **settings) for each in element.clauses)
    path = "string_to_array(pair.key, '.')"
    differs = f"{_NOT_SCALAR.format(found=f'({data} #> {path})')} OR ({data} #>> {path}) != pair.value"
    return f"NOT (EXISTS (SELECT 1 FROM jsonb_each_text({match}) AS pair WHERE {differs}))"


@compiles(matches_text, "sqlite")
def _matches_text_sqlite(element: matches_text, compiler: SQLCompiler, **settings: Any) -> str:
    return f"waitctl_matches_text({compiler.process(element.clauses, **settings)})"


class contains(_Condition):  # noqa: N801 (a SQL function)
    """Whether the first document contains the second, as ``jsonb`` means it."""

    inherit_cache = True


@compiles(contains, "postgresql")
def _contains_postgresql(element: contains, compiler: SQLCompiler, **settings: Any) -> str:
    whole, part = (compiler.process(each, **settings) for each in element.clauses)
    return f"({whole} @> {part})"


@compiles(contains, "sqlite")
def _contains_sqlite(element: contains, compiler: SQLCompiler, **settings: Any) -> str:
    return f"waitctl_contains({compiler.process(element.clauses, **settings)})"


class scalar_text(FunctionElement[str]):  # noqa: N801 (a SQL function)
    """The text of the scalar that a path names in a document; of one longer than ``longest`` characters its digest."""

    type = sa.Text()
    inherit_cache = True

    def __init__(self, data: sa.ColumnElement[Any], path: sa.ColumnElement[Any], longest: int) -> None:
        super().__init__(data, path, sa.literal_column(str(longest)))


@compiles(scalar_text, "postgresql")
def _scalar_text_postgresql(element: scalar_text, compiler: SQLCompiler, **settings: Any) -> str:
    data, key, longest = (compiler.process(each, **settings) for each in element.clauses)
    path = f"string_to_array({key}, '.')"
    text = f"({data} #>> {path})"
    return (
        f"CASE WHEN {_NOT_SCALAR.format(found=f'({data} #> {path})')} THEN NULL"
        f" WHEN length({text}) <= {longest} THEN {text}"
        f" ELSE concat('sha256:', encode(sha256(convert_to({text}, 'UTF8')), 'hex')) END"
    )


@compiles(scalar_text, "sqlite")
def _scalar_text_sqlite(element: scalar_text, compiler: SQLCompiler, **settings: Any) -> str:
    data, key, _ = (compiler.process(each, **settings) for each in element.clauses)
    return f"waitctl_distinct({data}, {key})"  # which knows itself how long a text may be


# -- order -------------------------------------------------------------------------------------------------------------


class bytewise(FunctionElement[str]):  # noqa: N801 (an order)
    """A text that is sorted by its bytes, wherever the database stands: each has an order of its own otherwise."""

    type = sa.Text()
    inherit_cache = True


@compiles(bytewise, "postgresql")
def _bytewise_postgresql(element: bytewise, compiler: SQLCompiler, **settings: Any) -> str:
    return f'{compiler.process(element.clauses, **settings)} COLLATE "C"'


@compiles(bytewise, "sqlite")
def _bytewise_sqlite(element: bytewise, compiler: SQLCompiler, **settings: Any) -> str:
    return compiler.process(element.clauses, **settings)


# -- inserting ---------------------------------------------------------------------------------------------------------


class _OnConflict(SyntaxExtension, sa.ClauseElement):
    """The end of an INSERT: what becomes of rows whose unique key is there."""

    _traverse_internals = [("action", sa.sql.visitors.InternalTraversal.dp_string)]  # noqa: RUF012 (SQLAlchemy's form)

    def __init__(self, action: str) -> None:
        self.action = action

    def apply_to_insert(self, insert: sa.Insert) -> None:
        """Called by SQLAlchemy."""
        insert.apply_syntax_extension_point(self.append_replacing_same_type, "post_values")


@compiles(_OnConflict)
def _on_conflict(element: _OnConflict, compiler: SQLCompiler, **_: Any) -> str:
    return f"ON CONFLICT {element.action}"


def insert_new(table: sa.Table) -> sa.Insert:
    """An INSERT whose rows are dropped where a unique key has them already."""
    return sa.insert(table).ext(_OnConflict("DO NOTHING"))


class _OrReplace(SyntaxExtension, sa.ClauseElement):
    """The end of an INSERT that overwrites the other columns of a row whose key is there."""

    _traverse_internals = [  # noqa: RUF012 (SQLAlchemy's form)
        ("key", sa.sql.visitors.InternalTraversal.dp_string),
        ("others", sa.sql.visitors.InternalTraversal.dp_string_list),
    ]

    def __init__(self, key: str, others: Sequence[str]) -> None:
        self.key, self.others = key, list(others)

    def apply_to_insert(self, insert: sa.Insert) -> None:
        """Called by SQLAlchemy."""
        insert.apply_syntax_extension_point(self.append_replacing_same_type, "post_values")


@compiles(_OrReplace)
def _or_replace(element: _OrReplace, compiler: SQLCompiler, **_: Any) -> str:
    quote = compiler.preparer.quote
    changed = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in element.others)
    return f"ON CONFLICT ({quote(element.key)}) DO UPDATE SET {changed}"


def replace_known(table: sa.Table, key: str) -> sa.Insert:
    """An INSERT that overwrites the row with its key, if there is one."""
    return sa.insert(table).ext(_OrReplace(key, [column.name for column in table.c if column.name != key]))


class _NumberedInsert(sa.Insert):
    """See `insert_numbered`."""

    inherit_cache = True
    numbered: sa.Insert


def insert_numbered(columns: Mapping[sa.Column[Any], sa.ColumnElement[Any]], number: sa.Column[Any]) -> sa.Insert:
    """Insert a row for each that the values of these columns stem from, the column ``number`` counting all of them.

    PostgreSQL counts by itself. SQLite numbers no column but the row id, so we count; writers exclude each other.
    """
    names, values = [column.name for column in columns], list(columns.values())
    insert = _NumberedInsert(number.table).from_select(names, sa.select(*values))
    last: sa.Select[Any] = sa.select(
        sa.func.coalesce(sa.func.max(sa.literal_column("rowid")), sa.literal_column("0"))
    ).select_from(number.table)
    place = (last.scalar_subquery() + sa.func.row_number().over()).label(number.name)
    insert.numbered = sa.insert(number.table).from_select([*names, number.name], sa.select(*values, place))
    return insert


@compiles(_NumberedInsert, "sqlite")
def _numbered_insert_sqlite(element: _NumberedInsert, compiler: SQLCompiler, **settings: Any) -> str:
    return compiler.process(element.numbered, **settings)


def add_to(table: sa.Table, *sums: str) -> sa.Insert:
    """An INSERT that adds these columns to a row whose primary key is there already."""
    key = ", ".join(column.name for column in table.primary_key.columns)
    changed = ", ".join(f"{name} = {table.name}.{name} + excluded.{name}" for name in sums)
    return sa.insert(table).ext(_OnConflict(f"({key}) DO UPDATE SET {changed}"))
