"""Ids as people type them: whole, or their head or tail."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from waitctl.domain.errors import (
    AmbiguousIdError,
    DeliveryNotFoundError,
    EventNotFoundError,
    InvalidWaitConfigurationError,
    NotFoundError,
    PlanNotFoundError,
    QuarantineNotFoundError,
    RecurrenceNotFoundError,
    WaitExecutionNotFoundError,
    WaitStepError,
)
from waitctl.domain.text import holds_control
from waitctl.domain.values import dataclass
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.store import id_search
from waitctl.infrastructure.store.id_search import HasId

T = TypeVar("T")

_CANDIDATES = 10
"""Ids that an ambiguous one is explained with."""

_SHORTEST_FRAGMENT, _WHOLE = 8, 32
"""Hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class IdKind:
    """What an id may be the id of, and how one speaks of it."""

    has_id: HasId
    noun: str
    nouns: str
    missing: str
    error: type[NotFoundError]

    def not_found(self, text: str) -> NotFoundError:
        """The error for an id that nothing has."""
        return self.error(f"{self.missing} {text}")


WAIT = IdKind(HasId.WAIT, "a wait", "waits", "no wait", WaitExecutionNotFoundError)
EVENT = IdKind(HasId.EVENT, "an event", "events", "no event", EventNotFoundError)
DELIVERY = IdKind(HasId.DELIVERY, "a delivery", "deliveries", "no delivery", DeliveryNotFoundError)
QUARANTINED = IdKind(
    HasId.QUARANTINED,
    *("a payload in quarantine", "payloads in quarantine", "nothing in quarantine is"),
    QuarantineNotFoundError,
)

RECURRENCE = IdKind(HasId.RECURRENCE, "a recurrence", "recurrences", "no recurrence", RecurrenceNotFoundError)
PLAN = IdKind(HasId.PLAN, "a plan", "plans", "no plan", PlanNotFoundError)


def find_id(connection: Connection, kind: IdKind, text: str) -> str:
    """The id that ``text`` is, or is the head or tail of.

    Raises `InvalidWaitConfigurationError` when it cannot be one, the kind's `NotFoundError`, or `AmbiguousIdError`,
    naming up to 10, when it fits several.
    """
    try:
        digits = _digits(text, kind)
        if (whole := _whole(digits)) is not None:
            if not id_search.is_id(connection, kind.has_id, whole):
                raise kind.not_found(text)
            return whole
        found = id_search.find_ids(connection, kind.has_id, digits, _CANDIDATES + 1)
        if not found:
            raise kind.not_found(text)
    except WaitStepError as error:
        if kind is WAIT and not holds_control(text) and id_search.is_execution(connection, text):
            from shlex import quote  # only on the way out

            error.hint = f"it is an execution: waitctl status --execution {quote(text)} shows its waits"
        raise
    if len(found) > 1:
        more = " and more" if len(found) > _CANDIDATES else ""
        raise AmbiguousIdError(f"{text} fits several {kind.nouns}: {', '.join(found[:_CANDIDATES])}{more}")
    return found[0]


def find_cursor(connection: Connection, kind: IdKind, text: str) -> str:
    """`find_id` for a place in a list: a whole id need not be there any more."""
    return _whole(_digits(text, kind)) or find_id(connection, kind, text)


def get_by_id(connection: Connection, kind: IdKind, text: str, load: Callable[[Connection, str], T | None]) -> T:
    """What ``load`` gives for the id that ``text`` is or is a part of. Raises what `find_id` raises."""
    found = load(connection, find_id(connection, kind, text))
    if found is None:  # pruned between two statements
        raise kind.not_found(text)
    return found


def _digits(text: str, kind: IdKind) -> str:
    digits = text.strip().replace("-", "").lower()
    if set(digits) - set("0123456789abcdef") or not _SHORTEST_FRAGMENT <= len(digits) <= _WHOLE:
        raise InvalidWaitConfigurationError(
            f"{text!a} is not the id of {kind.noun}", hint="an id is a UUID; its first or last 8 or more digits will do"
        )
    return digits


def _whole(digits: str) -> str | None:
    """An id as it is stored, if these are all of its digits."""
    if len(digits) < _WHOLE:
        return None
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
