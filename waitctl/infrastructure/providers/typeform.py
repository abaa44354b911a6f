"""Typeform's webhooks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from waitctl.domain.events import EventType
from waitctl.domain.text import JsonObject
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies
from waitctl.infrastructure.providers.common.signatures import base64_hmac, header, hmac_key, require_hmac

_SIGNATURE = "Typeform-Signature"


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The response of a delivery. Hidden fields are under ``hidden``."""
    body = bodies.object_of(request)
    name = bodies.required(body, "event_type")
    response: JsonObject = bodies.as_object(body.get("form_response"), "'form_response'")
    is_response = name == "form_response"
    contacts = (_answer(response, "email"), _answer(response, "phone_number"))
    mapped = Mapped(
        event_type=EventType.FORM_SUBMIT if is_response else bodies.foreign_type("typeform", name),
        contact=bodies.contact_of(path, response, *contacts, bodies.optional(response, "hidden", "email")),
        data=response,
        external_id=bodies.optional(response, "token") if is_response else bodies.optional(body, "event_id"),
        occurred_at=bodies.instant_of(response.get("submitted_at"), "submitted_at"),
    )
    return [mapped]


def _answer(response: JsonObject, kind: str) -> str | None:
    """The first answer of a kind; an answer's value stands under the name of its kind."""
    answers: Any = response.get("answers")
    found = (bodies.optional(answer, kind) for answer in (answers if isinstance(answers, list) else ()))
    return next((each for each in found if each), None)


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over the body. It has no timestamp: what was seen before is known by its token."""
    given = header(request, _SIGNATURE)
    require_hmac(given, secrets, request.body, lambda key, message: b"sha256=" + base64_hmac(key, message))


PROVIDER = Provider(
    "typeform",
    needs=f"the header {_SIGNATURE}, and the webhook's secret",
    maps="form_response → form_submit",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    headers=(_SIGNATURE,),
)
