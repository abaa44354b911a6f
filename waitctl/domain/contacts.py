"""Whom waits are about: what is kept of a contact beside its events, and which zone that puts a wait in."""

from __future__ import annotations

from datetime import datetime

from waitctl.domain.errors import InvalidTimezoneError
from waitctl.domain.instants import check_zone
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass

TZ_FIELD, TZ_CONTACT = "tz_field", "tz_contact"
"""Where `wait_config` says that a wait's zone stands in its context, or is its contact's."""

OF_CONTACT = "contact"
"""What ``--tz`` says for the zone of the contact."""

FORGOTTEN = "forgotten"
"""What stands where a contact stood that is forgotten."""


@dataclass(frozen=True, slots=True)
class Contact:
    """A contact of the register."""

    contact_id: str
    timezone: str | None
    data: JsonObject | None
    created_at: datetime
    updated_at: datetime


def value_under(document: object, path: str) -> object:
    """What stands in a document under a dotted name, as in ``appointment.start_time``; ``None`` for nothing."""
    for name in path.split("."):
        document = document.get(name) if isinstance(document, dict) else None
    return document


def zone_in_context(context: JsonObject | None, field: str) -> str | None:
    """The zone that stands in the context under a dotted name; ``None`` when there is none.

    Raises `InvalidTimezoneError` for what is no zone, an offset as well.
    """
    found = value_under(context, field)
    if found is None or found == "":
        return None
    if not isinstance(found, str):
        raise InvalidTimezoneError(f"the context has no time zone under {field!a}", hint="as in Europe/Berlin")
    try:
        return check_zone(found)
    except InvalidTimezoneError as error:
        raise InvalidTimezoneError(f"{error.message}, under {field!a} of the context", hint=error.hint) from error
