"""What became of waits that have ended, by workflow, type, step or handler: counts and histograms, from few rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from datetime import date
from enum import StrEnum

from waitctl.domain.histograms import BEYOND, quantile
from waitctl.domain.statuses import Resolution, WaitExecutionStatus
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}

MONTH_MARK = "m"
"""What the name of a month begins with, so that months come behind all days."""


_BEHIND_MONTHS = "n"
"""In the order of any language: a server's may not look at punctuation."""


def month_of(day: str) -> str:
    """The name of a day's month."""
    return MONTH_MARK + day[: len("2026-03")]


def spans(since: date | None) -> list[tuple[str, str]]:
    """From which name on and before which other: the days to the end of the first month, and the months behind it."""
    if since is None:
        return [(MONTH_MARK, _BEHIND_MONTHS)]
    months = since.year * 12 + since.month
    following = f"{months // 12:04}-{months % 12 + 1:02}"
    return [(since.isoformat(), following), (MONTH_MARK + following, _BEHIND_MONTHS)]


OUTCOMES = (
    WaitExecutionStatus.RESUMED,
    WaitExecutionStatus.TIMEOUT,
    WaitExecutionStatus.CANCELLED,
    WaitExecutionStatus.ERROR,
)


class Dimension(StrEnum):
    """What waits are told apart by."""

    WORKFLOW = "workflow"
    TYPE = "type"
    STEP = "step"
    HANDLER = "handler"


class Measure(StrEnum):
    """What is counted of waits that have ended."""

    ENDED = "ended"
    LATE = "late"
    """Seconds that the clock ended it late, where the clock did."""
    TO_EVENT = "to_event"
    """Seconds from its creation to the event that ended it."""
    ERROR = "error"
    """It is in the status error: its delivery is dead."""
    ATTEMPT = "attempt"
    """An attempt to deliver, by what came of it."""


@dataclass(frozen=True, slots=True)
class Counted:
    """So many of a group: ``outcome`` is a resolution, or of an attempt its result; ``total`` sums their values."""

    measure: Measure
    group: str
    outcome: str
    bucket: int
    count: int
    total: int


@dataclass(slots=True)
class Distribution:
    """Seconds in buckets, by upper bound."""

    counts: Counter[int] = field(default_factory=Counter)
    total: int = 0

    def quantile(self, share: float) -> float | None:
        """So many seconds this share of them took at most; ``None`` of none."""
        return quantile(self.counts, share)

    def percentiles(self) -> Mapping[str, float | None]:
        """The usual ones by name."""
        return {name: self.quantile(share) for name, share in SHARES.items()}

    def to_json(self) -> JsonObject:
        """Its mean, percentiles (read off between the bounds of a bucket) and buckets; null for those of nothing."""
        number = self.counts.total()
        return {
            "count": number,
            "mean": round(self.total / number, 1) if number else None,
            **self.percentiles(),
            "histogram": [
                {"le": None if bound == BEYOND else bound, "count": self.counts[bound]} for bound in sorted(self.counts)
            ],
        }


@dataclass(slots=True)
class Group:
    """What became of the waits of a group."""

    resolutions: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    late: Distribution = field(default_factory=Distribution)
    to_event: Distribution = field(default_factory=Distribution)
    attempts: Counter[str] = field(default_factory=Counter)

    @property
    def waits(self) -> int:
        """How many have ended."""
        return self.resolutions.total()

    def add(self, counted: Counted) -> None:
        """Count more."""
        match counted.measure:
            case Measure.ENDED:
                self.resolutions[counted.outcome] += counted.count
            case Measure.ERROR:
                self.errors[counted.outcome] += counted.count
            case Measure.ATTEMPT:
                self.attempts[counted.outcome] += counted.count
            case Measure.LATE:
                _count(self.late, counted)
            case Measure.TO_EVENT:
                _count(self.to_event, counted)

    @property
    def outcomes(self) -> Mapping[WaitExecutionStatus, int]:
        """How many are in which status; each is in one."""
        found = dict.fromkeys(OUTCOMES, 0)
        for resolution in Resolution:
            found[resolution.status] += self.resolutions[resolution] - self.errors[resolution]
        found[WaitExecutionStatus.ERROR] = self.errors.total()
        return found

    @property
    def event_share(self) -> float | None:
        """Of the waits that an event or their timeout has ended: how many by the event."""
        event, timeout = self.resolutions[Resolution.EVENT], self.resolutions[Resolution.TIMEOUT]
        return event / (event + timeout) if event + timeout else None

    def to_json(self) -> JsonObject:
        """The document of a group, but for its name."""
        share, tried, delivered = self.event_share, self.tried, self.attempts["delivered"]
        return {
            "waits": self.waits,
            "outcomes": {status.value: count for status, count in self.outcomes.items()},
            "resolutions": {each.value: self.resolutions[each] for each in Resolution},
            "event_share": None if share is None else round(share, 4),
            "time_to_event": self.to_event.to_json(),
            "lateness": self.late.to_json(),
            "attempts": {
                "total": tried,
                "delivered": delivered,
                "failed": tried - delivered,
                "per_delivered": round(tried / delivered, 3) if delivered else None,
            },
        }

    @property
    def tried(self) -> int:
        """Attempts; one that a handler has put off is none."""
        return self.attempts.total() - self.attempts["deferred"]


def _count(distribution: Distribution, counted: Counted) -> None:
    distribution.counts[counted.bucket] += counted.count
    distribution.total += counted.total


def gather(rows: Iterable[Counted]) -> tuple[Group, Sequence[tuple[str, Group]]]:
    """All of what was counted, and each group with its name, those of most waits first."""
    everything, groups = Group(), dict[str, Group]()
    for row in rows:
        everything.add(row)
        groups.setdefault(row.group, Group()).add(row)
    return everything, sorted(groups.items(), key=lambda named: (-named[1].waits, named[0]))
