"""Which events a listener takes, and which wait takes which event."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from waitctl.domain.durations import Duration, parse_duration
from waitctl.domain.errors import InvalidEventTypeError, InvalidWaitConfigurationError
from waitctl.domain.events import TOPIC_BUCKETS, EventType, check_event_type_name, topic_bucket
from waitctl.domain.listeners import EventListener, EventQuery, Mode, progress
from waitctl.domain.matching import Candidate, choose, contains, matches_text

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("data", "part", "expected"),
    [
        # the examples of PostgreSQL's documentation, 8.14.3
        ("foo", "foo", True),
        ([1, 2, 3], [1, 3], True),
        ([1, 2, 3], [3, 1], True),
        ([1, 2, 3], [1, 2, 2], True),
        ({"product": "PostgreSQL", "version": 9.4, "jsonb": True}, {"version": 9.4}, True),
        ([1, 2, [1, 3]], [1, 3], False),
        ([1, 2, [1, 3]], [[1, 3]], True),
        ({"foo": {"bar": "baz"}}, {"bar": "baz"}, False),
        ({"foo": {"bar": "baz"}}, {"foo": {}}, True),
        (["foo", "bar"], "bar", True),
        ("bar", ["bar"], False),
        # what is easily got wrong
        ({}, {}, True),
        ([], [], True),
        ([], {}, False),
        ({"a": None}, {"a": None}, True),
        ({}, {"a": None}, False),
        ({"a": 1}, {"a": True}, False),
        ({"a": True}, {"a": True}, True),
        ({"a": True}, {"a": False}, False),
        ({"a": [False]}, {"a": [False]}, True),
        ({"a": 0}, {"a": False}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": 9007199254740993}, {"a": 9007199254740992.0}, False),
        ({"a": ["x"]}, {"a": "x"}, False),  # a lone scalar counts at the top alone
        ([{"a": 1, "b": 2}], [{"a": 1}], True),
        ([{"a": 1}, {"b": 2}], [{"a": 1, "b": 2}], False),
    ],
)
def test_contains_as_jsonb_does(data: Any, part: Any, expected: bool) -> None:
    assert contains(data, part) is expected


@pytest.mark.parametrize(
    ("data", "match", "expected"),
    [
        ({"n": 3}, {"n": "3"}, True),
        ({"n": "3"}, {"n": "3"}, True),
        ({"n": 3.0}, {"n": "3"}, False),
        ({"n": 3.5}, {"n": "3.5"}, True),
        ({"n": 1e22}, {"n": "10000000000000000000000"}, True),
        ({"n": 1e-7}, {"n": "0.0000001"}, True),
        ({"n": -0.0}, {"n": "0.0"}, True),
        ({"ok": True}, {"ok": "true"}, True),
        ({"ok": "true"}, {"ok": "true"}, True),
        ({"ok": True}, {"ok": "True"}, False),
        ({"ok": True}, {"ok": "1"}, False),
        ({"a": {"b": "x"}}, {"a.b": "x"}, True),
        ({"a.b": "x"}, {"a.b": "x"}, False),
        ({"a": [1, {"b": "x"}]}, {"a.1.b": "x"}, True),
        ({"a": [1, 2]}, {"a.-1": "2"}, True),
        ({"a": [1, 2]}, {"a.2": "2"}, False),
        ({"a": [1, 2]}, {"a.-3": "1"}, False),
        ({"a": None}, {"a": "null"}, False),
        ({"a": {}}, {"a": "{}"}, False),
        ({"a": [1]}, {"a": "[1]"}, False),
        ({"a": "x"}, {"a.0": "x"}, False),
        ({}, {"a": ""}, False),
        ({"a": ""}, {"a": ""}, True),
        ({"a": 1, "b": 2}, {"a": "1", "b": "2"}, True),
        ({"a": 1, "b": 2}, {"a": "1", "b": "3"}, False),
        ({"a": 1}, {}, True),
    ],
)
def test_match_is_by_the_scalars_text(data: Any, match: dict[str, str], expected: bool) -> None:
    assert matches_text(data, match) is expected


# -- one listener ------------------------------------------------------------------------------------------------------

LISTENER = EventListener(
    id="l",
    event_type="email_open",
    contact_id="ada",
    match={"n": "3"},
    match_json={"tags": ["vip"]},
    exclusive=False,
    since_at=NOW - MINUTE,
    timeout_at=NOW + 10 * MINUTE,
    expires_at=NOW + 15 * MINUTE,
)


@pytest.mark.parametrize(
    ("listeners", "expected"),
    [
        ([(1, 3, 0)], (0, 3)),
        ([(1, 3, 2)], (2, 3)),
        ([(1, 1, 1), (2, 1, 0)], (1, 2)),
        ([(1, 1, 0), (1, 1, 1), (2, 1, 0), (3, 1, 1)], (2, 3)),
    ],
)
def test_progress(listeners: list[tuple[int, int, int]], expected: tuple[int, int]) -> None:
    several = [
        replace(LISTENER, group_no=group, needed=needed, matched_count=counted) for group, needed, counted in listeners
    ]
    assert progress(several) == expected


def test_query_makes_groups() -> None:
    query = EventQuery(("email_open|email_click", "form_submit"), mode=Mode.ALL).checked()
    made = query.listeners("123", "ada", now=NOW, timeout_at=None)
    assert [(each.event_type, each.group_no, each.needed) for each in made] == [
        ("email_open", 1, 1),
        ("email_click", 1, 1),
        ("form_submit", 2, 1),
    ]
    (counting,) = EventQuery(("page_visit",), count=3, distinct="u").listeners("1", "ada", now=NOW, timeout_at=None)
    assert (counting.group_no, counting.needed, counting.distinct, counting.is_grouped) == (1, 3, "u", True)
    (plain,) = EventQuery(("page_visit",), count=1).listeners("1", "ada", now=NOW, timeout_at=None)
    assert (plain.group_no, plain.needed, plain.is_grouped) == (0, 1, False)


@pytest.mark.parametrize(
    ("received", "occurred", "expected"),
    [
        (9, None, True),
        (10, None, False),  # at the deadline is too late
        (9, 20, True),  # a sender's clock that runs fast does not make it late
        (12, 9, True),  # it happened in time and came within the grace
        (12, 10, False),
        (12, None, False),
        (15, 9, False),  # after the grace nothing counts
        (16, 1, False),
    ],
)
def test_deadline_decides(received: int, occurred: int | None, expected: bool) -> None:
    happened = None if occurred is None else NOW + occurred * MINUTE
    assert LISTENER.in_time(NOW + received * MINUTE, happened) is expected


def test_listener_without_deadline_is_always_in_time() -> None:
    assert replace(LISTENER, timeout_at=None, expires_at=None).in_time(NOW + timedelta(days=4000), None)


# -- the query ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (EventQuery(()), InvalidEventTypeError),
        (EventQuery(("email open",)), InvalidEventTypeError),
        (EventQuery(("email_open", "email_open")), InvalidEventTypeError),
        (EventQuery(("email_open",), match={"": "x"}), InvalidWaitConfigurationError),
        (EventQuery(("email_open",), match={"a": "\0"}), InvalidWaitConfigurationError),
        (EventQuery(("email_open",), match={"a": "\ud800"}), InvalidWaitConfigurationError),
        (EventQuery(("email_open",), match_json=json.loads("[1]")), InvalidWaitConfigurationError),
        (EventQuery(("email_open",), grace=parse_duration("1m")), InvalidWaitConfigurationError),
    ],
)
def test_query_that_cannot_be_asked(query: EventQuery, error: type[Exception]) -> None:
    with pytest.raises(error):
        query.checked()


def test_query_makes_a_listener_a_type() -> None:
    query = EventQuery(("email_open", "sms_reply"), timeout=parse_duration("1h"), lookback=Duration()).checked()
    schedule = query.deadline(NOW, "UTC")
    deadline = schedule.at if schedule else None
    first, second = query.listeners(["1", "2"], "ada", now=NOW, timeout_at=deadline)
    assert (first.event_type, second.event_type) == ("email_open", "sms_reply")
    assert first.since_at == NOW
    assert first.timeout_at == first.expires_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize("name", ["", "a b", "-a", "a\n", "é", "x" * 101, "a;b"])
def test_event_type_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidEventTypeError):
        check_event_type_name(name)


def test_event_type_names() -> None:
    for name in [*EventType, "cart.abandoned", "shop:order/paid-2", "x" * 100]:
        assert check_event_type_name(name) == name
    assert all(member.description for member in EventType)


# -- several waits, several events ------------------------------------------------------------------------------------


def candidates(text: str) -> list[Candidate]:
    """``a1!`` is wait a, event 1, exclusive."""
    return [Candidate(part[0], f"l{part[0]}", part[1], part.endswith("!")) for part in text.split()]


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("", ""),
        ("a1 b1", "a1 b1"),
        ("a1 a2", "a1"),
        ("a1! b1!", "a1!"),
        ("a1! b1! a2! b2!", "a1! b2!"),
        ("a1! b1", "a1! b1"),
        ("a1 b1!", "a1 b1!"),
        ("a1! b1! c1! a2! b2! c2!", "a1! b2!"),
    ],
)
def test_choose(given: str, chosen: str) -> None:
    assert choose(candidates(given)) == candidates(chosen)


def test_topic_buckets_are_the_same_on_every_host() -> None:
    assert topic_bucket("email_open", "ada@example.org") == topic_bucket("email_open", "ada@example.org")
    buckets = {topic_bucket("email_open", f"contact-{number}") for number in range(5000)}
    assert buckets == set(range(TOPIC_BUCKETS))
    assert topic_bucket("email_open", "zoë") == 83
