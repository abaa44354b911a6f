"""What a wait is asked for by, before a clock was read: the same for one wait and for a hundred thousand."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple

from waitctl.domain.durations import Duration, duration_text
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDateError
from waitctl.domain.events import topic_bucket
from waitctl.domain.instants import instant_given
from waitctl.domain.intents import (
    Intent,
    Past,
    Roll,
    Rules,
    date_in_context,
    date_text,
    parse_fixed_time,
    parse_until_date,
    parse_until_time,
)
from waitctl.domain.listeners import EventQuery
from waitctl.domain.values import replace
from waitctl.domain.waits import Own, WaitSpec


class WaitRequest(NamedTuple):
    """A wait that is asked for: what to wait for, by which rules, and where it belongs.

    ``base`` is the instant to count from instead of now; ``replace_open`` cancels another open wait of the step first.
    The rules of a query for events are its own.
    """

    asked: Intent | EventQuery
    spec: WaitSpec
    rules: Rules = Rules()
    base: datetime | None = None
    replace_open: bool = False

    @classmethod
    def fixed_time(
        cls,
        duration: Duration | timedelta | str,
        spec: WaitSpec,
        *,
        at: time | str | None = None,
        on: str | None = None,
        rules: Rules = Rules(),
        base: datetime | None = None,
        replace_open: bool = False,
    ) -> WaitRequest:
        """As `WaitSchedulingService.create_fixed_time_wait`.

        Raises `InvalidWaitDurationError`, `InvalidWaitTimeError` or `InvalidWaitConfigurationError`.
        """
        intent = _fixed_time(duration_text(duration), None if at is None else str(at), on, rules.are_gated)
        return cls(intent, spec, rules, base, replace_open)

    @classmethod
    def until_date(
        cls,
        date: date | str | None,
        spec: WaitSpec,
        *,
        offset: timedelta | str | None = None,
        field: str | None = None,
        field_format: str | None = None,
        on: str | None = None,
        roll: str = Roll.BACK,
        rules: Rules = Rules(),
        base: datetime | None = None,
        past: str = Past.REJECT,
        replace_open: bool = False,
    ) -> WaitRequest:
        """As `WaitSchedulingService.create_until_date_wait`.

        Raises `InvalidWaitDateError`, `InvalidWaitDurationError` for the offset, or `InvalidWaitConfigurationError`.
        """
        if (date is None) == (field is None):
            raise InvalidWaitDateError("name either a date or the field of the context that holds it")
        asked = date_text(date or "") if field is None else date_in_context(spec.context, field)
        distance = None if offset is None else duration_text(offset)
        intent = parse_until_date(asked, distance, field, roll=roll, past=past, on=on, field_format=field_format)
        return cls(intent, spec, rules, base, replace_open)

    @classmethod
    def until_time(
        cls,
        time: time | str,
        spec: WaitSpec,
        *,
        days: str | None = None,
        rules: Rules = Rules(),
        base: datetime | None = None,
        replace_open: bool = False,
    ) -> WaitRequest:
        """As `WaitSchedulingService.create_until_time_wait`.

        Raises `InvalidWaitTimeError` or `InvalidWaitConfigurationError`.
        """
        return cls(_until_time(str(time), days), spec, rules, base, replace_open)

    @classmethod
    def for_event(
        cls, query: EventQuery, spec: WaitSpec, *, base: datetime | None = None, replace_open: bool = False
    ) -> WaitRequest:
        """As `WaitSchedulingService.create_event_wait`."""
        return cls(query, spec, query.rules, base, replace_open)

    def checked(self) -> WaitRequest:
        """Check what it says, and bring it into the form that is stored.

        Raises `InvalidWaitConfigurationError`, `InvalidEventTypeError` for a name that is none, or
        `InvalidWaitDateError` for a base without a zone.
        """
        asked = self.asked.checked() if isinstance(self.asked, EventQuery) else self.asked
        base = None if self.base is None else instant_given(self.base, "the base")
        spec = self.spec.checked()
        if isinstance(asked, EventQuery) and spec.contact_id is None:
            raise InvalidWaitConfigurationError("an event wait needs a contact", hint="--contact ID")
        if spec is self.spec and asked is self.asked and base is self.base:
            return self
        return WaitRequest(asked, spec, self.rules, base, self.replace_open)

    @property
    def own(self) -> Own:
        """What it hardly has in common with another."""
        return self.spec.own

    @property
    def request(self) -> WaitRequest:
        """All that is asked for, as of an `Alike`."""
        return self

    @property
    def is_apart(self) -> bool:
        """Whether its instant is its own: spread by its id, or in the zone of its context or its contact."""
        return self.rules.spread is not None or self.spec.zone_field is not None or self.spec.zone_of_contact

    @property
    def buckets(self) -> list[int]:
        """The topic locks that creating it takes. It must be `checked`."""
        if not isinstance(self.asked, EventQuery) or self.spec.contact_id is None:
            return []
        return [topic_bucket(event_type, self.spec.contact_id) for event_type in self.asked.types]


class Alike(NamedTuple):
    """A wait that is asked for as another one was, but for where it belongs: a line of a file is no more than that."""

    shared: WaitRequest
    own: Own

    @property
    def request(self) -> WaitRequest:
        """All that is asked for."""
        return self.shared._replace(spec=replace(self.shared.spec, **self.own._asdict()))


# A file has few forms and says them on every line; what was parsed once is the same object again.
_fixed_time = lru_cache(lambda duration, at, on, zero: parse_fixed_time(duration, at, on, zero=zero))
_until_time = lru_cache(parse_until_time)
