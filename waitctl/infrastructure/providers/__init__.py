"""Webhooks: one module a provider, pure functions from a request to events and to the question who sent it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from importlib import import_module
from pathlib import Path

from waitctl.domain.errors import InvalidEventError, InvalidInputError, InvalidSettingError
from waitctl.domain.text import JsonObject, parse_json
from waitctl.domain.values import dataclass, replace

_MESSAGE_START = re.compile(r"HTTP/[0-9.]+ |[A-Z]+ \S+ HTTP/[0-9.]+\s*$")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)")


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook as it came: the raw bytes (they are what is signed), the headers in lower case, the public URL.

    ``repeated``: the headers that came more than once; which of the values was meant nobody knows.
    """

    body: bytes
    headers: Mapping[str, str]
    url: str | None = None
    repeated: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls, body: bytes, headers: Mapping[str, str] | Sequence[tuple[str, str]] = (), url: str | None = None
    ) -> Request:
        """A request whose headers, by name or in pairs, may be written in any case."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        given = [(name.lower(), value) for name, value in pairs]
        values = dict(given)
        if len(values) == len(given):
            return cls(body, values, url)
        counted = Counter(name for name, _ in given)
        return cls(body, values, url, frozenset(name for name, count in counted.items() if count > 1))


@dataclass(frozen=True, slots=True)
class Once:
    """What a request may be taken in for once, where its signature alone would let other content through.

    ``token`` is remembered whatever becomes of the event. ``content`` is a digest of what came with it: the same
    delivery may be tried again, and another under the same token is refused.
    """

    token: str
    content: str


@dataclass(frozen=True, slots=True)
class Mapped:
    """One event as a provider reports it, not validated yet: no contact, and the caller has to reject it.

    ``event_type`` is ours, or for what has no counterpart the provider's own, as in ``sendgrid.processed``.
    ``problem`` says why one event of a batch could not be read; the others of the batch are not lost by it. ``part`` is
    what came of a batch: a JSON value, or the bytes of a line that is none. ``named_source``: the source that the event
    names itself; it is recorded under the one that it came through. ``once``: see there.
    """

    event_type: str
    contact: str | None
    data: JsonObject
    external_id: str | None
    occurred_at: datetime | None
    expires_at: datetime | None = None
    named_source: str | None = None
    once: Once | None = None
    problem: InvalidInputError | None = None
    part: object = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ContactPath:
    """Where in an event its contact stands: keys, and positions in lists, as in ``attendees.0.email``."""

    steps: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> ContactPath:
        """Read a dotted path. Raises `InvalidSettingError`."""
        steps = tuple(text.strip().split("."))
        if not all(steps):
            raise InvalidSettingError(f"{text!a} is not a path to a contact", hint="write it as in metadata.user_id")
        return cls(steps)

    def find(self, event: object) -> str | None:
        """The contact in ``event``: a text or a whole number that stands there, else None."""
        for step in self.steps:
            if isinstance(event, dict):
                event = event.get(step)
            elif isinstance(event, list) and step.isascii() and step.isdigit() and len(step) < 10:
                event = event[int(step)] if int(step) < len(event) else None
            else:
                return None
        if isinstance(event, int) and not isinstance(event, bool):
            return str(event)
        return event if isinstance(event, str) and event.strip() else None


@lru_cache(4096)
def _is_among(name: str, patterns: tuple[str, ...]) -> bool:
    """Whether a header is one of these. Kept: senders have few, and say them with every request."""
    return any(fnmatchcase(name, pattern.lower()) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Provider:
    """A sender of webhooks: all that waitctl knows of it, but for the secret.

    ``headers``: every header that it signs, tells events apart by or is read by (``ce-*`` for all that begin so); it
    sees no other, and the quarantine keeps these. ``signs_url``: whether its signature covers the URL.

    ``parse`` maps a request to events and raises `InvalidEventError` for what the provider does not send. ``verify``
    raises `InvalidSignatureError` unless one of the secrets signed the request, and no further from the given instant
    than the given span; `MissingCredentialError` when a header, the secret or the URL is not there. Neither calls the
    other. ``check_secret`` raises `InvalidSettingError` for what can be no secret of this provider. ``tolerance``: how
    far a signed instant may lie from now; None where no instant is signed. ``always_signed``: False where the format
    belongs to nobody, and what has no secret may come unverified.
    """

    name: str
    needs: str
    maps: str
    parse: Callable[[Request, ContactPath | None], list[Mapped]]
    verify: Callable[[Request, Sequence[str], datetime, timedelta], None]
    check_secret: Callable[[str], object]
    headers: tuple[str, ...] = ()
    signs_url: bool = False
    tolerance: timedelta | None = None
    always_signed: bool = True

    def reads(self, header: str) -> bool:
        """Whether it has a use for a header, whose name is in lower case."""
        return _is_among(header, self.headers)

    def own_part(self, request: Request) -> Request:
        """The request with this provider's own headers alone, so that a replay sees what the first try saw.

        Of one that came more than once there is no value.
        """
        own = sorted(name for name in request.headers if self.reads(name))
        if own == list(request.headers) and not request.repeated:
            return request
        repeated = request.repeated & set(own)
        headers = {name: request.headers[name] for name in own if name not in repeated}
        return replace(request, headers=headers, repeated=repeated)


@cache
def names() -> tuple[str, ...]:
    """Every provider: each is a module of this room, loaded when it is asked for."""
    modules = {path.stem for path in Path(__file__).parent.glob("*.py")} - {"__init__"}
    return tuple(sorted(name.replace("_", "-") for name in modules))


def provider(name: str) -> Provider:
    """The provider of that name. Raises `InvalidSettingError`."""
    if name not in names():
        raise InvalidSettingError(f"{name!a} is not a provider of webhooks", hint=", ".join(names()))
    found = import_module(f"{__name__}.{name.replace('-', '_')}").PROVIDER
    assert isinstance(found, Provider)
    return found


def providers() -> list[Provider]:
    """Every provider; loads them all."""
    return [provider(name) for name in names()]


def headers_from(text: str) -> list[tuple[str, str]]:
    """Read the headers of a request from a JSON object or from ``Name: value`` lines.

    In the object (adnanh/webhook's ``entire-headers``) a value is a text or a list of texts. Of the lines (as curl
    prints them) a first one that is no header is skipped, and a blank one ends them. Raises `InvalidEventError`, and
    repeats no value: credentials are among them.
    """
    text = text.removeprefix("\ufeff")
    return list(_pairs_of_object(text) if text.lstrip().startswith("{") else _pairs_of_lines(text))


def _pairs_of_object(text: str) -> Iterable[tuple[str, str]]:
    for name, value in parse_json(text, "the headers file", error=InvalidEventError).items():
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, str):
                raise InvalidEventError(f"the header {name!a} is neither a text nor a list of texts")
            yield name, each


def _pairs_of_lines(text: str) -> Iterable[tuple[str, str]]:
    for number, line in enumerate(text.strip("\r\n").split("\n"), 1):
        if not line.strip():
            return
        if matched := _HEADER.fullmatch(line.rstrip("\r")):
            yield matched[1], matched[2].strip()
        elif number > 1 or not _MESSAGE_START.match(line):
            raise InvalidEventError(f"line {number} of the headers file is not a header", hint="Name: value")
