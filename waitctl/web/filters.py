"""FILTERS in a URL: the words of the command line's options, for the API and the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from starlette.datastructures import QueryParams

from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.instants import parse_instant
from waitctl.domain.waits import WaitExecutionStatus, WaitFilter, WaitType

E = TypeVar("E", bound=StrEnum)

NAMES = ("status", "type", "workflow", "execution", "contact", "overdue", "due-before")
"""The filters, as the options are called."""

PAGING = ("limit", "after")

MAX_LIMIT = 1000


def read_filter(query: QueryParams) -> WaitFilter:
    """The filter of a URL; an empty value is as good as none, as a form sends it.

    Raises `InvalidWaitConfigurationError` or `InvalidWaitDateError`.
    """
    due_before = one(query, "due-before")
    return WaitFilter(
        statuses=[choice(WaitExecutionStatus, each, "status") for each in _several(query, "status")],
        wait_type=next((choice(WaitType, each.replace("-", "_"), "type") for each in _several(query, "type")), None),
        execution_id=one(query, "execution"),
        contact_id=one(query, "contact"),
        workflow_id=one(query, "workflow"),
        overdue=read_flag(query, "overdue"),
        due_before=None if due_before is None else parse_instant(due_before, "due-before"),
    )


def refuse_unknown(query: QueryParams, known: Sequence[str]) -> None:
    """Refuse a parameter that means nothing: misspelled, it would let everything through."""
    for name in query:
        if name not in known:
            raise InvalidWaitConfigurationError(f"unknown parameter {name!a}", hint=f"of {', '.join(known)}")


def read_limit(query: QueryParams, default: int = 50) -> int:
    """How many at most. Raises `InvalidWaitConfigurationError`."""
    text = one(query, "limit")
    if text is None:
        return default
    if not (text.isascii() and text.isdecimal() and 1 <= int(text[:9]) <= MAX_LIMIT):
        raise InvalidWaitConfigurationError(f"limit must be a number from 1 to {MAX_LIMIT:,}")
    return int(text)


def read_flag(query: QueryParams, name: str) -> bool:
    """Whether a flag is up. Raises `InvalidWaitConfigurationError`."""
    text = one(query, name)
    flags = {None: False, "false": False, "0": False, "true": True, "1": True, "on": True}
    if text not in flags:
        raise InvalidWaitConfigurationError(f"{name} must be true or false")
    return flags[text]


def _several(query: QueryParams, name: str) -> list[str]:
    return [value.strip() for value in query.getlist(name) if value.strip()]


def one(query: QueryParams, name: str) -> str | None:
    values = _several(query, name)
    if len(values) > 1:
        raise InvalidWaitConfigurationError(f"{name} is given more than once")
    return values[0] if values else None


def choice(choices: type[E], value: str, name: str) -> E:
    """One of an enumeration's. Raises `InvalidWaitConfigurationError`, naming the others."""
    try:
        return choices(value)
    except ValueError:
        raise InvalidWaitConfigurationError(f"{name}: {value!a} is none of {', '.join(choices)}") from None
