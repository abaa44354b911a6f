"""What our statements call and SQLite has not: how an event's data is matched, and how much of it is done in a lock.

The answers depend on nothing but their arguments, so it does not matter when one is found. A transaction that would
take too long is rolled back by an error of the function that exceeds its budget; what it has found out is kept, the
question that was open is answered with no lock held, and the transaction runs again (`Database.write`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeAlias

from waitctl.domain.matching import MAX_DISTINCT, Container, TooManyStepsError, matches_text, scalar_text
from waitctl.domain.text import storable

BUDGET = 2_000_000
"""Steps of matching in one transaction, about a fifth of a second: each a character that is read or a comparison."""

_EACH = 50
"""Steps that it takes to ask at all."""

_Data: TypeAlias = "str | float"
_Answer: TypeAlias = "bool | str | None"
_Ask: TypeAlias = "Callable[[_Data, str, int | None], tuple[_Answer, int]]"


class MatchBudget:
    """What a transaction that may be run again has left, and what was found out in it before."""

    def __init__(self) -> None:
        self._left = BUDGET
        self._answers: dict[tuple[object, ...], _Answer] = {}
        self._open: tuple[tuple[object, ...], Callable[[], _Answer]] | None = None

    def begin(self) -> None:
        """Begin a transaction."""
        self._left = BUDGET

    def answer_open(self) -> bool:
        """Answer what the transaction could not. Returns whether there was anything: then run it again."""
        if self._open is None:
            return False
        (key, find_out), self._open = self._open, None
        self._answers[key] = find_out()
        return True

    def answer(self, ask: _Ask, data: _Data, part: str) -> _Answer:
        """The answer. Raises `TooManyStepsError` when it would take too long now."""
        key = (ask, hash(data), len(data) if isinstance(data, str) else data, part)
        if key in self._answers:
            return self._answers[key]
        try:
            if self._left <= 0:
                raise TooManyStepsError
            found, steps = ask(data, part, self._left)
        except TooManyStepsError:
            self._open = key, lambda: ask(data, part, None)[0]
            raise
        self._left -= steps
        self._answers[key] = found
        return found


class OwnConnection(sqlite3.Connection):
    """A connection of ours. ``budget``: of the transaction in hand; None: there is no bound."""

    budget: MatchBudget | None = None


def add_functions(connection: sqlite3.Connection) -> None:
    """Teach them to a connection of ours, or to one that a caller hands us, whose transactions have no budget."""
    for name, function in FUNCTIONS.items():
        connection.create_function(name, 2, _bounded(connection, function), deterministic=True)


def _bounded(connection: sqlite3.Connection, ask: _Ask) -> Callable[[_Data, str | None], _Answer]:
    def answer(data: _Data, part: str | None) -> _Answer:
        if part is None:
            return None
        budget = connection.budget if isinstance(connection, OwnConnection) else None
        return ask(data, part, None)[0] if budget is None else budget.answer(ask, data, part)

    return answer


def _matches_text(data: _Data, match: str, _: int | None) -> tuple[bool, int]:
    container, steps = _container(data)
    return matches_text(container.data, _part(match)), steps


def _contains(data: _Data, part: str, most: int | None) -> tuple[bool, int]:
    container, steps = _container(data)
    found, compared = container.contains(_part(part), most)
    return found, steps + compared


def _distinct(data: _Data, key: str, _: int | None) -> tuple[str | None, int]:
    container, steps = _container(data)
    text = scalar_text(container.data, key)
    if text is None or len(text) <= MAX_DISTINCT:
        return text if text is None else storable(text), steps
    from hashlib import sha256

    return f"sha256:{sha256(storable(text).encode()).hexdigest()}", steps


FUNCTIONS: dict[str, _Ask] = {
    "waitctl_matches_text": _matches_text,
    "waitctl_contains": _contains,
    "waitctl_distinct": _distinct,
}


def _container(data: _Data) -> tuple[Container, int]:
    """The data, and how many steps it takes to read: none when it was read last, as when many listeners meet it."""
    read = _read.cache_info().misses
    container = _read(data)
    return container, _EACH + (len(data) if isinstance(data, str) and _read.cache_info().misses > read else 0)


@lru_cache(2)
def _read(data: _Data) -> Container:
    return Container(_exact_json(data))


@lru_cache(256)
def _part(text: str) -> Any:
    return _exact_json(text)


def _exact_json(text: _Data) -> Any:
    """Numbers as the decimals that jsonb makes of them. SQLite hands out a bare number as a number.

    What is nested too deeply for Python to read is null: it matches nothing, and stops nobody.
    """
    import json
    from decimal import Decimal

    if not isinstance(text, str):
        return Decimal(repr(text))
    try:
        return json.loads(text, parse_int=Decimal, parse_float=Decimal)
    except RecursionError:
        return None
