"""On which line of a TOML document a key stands: the parser of the standard library does not say."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]
"""A key and the tables above it."""


def key_lines(text: str) -> dict[Path, int]:
    """The line, from 1, on which each key and each table of a valid document first stands."""
    found: dict[Path, int] = {}
    table: Path = ()
    for line, statement in _statements(text):
        document = tomllib.loads(statement)
        if statement.lstrip().startswith("["):
            table = _header(document)
            paths: Iterator[Path] = iter([table])
        else:
            paths = (table + path for path in _paths(document))
        for path in paths:
            for length in range(1, len(path) + 1):
                found.setdefault(path[:length], line)
    return found


def nearest_line(lines: Mapping[Path, int], key: Path) -> int | None:
    """The line of a key, or of the closest table above it that stands in the document."""
    return next((lines[key[:length]] for length in range(len(key), 0, -1) if key[:length] in lines), None)


def _statements(text: str) -> Iterator[tuple[int, str]]:
    """Each header and each assignment, which may go on over several lines, with the line that it begins on."""
    begun, number = 0, 0
    pending = ""
    for number, line in enumerate(text.splitlines(), 1):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun = begun if pending else number
        pending += line + "\n"
        try:
            tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        yield begun, pending
        pending = ""


def _header(document: Mapping[str, Any]) -> Path:
    path: Path = ()
    value: Any = document
    while value:
        if isinstance(value, list):
            value = value[0]
            continue
        ((name, value),) = value.items()
        path += (name,)
    return path


def _paths(document: Mapping[str, Any]) -> Iterator[Path]:
    for name, value in document.items():
        yield (name,)
        if isinstance(value, dict):
            yield from ((name, *rest) for rest in _paths(value))
