"""URLs of databases: libpq's of several hosts, and what cannot be read, of which no text is repeated."""

from __future__ import annotations

from typing import Any

import pytest

from waitctl.domain.errors import InvalidSettingError
from waitctl.infrastructure.database_url import parse_url


def options(text: str) -> dict[str, Any]:
    """What the driver is told."""
    return parse_url(text).options()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "postgresql://u@h1:5432,h2:5433/db?target_session_attrs=read-write",
            {"user": "u", "host": "h1,h2", "port": "5432,5433", "dbname": "db", "target_session_attrs": "read-write"},
        ),
        ("postgresql+psycopg://h1,h2:6/db", {"host": "h1,h2", "port": "5432,6", "dbname": "db"}),
        (
            "postgresql://u:p%40%2Cs@[::1]:1,[fe80::2]/d",
            {"user": "u", "password": "p@,s", "host": "::1,fe80::2", "port": "1,5432", "dbname": "d"},
        ),
        ("postgresql://h1:1,h2:2", {"host": "h1,h2", "port": "1,2"}),
        ("postgresql:///d?host=h1,h2&port=1,2", {"host": "h1,h2", "port": "1,2", "dbname": "d"}),
        ("postgresql:///d?host=/tmp", {"host": "/tmp", "dbname": "d"}),
        (
            "postgresql://u:p%40s@[::1]:5/d?user=a@b",
            {"user": "a@b", "password": "p@s", "host": "::1", "port": 5, "dbname": "d"},
        ),
    ],
)
def test_what_the_driver_is_told(text: str, expected: dict[str, Any]) -> None:
    assert options(text) == expected


def test_what_children_are_told_means_the_same() -> None:
    text = "postgresql://u:p%40s@h1:1,[::1]:2/d?target_session_attrs=read-write"
    again = parse_url(text).set(drivername="postgresql").render_as_string(hide_password=False)
    assert options(again) == options(text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://ada:hush@hush@db/hush",
        "postgresql://ada@db@hush:hush@x/d",
        "postgresql://ada:hush@db:hush/d",
        "postgresql://ada:hush@db:70000/d",
        "postgresql://ada:hush@db:0/d",
        "postgresql://ada:hush@h1:1,h2:hush/d",
        "postgresql://ada:hush@h1,[hush/d",
        "postgresql://ada:hush@[::1/d",
        "postgresql://ada:hush@[hush/d",
        "postgresql://ada:hush@db/d?port=hush",
        "postgresql://ada:hush@db/d?hush=1",
        "postgresql://ada:hush@db/d?sslmode=hush&sslmode=hush",
        "ada:hush@db/d",
    ],
)
def test_what_cannot_be_read_is_not_repeated(text: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        parse_url(text)
    assert "hush" not in f"{caught.value.message}{caught.value.hint}"
    assert caught.value.__cause__ is None
