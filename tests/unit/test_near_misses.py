"""Which events a listener takes: the rule in the domain. Beside it the databases' are held by test_match_parity."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.unit.test_listeners import LISTENER, MINUTE, NOW
from waitctl.domain.events import Event
from waitctl.domain.near_misses import Taker, find_miss, matches
from waitctl.domain.statuses import ListenerStatus, Resolution, WaitExecutionStatus
from waitctl.domain.waits import WaitSpec, WaitStepExecution

EVENT = Event("e", "email_open", "ada", {"n": 3, "tags": ["vip", "x"]}, "cli", None, None, received_at=NOW)
WAIT = WaitStepExecution.for_event(
    "w", WaitSpec("execution", context={"plan": "pro"}), (LISTENER,), {}, now=NOW, timeout_at=LISTENER.timeout_at
)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"event_type": "email_click"}, False),
        ({"contact_id": "eve"}, False),
        ({"received_at": None}, False),
        ({"data": {"n": 4, "tags": ["vip"]}}, False),
        ({"data": {"n": 3, "tags": []}}, False),
        ({"received_at": NOW - MINUTE}, True),
        ({"received_at": NOW - MINUTE - timedelta(microseconds=1)}, False),
    ],
)
def test_listener_takes_events_that_fit(change: dict[str, Any], expected: bool) -> None:
    assert matches(LISTENER, replace(EVENT, **change), WAIT) is expected


@pytest.mark.parametrize(
    ("condition", "data", "expected"),
    [
        ({"human": True}, {}, True),
        ({"human": True}, {"machine": True}, False),
        ({"human": True}, {"machine": False}, True),
        ({"human": True}, {"machine": "unknown"}, True),
        ({"human": True}, {"machine": "true"}, True),
        ({"human": True}, {"machine": 1}, True),
        ({"human": True}, {"machine": {"machine": True}}, True),
        ({"human": False}, {"machine": True}, True),
        ({"where": "event.data.n > 1"}, {"n": 2}, True),
        ({"where": "event.data.n > 1"}, {"n": 1}, False),
        ({"where": "event.data.n > 1"}, {}, False),
        ({"where": "event.data.n"}, {"n": 2}, False),
        ({"where": "wait.context.plan == event.data.plan"}, {"plan": "pro"}, True),
        ({"distinct": "n"}, {"n": 0}, True),
        ({"distinct": "n"}, {"n": None}, False),
        ({"distinct": "n"}, {"n": []}, False),
    ],
)
def test_listener_asks_more_of_an_event(condition: dict[str, Any], data: dict[str, Any], expected: bool) -> None:
    listener = replace(LISTENER, match=None, match_json=None, **condition)
    assert matches(listener, replace(EVENT, data=data), WAIT) is expected


def taker(execution: str = "other", *, exclusive: bool = False, resumed: bool = True, scheduled: bool = False) -> Taker:
    return Taker("e", "another", execution, exclusive, resumed, scheduled)


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (taker(), True),
        (taker(exclusive=True), False),
        (taker("execution"), False),
        (taker("execution", resumed=False, scheduled=True), True),
        (taker(exclusive=True, resumed=False, scheduled=True), False),
        (taker("execution", exclusive=True, resumed=False), True),  # cancelled: it has released the event
    ],
)
def test_what_others_have_taken(other: Taker, expected: bool) -> None:
    assert matches(LISTENER, EVENT, WAIT, [other]) is expected
    miss = find_miss(LISTENER, EVENT, WAIT, [other])
    assert miss is not None
    assert (miss.term == "taken") is not expected


@pytest.mark.parametrize(
    ("expires", "at", "expected"), [(1, None, True), (0, None, False), (5, 4, True), (5, 5, False), (5, 6, False)]
)
def test_event_is_good_until_it_expires_as_of_when_it_is_correlated(
    expires: int, at: int | None, expected: bool
) -> None:
    event = replace(EVENT, expires_at=NOW + expires * MINUTE)
    assert matches(LISTENER, event, WAIT, at=None if at is None else NOW + at * MINUTE) is expected


def test_only_open_waits_and_listeners_take_events() -> None:
    ended = replace(WAIT, status=WaitExecutionStatus.CANCELLED, resolution=Resolution.CANCELLED, resolved_at=NOW)
    assert not matches(LISTENER, EVENT, ended)
    assert not matches(replace(LISTENER, status=ListenerStatus.MATCHED), EVENT, WAIT)
    assert matches(LISTENER, EVENT, WAIT)
