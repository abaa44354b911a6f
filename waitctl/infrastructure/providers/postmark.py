"""Postmark's webhooks, those of inbound e-mail too."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.domain.errors import InvalidEventError
from waitctl.domain.events import EventType
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import basic_credentials, require_basic

_TYPES: dict[str, tuple[str, str, str]] = {
    "Open": (EventType.EMAIL_OPEN, "Recipient", "ReceivedAt"),
    "Click": (EventType.EMAIL_CLICK, "Recipient", "ReceivedAt"),
    "Delivery": (bodies.EMAIL_DELIVERED, "Recipient", "DeliveredAt"),
    "Bounce": (bodies.EMAIL_BOUNCE, "Email", "BouncedAt"),
    "SpamComplaint": (bodies.EMAIL_SPAM_REPORT, "Email", "BouncedAt"),
    "SubscriptionChange": (bodies.EMAIL_UNSUBSCRIBE, "Recipient", "ChangedAt"),
}
"""Of each record: our type, and where its recipient and its instant stand."""

_LARGE = frozenset({"HtmlBody", "RawEmail", "Attachments"})
"""What of an inbound e-mail stays with Postmark: it would not fit, and cost the reply."""


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery: a record, or without a record type an inbound e-mail.

    Raises `InvalidEventError` for what is neither.
    """
    event = bodies.object_of(request)
    if "RecordType" in event:
        return [_map_record(event, path)]
    if "FromFull" in event:
        return [_map_reply(event, path)]
    raise InvalidEventError("the body has neither RecordType nor FromFull")


def _map_record(event: JsonObject, path: ContactPath | None) -> Mapped:
    name = bodies.required(event, "RecordType")
    event_type, recipient, instant = _TYPES.get(name) or (bodies.foreign_type("postmark", name), "Recipient", "")
    if event_type == bodies.EMAIL_UNSUBSCRIBE and event.get("SuppressSending") is False:
        event_type = bodies.foreign_type("postmark", name)  # subscribed again
    return Mapped(
        event_type=event_type,
        contact=bodies.contact_of(path, event, bodies.optional(event, recipient)),
        data=event | {"machine": bodies.MACHINE_UNKNOWN} if event_type == EventType.EMAIL_OPEN else event,
        external_id=_fingerprint(event, "RecordType", "MessageID", recipient, instant),
        occurred_at=bodies.instant_of(event.get(instant), instant),
    )


def _fingerprint(event: JsonObject, *keys: str) -> str | None:
    """An id for a record, which has none: the same record hashes the same, whatever else Postmark adds to it."""
    parts = [bodies.optional(event, key) for key in keys]
    if None in parts:
        return None
    return bodies.digest(parts)


def _map_reply(event: JsonObject, path: ContactPath | None) -> Mapped:
    sender = bodies.optional(event, "FromFull", "Email")
    return Mapped(
        event_type=bodies.EMAIL_REPLY,
        contact=bodies.contact_of(path, event, sender, bodies.optional(event, "From")),
        data={key: value for key, value in event.items() if key not in _LARGE},
        external_id=bodies.optional(event, "MessageID"),
        occurred_at=None,
    )


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the credentials of the webhook's URL; a secret is ``user:password``. Postmark signs nothing."""
    require_basic(request, secrets)


PROVIDER = Provider(
    "postmark",
    needs="the header Authorization, user:password as its secret, and an https URL; nothing is signed",
    maps="Open → email_open, Click → email_click, Delivery → email_delivered, Bounce → email_bounce, "
    "SpamComplaint → email_spam_report, SubscriptionChange → email_unsubscribe, inbound → email_reply",
    parse=parse,
    verify=verify,
    check_secret=basic_credentials,
    headers=("Authorization",),
)
