"""Mailgun's webhooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.domain.errors import InvalidSignatureError, MissingCredentialError
from waitctl.domain.events import EventType
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.providers import ContactPath, Mapped, Once, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import (
    as_bytes,
    hex_hmac,
    hmac_key,
    keys,
    require_fresh,
    require_match,
)

_SECONDS = re.compile(r"[0-9]{1,10}")

_TYPES: dict[str, str] = {
    "opened": EventType.EMAIL_OPEN,
    "clicked": EventType.EMAIL_CLICK,
    "delivered": bodies.EMAIL_DELIVERED,
    "failed": bodies.EMAIL_BOUNCE,
    "complained": bodies.EMAIL_SPAM_REPORT,
    "unsubscribed": bodies.EMAIL_UNSUBSCRIBE,
}


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery. Its own id is unique only within a day; the token of the signature is for good."""
    body = bodies.object_of(request)
    event = bodies.as_object(body.get("event-data"), "'event-data'")
    name = bodies.required(event, "event")
    event_type = _TYPES.get(name) or bodies.foreign_type("mailgun", name)
    token = bodies.optional(body, "signature", "token")
    mapped = Mapped(
        event_type=event_type,
        contact=bodies.contact_of(path, event, bodies.optional(event, "recipient")),
        data=event | {"machine": _machine(event)} if event_type == EventType.EMAIL_OPEN else event,
        external_id=token,
        occurred_at=bodies.instant_of(event.get("timestamp"), "timestamp"),
        once=Once(token, bodies.digest(event)) if token else None,
    )
    return [mapped]


def _machine(event: JsonObject) -> bool | str:
    """``client-info.bot`` names the machine, and is empty when Mailgun saw none."""
    client = event.get("client-info")
    bot = client.get("bot") if isinstance(client, dict) else None
    return bool(bot) if isinstance(bot, str) else bodies.MACHINE_UNKNOWN


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over timestamp and token, by the account's signing key or by its parent account's.

    It does not cover the event: only TLS, the token that is taken once, and the timestamp's age keep others out.
    """
    signature = bodies.object_of(request).get("signature")
    timestamp, token, own = (_signed(signature, name) for name in ("timestamp", "token", "signature"))
    given = [own, bodies.optional(signature, "parent-signature") or own]
    require_signed(timestamp, token, given, secrets)
    require_fresh(timestamp, now, tolerance)


def require_signed(timestamp: str, token: str, given: Sequence[str], secrets: Sequence[str]) -> None:
    """Raise `InvalidSignatureError` unless one of the secrets signs timestamp and token as one of ``given``.

    They are signed with nothing between them: a token's first digits would make milliseconds of the seconds, and what
    is left of it a token that never came before.
    """
    if not _SECONDS.fullmatch(timestamp):
        raise InvalidSignatureError("the signed timestamp is not in seconds")
    message = as_bytes(timestamp + token)
    require_match(map(as_bytes, given), [hex_hmac(key, message) for key in keys(secrets, hmac_key)])


def _signed(signature: object, name: str) -> str:
    value = bodies.optional(signature, name)
    if value is None:
        raise MissingCredentialError(f"the body has no signature.{name}")
    return value


PROVIDER = Provider(
    "mailgun",
    needs="the webhook signing key as its secret; the signature is in the body and does not cover the event",
    maps="opened → email_open, clicked → email_click, delivered → email_delivered, failed → email_bounce, "
    "unsubscribed → email_unsubscribe, complained → email_spam_report",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    tolerance=timedelta(hours=12),  # for eight it repeats what was refused, with the first signature
)
