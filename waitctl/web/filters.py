"""FILTERS in a URL: the words of the command line's options, for the API and the dashboard."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TypeVar

from starlette.datastructures import QueryParams

from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.filters import WaitFilter, When, parse_wait_type, parse_when
from waitctl.domain.statuses import WaitExecutionStatus

E = TypeVar("E", bound=StrEnum)

NAMES = (
    *("status", "type", "workflow", "execution", "step", "contact", "handler"),
    *("due-before", "due-after", "created-before", "created-after", "overdue"),
)
"""The filters, as the options are called."""

PAGING = ("limit", "after")

MAX_LIMIT = 1000


def read_filter(query: QueryParams) -> WaitFilter:
    """The filter of a URL; an empty value is as good as none, as a form sends it.

    Raises `InvalidWaitConfigurationError` or `InvalidWaitDateError`.
    """
    return WaitFilter(
        statuses=tuple(choice(WaitExecutionStatus, each, "status") for each in _several(query, "status")),
        wait_types=tuple(parse_wait_type(each) for each in _several(query, "type")),
        workflow_id=one(query, "workflow"),
        execution_id=one(query, "execution"),
        step_id=one(query, "step"),
        contact_id=one(query, "contact"),
        handler=one(query, "handler"),
        due_before=_when(query, "due-before"),
        due_after=_when(query, "due-after"),
        created_before=_when(query, "created-before"),
        created_after=_when(query, "created-after"),
        overdue=read_flag(query, "overdue"),
    ).checked()


def _when(query: QueryParams, name: str) -> When | None:
    text = one(query, name)
    return None if text is None else parse_when(text, name)


def refuse_unknown(query: QueryParams, known: Sequence[str]) -> None:
    """Refuse a parameter that means nothing: misspelled, it would let everything through.

    Raises `InvalidWaitConfigurationError`.
    """
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
    """The value that is given, if one is. Raises `InvalidWaitConfigurationError` for several."""
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
