"""Cal.com's webhooks, in the shapes that they have without a custom template."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.domain.errors import InvalidSignatureError
from waitctl.domain.events import EventType
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import header, hmac_key, require_hmac

_SIGNATURE = "X-Cal-Signature-256"
_BY_PHONE = "@sms.cal.com"
_UNSIGNED = "no-secret-provided"
_TYPES: dict[str, str] = {
    "BOOKING_CREATED": EventType.APPOINTMENT_BOOKED,
    "BOOKING_RESCHEDULED": bodies.APPOINTMENT_RESCHEDULED,
    "BOOKING_CANCELLED": bodies.APPOINTMENT_CANCELLED,
}


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery."""
    body = bodies.object_of(request)
    name = bodies.required(body, "triggerEvent")
    is_flat = "payload" not in body  # of what happens to a meeting, the booking is all there is
    booking = body if is_flat else bodies.as_object(body["payload"], "'payload'")
    mapped = Mapped(
        event_type=_TYPES.get(name) or bodies.foreign_type("calcom", name),
        contact=bodies.contact_of(path, booking, *_attendee(booking)),
        data=booking,
        external_id=_external_id(name, body, booking),
        occurred_at=None if is_flat else bodies.instant_of(body.get("createdAt"), "createdAt"),
    )
    return [mapped]


def _attendee(booking: JsonObject) -> list[str | None]:
    """Where to find who booked. Who booked by telephone has an address that Cal.com made up, of their number."""
    email, number = (bodies.optional(booking, "attendees", 0, key) for key in ("email", "phoneNumber"))
    return [number, email] if (email or "").lower().endswith(_BY_PHONE) else [email, number]


def _external_id(name: str, body: JsonObject, booking: JsonObject) -> str | None:
    uid, created_at = bodies.optional(booking, "uid"), bodies.optional(body, "createdAt")
    return f"{name}:{uid}:{created_at}" if uid and created_at else None


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over the body. It has no timestamp: what was seen before is known by its id.

    Raises `InvalidSignatureError`.
    """
    given = header(request, _SIGNATURE)
    if given.strip() == _UNSIGNED:
        raise InvalidSignatureError("Cal.com did not sign: its webhook has no secret", hint="give it one there")
    require_hmac(given, secrets, request.body)


PROVIDER = Provider(
    "calcom",
    needs=f"the header {_SIGNATURE}, and the webhook's secret",
    maps="BOOKING_CREATED → appointment_booked, BOOKING_RESCHEDULED → appointment_rescheduled, "
    "BOOKING_CANCELLED → appointment_cancelled",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    headers=(_SIGNATURE,),
)
