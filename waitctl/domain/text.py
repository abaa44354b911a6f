"""Text and JSON that may enter a wait or an event: what is accepted, and in which form it is kept."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Collection, Iterable, Sequence
from math import isfinite
from typing import Any

from waitctl.domain.errors import InvalidInputError, InvalidWaitConfigurationError
from waitctl.domain.patterns import pattern

JsonObject = dict[str, Any]

MAX_TEXT = 255
"""Characters in an id, a contact, a handler's name and other short texts."""

MAX_JSON = 256 * 1024
"""Bytes (UTF-8) of a context or of an event's data."""

MAX_DEPTH = 64
"""Nested arrays and objects in a context or in an event's data."""

_DEEPEST = 500
"""Nested arrays and objects that Python reads and writes wherever it stands: half of its recursion limit."""

_MAX_DIGITS = 4300
"""Digits that Python reads as an integer: sys.int_info.default_max_str_digits."""

SHORT = 8 * 1024
"""Bytes of a text that stays below `MAX_JSON` however its numbers are written."""

_FORBIDDEN = pattern(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]")
_NOT_STORABLE = pattern(r"[\x00\ud800-\udfff]")

_EXPONENT = pattern(r"[0-9][eE]")


def check_text(value: object, what: str, *, error: type[InvalidInputError] = InvalidWaitConfigurationError) -> str:
    """Return ``value`` when it is 1 to 255 characters without control characters or lone surrogates.

    Raises ``error`` otherwise, naming ``what``.
    """
    if not isinstance(value, str):
        raise error(f"{what} is no text: {value!r:.80}")
    if value.isprintable() and 0 < len(value) <= MAX_TEXT and not value.isspace():
        return value  # as nearly all are
    if not value.strip():
        raise error(f"{what} is empty")
    if len(value) > MAX_TEXT:
        raise error(f"{what} is {len(value)} characters long: at most {MAX_TEXT}")
    if holds_control(value):
        raise error(f"{what} holds control characters or lone surrogates: {value!a}")
    return value


def are_plain(values: Collection[str]) -> bool:
    """Whether `check_text` takes all of these, at a glance; they may be good where they are not plain."""
    lengths = list(map(len, values))
    return "".join(values).isprintable() and max(lengths, default=1) <= MAX_TEXT and all(map(str.strip, values))


def holds_control(value: str) -> bool:
    """Whether a text holds control characters or lone surrogates, as none does that came in by a door of ours."""
    # The first is the faster, the second the wider question.
    return not value.isprintable() and _FORBIDDEN.search(value) is not None


def check_reason(value: str) -> str:
    """Return a free text (a reason, an output tail) that both databases can store.

    Raises `InvalidWaitConfigurationError` for any other.
    """
    if _NOT_STORABLE.search(value):
        raise InvalidWaitConfigurationError(f"the reason holds NUL or lone surrogates: {value[:80]!a}")
    return value


def storable(value: str) -> str:
    """Return ``value`` with what no database stores (NUL, lone surrogates) replaced by U+FFFD."""
    return _NOT_STORABLE.sub("\ufffd", value)


def normalize_contact(value: object, *, error: type[InvalidInputError] = InvalidWaitConfigurationError) -> str:
    """Return the one form of a contact that every door stores and compares.

    Trimmed, ``whatsapp:`` stripped, NFC, and lower case when it holds an ``@``.
    Raises ``error`` when nothing is left or it is no valid text.
    """
    if not isinstance(value, str):
        return check_text(value, "the contact", error=error)
    contact = value.strip()
    if contact[8:9] == ":" and contact[:8].lower() == "whatsapp":
        contact = contact[9:].strip()
    if not contact.isascii():
        contact = unicodedata.normalize("NFC", contact)
    if "@" in contact:
        contact = contact.lower()
    return check_text(contact, "the contact", error=error)


def normalize_plain_contacts(contacts: Sequence[str | None]) -> list[str | None] | None:
    """As `normalize_contact` of each, if all are such that `are_plain`; ``None``: one of them needs a closer look."""
    together = "".join([contact for contact in contacts if contact is not None])
    if not together.isascii() or " " in together or "whatsapp" in together.lower():
        return None
    return [contact.lower() if contact is not None and "@" in contact else contact for contact in contacts]


def _reject_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    if isfinite(value := float(digits)):
        return value
    raise ValueError("a number is too large")


# Decoders that are kept: json.loads makes one each time, which costs as much as reading a short text.
_ANY = json.JSONDecoder(parse_constant=_reject_constant)
_FINITE = json.JSONDecoder(parse_constant=_reject_constant, parse_float=_finite)


def _decode(decoder: json.JSONDecoder, text: str) -> Any:
    """As the decoder's own method, which searches for blanks by an expression and takes half as long again."""
    line = text.rstrip("\n")
    try:
        value, end = decoder.raw_decode(line)
    except json.JSONDecodeError:
        value, end = None, -1
    return value if end == len(line) else decoder.decode(text)  # blanks around it, or an error that knows its place


def parse_json(
    text: str | bytes,
    what: str,
    *,
    error: type[InvalidInputError] = InvalidWaitConfigurationError,
    finite: bool = False,
) -> Any:
    """Parse any JSON value (RFC 8259: no NaN, no Infinity), whether or not databases can store it.

    Raises ``error`` when it is not JSON, or with ``finite`` when a number is beyond a double.
    """
    try:
        if isinstance(text, str) and not text.startswith("\ufeff"):
            return _decode(_FINITE if finite else _ANY, text)
        return json.loads(text, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as cause:
        reason = "nested too deeply" if isinstance(cause, RecursionError) else str(cause)
        if "digits" in reason:
            reason = "a number has too many digits"
        if isinstance(cause, json.JSONDecodeError):
            reason = f"{cause.msg} at character {cause.pos + 1}"
        raise error(f"{what} is not valid JSON: {reason}") from cause


def parse_json_object(
    text: str | bytes,
    what: str,
    *,
    error: type[InvalidInputError] = InvalidWaitConfigurationError,
    limit: int = MAX_JSON,
) -> JsonObject:
    """Parse a JSON object (RFC 8259: no NaN, no Infinity) that both databases can store.

    Raises ``error`` when it is not JSON, not an object, over ``limit`` bytes, nested deeper than 64, or holds NUL or
    lone surrogates.
    """
    return check_json_object(parse_json(text, what, error=error), what, error=error, limit=limit)


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """The hint for a word that is none of these, if one of them is near."""
    from difflib import get_close_matches  # only on the way out

    near = get_close_matches(word, list(choices), n=1)
    return f"did you mean {near[0]}?" if near else None


def is_harmless(text: bytes) -> bool:
    """Whether what a short text says in JSON needs no closer look, once it was parsed and holds no infinite number.

    Too few brackets to nest deeply, and no escape that could stand for NUL or half a character.
    In a stream of events this is ten times as fast as looking at every value.
    """
    plain = b"\\" not in text or b"\\u" not in text  # the first is the faster question
    return plain and len(text) <= SHORT and text.count(b"{") + text.count(b"[") <= MAX_DEPTH


def check_stored(text: str, what: str, *, error: type[InvalidInputError]) -> None:
    """Raise ``error`` unless the JSON that a database holds is what `parse_json_object` would have taken.

    Most of it is an object too short to be deep or to hold a large number in digits: seen to be plain at a glance.
    """
    if text[:1] == "{" and len(text) <= 2 * MAX_DEPTH and "\\" not in text and not _EXPONENT.search(text):
        return
    if not (isinstance(parse_json(text, what, error=error, finite=True), dict) and is_harmless(text.encode())):
        parse_json_object(text, what, error=error)


class StorableObject(dict[str, Any]):
    """A JSON object that is known to be storable, and its JSON: what reads many has seen so at a glance."""

    __slots__ = ("text",)
    text: str


def check_json_object(
    value: object,
    what: str,
    *,
    error: type[InvalidInputError] = InvalidWaitConfigurationError,
    limit: int = MAX_JSON,
) -> JsonObject:
    """Return ``value`` when it is a JSON object that both databases can store; see `parse_json_object`."""
    if isinstance(value, StorableObject):
        return value
    if not isinstance(value, dict):
        raise error(f"{what} must be a JSON object, not {_json_type(value)}")
    try:
        encoded = to_json(value)
    except RecursionError:
        encoded = "[" * (MAX_DEPTH + 1)
    except (ValueError, TypeError) as cause:
        _check_depth(value, what, error)
        reason = "a number is too large" if "Out of range" in str(cause) else str(cause)
        raise error(f"{what} is not valid JSON: {reason}") from cause
    if encoded.count("{") + encoded.count("[") > MAX_DEPTH:  # with fewer it cannot be too deep, as hardly any is
        _check_depth(value, what, error)
    if _NOT_STORABLE.search(encoded) or ("\\u0000" in encoded and _holds_nul(value)):
        raise error(f"{what} holds NUL or lone surrogates, which no database stores")
    if len(encoded) > limit // 4 and (size := len(encoded.encode())) > limit:
        raise error(f"{what} is {size:,} bytes long: at most {limit:,}")
    return value


def _check_depth(value: object, what: str, error: type[InvalidInputError]) -> None:
    if _is_deeper(value, MAX_DEPTH):
        raise error(f"{what} is nested deeper than {MAX_DEPTH} levels")


def _is_deeper(value: object, most: int) -> bool:
    """Whether arrays and objects are nested deeper than so many levels."""
    level: list[object] = [value]
    for _ in range(most + 1):
        below: list[object] = []
        for item in level:
            if isinstance(item, dict):
                below.extend(item.values())
            elif isinstance(item, list):
                below.extend(item)
        if not below:
            return False
        level = below
    return True


def _holds_nul(value: object) -> bool:
    if isinstance(value, dict):
        return any("\0" in key or _holds_nul(item) for key, item in value.items())
    if isinstance(value, list):
        return any(map(_holds_nul, value))
    return isinstance(value, str) and "\0" in value


def _json_type(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "an array"
        case _:
            return type(value).__name__


def from_json(text: str | bytes | float) -> Any:
    """Decode what a database holds, whatever another system wrote there: what Python cannot write again, as text.

    A number over 4,300 digits or beyond a double stays the text that it was, and so does all that is nested deeper than
    500 levels; a lone surrogate becomes U+FFFD. SQLite hands out a document that is a bare number as a number.
    """
    if not isinstance(text, str | bytes):
        return text if isinstance(text, int) or isfinite(text) else str(text)
    plain = text if isinstance(text, str) else text.decode()
    try:
        value = _decode_stored(plain)
    except RecursionError:
        return plain
    if len(plain) > 2 * _DEEPEST and _is_deeper(value, _DEEPEST):
        return plain
    if "\\u" in plain and "\\ud" in plain.lower():
        value = json.loads(storable(json.dumps(value, ensure_ascii=False)))
    return value


def _decode_stored(text: str) -> Any:
    try:
        value, end = _STORED.raw_decode(text)
    except ValueError:
        value, end = None, -1
    return value if end == len(text) else _CAREFUL.decode(text)  # blanks around it, or an integer that is too long


def _parse_int(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_DIGITS else digits


def _parse_float(digits: str) -> float | str:
    value = float(digits)
    return value if isfinite(value) else digits


_CONTROL = pattern(
    r"[\x00-\x1f\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]+"
)
"""Characters that steer a terminal, or that nobody sees: those of Unicode's categories Cc and Cf, and line ends."""


def clean(value: object) -> str:
    """The value as text that cannot steer a terminal or hide anything: no control, escape or invisible characters."""
    return _CONTROL.sub(" ", str(value))


_STEERING = pattern(r"[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What JSON may hold as it is and a terminal obeys: C1 and bidirectional controls."""


def escape_steering(text: str) -> str:
    """JSON in which what would steer a terminal is escaped; it reads the same."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def to_json(value: object) -> str:
    """Encode as compact JSON, characters as they are. Raises ``ValueError`` for NaN and Infinity."""
    return _COMPACT.encode(value)


# Kept, as the decoders above.
_STORED = json.JSONDecoder(parse_float=_parse_float)
_CAREFUL = json.JSONDecoder(parse_int=_parse_int, parse_float=_parse_float)
_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
