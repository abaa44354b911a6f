"""CloudEvents 1.0 in JSON: structured, batched, a stream of lines, and binary (attributes in headers)."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_to_bytes

from waitctl.domain.errors import InvalidEventError, InvalidSignatureError
from waitctl.domain.text import JsonObject, parse_json
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request, standardwebhooks
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.forms import content_type
from waitctl.infrastructure.providers.common.signatures import as_bytes, from_base64

_PREFIX = "ce-"
_JSON = re.compile(r"[^;]*[/+]json\s*(?:;|$)", re.IGNORECASE)


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The events of a delivery. The path begins at the attributes (``userid``) or at the data."""
    if _is_binary(request):
        return [_map(_attributes(request), _content(request.body, content_type(request)), path)]
    document = _stream(request.body) or bodies.json_of(request)
    if isinstance(document, list):
        return bodies.map_each(document, lambda event: _map(event, _data(event), path))
    event = bodies.as_object(document, "the body")
    return [_map(event, _data(event), path)]


def _stream(body: bytes) -> list[bytes] | None:
    """The lines of a body whose first line is an event of its own, as message queues hand them out."""
    lines = [line for line in bodies.without_mark(body).split(b"\n") if line.strip()]
    if len(lines) < 2 or not (lines[0].lstrip().startswith(b"{") and lines[0].rstrip().endswith(b"}")):
        return None
    with suppress(InvalidEventError):
        parse_json(bodies.text_of(lines[0]), "the line", error=InvalidEventError)
        return lines
    return None


def _is_binary(request: Request) -> bool:
    return f"{_PREFIX}specversion" in request.headers and not content_type(request).lower().startswith(
        "application/cloudevents"
    )


def _attributes(request: Request) -> JsonObject:
    return {
        name.removeprefix(_PREFIX): _header_value(value)
        for name, value in request.headers.items()
        if name.startswith(_PREFIX)
    }


def _header_value(value: str) -> str:
    """Quotes that senders may put around a value fall off, and %XX is UTF-8 (HTTP binding, section 3.1.3.2)."""
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    try:
        return unquote_to_bytes(as_bytes(value)).decode()
    except UnicodeDecodeError as cause:
        raise InvalidEventError("a header of the event is not UTF-8") from cause


def _content(body: bytes, kind: str) -> JsonObject:
    """The data of an event in binary mode, or of one whose data is base64: JSON unless its type says otherwise."""
    if not body:
        return {}
    if kind and not _JSON.match(kind):
        return _text_or_base64(body)
    return _wrapped(parse_json(bodies.text_of(body), "the data", error=InvalidEventError))


def _text_or_base64(body: bytes) -> JsonObject:
    try:
        return {"data": body.decode()}
    except UnicodeDecodeError:
        return {"data_base64": b64encode(body).decode()}


def _data(event: JsonObject) -> JsonObject:
    if event.get("data_base64") is None:
        return _wrapped(event.get("data", {}))
    decoded = from_base64(bodies.required(event, "data_base64"))
    if decoded is None or event.get("data") is not None:
        raise InvalidEventError("'data_base64' is not base64, or not alone")
    kind = bodies.optional(event, "datacontenttype") or ""
    return _content(decoded, kind) if _JSON.match(kind) else {"data_base64": event["data_base64"]}


def _wrapped(data: Any) -> JsonObject:
    if data is None:
        return {}
    return data if isinstance(data, dict) else {"data": data}


def _map(event: JsonObject, data: JsonObject, path: ContactPath | None) -> Mapped:
    if (version := bodies.required(event, "specversion")) != "1.0":
        raise InvalidEventError(f"specversion {version[:20]!a} is not 1.0")
    inside = path.find(data) if path else None
    source = bodies.required(event, "source")
    return Mapped(
        event_type=bodies.required(event, "type"),
        contact=bodies.contact_of(path, event, inside, bodies.optional(event, "subject")),
        data=data,
        external_id=_external_id(source, bodies.required(event, "id")),
        occurred_at=bodies.instant_of(event.get("time"), "time"),
        expires_at=bodies.instant_of(event.get("expirytime"), "expirytime"),
        named_source=source,
    )


def _external_id(source: str, identifier: str) -> str:
    """Source and id together say which event it is; both in one text, or its digest where that is not plain."""
    plain = None if " " in source else bodies.identifier(f"{source} {identifier}")
    return plain or bodies.digest([source, identifier])


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the signature of Standard Webhooks: CloudEvents has none of its own.

    Raises `InvalidSignatureError`, for an event in binary mode always.
    """
    if _is_binary(request):
        raise InvalidSignatureError(
            "the event's attributes are in headers, which no signature covers", hint="let them be sent in the body"
        )
    standardwebhooks.verify(request, secrets, now, tolerance)


PROVIDER = Provider(
    "cloudevents",
    needs=f"{standardwebhooks.PROVIDER.needs}; not in binary mode",
    maps="every type as it is",
    parse=parse,
    verify=verify,
    check_secret=standardwebhooks.PROVIDER.check_secret,
    tolerance=standardwebhooks.PROVIDER.tolerance,
    always_signed=False,
    headers=("Content-Type", f"{_PREFIX}*", *standardwebhooks.PROVIDER.headers),
)
