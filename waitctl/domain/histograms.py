"""Histograms of seconds: how late, how long. Their buckets are told by upper bounds, so that bounds may change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import accumulate

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

SECONDS = (
    *(0, 1, 2, 3, 5, 10, 15, 20, 30, 45),
    *(minutes * _MINUTE for minutes in (1, 2, 3, 5, 10, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 4, 8, 12)),
    *(days * _DAY for days in (1, 2, 3, 5, 7, 14, 30, 60, 90, 180, 365)),
)
"""Upper bounds of whole seconds, for lateness and for the time to an event."""

HANDLER_MILLISECONDS = (5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 300_000)
"""Upper bounds of milliseconds, for what a handler takes."""

BEYOND = 10**15
"""The upper bound of what is beyond all others."""


def bucket_of(value: float, bounds: Iterable[int]) -> int:
    """The upper bound of the bucket that a value is counted in."""
    return next((bound for bound in bounds if value <= bound), BEYOND)


def cumulative(counts: Mapping[int, int], every: Iterable[int]) -> list[tuple[int, int]]:
    """(upper bound, how many are at most that), in order, as Prometheus has them; without `BEYOND`.

    Each of ``every`` bound is there, whether anything was counted in it or not.
    """
    whole = dict.fromkeys(every, 0) | dict(counts)
    bounds = sorted(whole)
    sums = accumulate(whole[bound] for bound in bounds)
    return [(bound, count) for bound, count in zip(bounds, sums, strict=True) if bound != BEYOND]


def quantile(counts: Mapping[int, int], share: float) -> float | None:
    """Where this share of the values is reached, read off between the bounds of a bucket; ``None`` of no values.

    Beyond the last bound it is that bound, as Prometheus has it.
    """
    wanted = share * sum(counts.values())
    reached, low = 0, 0
    for bound in sorted(counts):
        low = max([low, *(below for below in SECONDS if below < bound)])
        if counts[bound] and reached + counts[bound] >= wanted:
            if bound == BEYOND:
                return float(SECONDS[-1])
            return round(low + (bound - low) * (wanted - reached) / counts[bound], 1) if bound else 0.0
        reached += counts[bound]
    return None
