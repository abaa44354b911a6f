"""Resend's webhooks, which are Standard Webhooks by Svix."""

from __future__ import annotations

from waitctl.domain.events import EventType
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request, standardwebhooks
from waitctl.infrastructure.providers.common import bodies

_TYPES: dict[str, str] = {
    "email.opened": EventType.EMAIL_OPEN,
    "email.clicked": EventType.EMAIL_CLICK,
    "email.delivered": bodies.EMAIL_DELIVERED,
    "email.bounced": bodies.EMAIL_BOUNCE,
    "email.complained": bodies.EMAIL_SPAM_REPORT,
}


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery. Of several recipients the first is the contact."""
    body = bodies.object_of(request)
    name = bodies.required(body, "type")
    email = bodies.as_object(body.get("data"), "'data'")
    event_type = _TYPES.get(name) or bodies.foreign_type("resend", name)
    mapped = Mapped(
        event_type=event_type,
        contact=bodies.contact_of(path, email, bodies.optional(email, "to", 0)),
        data=email | {"machine": bodies.MACHINE_UNKNOWN} if event_type == EventType.EMAIL_OPEN else email,
        external_id=standardwebhooks.message_id(request),
        occurred_at=bodies.instant_of(body.get("created_at"), "created_at"),
    )
    return [mapped]


PROVIDER = Provider(
    "resend",
    needs="the headers svix-id, svix-timestamp and svix-signature, and the webhook's secret: whsec_…",
    maps="email.opened → email_open, email.clicked → email_click, email.delivered → email_delivered, "
    "email.bounced → email_bounce, email.complained → email_spam_report",
    parse=parse,
    verify=standardwebhooks.verify,
    check_secret=standardwebhooks.PROVIDER.check_secret,
    headers=standardwebhooks.PROVIDER.headers,
    tolerance=standardwebhooks.PROVIDER.tolerance,
)
