"""New ids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import cache


def new_id() -> str:
    """A UUIDv7 (RFC 9562): its head is a clock, so ids sort by age and index pages fill in order."""
    return str(_uuid7()())


def new_ids(count: int) -> list[str]:
    """As many of them."""
    make = _uuid7()
    return [str(make()) for _ in range(count)]


def first_id_at(at: datetime) -> str:
    """What every id that is made from then on sorts behind, to a millisecond."""
    text = f"{int(at.timestamp() * 1000):012x}"
    return f"{text[:8]}-{text[8:]}-7000-8000-000000000000"


@cache
def _uuid7() -> Callable[[], object]:
    """The library's, imported when the first id is made: in a stream even to look an import up takes its time."""
    from uuid_utils import uuid7

    return uuid7
