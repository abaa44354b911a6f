"""Calendly's webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.domain.events import EventType
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import hmac_key, require_timestamped_hmac

_SIGNATURE = "Calendly-Webhook-Signature"
_TYPES: dict[str, str] = {
    "invitee.created": EventType.APPOINTMENT_BOOKED,
    "invitee.canceled": bodies.APPOINTMENT_CANCELLED,
}


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery. A booking that moves is two: one cancelled (``rescheduled``), one booked."""
    body = bodies.object_of(request)
    name = bodies.required(body, "event")
    invitee = bodies.as_object(body.get("payload"), "'payload'")
    uri = bodies.optional(invitee, "uri")
    mapped = Mapped(
        event_type=_TYPES.get(name) or bodies.foreign_type("calendly", name),
        contact=bodies.contact_of(path, invitee, bodies.optional(invitee, "email")),
        data=invitee,
        external_id=uri and f"{uri}#{name}",
        occurred_at=bodies.instant_of(body.get("created_at"), "created_at"),
    )
    return [mapped]


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over the timestamp and the body, both in one header: ``t=…,v1=…``."""
    require_timestamped_hmac(request, _SIGNATURE, secrets, now, tolerance)


PROVIDER = Provider(
    "calendly",
    needs=f"the header {_SIGNATURE}, and the webhook subscription's signing key as its secret",
    maps="invitee.created → appointment_booked, invitee.canceled → appointment_cancelled",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    tolerance=timedelta(minutes=3),  # what Calendly advises
    headers=(_SIGNATURE,),
)
