"""How many attempts came to what, and how long they took: counted by a tick itself, and added to the totals."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from threading import Lock

from waitctl.domain.deliveries import Deferred, Delivered, HandlerResult, Rejected
from waitctl.domain.histograms import HANDLER_MILLISECONDS, bucket_of
from waitctl.infrastructure.store.rollups import Rollup


def result_name(result: HandlerResult) -> str:
    """What metrics call a result."""
    match result:
        case Delivered():
            return "delivered"
        case Deferred():
            return "deferred"
        case Rejected():
            return "rejected"
        case _:
            return "failed"


class AttemptCounts:
    """Counts attempts by handler, result and time. Any thread may."""

    def __init__(self) -> None:
        self._changing = Lock()
        self._counts: Counter[tuple[str, str, int]] = Counter()
        self._milliseconds: Counter[tuple[str, str, int]] = Counter()

    def count(self, handler: str, result: HandlerResult, seconds: float) -> None:
        """Count an attempt that took so long."""
        milliseconds = round(seconds * 1000)
        key = (handler, result_name(result), bucket_of(milliseconds, HANDLER_MILLISECONDS))
        with self._changing:
            self._counts[key] += 1
            self._milliseconds[key] += milliseconds

    def take(self, now: datetime) -> list[Rollup]:
        """Rows for the totals of what was counted since the last time, of that day and of all days."""
        with self._changing:
            counts, self._counts = self._counts, Counter()
            sums, self._milliseconds = self._milliseconds, Counter()
        return [
            Rollup(day, "attempt", bucket, count, sums[handler, name, bucket], handler=handler, outcome=name)
            for day in (f"{now:%Y-%m-%d}", "")
            for (handler, name, bucket), count in counts.items()
        ]
