"""Text and JSON that may enter: ids, contacts, contexts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitctl.domain.errors import InvalidEventError, InvalidWaitConfigurationError
from waitctl.domain.text import (
    MAX_DEPTH,
    MAX_JSON,
    are_plain,
    check_json_object,
    check_reason,
    check_text,
    normalize_contact,
    normalize_plain_contacts,
    parse_json_object,
    storable,
    to_json,
)


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


@pytest.mark.parametrize("text", ["x", "order 17", "x" * 255, "Zoë", "日本", "👩‍👩‍👧", "[bold]"])
def test_text_that_may_enter(text: str) -> None:
    assert check_text(text, "the step") == text


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \t ", "empty"),
        ("x" * 256, "256 characters"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x1b[31mb", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("a\u2028b", "control"),
        ("a\ud800b", "surrogates"),
    ],
)
def test_text_that_may_not(text: str, says: str) -> None:
    with pytest.raises(InvalidEventError, match=says) as caught:
        check_text(text, "the step", error=InvalidEventError)
    assert caught.value.message.startswith("the step")
    caught.value.message.encode()  # printable whatever was in it


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("  ada@example.org ", "ada@example.org"),
        ("Ada@Example.ORG", "ada@example.org"),
        ("Ada", "Ada"),
        ("whatsapp:+4915112345", "+4915112345"),
        ("WhatsApp: +4915112345", "+4915112345"),
        ("Zoe\u0308", "Zoë"),
        ("STRASSE@EXAMPLE.ORG", "strasse@example.org"),
    ],
)
def test_contact_has_one_form(given_: str, kept: str) -> None:
    assert normalize_contact(given_) == kept


@pytest.mark.parametrize("contact", ["", "  ", "whatsapp:", "whatsapp:  ", "a\0b", "\ud800", "x" * 256])
def test_contact_that_is_none(contact: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError):
        normalize_contact(contact)


@given(st.text(max_size=40))
def test_contact_normalised_twice_is_normalised_once(text: str) -> None:
    try:
        once = normalize_contact(text)
    except InvalidWaitConfigurationError:
        return
    assert normalize_contact(once) == once


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("{'a': 1}", "not valid JSON"),
        ('{"a": NaN}', "NaN"),
        ('{"a": Infinity}', "Infinity"),
        ('{"a": -Infinity}', "Infinity"),
        ('{"a": 1e400}', "not valid JSON"),
        ('{"a": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"a": "\x01"}', "not valid JSON"),
        ("[1]", "an array"),
        ("null", "null"),
        ("3", "a number"),
        ('"text"', "a string"),
        ("true", "a boolean"),
        ('{"a": "\\u0000"}', "NUL"),
        ('{"\\u0000": 1}', "NUL"),
        ('{"a": [{"b": "x\\u0000y"}]}', "NUL"),
        ('{"a": "\\ud800"}', "surrogates"),
        ('{"\\udfff": 1}', "surrogates"),
        (nested(MAX_DEPTH + 1), "deeper than 64"),
        (nested(100_000), "deep"),
        ('{"a":"' + "x" * (MAX_JSON - 7) + '"}', "262,145 bytes"),
        ('{"a":"' + "ü" * (MAX_JSON // 2) + '"}', "bytes long"),
    ],
)
def test_json_that_may_not_enter(text: str, says: str) -> None:
    with pytest.raises(InvalidEventError, match=says):
        parse_json_object(text, "the data", error=InvalidEventError)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        nested(MAX_DEPTH),
        '{"a":"' + "x" * (MAX_JSON - 8) + '"}',
        '{"a": "\\\\u0000"}',  # a backslash and five characters, not NUL
        '{"a": "\\ud83d\\ude00"}',
        '{"a": [1, 2.5, true, null, "x", {"b": []}]}',
    ],
)
def test_json_that_may_enter(text: str) -> None:
    assert parse_json_object(text, "the context") == json.loads(text)


@pytest.mark.parametrize("value", [{"a": float("nan")}, {"a": float("inf")}, {"a": object()}, {"a": {1, 2}}, [], None])
def test_objects_from_python_are_checked_the_same(value: Any) -> None:
    with pytest.raises(InvalidWaitConfigurationError):
        check_json_object(value, "the context")


def test_json_is_compact_and_readable() -> None:
    assert to_json({"ü": [1, None]}) == '{"ü":[1,null]}'


@pytest.mark.parametrize("reason", ["nul \0", "lone \ud800"])
def test_reason_must_be_storable(reason: str) -> None:
    with pytest.raises(InvalidWaitConfigurationError):
        check_reason(reason)
    assert check_reason(storable(reason)) == reason[:-1] + "\ufffd"


def test_reason_may_have_lines() -> None:
    assert check_reason("two\nlines") == "two\nlines"


_CONTACTS = st.sampled_from(
    ["ada", "Bob@Example.org", "Ada", " eve", "WhatsApp:+49 1", "whatsapp:1", "z\u00f6e@x", "a\tb", "", " "]
)


@given(st.lists(st.text(max_size=3) | st.sampled_from(["x" * 255, "x" * 256, "\x85", "\ud800", "\u00a0"]), max_size=4))
def test_what_is_plain_at_a_glance_is_taken_one_by_one(values: list[str]) -> None:
    if are_plain(values):
        assert [check_text(value, "it") for value in values] == values


@given(st.lists(st.none() | _CONTACTS, max_size=4))
def test_contacts_are_normalised_together_as_one_by_one(contacts: list[str | None]) -> None:
    found = normalize_plain_contacts(contacts)
    if found is not None and are_plain([each for each in found if each is not None]):
        assert found == [None if each is None else normalize_contact(each) for each in contacts]


def test_most_are_plain() -> None:
    assert are_plain(["ada", "order 17", "Zo\u00eb", "x" * 255])
    assert normalize_plain_contacts(["Ada@Example.org", None, "Ada"]) == ["ada@example.org", None, "Ada"]
