"""SendGrid's Event Webhook."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.domain.errors import InvalidEventError, InvalidSignatureError
from waitctl.domain.events import EventType
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.publickeys import ecdsa_key
from waitctl.infrastructure.providers.common.signatures import (
    TOLERANCE,
    as_bytes,
    from_base64,
    header,
    keys,
    require_fresh,
)

_SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
_TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"

_TYPES: dict[str, str] = {
    "open": EventType.EMAIL_OPEN,
    "click": EventType.EMAIL_CLICK,
    "delivered": bodies.EMAIL_DELIVERED,
    "bounce": bodies.EMAIL_BOUNCE,
    "unsubscribe": bodies.EMAIL_UNSUBSCRIBE,
    "spamreport": bodies.EMAIL_SPAM_REPORT,
}


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The events of a delivery. Custom arguments stand beside the provider's own fields.

    Raises `InvalidEventError` for what is no array.
    """
    events = bodies.json_of(request)
    if not isinstance(events, list):
        raise InvalidEventError("the body is not a JSON array")
    return bodies.map_each(events, lambda event: _map(event, path))


def _map(event: dict[str, object], path: ContactPath | None) -> Mapped:
    name = bodies.required(event, "event")
    event_type = _TYPES.get(name) or bodies.foreign_type("sendgrid", name)
    return Mapped(
        event_type=event_type,
        contact=bodies.contact_of(path, event, bodies.optional(event, "email")),
        data=event | {"machine": _machine(event)} if event_type == EventType.EMAIL_OPEN else event,
        external_id=bodies.optional(event, "sg_event_id"),
        occurred_at=bodies.instant_of(event.get("timestamp"), "timestamp"),
    )


def _machine(event: dict[str, object]) -> bool | str:
    says = event.get("sg_machine_open")
    return says if isinstance(says, bool) else bodies.MACHINE_UNKNOWN


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the ECDSA signature over the timestamp and the body; a secret is the account's public key, in base64.

    Raises `InvalidSignatureError`.
    """
    given, timestamp = header(request, _SIGNATURE), header(request, _TIMESTAMP)
    public_keys = keys(secrets, ecdsa_key)
    signature = from_base64(given) or b""
    message = as_bytes(timestamp) + request.body
    if not any(has_signed(signature, message) for has_signed in public_keys):
        raise InvalidSignatureError
    require_fresh(timestamp, now, tolerance)


PROVIDER = Provider(
    "sendgrid",
    needs=f"the headers {_SIGNATURE} and {_TIMESTAMP}, the public key as its secret, and waitctl[sendgrid]",
    maps="open → email_open, click → email_click, delivered → email_delivered, bounce → email_bounce, "
    "unsubscribe → email_unsubscribe, spamreport → email_spam_report",
    parse=parse,
    verify=verify,
    check_secret=ecdsa_key,
    tolerance=TOLERANCE,
    headers=(_SIGNATURE, _TIMESTAMP),
)
