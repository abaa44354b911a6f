"""What becomes of a wait that a tick finds late: after an outage nobody wants a message at three in the morning."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from waitctl.domain.errors import InvalidInputError
from waitctl.domain.values import dataclass

if TYPE_CHECKING:
    from waitctl.domain.intents import Rules
    from waitctl.domain.opening_rules import OpeningRules

LATE_TOLERANCE = timedelta(minutes=5)
"""A wait later than this is late; the jitter of cron never is."""


class Late(StrEnum):
    """What a tick does with a wait that it finds late."""

    FIRE = "fire"
    NEXT_WINDOW = "next-window"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Fire:
    """It goes on now, late."""


@dataclass(frozen=True, slots=True)
class Move:
    """It waits for the next opening."""

    at: datetime


@dataclass(frozen=True, slots=True)
class Skip:
    """It ends without a delivery."""


Verdict = Fire | Move | Skip


def late_policy(rules: Rules, opening_rules: OpeningRules) -> Late | None:
    """What else than fire a late wait of these rules may do; ``None`` is nothing else.

    Stored with the wait, so that a tick looks at those waits alone one by one.
    """
    if rules.late is Late.NEXT_WINDOW or (rules.late is None and opening_rules.have_windows):
        return Late.NEXT_WINDOW
    return Late.SKIP if rules.late is Late.SKIP or rules.max_late else None


def judge_late(
    rules: Rules, opening_rules: OpeningRules, *, scheduled_at: datetime, now: datetime, tolerance: timedelta
) -> Verdict:
    """Decide about a wait that is due. One that is not late fires, and one that nothing lets pass any more."""
    late = now - scheduled_at
    if late <= tolerance:
        return Fire()
    if late > _skipped_past(rules, tolerance):
        return Skip()
    if late_policy(rules, opening_rules) is not Late.NEXT_WINDOW:
        return Fire()
    try:
        opening, moves = opening_rules.next_opening(now, clock_of=None if opening_rules.have_windows else scheduled_at)
    except InvalidInputError:
        return Fire()
    return Move(opening) if moves else Fire()


def _skipped_past(rules: Rules, tolerance: timedelta) -> timedelta:
    if rules.max_late is not None:
        return rules.max_late.elapsed
    return tolerance if rules.late is Late.SKIP else timedelta.max
