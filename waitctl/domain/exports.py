"""The file that carries a database: a header, a row a line, and a last line that says what all of it comes to.

A row has one text, whichever database it stood in: its columns in their order without those that are null, instants
with all six digits, documents with sorted keys and numbers as the decimals that they are, and nothing but ASCII.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from json.encoder import encode_basestring_ascii
from typing import Any

from waitctl.domain.errors import InvalidExportError
from waitctl.domain.instants import format_instant
from waitctl.domain.text import JsonObject

FORMAT = 1
"""The form of the file. Another number is another form."""

_LONGEST_NUMBER = 100_000
"""Digits of a number that is written out: databases keep no longer ones."""

_DIGITS = 4000
"""Digits that Python reads as an integer."""


class ColumnKind(StrEnum):
    """What a column holds."""

    TEXT = "text"
    ID = "id"
    NUMBER = "number"
    FLAG = "flag"
    INSTANT = "instant"
    JSON = "json"
    BYTES = "bytes"


# -- documents ---------------------------------------------------------------------------------------------------------


def _parse_int(digits: str) -> int | Decimal:
    return int(digits) if len(digits) < _DIGITS else Decimal(digits)


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_EXACT = json.JSONDecoder(parse_float=Decimal, parse_int=_parse_int, parse_constant=_reject_constant)
_SORTED = json.JSONEncoder(sort_keys=True, separators=(",", ":"), check_circular=False)


def read_exactly(text: str) -> Any:
    """Decode JSON without losing a digit. Raises ``ValueError``, and ``RecursionError`` for what is nested too deep."""
    return _EXACT.decode(text)


def canonical(value: Any) -> str:
    """The one text of a JSON value."""
    try:
        return _SORTED.encode(value)
    except TypeError:  # it holds a decimal
        return _canonical(value)


def _canonical(value: Any) -> str:
    if isinstance(value, dict):
        items = (f"{encode_basestring_ascii(key)}:{_canonical(value[key])}" for key in sorted(value))
        return f"{{{','.join(items)}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_canonical, value))}]"
    return _number(value) if isinstance(value, Decimal) else _SORTED.encode(value)


def _number(value: Decimal) -> str:
    """Without an exponent, as PostgreSQL's numbers are."""
    if abs(value.adjusted()) > _LONGEST_NUMBER:
        return str(value)
    return f"{abs(value) if value.is_zero() else value:f}"


# -- columns -----------------------------------------------------------------------------------------------------------

_STORED = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}")
_WRITTEN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NOT_STORABLE = re.compile(r"[\x00\ud800-\udfff]")
_LAST = 2**63


def _write_instant(value: str | datetime) -> str:
    """An instant of either driver; what is none, and somebody else has left in SQLite, as it stands."""
    if isinstance(value, datetime):
        return f'"{value.astimezone(UTC).replace(tzinfo=None).isoformat("T", "microseconds")}Z"'
    if _STORED.fullmatch(value):
        return f'"{value[:10]}T{value[11:]}Z"'
    try:
        at = datetime.fromisoformat(value)
        return _write_instant(at if at.tzinfo else at.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        return encode_basestring_ascii(value)


_WRITE: Mapping[ColumnKind, Callable[[Any], str]] = {
    ColumnKind.TEXT: encode_basestring_ascii,
    ColumnKind.ID: encode_basestring_ascii,
    ColumnKind.NUMBER: str,
    ColumnKind.FLAG: lambda value: "true" if value else "false",
    ColumnKind.INSTANT: _write_instant,
    ColumnKind.JSON: lambda value: canonical(read_exactly(value)),
    ColumnKind.BYTES: lambda value: f'"{b64encode(value).decode()}"',
}


def _text(value: Any) -> str:
    if not isinstance(value, str) or _NOT_STORABLE.search(value):
        raise ValueError("no text that a database keeps")
    return value


def _id(value: Any) -> str:
    if not isinstance(value, str) or not _UUID.fullmatch(value):
        raise ValueError("no id")
    return value


def _integer(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -_LAST <= value < _LAST:
        raise ValueError("no integer")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("neither true nor false")
    return value


def _instant(value: Any) -> str:
    if not isinstance(value, str) or not _WRITTEN.fullmatch(value):
        raise ValueError("no instant with six digits and Z")
    datetime.fromisoformat(value)
    return value


def _bytes(value: Any) -> bytes:
    try:
        return b64decode(value, validate=True)
    except (TypeError, Base64Error) as error:
        raise ValueError("not Base64") from error


_READ: Mapping[ColumnKind, Callable[[Any], Any]] = {
    ColumnKind.TEXT: _text,
    ColumnKind.ID: _id,
    ColumnKind.NUMBER: _integer,
    ColumnKind.FLAG: _flag,
    ColumnKind.INSTANT: _instant,
    ColumnKind.JSON: canonical,
    ColumnKind.BYTES: _bytes,
}


@dataclass(frozen=True, slots=True)
class Field:
    """A column: its kind, whether a row may do without it, and the values that it may have if they are few.

    ``is_loose``: what stands there may be what another system has left, and only the database knows.
    """

    name: str
    kind: ColumnKind
    is_optional: bool = False
    has_default: bool = False
    values: frozenset[str] | None = None
    is_loose: bool = False

    def read(self, value: Any) -> Any:
        """The value of a line as databases take it, an instant and a document as text. Raises `InvalidExportError`."""
        try:
            found = _text(value) if self.is_loose and isinstance(value, str) else _READ[self.kind](value)
        except (ValueError, RecursionError) as error:
            raise InvalidExportError(f"{self.name} is {error}") from error
        if self.values is not None and found not in self.values:
            raise InvalidExportError(f"{self.name} cannot be {found!a}")
        return found


# -- lines -------------------------------------------------------------------------------------------------------------


class RowWriter:
    """Writes the rows of a table, whose values come in the order of its fields."""

    def __init__(self, table: str, fields: tuple[Field, ...]) -> None:
        self._head = f'{{"table":"{table}","row":{{'
        self._parts = [(f'"{field.name}":', _WRITE[field.kind]) for field in fields]

    def line(self, values: tuple[Any, ...]) -> str:
        """A row's line. Raises ``ValueError`` and ``RecursionError`` for a document that cannot be read."""
        parts = [
            name + write(value) for (name, write), value in zip(self._parts, values, strict=True) if value is not None
        ]
        return f"{self._head}{','.join(parts)}}}}}\n"


def read_row(fields: tuple[Field, ...], row: JsonObject) -> dict[str, Any]:
    """The values of a row by their columns; one that is missing and has a default is left out.

    Raises `InvalidExportError`.
    """
    found: dict[str, Any] = {}
    left = len(row)
    for field in fields:
        value = row.get(field.name)
        left -= field.name in row
        if value is not None:
            found[field.name] = field.read(value)
        elif field.is_optional:
            found[field.name] = None
        elif not field.has_default:
            raise InvalidExportError(f"{field.name} is missing")
    if left:
        known = {field.name for field in fields}
        raise InvalidExportError(f"there is no column {min(row.keys() - known)!a}")
    return found


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: the form of the file, the migration that its tables were at, and whether it is all of them."""

    schema: str
    whole: bool
    form: int = FORMAT

    def line(self) -> str:
        """The line."""
        return canonical({"waitctl": "export", "format": self.form, "schema": self.schema, "whole": self.whole}) + "\n"

    @classmethod
    def read(cls, fields: JsonObject) -> Header:
        """Read it. Raises `InvalidExportError` for what is no export, or one of another form."""
        match fields:
            case {"waitctl": "export", "format": int(form), "schema": str(schema), "whole": bool(whole)}:
                if form != FORMAT:
                    raise InvalidExportError(
                        f"it is an export of format {form}, and this waitctl reads {FORMAT}",
                        hint="upgrade waitctl on this host" if form > FORMAT else None,
                    )
                return cls(schema, whole)
            case _:
                raise InvalidExportError("it is no export of waitctl: the first line is not its header")


@dataclass(frozen=True, slots=True)
class DueNext:
    """What a tick ends next: how many open waits have an instant, the first of these, and a hash of all in order."""

    count: int
    next_at: datetime | None
    sha256: str

    def to_json(self) -> JsonObject:
        """The document."""
        at = None if self.next_at is None else format_instant(self.next_at)
        return {"count": self.count, "next_at": at, "sha256": self.sha256}


@dataclass(frozen=True, slots=True)
class Footer:
    """The last line: how many rows of each table, what is due next, and a hash of all lines before it."""

    counts: Mapping[str, int]
    due_next: JsonObject
    sha256: str

    def line(self) -> str:
        """The line."""
        return canonical({"counts": self.counts, "due_next": self.due_next, "sha256": self.sha256}) + "\n"

    @classmethod
    def read(cls, fields: JsonObject) -> Footer | None:
        """Read it; ``None`` when the line is another one."""
        match fields:
            case {"counts": dict(counts), "due_next": dict(due_next), "sha256": str(sha256)}:
                return cls(counts, due_next, sha256)
            case _:
                return None
