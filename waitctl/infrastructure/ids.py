"""New ids, and the version of the time zone rules: what the domain needs from the machine."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path


def new_id() -> str:
    """A UUIDv7 (RFC 9562): its head is a clock, so ids sort by age and index pages fill in order."""
    return str(_uuid7()())


@cache
def _uuid7() -> Callable[[], object]:
    """The library's, imported when the first id is made: in a stream even to look an import up takes its time."""
    from uuid_utils import uuid7

    return uuid7


@cache
def tzdata_version() -> str | None:
    """The version of the IANA time zone rules in use, as in ``2026a``; ``None`` when the system does not say."""
    from whenever import get_tzpath

    for folder in get_tzpath():
        try:
            with (Path(folder) / "tzdata.zi").open(encoding="ascii") as rules:
                return rules.readline().removeprefix("# version ").strip()
        except (OSError, UnicodeDecodeError):
            continue
    try:
        from tzdata import IANA_VERSION
    except ImportError:
        return None
    return str(IANA_VERSION)
