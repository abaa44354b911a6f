"""Listeners: which event an event wait is waiting for, and until when."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from waitctl.domain.durations import Duration
from waitctl.domain.errors import (
    EventListenerExpiredError,
    InvalidEventTypeError,
    InvalidTimeoutError,
    InvalidWaitConfigurationError,
)
from waitctl.domain.events import Event, check_event_type_name
from waitctl.domain.text import JsonObject, check_json_object, check_text

_MAX_EXPONENT = 131_072
"""Digits that PostgreSQL's numeric holds; written out, a longer one would fill the memory."""

TOPIC_BUCKETS = 128
"""Locks that stand for all topics: 20,000 separate advisory locks exhaust a default PostgreSQL."""


class ListenerStatus(StrEnum):
    """Where a listener stands."""

    ACTIVE = "active"
    MATCHED = "matched"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class EventListener:
    """Waits for one event of a topic (event type and contact) that fits its conditions.

    ``since_at`` is the oldest instant of receipt that counts (creation minus lookback), ``timeout_at`` the deadline,
    ``expires_at`` the deadline plus grace.
    """

    id: str
    event_type: str
    contact_id: str
    match: JsonObject | None
    match_json: JsonObject | None
    exclusive: bool
    since_at: datetime
    timeout_at: datetime | None
    expires_at: datetime | None
    status: ListenerStatus = ListenerStatus.ACTIVE
    where: str | None = None
    matched_event_id: str | None = None
    matched_at: datetime | None = None

    def matches(self, event: Event) -> bool:
        """Whether ``event`` is one this listener waits for. The store asks the same in SQL."""
        return (
            event.event_type == self.event_type
            and event.contact_id == self.contact_id
            and event.received_at is not None
            and self.in_time(event.received_at, event.occurred_at)
            and (self.match is None or matches_text(event.data, self.match))
            and (self.match_json is None or contains(event.data, self.match_json))
        )

    def in_time(self, received_at: datetime, occurred_at: datetime | None) -> bool:
        """Whether an event came in time: the deadline decides, not when somebody looks (semantics 19)."""
        if received_at < self.since_at:
            return False
        if self.expires_at is None or self.timeout_at is None:
            return True
        return received_at < self.expires_at and min(occurred_at or received_at, received_at) < self.timeout_at

    def check_open(self, now: datetime) -> None:
        """Raise `EventListenerExpiredError` when no event received at ``now`` could match any more."""
        if self.expires_at is not None and now >= self.expires_at:
            raise EventListenerExpiredError(f"the listener for {self.event_type} expired")


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What an event wait was asked to wait for, before a clock was read."""

    event_types: tuple[str, ...]
    match: Mapping[str, str] | None = None
    match_json: JsonObject | None = None
    timeout: Duration | None = None
    lookback: Duration = Duration(0, timedelta(minutes=1))
    grace: Duration = Duration()
    exclusive: bool = False

    def checked(self) -> EventQuery:
        """Return this query when it can be asked.

        Raises `InvalidEventTypeError` or `InvalidWaitConfigurationError`.
        """
        if not self.event_types:
            raise InvalidEventTypeError("no event type to wait for")
        for name in self.event_types:
            check_event_type_name(name)
        if len(set(self.event_types)) < len(self.event_types):
            raise InvalidEventTypeError("an event type is named twice")
        for key, value in (self.match or {}).items():
            check_text(key, "a --match key")
            if re.search(r"[\x00\ud800-\udfff]", value):
                raise InvalidWaitConfigurationError("a --match value holds NUL or lone surrogates")
        if self.match_json is not None:
            check_json_object(self.match_json, "--match-json")
        if self.grace.elapsed and self.timeout is None:
            raise InvalidWaitConfigurationError("--grace needs a --timeout to extend")
        return self

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it."""
        return {
            "events": list(self.event_types),
            "match": dict(self.match) if self.match else None,
            "match_json": self.match_json,
            "timeout": str(self.timeout) if self.timeout else None,
            "lookback": str(self.lookback),
            "grace": str(self.grace),
            "exclusive": self.exclusive,
        }

    def deadline(self, base: datetime) -> datetime | None:
        """The deadline, counted from ``base``. Raises `InvalidTimeoutError` when it lies beyond the year 9999."""
        if self.timeout is None:
            return None
        try:
            timeout_at = base + self.timeout.elapsed
            timeout_at + self.grace.elapsed  # must be an instant, too
        except OverflowError as cause:
            raise InvalidTimeoutError("the deadline lies beyond the year 9999") from cause
        return timeout_at

    def listeners(
        self, ids: Iterable[str], contact_id: str, *, now: datetime, timeout_at: datetime | None
    ) -> tuple[EventListener, ...]:
        """A listener per event type, for a wait created at ``now``."""
        return tuple(
            EventListener(
                id=listener_id,
                event_type=event_type,
                contact_id=contact_id,
                match=dict(self.match) if self.match else None,
                match_json=self.match_json,
                exclusive=self.exclusive,
                since_at=now - self.lookback.elapsed,
                timeout_at=timeout_at,
                expires_at=timeout_at + self.grace.elapsed if timeout_at else None,
            )
            for listener_id, event_type in zip(ids, self.event_types, strict=False)
        )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A listener and an event that fits it, oldest first, before exclusiveness is looked at."""

    wait_id: str
    listener_id: str
    event_id: str
    exclusive: bool


def choose(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Choose which event each wait takes, given its candidates ordered by event, then by age of the wait.

    Every wait takes the oldest event that fits. An event is broadcast to every wait that fits; of the
    exclusive ones only the oldest that has not found another event takes it.
    """
    chosen: dict[str, Candidate] = {}
    taken: set[str] = set()
    for candidate in candidates:
        if candidate.wait_id in chosen or (candidate.exclusive and candidate.event_id in taken):
            continue
        chosen[candidate.wait_id] = candidate
        if candidate.exclusive:
            taken.add(candidate.event_id)
    return list(chosen.values())


def topic_bucket(event_type: str, contact_id: str) -> int:
    """Which of the 128 topic locks stands for this topic. The same on every host and in every version."""
    from zlib import crc32

    return crc32(f"{event_type}\x1f{contact_id}".encode()) % TOPIC_BUCKETS


def matches_text(data: JsonObject, match: Mapping[str, Any]) -> bool:
    """Whether each dotted key of ``match`` leads to a scalar in ``data`` with that text (``n=3``: 3 and "3")."""
    return all(_scalar_text(data, key) == value for key, value in match.items())


def _scalar_text(data: Any, key: str) -> str | None:
    for name in key.split("."):
        if isinstance(data, dict):
            data = data.get(name)
        elif isinstance(data, list) and re.fullmatch(r" *[+-]?[0-9]+", name):  # what C's strtol reads
            index = int(name)
            data = data[index] if -len(data) <= index < len(data) else None
        else:
            return None
    match data:
        case str():
            return data
        case bool():
            return "true" if data else "false"
        case int():
            return str(data)
        case float() | Decimal():
            number = _decimal(data)
            if abs(number.adjusted()) > _MAX_EXPONENT:
                return None
            return f"{number:f}".removeprefix("-") if number == 0 else f"{number:f}"
        case _:
            return None


def _decimal(number: float | Decimal) -> Decimal:
    return number if isinstance(number, Decimal) else Decimal(repr(number))


def contains(data: Any, part: Any) -> bool:
    """Whether ``data`` contains ``part`` as PostgreSQL's ``jsonb @>`` means it.

    https://www.postgresql.org/docs/current/datatype-json.html#JSON-CONTAINMENT
    """
    return _contains(data, part) or (
        isinstance(data, list)
        and not isinstance(part, dict | list)
        and any(_equal_scalars(item, part) for item in data)
    )


def _contains(data: Any, part: Any) -> bool:
    if isinstance(part, dict):
        return isinstance(data, dict) and all(
            key in data and _contains(data[key], value) for key, value in part.items()
        )
    if isinstance(part, list):
        return isinstance(data, list) and all(any(_contains(item, value) for item in data) for value in part)
    return _equal_scalars(data, part)


def _equal_scalars(one: Any, other: Any) -> bool:
    if isinstance(one, dict | list) or isinstance(one, bool) is not isinstance(other, bool):
        return False
    if isinstance(one, int | float | Decimal) and isinstance(other, int | float | Decimal):
        return _decimal(one) == _decimal(other)
    return type(one) is type(other) and bool(one == other)
