"""The tree of errors, and that its drawing is true."""

from __future__ import annotations

import inspect
import re

import pytest

from waitctl.domain import errors
from waitctl.domain.errors import WaitStepError

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, WaitStepError)]

PROMISED = {
    "invalid_wait_configuration",
    "invalid_wait_duration",
    "invalid_wait_date",
    "invalid_wait_time",
    "invalid_event_type",
    "invalid_timeout",
    "wait_execution_not_found",
    "wait_execution_expired",
    "event_listener_not_found",
    "event_listener_expired",
}


def test_every_class_has_a_code_of_its_own() -> None:
    codes = [each.code for each in CLASSES]
    assert len(codes) == len(set(codes))
    assert set(codes) >= PROMISED


def test_codes_are_promised_names() -> None:
    assert errors.IdempotencyKeyConflictError.code == "idempotency_key_conflict"
    assert all(re.fullmatch("[a-z]+(_[a-z]+)*", each.code) for each in CLASSES)


def test_docstring_draws_the_tree() -> None:
    drawn: list[tuple[str, str | None]] = []
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if found := re.match(r"([ │├└─]*)(\w+Error)\b", line):
            depth = (len(found[1]) - 4) // 4
            path[depth:] = [found[2]]
            drawn.append((found[2], path[depth - 1] if depth else None))
    assert set(drawn) == {
        (each.__name__, each.__bases__[0].__name__ if each is not WaitStepError else None) for each in CLASSES
    }
    assert len(drawn) == len(CLASSES)


@pytest.mark.parametrize("kind", CLASSES)
def test_docstring_is_the_message_where_none_is_given(kind: type[WaitStepError]) -> None:
    error = kind(hint="try this")
    assert str(error) == error.message == (kind.__doc__ or "").strip()
    assert error.message.endswith(".")
    assert error.hint == "try this"
    assert str(kind("said")) == "said"
