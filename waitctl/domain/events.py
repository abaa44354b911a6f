"""Events: what happened to a contact, as somebody reported it."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from zlib import crc32

from waitctl.domain.errors import InvalidEventTypeError
from waitctl.domain.patterns import pattern
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass

TOPIC_BUCKETS = 128
"""Locks that stand for all topics: 20,000 separate advisory locks exhaust a default PostgreSQL."""


class EventType(StrEnum):
    """The built-in event types. More can be registered; a type is its name."""

    EMAIL_OPEN = "email_open"
    EMAIL_CLICK = "email_click"
    SMS_REPLY = "sms_reply"
    FORM_SUBMIT = "form_submit"
    PAGE_VISIT = "page_visit"
    APPOINTMENT_BOOKED = "appointment_booked"

    @property
    def description(self) -> str:
        """What such an event says."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    EventType.EMAIL_OPEN: "an e-mail was opened",
    EventType.EMAIL_CLICK: "a link in an e-mail was clicked",
    EventType.SMS_REPLY: "a text message was answered",
    EventType.FORM_SUBMIT: "a form was submitted",
    EventType.PAGE_VISIT: "a page was visited",
    EventType.APPOINTMENT_BOOKED: "an appointment was booked",
}

_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}")


def check_event_type_name(name: object) -> str:
    """Return ``name`` when it can name an event type. Raises `InvalidEventTypeError`."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise InvalidEventTypeError(
            f"{name!a} cannot name an event type",
            hint="letters, digits and _ . : / - (at most 100), as in cart_abandoned",
        )
    return name


def check_registered(name: str, registered: set[str]) -> None:
    """Raise `InvalidEventTypeError`, with the nearest names, unless the event type ``name`` is registered."""
    if name in registered:
        return
    from difflib import get_close_matches  # only on the way out

    near = get_close_matches(name, sorted(registered), n=2)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    if _NAME.fullmatch(name):
        hint += f"waitctl event types add {name} registers it"
    else:
        hint += "waitctl event types lists them"
    raise InvalidEventTypeError(f"{name!a} is not a registered event type", hint=hint)


@dataclass(frozen=True, slots=True)
class Event:
    """One event. ``external_id`` is its sender's id for it: (source, external_id) is recorded once.

    ``occurred_at`` is when it happened by its sender's clock (it may be missing), ``received_at`` when it reached us.
    From ``expires_at`` on, by the clock of whoever correlates it, it matches nothing any more.
    """

    id: str
    event_type: str
    contact_id: str
    data: JsonObject
    source: str
    external_id: str | None
    occurred_at: datetime | None
    received_at: datetime | None = None
    expires_at: datetime | None = None
    matched: tuple[str, ...] = ()


def topic_bucket(event_type: str, contact_id: str) -> int:
    """Which of the 128 topic locks stands for this topic. The same on every host and in every version."""
    return crc32(f"{event_type}\x1f{contact_id}".encode()) % TOPIC_BUCKETS
