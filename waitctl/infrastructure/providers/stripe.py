"""Stripe's webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import TOLERANCE, hmac_key, require_timestamped_hmac

_SIGNATURE = "Stripe-Signature"
_CONTACTS = ("customer_email", "receipt_email", "customer")


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery. The path begins at the event (``data.object.id``) or at its object (``id``)."""
    event = bodies.object_of(request)
    data = bodies.as_object(event.get("data"), "'data'")
    about = data.get("object")
    inside = path.find(about) if path else None
    usual = (bodies.optional(about, key) for key in _CONTACTS)
    mapped = Mapped(
        event_type=bodies.foreign_type("stripe", bodies.required(event, "type")),
        contact=bodies.contact_of(path, event, inside, *usual),
        data=data,
        external_id=bodies.optional(event, "id"),
        occurred_at=bodies.instant_of(event.get("created"), "created"),
    )
    return [mapped]


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over the timestamp and the body, both in one header; while a secret rolls it has two."""
    require_timestamped_hmac(request, _SIGNATURE, secrets, now, tolerance)


PROVIDER = Provider(
    "stripe",
    needs=f"the header {_SIGNATURE}, and the endpoint's signing secret: whsec_…",
    maps="every type, as in stripe.invoice.paid",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    headers=(_SIGNATURE,),
    tolerance=TOLERANCE,
)
