"""Whether the data of an event fits, as both databases read it, and which wait an event that fits goes to."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass

_MAX_EXPONENT = 131_072
"""Digits that PostgreSQL's numeric holds; written out, a longer one would fill the memory."""

MAX_DISTINCT = 64
"""Characters of a distinct text that the store keeps as it is; a longer one is kept as its digest."""


def matches_text(data: JsonObject, match: Mapping[str, Any]) -> bool:
    """Whether each dotted key of ``match`` leads to a scalar in ``data`` with that text (``n=3``: 3 and "3")."""
    return all(scalar_text(data, key) == value for key, value in match.items())


def scalar_text(data: Any, key: str) -> str | None:
    """The text of the scalar that a dotted key leads to; ``None`` when it leads to none."""
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
    return Container(data).contains(part)[0]


class TooManyStepsError(Exception):
    """It takes more steps than it may."""


class Container:
    """Data that is asked what it contains, perhaps many times: the scalars of its arrays are looked up."""

    def __init__(self, data: Any) -> None:
        self.data = data
        self._scalars: dict[int, frozenset[object]] = {}

    def contains(self, part: Any, most: int | None = None) -> tuple[bool, int]:
        """Whether it contains ``part``, and how many steps that took. Raises `TooManyStepsError` beyond ``most``."""
        search = _Search(self._scalars, most)
        found = search.contains(self.data, part) or (
            isinstance(self.data, list) and not isinstance(part, dict | list) and search.holds(self.data, part)
        )
        return found, search.steps


class _Search:
    def __init__(self, scalars: dict[int, frozenset[object]], most: int | None) -> None:
        self._scalars, self._most = scalars, most
        self.steps = 0

    def contains(self, data: Any, part: Any) -> bool:
        self._step(1)
        if isinstance(part, dict):
            return isinstance(data, dict) and all(
                key in data and self.contains(data[key], value) for key, value in part.items()
            )
        if isinstance(part, list):
            return isinstance(data, list) and all(self.holds(data, value) for value in part)
        return not isinstance(data, dict | list) and _key(data) == _key(part)

    def holds(self, items: list[Any], value: Any) -> bool:
        """Whether any of these items contains ``value``."""
        if isinstance(value, dict | list):
            return any(self.contains(item, value) for item in items)
        self._step(1)
        if (scalars := self._scalars.get(id(items))) is None:
            self._step(len(items))
            scalars = frozenset(_key(item) for item in items if not isinstance(item, dict | list))
            self._scalars[id(items)] = scalars
        return _key(value) in scalars

    def _step(self, count: int) -> None:
        self.steps += count
        if self._most is not None and self.steps > self._most:
            raise TooManyStepsError


def _key(scalar: Any) -> object:
    """The same for what JSON takes for the same scalar: numbers by their value, and true is not 1."""
    if isinstance(scalar, bool):
        return scalar, bool
    return _decimal(scalar) if isinstance(scalar, float) else scalar


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
