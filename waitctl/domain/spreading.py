"""Ramps instead of herds: waits for one instant are spread over a span, each by its own share of it."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple
from zlib import crc32

from waitctl.domain.durations import format_timedelta

_SHARES = 1 << 32


def share_of(wait_id: str, span: timedelta) -> timedelta:
    """The wait's share of ``span``: less than all of it, even over many waits, and the same for ever.

    Whole seconds where the span has a minute or more of them, else milliseconds.
    """
    step = timedelta(seconds=1) if span >= timedelta(minutes=1) else timedelta(milliseconds=1)
    return step * (span // step * crc32(wait_id.encode()) // _SHARES)


class Spread(NamedTuple):
    """How far a wait was moved of how much, and what room there was for that."""

    moved: timedelta
    span: timedelta
    room: timedelta

    def __str__(self) -> str:
        least = f", within the {format_timedelta(self.room)} that are left" if self.room < self.span else ""
        return f"spread: {format_timedelta(self.moved)} of {format_timedelta(self.span)}{least}, by the wait's id"
