"""GitHub's webhooks, of a repository, an organization or an app."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from hashlib import sha256

from waitctl.domain.errors import InvalidEventError
from waitctl.domain.text import JsonObject, parse_json
from waitctl.infrastructure.providers import ContactPath, Mapped, Once, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.forms import content_type, form_of
from waitctl.infrastructure.providers.common.signatures import header, hex_hmac, hmac_key, require_hmac

_SIGNATURE = "X-Hub-Signature-256"
_EVENT = "X-GitHub-Event"
_DELIVERY = "X-GitHub-Delivery"


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The event of a delivery: ``github.issues.opened``, or without an action ``github.push``.

    What it is and which stands in headers that are not signed, so that a body is taken in under one of them alone.
    """
    event, name, delivery = _payload(request), header(request, _EVENT), header(request, _DELIVERY)
    action = bodies.optional(event, "action")
    mapped = Mapped(
        event_type=bodies.foreign_type("github", f"{name}.{action}" if action else name),
        contact=bodies.contact_of(path, event, bodies.optional(event, "sender", "login")),
        data=event,
        external_id=delivery,
        occurred_at=None,
        once=Once(sha256(request.body).hexdigest(), f"{name} {delivery}"),
    )
    return [mapped]


def _payload(request: Request) -> JsonObject:
    """JSON, as it is or as a field of a form, whichever the webhook says."""
    if not content_type(request).lower().startswith("application/x-www-form-urlencoded"):
        return bodies.object_of(request)
    text = form_of(request).fields.get("payload", "")
    return bodies.as_object(parse_json(text, "the payload", error=InvalidEventError), "the payload")


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over the body. It has no timestamp: what was seen before is known by its id."""
    given = header(request, _SIGNATURE)
    require_hmac(given, secrets, request.body, lambda key, message: b"sha256=" + hex_hmac(key, message))


PROVIDER = Provider(
    "github",
    needs=f"the headers {_SIGNATURE}, {_EVENT} and {_DELIVERY}, and the webhook's secret",
    maps="every event and action, as in github.pull_request.opened",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    headers=(_SIGNATURE, _EVENT, _DELIVERY, "Content-Type"),
)
