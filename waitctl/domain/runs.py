"""What the heartbeat says: the runs of the processor, and where there were none for too long."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from waitctl.domain.values import dataclass

GAP = 3
"""How many times the usual is a gap."""

_SHORTEST = timedelta(seconds=5)
"""What is no gap, however often ticks run: a resident one that is started anew."""


@dataclass(frozen=True, slots=True)
class RunSpan:
    """From when to when a tick was seen to run; a resident one is seen once a minute."""

    started_at: datetime
    seen_at: datetime


def usual_interval(spans: Sequence[RunSpan]) -> timedelta | None:
    """How long it usually is from one start to the next: the median; ``None`` of fewer than three."""
    starts = sorted(span.started_at for span in spans)
    between = [(later - earlier).total_seconds() for earlier, later in pairwise(starts) if later > earlier]
    return None if len(between) < 2 else timedelta(seconds=median(between))


def gaps(spans: Sequence[RunSpan]) -> list[timedelta | None]:
    """For each span the time before it in which nothing ran, where that is more than `GAP` times the usual."""
    usual = usual_interval(spans)
    found: list[timedelta | None] = [None] * len(spans)
    seen_at: datetime | None = None
    for place in sorted(range(len(spans)), key=lambda place: spans[place].started_at):
        span = spans[place]
        if seen_at is not None and usual is not None:
            idle = span.started_at - seen_at
            if idle > max(GAP * usual, _SHORTEST):
                found[place] = idle
        seen_at = span.seen_at if seen_at is None else max(seen_at, span.seen_at)
    return found
