"""Why a wait ends when it does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from waitctl.domain.instants import clock
from waitctl.domain.listeners import EventQuery, Mode

if TYPE_CHECKING:
    from waitctl.domain.schedule import Schedule
    from waitctl.domain.waits import WaitStepExecution


def explain_event_wait(query: EventQuery, wait: WaitStepExecution, deadline: Schedule | None) -> tuple[str, ...]:
    """What an event wait listens to, when its deadline is and why, and its window."""
    asked = (
        f"for-event {','.join(query.event_types)} of {wait.contact_id}, received in the last {query.lookback} or later"
    )
    lines = [asked, *_conditions(query)]
    if deadline is None:
        lines.append("no timeout: it waits until the event comes or somebody ends it")
    else:
        asked = f"{query.timeout} on" if query.until is None else f"until {query.until}"
        clock_asked = "" if query.at is None else f", at {clock(query.at)}"
        by = f", counted by {query.timeout_calendar}" if query.timeout_calendar else ""
        lines.append(f"deadline: {asked}{clock_asked}{by}")
        lines += map(str, deadline.moves)
    if query.rules.are_gated:
        named = [*filter(None, (query.rules.window, query.rules.calendar))]
        gate = " and ".join(map(str, [*named, *([f"all but {query.rules.quiet}"] if query.rules.quiet else [])]))
        lines.append(f"window: an event that comes outside {gate} schedules the wait for the next opening")
    return tuple(lines)


def _conditions(query: EventQuery) -> list[str]:
    lines = []
    if query.mode is Mode.ALL:
        parts = ", ".join(" or ".join(group) for group in query.groups)
        lines.append(f"all: it ends when each of these has come, in any order: {parts}")
    elif query.is_grouped:
        each = f", each with another text under {query.distinct}" if query.distinct else ""
        lines.append(f"count: it ends with the {_ordinal(query.count or 1)} such event{each}")
    if query.human:
        lines.append("human: events whose data says machine true do not count")
    if query.where is not None:
        lines.append(f"where: {query.where}; what it cannot be asked of does not match, and status says why")
    return lines


def _ordinal(number: int) -> str:
    teens = number % 100 in {11, 12, 13}
    return f"{number:,}" + ("th" if teens else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th"))
