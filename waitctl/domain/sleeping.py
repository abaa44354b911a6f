"""Who sleeps, until when, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from waitctl.domain.deliveries import Delivery
from waitctl.domain.instants import clock, show
from waitctl.domain.intents import FIRST_DUE_AT, Rules, parse_time_of_day
from waitctl.domain.listeners import progress
from waitctl.domain.statuses import DeliveryStatus, WaitExecutionStatus, WaitType
from waitctl.domain.values import dataclass
from waitctl.domain.waits import NUMBER, RECURRENCE, WaitStepExecution


@dataclass(frozen=True, slots=True)
class Sleeper:
    """A wait that sleeps, at ``now``: one that is open, or one whose delivery is tried again."""

    wait: WaitStepExecution
    now: datetime

    @property
    def retried(self) -> Delivery | None:
        """The delivery that is tried again next, of a wait that has ended."""
        if self.wait.status.is_open:
            return None
        waiting = [each for each in self.wait.deliveries if each.status is DeliveryStatus.PENDING and each.attempt]
        return min(waiting, key=lambda each: each.next_attempt_at, default=None)

    @property
    def until(self) -> datetime | None:
        """When it goes on at the latest; ``None``: when somebody or something wakes it."""
        wait, delivery = self.wait, self.retried
        if delivery is not None:
            return delivery.next_attempt_at
        return wait.timeout_at if wait.status is WaitExecutionStatus.WAITING else wait.scheduled_at

    @property
    def reason(self) -> str:
        """Why it sleeps, in a line."""
        wait, delivery = self.wait, self.retried
        if delivery is not None:
            error = f": {delivery.last_error}" if delivery.last_error else ""
            return f"delivery to {delivery.handler} is tried again, after attempt {delivery.attempt}{error}"
        said = _listening(wait, self.now) if wait.status is WaitExecutionStatus.WAITING else _scheduled(wait)
        overdue = wait.is_overdue(self.now)
        return f"{said}; due, for the next tick" if overdue else said


def _listening(wait: WaitStepExecution, now: datetime) -> str:
    heard = ", ".join(dict.fromkeys(each.event_type for each in wait.listeners))
    said = f"listening for {heard}"
    if any(each.is_grouped for each in wait.listeners):
        done, needed = progress(wait.listeners)
        said += f" ({done:,} of {needed:,})"
    if wait.timeout_at is None:
        return f"{said}, for ever"
    return f"{said}, at most until {show(wait.timeout_at, wait.timezone)}"


def _scheduled(wait: WaitStepExecution) -> str:
    config = wait.wait_config
    changed = config.get("rescheduled") or {}
    if wait.resolution_event_id is not None:
        said = "its event has come, held until it may go on"
    elif FIRST_DUE_AT in config:
        said = "late, held until it may go on"
    elif "at" in changed:
        said = "set by hand"
    else:
        said = _asked(wait)
    if RECURRENCE in config:
        said += f", occurrence {config[NUMBER]} of a recurrence"
    return "".join([said, *_gates(wait)])


def _asked(wait: WaitStepExecution) -> str:
    config: dict[str, Any] = wait.wait_config
    match wait.wait_type:
        case WaitType.UNTIL_TIME:
            days = f", {config['days']}" if config.get("days") else ""
            return f"{clock(parse_time_of_day(config['time']))} {wait.timezone}{days}"
        case WaitType.UNTIL_DATE:
            offset = f", {config['offset']} from it" if config.get("offset") else ""
            field = f" of the context's {config['field']}" if config.get("field") else ""
            return f"fixed date{field}{offset}"
        case _:
            at = config.get("at")
            at_ = f" at {clock(parse_time_of_day(at))} {wait.timezone}" if at else ""
            on = f" on {config['on']}" if config.get("on") else ""
            return f"fixed time, {config['duration']}{on}{at_}"


def _gates(wait: WaitStepExecution) -> list[str]:
    rules = Rules.from_config(wait.wait_config)
    found = [f"business days ({rules.calendar})"] if rules.calendar else []
    found += [f"within {rules.window}"] if rules.window else []
    found += [f"never {rules.quiet}"] if rules.quiet else []
    found += [f"spread over {rules.spread}"] if rules.spread else []
    return [f", {each}" for each in found]
