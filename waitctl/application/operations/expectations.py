"""What a simulation is expected to show: a file of lines as it prints them, and how what it shows differs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

from waitctl.application.operations.simulation import FIELDS, Ending
from waitctl.domain.errors import InvalidSettingError, WaitStepError
from waitctl.domain.instants import format_instant, parse_instant
from waitctl.domain.text import JsonObject, parse_json, to_json

COMPARED = tuple(name for name in FIELDS if name != "id")
"""All but the ids, which are others in each database."""


class Expectation:
    """What is to end, in its order. What none of the lines names is not compared.

    Nor is ``after_seconds`` where ``at`` is: counted from the moment at which one looked, it is another each time.
    """

    def __init__(self, lines: Iterable[tuple[int, bytes]]) -> None:
        """Read the lines. Raises `InvalidSettingError`, which names the line."""
        found = [_read(number, line) for number, line in lines]
        named = {name for row in found for name in row}
        if "at" in named:
            named.discard("after_seconds")
        self._names = [name for name in COMPARED if name in named or not found]
        self._lines = [self._line(row) for row in found]

    def __len__(self) -> int:
        return len(self._lines)

    def difference(self, endings: Sequence[Ending]) -> list[str]:
        """The lines of a unified diff from what is expected to what would happen; none when they are the same."""
        shown = [self._line(ending.to_json()) for ending in endings]
        return list(difflib.unified_diff(self._lines, shown, "expected", "simulated", lineterm=""))

    def _line(self, row: JsonObject) -> str:
        return to_json({name: row.get(name) for name in self._names})


def _read(number: int, line: bytes) -> JsonObject:
    try:
        row = parse_json(line, "it", error=InvalidSettingError)
        if not isinstance(row, dict):
            raise InvalidSettingError("it is no JSON object")
        if unknown := row.keys() - set(FIELDS):
            raise InvalidSettingError(f"there is no {min(unknown)!a}: {', '.join(COMPARED)}")
        return {name: _value(name, value) for name, value in row.items()}
    except WaitStepError as error:
        raise InvalidSettingError(f"line {number}: {error.message}") from error


def _value(name: str, value: Any) -> Any:
    """As `Ending.to_json` says it."""
    return format_instant(parse_instant(value, "at")) if name == "at" and isinstance(value, str) else value
