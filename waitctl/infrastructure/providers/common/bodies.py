"""Reading payloads: what is there in the shape that the provider documents, or an `InvalidEventError`."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from waitctl.domain.errors import InvalidEventError, InvalidInputError, InvalidWaitDateError
from waitctl.domain.instants import YEARS, parse_instant
from waitctl.domain.text import MAX_TEXT, JsonObject, parse_json
from waitctl.domain.values import replace
from waitctl.infrastructure.providers import ContactPath, Mapped, Request

EMAIL_DELIVERED = "email_delivered"
EMAIL_BOUNCE = "email_bounce"
EMAIL_REPLY = "email_reply"
EMAIL_SPAM_REPORT = "email_spam_report"
EMAIL_UNSUBSCRIBE = "email_unsubscribe"
APPOINTMENT_CANCELLED = "appointment_cancelled"
APPOINTMENT_RESCHEDULED = "appointment_rescheduled"
"""Names that are not built in: such events count as ignored until their type is registered."""

MILLISECONDS = 100_000_000_000
"""From here on a number is in milliseconds since 1970: in seconds it would lie in the year 5138."""

MACHINE_UNKNOWN = "unknown"
"""What ``machine`` of an email_open is when the provider does not say whether a machine opened it."""

_UNFIT = re.compile(r"[^a-z0-9_.:/-]+")
_UNIX = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,9})?")
_FINER_THAN_MICROSECONDS = re.compile(r"(\.[0-9]{6})[0-9]+")


def without_mark(body: bytes) -> bytes:
    """The body without a byte order mark."""
    return body.removeprefix(codecs.BOM_UTF8)


def json_of(request: Request) -> Any:
    """The body as JSON (RFC 8259, UTF-8)."""
    return parse_json(text_of(request.body), "the body", error=InvalidEventError)


def text_of(body: bytes) -> str:
    """The body as text, without the mark that some put before it. Raises `InvalidEventError` where it is not UTF-8."""
    try:
        return without_mark(body).decode()
    except UnicodeDecodeError as cause:
        raise InvalidEventError(f"the body is not UTF-8: {cause.reason} at byte {cause.start}") from cause


def object_of(request: Request) -> JsonObject:
    """The body as a JSON object."""
    return as_object(json_of(request), "the body")


def as_object(value: object, what: str) -> JsonObject:
    """``value``, which has to be a JSON object. Raises `InvalidEventError`, naming it ``what``."""
    if not isinstance(value, dict):
        raise InvalidEventError(f"{what} is not a JSON object")
    return value


def required(event: JsonObject, key: str) -> str:
    """The text under ``key``, which has to be there. Raises `InvalidEventError`."""
    value = event.get(key)
    if not isinstance(value, str) or not value.strip():
        raise InvalidEventError(f"{key!r} is missing, or not a text")
    return value


def optional(event: object, *keys: str | int) -> str | None:
    """The text at the end of a path, None when there is none."""
    return _path(keys).find(event)


@lru_cache(1024)  # the providers' modules ask for the same few with every event
def _path(keys: tuple[str | int, ...]) -> ContactPath:
    return ContactPath(tuple(map(str, keys)))


def contact_of(path: ContactPath | None, event: object, *otherwise: str | None) -> str | None:
    """The contact under the configured path, else the first of the others that is there."""
    configured = path.find(event) if path else None
    return configured or next((each for each in otherwise if each), None)


def instant_of(value: object, what: str) -> datetime | None:
    """An instant (UTC) from seconds or milliseconds since 1970 or from RFC 3339 with any fraction, None from null.

    Raises `InvalidEventError` for anything else, or outside the years 1000 to 9899.
    """
    if value is None:
        return None
    if isinstance(value, str) and not _UNIX.fullmatch(value):
        return _from_text(value, what)
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        return _from_unix(value, what)
    raise InvalidEventError(f"{what!r} is not an instant")


def _from_text(text: str, what: str) -> datetime:
    try:
        return parse_instant(_FINER_THAN_MICROSECONDS.sub(r"\1", text[:64]), repr(what))
    except InvalidWaitDateError as cause:
        raise InvalidEventError(cause.message, hint=cause.hint) from cause


def _from_unix(number: float | str, what: str) -> datetime:
    try:
        seconds = float(number)
        at = datetime.fromtimestamp(seconds / 1000 if abs(seconds) >= MILLISECONDS else seconds, UTC)
    except (ValueError, OverflowError, OSError) as cause:
        raise InvalidEventError(f"{what!r} lies outside the years 1000 to 9899") from cause
    if at.year not in YEARS:
        raise InvalidEventError(f"{what!r} lies outside the years 1000 to 9899")
    return at


def digest(value: object) -> str:
    """A digest (SHA-256, hexadecimal) of a JSON value, whatever the order of its keys.

    Raises `InvalidEventError` where it is nested too deeply.
    """
    try:
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    except RecursionError as cause:
        raise InvalidEventError("the event is nested too deeply") from cause
    return sha256(text.encode()).hexdigest()


def identifier(text: str | None) -> str | None:
    """An id as it is, or where it is longer than an id may be, its digest."""
    return text if text is None or len(text) <= MAX_TEXT else digest(text)


def foreign_type(provider: str, name: str) -> str:
    """The name of an event that has no counterpart here, as an event type: ``sendgrid.processed``."""
    return f"{provider}.{_UNFIT.sub('_', name.lower())}"[:100]


def map_each(events: Sequence[object], map_one: Callable[[JsonObject], Mapped]) -> list[Mapped]:
    """The events of a batch. One that cannot be read says so, and costs none of the others."""
    return [_mapped_or_problem(number, event, map_one) for number, event in enumerate(events, 1)]


def _mapped_or_problem(number: int, event: object, map_one: Callable[[JsonObject], Mapped]) -> Mapped:
    try:
        if isinstance(event, bytes):  # a line of a stream
            event = parse_json(text_of(event), "the line", error=InvalidEventError)
        return replace(map_one(as_object(event, "it")), part=event)
    except InvalidInputError as error:
        problem = InvalidEventError(f"event {number} of the batch: {error.message}", hint=error.hint)
        return Mapped("unreadable", None, {}, None, None, problem=problem, part=event)
