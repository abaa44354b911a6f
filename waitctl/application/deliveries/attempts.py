"""How many attempts came to what, and how long they took: counted by a tick itself, and added to the totals."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from threading import Lock
from typing import NamedTuple

from waitctl.domain.analytics import month_of
from waitctl.domain.deliveries import Deferred, Delivered, HandlerResult, Rejected
from waitctl.domain.histograms import HANDLER_MILLISECONDS, bucket_of
from waitctl.domain.text import JsonObject
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


class WaitGroup(NamedTuple):
    """What the waits of analytics are told apart by, beside their handlers."""

    workflow_id: str
    wait_type: str
    step_id: str

    @classmethod
    def of(cls, wait: JsonObject) -> WaitGroup:
        """Where the wait of a payload belongs."""
        return cls(wait["workflow_id"] or "", wait["wait_type"], wait["step_id"])


_ANY = WaitGroup("", "", "")
"""All groups: what is counted over all days is not told apart by them."""


class AttemptCounts:
    """Counts attempts by group, handler, result and time. Any thread may."""

    def __init__(self) -> None:
        self._changing = Lock()
        self._counts: Counter[_Key] = Counter()
        self._milliseconds: Counter[_Key] = Counter()

    def count(self, group: WaitGroup, handler: str, result: HandlerResult, seconds: float) -> None:
        """Count an attempt that took so long."""
        milliseconds = round(seconds * 1000)
        key = (group, handler, result_name(result), bucket_of(milliseconds, HANDLER_MILLISECONDS))
        with self._changing:
            self._counts[key] += 1
            self._milliseconds[key] += milliseconds

    def take(self, now: datetime) -> list[Rollup]:
        """Rows for the totals of what was counted since then: of its day and month by group, and of all time."""
        with self._changing:
            counts, self._counts = self._counts, Counter()
            sums, self._milliseconds = self._milliseconds, Counter()
        day = f"{now:%Y-%m-%d}"
        numbers, times = Counter[tuple[str, _Key]](), Counter[tuple[str, _Key]]()
        for key, count in counts.items():
            for place in ((day, key), (month_of(day), key), ("", (_ANY, *key[1:]))):
                numbers[place] += count
                times[place] += sums[key]
        return [
            Rollup(span, "attempt", bucket, count, times[span, key], handler=handler, outcome=name, **group._asdict())
            for (span, key), count in numbers.items()
            for group, handler, name, bucket in (key,)
        ]


_Key = tuple[WaitGroup, str, str, int]
"""Of an attempt: its wait's group, its handler, its result, the bucket of its time."""
