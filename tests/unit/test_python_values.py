"""What Python programs hand over: what has one clear meaning is taken, anything else is a typed error."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from waitctl import EventQuery, Rules, WaitSpec, parse_hours
from waitctl.application.waits.requests import WaitRequest
from waitctl.domain.durations import Duration
from waitctl.domain.errors import (
    InvalidEventTypeError,
    InvalidInputError,
    InvalidTimeoutError,
    InvalidTimezoneError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    InvalidWaitDurationError,
    InvalidWaitTimeError,
)
from waitctl.domain.instants import Dst
from waitctl.domain.late import Late
from waitctl.domain.listeners import Mode

HOURS = timedelta(hours=3)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def query(**given: Any) -> EventQuery:
    return EventQuery(given.pop("event_types", ("reply",)), **given).checked()


def rules(**given: Any) -> Rules:
    return Rules(**given).checked()


def spec(**given: Any) -> WaitSpec:
    return WaitSpec(**{"workflow_execution_id": "order-1"} | given).checked()


def request(**given: Any) -> WaitRequest:
    return WaitRequest.fixed_time("1h", WaitSpec("order-1"), **given).checked()


@pytest.mark.parametrize(
    ("make", "name", "given", "taken"),
    [
        (query, "timeout", "3h", Duration(0, HOURS)),
        (query, "timeout", HOURS, Duration(0, HOURS)),
        (query, "timeout", "3bd", Duration(business_days=3)),
        (query, "lookback", 0, Duration()),
        (query, "lookback", "3h", Duration(0, HOURS)),
        (query, "lookback", "0", Duration()),
        (query, "grace", 0, Duration()),
        (query, "mode", "all", Mode.ALL),
        (query, "until", date(2026, 4, 1), "2026-04-01"),
        (query, "until", NOON, "2026-03-01T12:00:00+00:00"),
        (query, "event_types", "reply, email_open", ("reply", "email_open")),
        (query, "event_types", ["reply"], ("reply",)),
        (rules, "spread", "1h", Duration(0, timedelta(hours=1))),
        (rules, "spread", HOURS, Duration(0, HOURS)),
        (rules, "max_late", "1h", Duration(0, timedelta(hours=1))),
        (rules, "window", "mon-fri 09:00-17:00", parse_hours("mon-fri 09:00-17:00")),
        (rules, "quiet", "22:00-06:00", parse_hours("22:00-06:00")),
        (rules, "late", "skip", Late.SKIP),
        (rules, "dst", "reject", Dst.REJECT),
        (rules, "calendar", "DE", "DE"),
        (spec, "timezone", ZoneInfo("Europe/Berlin"), "Europe/Berlin"),
        (spec, "timezone", UTC, "UTC"),
        (request, "base", "2026-03-01T12:00:00Z", NOON),
        (request, "base", NOON, NOON),
    ],
)
def test_what_has_one_clear_meaning(make: Callable[..., object], name: str, given: object, taken: object) -> None:
    found = getattr(make(**{name: given}), name)
    assert found == taken
    assert type(found) is type(taken)


def test_time_of_day_of_a_timeout() -> None:
    for at in (time(9), "9", "09:00"):
        assert query(timeout="3d", at=at) == query(timeout="3d", at="09:00")


@pytest.mark.parametrize(
    ("make", "name", "given", "error"),
    [
        (query, "timeout", 3, InvalidTimeoutError),
        (query, "timeout", "soon", InvalidTimeoutError),
        (query, "timeout", -HOURS, InvalidTimeoutError),
        (query, "lookback", 3, InvalidTimeoutError),
        (query, "lookback", None, InvalidTimeoutError),
        (query, "lookback", False, InvalidTimeoutError),
        (query, "grace", [], InvalidTimeoutError),
        (query, "event_types", 5, InvalidEventTypeError),
        (query, "event_types", (5,), InvalidEventTypeError),
        (query, "mode", "some", InvalidWaitConfigurationError),
        (query, "until", datetime(2026, 4, 1), InvalidWaitDateError),
        (query, "until", 5, InvalidWaitDateError),
        (query, "at", "25:00", InvalidWaitTimeError),
        (rules, "spread", 5, InvalidWaitDurationError),
        (rules, "max_late", "1x", InvalidWaitDurationError),
        (rules, "window", "9 to 5", InvalidWaitConfigurationError),
        (rules, "window", 5, InvalidWaitConfigurationError),
        (rules, "quiet", ["22:00-06:00"], InvalidWaitConfigurationError),
        (rules, "late", "never", InvalidWaitConfigurationError),
        (rules, "dst", None, InvalidWaitConfigurationError),
        (rules, "dst", 5, InvalidWaitConfigurationError),
        (rules, "calendar", 5, InvalidWaitConfigurationError),
        (spec, "timezone", timezone(timedelta(hours=2)), InvalidTimezoneError),
        (spec, "timezone", 5, InvalidTimezoneError),
        (spec, "timezone", None, InvalidTimezoneError),
        (spec, "contact_id", 5, InvalidWaitConfigurationError),
        (spec, "workflow_execution_id", 5, InvalidWaitConfigurationError),
        (spec, "step_id", 5, InvalidWaitConfigurationError),
        (spec, "idempotency_key", b"key", InvalidWaitConfigurationError),
        (request, "base", date(2026, 3, 1), InvalidWaitDateError),
        (request, "base", "2026-03-01 12:00", InvalidWaitDateError),
        (request, "base", datetime(2026, 3, 1), InvalidWaitDateError),
        (request, "base", 5, InvalidWaitDateError),
    ],
)
def test_anything_else_is_a_typed_error(
    make: Callable[..., object], name: str, given: object, error: type[InvalidInputError]
) -> None:
    with pytest.raises(error):
        make(**{name: given})
