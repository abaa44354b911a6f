"""HubSpot's webhooks, with signatures of the third version."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from urllib.parse import unquote

from waitctl.domain.errors import InvalidEventError, MissingCredentialError
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import (
    TOLERANCE,
    as_bytes,
    base64_hmac,
    header,
    hmac_key,
    keys,
    require_fresh,
    require_match,
)

_SIGNATURE = "X-HubSpot-Signature-v3"
_TIMESTAMP = "X-HubSpot-Request-Timestamp"
_SIGNED_AS_ITSELF = re.compile(r"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
"""What of a URL HubSpot decodes before it signs."""


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The events of a delivery. Raises `InvalidEventError` for what is no array."""
    events = bodies.json_of(request)
    if not isinstance(events, list):
        raise InvalidEventError("the body is not a JSON array")
    return bodies.map_each(events, lambda event: _map(event, path))


def _map(event: JsonObject, path: ContactPath | None) -> Mapped:
    parts = [bodies.optional(event, key) for key in ("eventId", "subscriptionId", "occurredAt")]
    return Mapped(
        event_type=bodies.foreign_type("hubspot", bodies.required(event, "subscriptionType")),
        contact=bodies.contact_of(path, event, bodies.optional(event, "objectId")),
        data=event,
        external_id=None if None in parts else ":".join(map(str, parts)),
        occurred_at=bodies.instant_of(event.get("occurredAt"), "occurredAt"),
    )


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over method, URL, body and timestamp; a secret is the app's client secret.

    Raises `InvalidSignatureError`, or without a URL `MissingCredentialError`.
    """
    given, timestamp = header(request, _SIGNATURE), header(request, _TIMESTAMP)
    if not request.url:
        raise MissingCredentialError("HubSpot signs the URL of its webhook: it is missing", hint="give it by --url")
    urls = {request.url, _SIGNED_AS_ITSELF.sub(lambda found: unquote(found[0]), request.url)}
    messages = [as_bytes(f"POST{url}") + request.body + as_bytes(timestamp) for url in urls]
    require_match([as_bytes(given)], [base64_hmac(key, each) for key in keys(secrets, hmac_key) for each in messages])
    require_fresh(timestamp, now, tolerance)


PROVIDER = Provider(
    "hubspot",
    needs=f"the headers {_SIGNATURE} and {_TIMESTAMP}, the public URL, and the app's client secret",
    maps="every subscription, as in hubspot.contact.propertychange",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    headers=(_SIGNATURE, _TIMESTAMP),
    signs_url=True,
    tolerance=TOLERANCE,
)
