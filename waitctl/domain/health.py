"""What is well and what is not: findings, and how a processor that is slow is told from one that is dead."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum

from waitctl.domain.values import dataclass

MAX_CLOCK_SKEW = timedelta(seconds=60)
"""How far a clock may be behind the last tick: on an SQLite host that was set back nothing would fire for hours."""


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    """it could not be looked at"""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check has found, and what to do about it."""

    check: str
    state: State
    detail: str
    remedy: str | None = None


class Service(StrEnum):
    """Whether waits are served. The alarm is the age of the oldest beside no progress, not how many there are."""

    SERVED = "served"
    SLOW = "slow"
    """ticks run and end waits, and fall behind"""
    STALLED = "stalled"
    """ticks run, and end nothing of what is due"""
    DEAD = "dead"
    """no tick runs"""


PROGRESS_WITHIN = timedelta(minutes=5)
"""How long ago a tick may have ended a wait for it to be progress."""


def judge_service(
    *,
    oldest_overdue: timedelta | None,
    tick_age: timedelta | None,
    progress_age: timedelta | None,
    max_overdue: timedelta,
    max_tick_age: timedelta,
) -> Service:
    """Whether waits are served, from ages: of what is overdue longest, of the last sign of a tick, of what one ended.

    ``None``: there is none of it.
    """
    if tick_age is None or tick_age > max_tick_age:
        return Service.DEAD
    if oldest_overdue is None or oldest_overdue <= max_overdue:
        return Service.SERVED
    if progress_age is not None and progress_age <= PROGRESS_WITHIN:
        return Service.SLOW
    return Service.STALLED
