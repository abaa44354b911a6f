"""Lines of NDJSON as events: read, checked and encoded a batch at a time."""

from __future__ import annotations

import codecs
from collections.abc import Container, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache, partial
from typing import BinaryIO

from waitctl.domain.errors import InvalidEventError, InvalidSourceError, WaitStepError
from waitctl.domain.events import TOPIC_BUCKETS, check_event_type_name, topic_bucket
from waitctl.domain.instants import parse_instant
from waitctl.domain.text import (
    MAX_JSON,
    JsonObject,
    check_json_object,
    check_text,
    is_harmless,
    normalize_contact,
    parse_json,
    to_json,
)
from waitctl.domain.values import dataclass
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.sql_values import instant_text
from waitctl.infrastructure.store.events import EventRow, encode_rows

BATCH = 1000
"""Events a transaction."""

BATCH_BYTES = 8 * 1024 * 1024
"""Bytes of lines a transaction, or one line more: a thousand events of the largest size would fill the memory."""

MAX_LINE = 8 * MAX_JSON
"""Bytes of an NDJSON line: data of the largest size with every character escaped."""

_LINE_KEYS = {"type", "contact", "data", "id", "source", "at"}

_MANY = 6 * TOPIC_BUCKETS
"""Events of which nearly every bucket has one: to ask each costs more than to take them all."""


@dataclass(frozen=True, slots=True)
class LineRejection:
    """A line of a stream that is no event, and why."""

    line: int
    error: WaitStepError


@dataclass(frozen=True, slots=True)
class EncodedEvents:
    """Events as the statements take them, made ready while the database is busy with others."""

    rows: Sequence[EventRow]
    text: str
    buckets: Sequence[int]
    types: set[str]

    @classmethod
    def of(cls, rows: Sequence[EventRow], dialect: str) -> EncodedEvents:
        """Encode these rows for the database of this dialect, and say which topics' locks they need."""
        buckets: Sequence[int] = range(TOPIC_BUCKETS)
        if len(rows) < _MANY:
            buckets = sorted({topic_bucket(row.event_type, row.contact_id) for row in rows})
        return cls(rows, encode_rows(rows, dialect), buckets, {row.event_type for row in rows})


@dataclass(frozen=True, slots=True)
class LineBatch:
    """Lines that were read: their events with their line numbers, and what is no event."""

    encoded: EncodedEvents
    numbers: Sequence[int]
    rejected: Sequence[LineRejection]


def read_batches(
    lines: Iterable[tuple[int, bytes]], source: str, dialect: str, *, verified: Container[str] = ()
) -> Iterator[LineBatch]:
    """Read numbered lines; those that name no source come from ``source``, and none from a ``verified`` one."""
    for numbered in _batches(lines):
        rows: list[EventRow] = []
        numbers: list[int] = []
        rejected: list[LineRejection] = []
        for number, line in numbered:
            try:
                row = parse_line(line, source)
                if row.source in verified:
                    raise unverified(row.source)
            except WaitStepError as error:
                rejected.append(LineRejection(number, error))
            else:
                rows.append(row)
                numbers.append(number)
        yield LineBatch(EncodedEvents.of(rows, dialect), numbers, rejected)


def unverified(source: str) -> InvalidSourceError:
    """What to raise for an event that names a source whose webhooks are verified, by a door that verifies nothing."""
    return InvalidSourceError(
        f"{source!a} is a source with a secret, and nothing signs this", hint="record it under another name"
    )


def parse_line(line: bytes, default_source: str) -> EventRow:
    """An event from an NDJSON line: ``{"type","contact","data"?,"id"?,"source"?,"at"?}``.

    Raises `InvalidEventError` or `InvalidEventTypeError`.
    """
    if len(line) > MAX_LINE:
        raise InvalidEventError(f"the line is longer than {MAX_LINE:,} bytes")
    fields, data = _read_plain(line) or (_read_carefully(line), None)
    _check_fields(fields)
    if data is None:
        given = fields.get("data")
        data = to_json({} if given is None else check_json_object(given, "the data", error=InvalidEventError))
    at, external_id = fields.get("at"), fields.get("id")
    return EventRow(
        new_id(),
        _known_name(fields["type"]),
        normalize_contact(fields["contact"], error=InvalidEventError),
        data,
        _known_source(fields.get("source") or default_source),
        None if external_id is None else check_text(external_id, "the id", error=InvalidEventError),
        None if at is None else _known_instant(at),
        None,
    )


def _read_plain(line: bytes) -> tuple[JsonObject, str] | None:
    """The object of a line as nearly all are, and its data as JSON; ``None``: it needs a closer look.

    By pydantic's reader and writer, which take a third of the time.
    """
    import pydantic_core

    if not is_harmless(line):
        return None
    try:
        fields = pydantic_core.from_json(line, allow_inf_nan=False, cache_strings="keys")
    except ValueError:
        return None  # the other reader says it better
    data = fields.get("data") if isinstance(fields, dict) else ()
    if not isinstance(data, dict | None):
        return None
    text = "{}" if data is None else pydantic_core.to_json(data).decode()
    return None if "Infinity" in text else (fields, text)  # a number beyond a double, or a text that says so


def _read_carefully(line: bytes) -> JsonObject:
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise InvalidEventError(f"the line is not UTF-8: {error.reason} at byte {error.start}") from error
    fields = parse_json(text, "the line", error=InvalidEventError, finite=True)
    return check_json_object(fields, "the line", error=InvalidEventError, limit=MAX_LINE)


def _check_fields(fields: JsonObject) -> None:
    if not fields.keys() <= _LINE_KEYS:
        unknown = min(fields.keys() - _LINE_KEYS)
        raise InvalidEventError(f"unknown key {unknown!a}", hint="type, contact, data, id, source and at")
    for key in ("type", "contact"):
        if fields.get(key) is None:
            raise InvalidEventError(f"{key!r} is missing")
    for key, value in fields.items():
        if not isinstance(value, str | None) and key != "data":
            if key == "at" and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
                continue
            raise InvalidEventError(f"{key!r} must be a string" + (", or a number" if key == "at" else ""))


# A stream has few types and sources, and says them on every line; and many events of one second.
_known_name = lru_cache(check_event_type_name)
_known_source = lru_cache(partial(check_text, what="the source", error=InvalidEventError))


@lru_cache(typed=True)
def _known_instant(value: str | float | Decimal) -> str | None:
    return instant_text(parse_instant(value, "at", epoch=True))


def read_lines(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of a stream that are not blank, numbered from 1; of one that is too long, only its beginning."""
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        rest = line
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        while rest and not rest.endswith(b"\n") and len(rest) > MAX_LINE:
            rest = stream.readline(MAX_LINE + 1)
        if line.strip():
            yield number, line


def _batches(lines: Iterable[tuple[int, bytes]]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for numbered in lines:
        batch.append(numbered)
        size += len(numbered[1])
        if len(batch) == BATCH or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
