"""What columns hold, and the functions of the database that fill them, for each kind of database."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Enum, String, Text, TypeDecorator, Uuid
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import TypeEngine

from waitctl.infrastructure.sql_values import read_stored_instant, stored_instant, utc_instant


class UtcDateTime(TypeDecorator[datetime]):
    """An instant: ``timestamptz`` on PostgreSQL, ``YYYY-MM-DD HH:MM:SS.ffffff`` in UTC (which sorts) on SQLite.

    Refuses naive values.
    """

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """A text on SQLite, an instant with a zone elsewhere."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Encode an aware datetime. Raises `ValueError` for a naive one."""
        return stored_instant(value) if dialect.name == "sqlite" else utc_instant(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        """Decode to an aware datetime in UTC; one function, since a batch calls it ten thousand times."""
        return read_stored_instant if dialect.name == "sqlite" else utc_instant


class Json(TypeDecorator[Any]):
    """JSONB on PostgreSQL, JSON text on SQLite; ``None`` is SQL's NULL."""

    impl = JSON
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(none_as_null=True)

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Import PostgreSQL's types only for PostgreSQL: they cost SQLite's start-up a tenth of a second."""
        if dialect.name == "postgresql":
            from sqlalchemy.dialects.postgresql import JSONB

            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))


class new_id(GenericFunction[str]):  # noqa: N801 (a SQL function)
    """A UUIDv7 made by the database."""

    type = Uuid(as_uuid=False).with_variant(String(36), "sqlite")
    inherit_cache = True


@compiles(new_id, "postgresql")
def _new_id_postgresql(element: new_id, compiler: SQLCompiler, **_: Any) -> str:
    return "waitctl_uuidv7()"


@compiles(new_id, "sqlite")
def _new_id_sqlite(element: new_id, compiler: SQLCompiler, **_: Any) -> str:
    millis = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
    return (
        f"printf('%08x-%04x-7%03x-%04x-%012x', {millis} >> 16, {millis} & 65535, abs(random() % 4096), "
        "32768 + abs(random() % 16384), abs(random() % 281474976710656))"
    )


class real_now(GenericFunction[datetime]):  # noqa: N801 (a SQL function)
    """The database's own clock at this moment: ``now()`` would be the transaction's start."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(real_now, "postgresql")
def _real_now_postgresql(element: real_now, compiler: SQLCompiler, **_: Any) -> str:
    return "clock_timestamp()"


@compiles(real_now, "sqlite")
def _real_now_sqlite(element: real_now, compiler: SQLCompiler, **_: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


def enum_of(members: type[StrEnum], name: str) -> Enum:
    """One of the members, by its value; ``name`` is that of the type, or of the constraint."""
    return Enum(
        members,
        name=name,
        values_callable=lambda enum: [member.value for member in enum],
        create_constraint=True,
    )


def id_type() -> TypeEngine[str]:
    """A UUID, as text."""
    return Uuid(as_uuid=False).with_variant(String(36), "sqlite")
