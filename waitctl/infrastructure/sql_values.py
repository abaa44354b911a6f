"""What a statement is given and what it answers, by kind: for the columns of SQLAlchemy and for the executor alike.

A kind is a name, since a rendered statement is nothing but text: ``instant``, ``json``, ``flag``, the name of an
enumeration, and for parameters that carry many values ``texts`` and ``tuples``. What needs no conversion has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from waitctl.domain.statuses import DeliveryStatus, ListenerStatus, Outcome, Resolution, WaitExecutionStatus, WaitType
from waitctl.domain.text import from_json, to_json

Convert = Callable[[Any], Any]

ENUMERATIONS: Mapping[str, Convert] = {
    each.__name__: each for each in (DeliveryStatus, ListenerStatus, Outcome, Resolution, WaitExecutionStatus, WaitType)
}

# -- instants ----------------------------------------------------------------------------------------------------------


def instant_text(at: datetime | None) -> str | None:
    """An instant as a value of `json_rows` and `as_tuples`."""
    if at is None:
        return None
    return (at if at.tzinfo is UTC else at.astimezone(UTC)).isoformat(" ", "microseconds")


def utc_instant(at: datetime | None) -> datetime | None:
    """An aware datetime in UTC. Raises `ValueError` for a naive one."""
    if at is None or at.tzinfo is UTC:
        return at
    if at.tzinfo is None:
        raise ValueError(f"a naive datetime has no place in the database: {at!r}")
    return at.astimezone(UTC)


def stored_instant(at: datetime | None) -> str | None:
    """An instant as SQLite keeps it: a text in UTC that sorts. Raises `ValueError` for a naive one."""
    at = utc_instant(at)
    return None if at is None else at.replace(tzinfo=None).isoformat(" ", "microseconds")


def read_stored_instant(text: Any) -> datetime | None:
    """What somebody wrote at the inbox table need not be an instant; whoever meets the row refuses it."""
    try:
        at = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    if at is None:
        return None
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def read_rfc3339(text: str) -> str:
    """The instant as `format_instant` writes it: a fraction only where there is one."""
    return text.replace(".000000Z", "Z")


# -- many values in one parameter --------------------------------------------------------------------------------------

_ROWS = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"), default=instant_text
)


def json_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as the parameter of `JsonRows`, their instants in the form that both databases read."""
    return _ROWS.encode(list(rows))


def json_ids(ids: Iterable[str]) -> str:
    """Ids as the parameter of a `JsonRows` of nothing else."""
    return to_json([{"id": each} for each in ids])


_NULL = "\x02"
COPY = r"COPY {table} ({columns}) FROM STDIN WITH (NULL E'\x02')"
"""How PostgreSQL takes in the lines of `as_copied`."""


def as_tuples(rows: Sequence[Sequence[str | None]], dialect: str) -> str:
    """Rows as the parameter of `Tuples` for the dialect of this name: each the texts of its values, in their order.

    No text may hold a tab, a line feed or U+0002. Raises ``ValueError`` before one of the first two moves the others.
    """
    if dialect == "sqlite":
        return to_json(list(rows))
    if not rows:
        return ""
    # By column, of which few hold a NULL: cell by cell it takes three times as long.
    columns = [
        [_NULL if text is None else text for text in column] if None in column else column
        for column in zip(*rows, strict=True)
    ]
    text = "\n".join(map("\t".join, zip(*columns, strict=True)))
    if text.count("\n") != len(rows) - 1 or text.count("\t") != len(rows) * (len(columns) - 1):
        raise ValueError("a text holds a tab or a line feed")
    return text


# A backslash begins an escape there; what else COPY would take for its own no text holds.
_ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r", _NULL: r"\x02"})


def as_copied(rows: Sequence[Sequence[str | None]]) -> str:
    """Rows as lines of PostgreSQL's COPY, by the rules of `as_tuples`."""
    return as_tuples(rows, "postgresql").replace("\\", r"\\")


def as_copied_values(values: Iterable[Any]) -> str:
    """Values of any kind, as a part of such a line."""
    return "\t".join([_NULL if value is None else _copied(value).translate(_ESCAPED) for value in values])


def _copied(value: Any) -> str:
    if isinstance(value, str):
        return value
    return (instant_text(value) or "") if isinstance(value, datetime) else to_json(value)


def encode_tuples(value: Any, dialect: str) -> str:
    """The parameter of `Tuples`: rows, or the text that `as_tuples` has made of them ahead."""
    return value if isinstance(value, str) else as_tuples(value, dialect)


def encode_texts(value: Iterable[str], dialect: str) -> str:
    """Texts without line feeds as one parameter: lines on PostgreSQL, a JSON array on SQLite."""
    return json.dumps(list(value)) if dialect == "sqlite" else "\n".join(value)


# -- by kind and dialect -----------------------------------------------------------------------------------------------


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


_BOUND: Mapping[str, Convert] = {"json": to_json, "enum": str}
_READ: Mapping[str, Convert] = {"json": from_json, "flag": bool}


def binder(kind: str, dialect: str) -> Convert:
    """What the driver is given for a parameter of this kind."""
    if kind == "instant":
        return stored_instant if dialect == "sqlite" else utc_instant
    if kind == "tuples":
        return lambda value: encode_tuples(value, dialect)
    if kind == "texts":
        return lambda value: encode_texts(value, dialect)
    return _or_null(_BOUND[kind])


def reader(kind: str, dialect: str) -> Convert | None:
    """What becomes of a value that the driver hands out; None: it is left as it is."""
    if kind == "instant":
        return read_stored_instant if dialect == "sqlite" else utc_instant
    if kind in ENUMERATIONS:
        return _or_null(ENUMERATIONS[kind])
    if dialect != "sqlite":  # the driver reads these itself
        return None
    return _or_null(_READ[kind])
