"""Waits that come again: by a span, a cron expression or an RRULE, one open wait at a time.

Local times are made in the zone's wall clock and read as any local time is (semantics 3): one that the clocks skip
moves past the gap, one that comes twice is met once. Expressions are read by `cronsim`, rules by `python-dateutil`,
both on wall clocks alone; no zone is known to them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from waitctl.domain import clocks
from waitctl.domain.contacts import TZ_CONTACT, TZ_FIELD
from waitctl.domain.counts import number_of
from waitctl.domain.durations import Duration, duration_text, parse_duration
from waitctl.domain.errors import InvalidRecurrenceError
from waitctl.domain.instants import clock, moment_text, parse_moment, to_zone
from waitctl.domain.intents import FixedTime, parse_time_of_day
from waitctl.domain.months import DayOfMonth, parse_day_of_month
from waitctl.domain.text import JsonObject
from waitctl.domain.values import dataclass
from waitctl.domain.waits import WaitSpec

CANCELLED = "its wait was cancelled"
"""Why a recurrence has stopped whose open wait was cancelled: a plan that is undone lets it go on."""

MAX_COUNT = 1_000_000
SHORTEST = timedelta(minutes=1)

_ALIASES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class RecurrenceStatus(StrEnum):
    """Where a recurrence stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    STOPPED = "stopped"
    """by hand, by an event, or because its wait was cancelled"""
    FINISHED = "finished"
    """by its rule"""

    @property
    def is_open(self) -> bool:
        """Whether there may be another occurrence."""
        return self in {RecurrenceStatus.ACTIVE, RecurrenceStatus.PAUSED}


@dataclass(frozen=True, slots=True)
class RecurrenceRule:
    """When it comes again: one of ``every``, ``cron`` and ``rrule``, and when it ends.

    ``at`` and ``on`` belong to ``every``, which counts from when the one before was due, or ended if that was late;
    ``fixed`` counts from where the recurrence began instead. ``until`` may be a local time, where
    the waits are.
    """

    every: Duration | None = None
    cron: str | None = None
    rrule: str | None = None
    at: clocks.Time | None = None
    on: DayOfMonth | None = None
    fixed: bool = False
    until: datetime | clocks.PlainDateTime | None = None
    count: int | None = None

    @classmethod
    def parse(
        cls,
        *,
        every: str | timedelta | None = None,
        cron: str | None = None,
        rrule: str | None = None,
        at: str | None = None,
        on: str | None = None,
        fixed: bool = False,
        until: datetime | str | None = None,
        count: int | None = None,
    ) -> RecurrenceRule:
        """Read a rule as the command line has it. Raises what its parts raise."""
        return cls(
            every=None if every is None else parse_duration(duration_text(every), business=True),
            cron=cron,
            rrule=rrule,
            at=None if at is None else parse_time_of_day(at),
            on=None if on is None else parse_day_of_month(on),
            fixed=fixed,
            until=parse_moment(until) if isinstance(until, str) else until,
            count=count,
        )

    def checked(self) -> RecurrenceRule:
        """Return this rule when it can be followed. Raises `InvalidRecurrenceError` or what its parts raise."""
        if sum(each is not None for each in (self.every, self.cron, self.rrule)) != 1:
            raise InvalidRecurrenceError("name one of --every, --cron and --rrule")
        if self.every is None and (self.at is not None or self.on is not None):
            raise InvalidRecurrenceError("--at and --on go with --every", hint="--cron '0 9 * * mon-fri' says both")
        if self.count is not None and not 1 <= self.count <= MAX_COUNT:
            raise InvalidRecurrenceError(f"--count {self.count} is not between 1 and {MAX_COUNT:,}")
        if self.every is not None:
            self._check_every(self.every)
        if self.cron is not None:
            parse_cron(self.cron, datetime(2000, 1, 1))  # noqa: DTZ001 (a wall clock)
        if self.rrule is not None:
            parse_rrule(self.rrule, datetime(2000, 1, 1), "UTC")  # noqa: DTZ001 (a wall clock)
        return self

    def _check_every(self, every: Duration) -> None:
        FixedTime(every, self.at, self.on)
        if self.fixed and (every.business_days or every.business_time):
            raise InvalidRecurrenceError(f"--every {every} counts from the one before: leave --fixed out")
        if every.is_elapsed and every.elapsed < SHORTEST:
            raise InvalidRecurrenceError(f"--every {every} is less than a minute")

    def __str__(self) -> str:
        if self.every is None:
            text = f"cron {self.cron}" if self.cron else f"rrule {self.rrule}"
        else:
            text = (
                f"every {self.every}"
                + (f" on {self.on}" if self.on else "")
                + (f" at {clock(self.at)}" if self.at else "")
            )
        return text + (", fixed" if self.fixed and self.every else "")

    def ends_at(self, zone: str) -> datetime | None:
        """The instant of ``until`` in a zone. Raises `InvalidTimezoneError`."""
        if isinstance(self.until, datetime) or self.until is None:
            return self.until
        return to_zone(self.until, zone)[0].to_instant().to_stdlib()

    def to_config(self) -> JsonObject:
        """The rule as it is stored: what was asked for."""
        asked = {
            "every": self.every and str(self.every),
            "cron": self.cron,
            "rrule": self.rrule,
            "at": self.at and self.at.format_iso(),
            "on": self.on and str(self.on),
            "fixed": self.fixed or None,
            "until": None if self.until is None else moment_text(self.until),
            "count": self.count,
        }
        return {key: value for key, value in asked.items() if value is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> RecurrenceRule:
        """Read it back."""
        return cls.parse(**config)


@dataclass(frozen=True, slots=True)
class Recurrence:
    """A recurrence as it is stored. ``occurrence`` is the number of its open wait, or of its last one.

    ``rules`` are what each instant must obey, as `wait_config` keeps them, with where its zone comes from.
    """

    id: str
    workflow_id: str | None
    workflow_execution_id: str
    step_id: str
    contact_id: str | None
    rule: JsonObject
    rules: JsonObject
    timezone: str
    context: JsonObject | None
    handler: str | None
    handlers: JsonObject | None
    stop_on: str | None
    status: RecurrenceStatus
    reason: str | None
    actor: str
    occurrence: int
    anchor_at: datetime
    next_at: datetime | None
    wait_id: str | None
    stop_wait_id: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def spec(self) -> WaitSpec:
        """What each of its waits is: in the zone that was named, before anybody looks where its contact is."""
        from waitctl.domain.statuses import Outcome

        return WaitSpec(
            self.workflow_execution_id,
            self.step_id,
            self.workflow_id,
            self.contact_id,
            self.context,
            self.handler,
            timezone=self.timezone,
            handlers={Outcome(name): handler for name, handler in (self.handlers or {}).items()} or None,
            zone_field=self.rules.get(TZ_FIELD),
            zone_of_contact=bool(self.rules.get(TZ_CONTACT)),
        )

    @property
    def asked(self) -> tuple[object, ...]:
        """What makes two recurrences the same."""
        return (
            *(self.rule, self.rules, self.timezone, self.contact_id, self.context, self.handler, self.handlers),
            *(self.workflow_id, self.stop_on),
        )


# -- wall clocks -------------------------------------------------------------------------------------------------------


def parse_cron(text: str, after: datetime) -> Iterator[datetime]:
    """The local times of a cron expression after one. Raises `InvalidRecurrenceError` for what is none."""
    from cronsim import CronSim, CronSimError

    expression = _ALIASES.get(text.strip().lower(), text.strip())
    fields = len(expression.split())
    if fields != 5:
        raise InvalidRecurrenceError(
            f"{text[:80]!r} has {number_of(fields, 'field')}, and a cron expression five",
            hint="minute hour day-of-month month day-of-week, as in '0 9 * * mon-fri'; seconds are not among them",
        )
    try:
        return CronSim(expression, after)
    except CronSimError as error:
        raise InvalidRecurrenceError(f"{text[:80]!r} is no cron expression: {str(error).lower()}") from error


def parse_rrule(text: str, start: datetime, zone: str, *, near: datetime | None = None) -> Any:
    """The rule of RFC 5545, as `dateutil.rrule` has it, from a local time on. Raises `InvalidRecurrenceError`.

    One that is asked for what comes after ``near`` may begin later, and is the same from there on.
    """
    from dateutil.rrule import rrulestr

    rule = text.strip().upper().removeprefix("RRULE:")
    if "\n" in rule or "FREQ=" not in rule:
        raise InvalidRecurrenceError(
            f"{text[:80]!r} is no rule", hint="write it as FREQ=MONTHLY;BYDAY=1MO, without DTSTART: --from says that"
        )
    if re.search(r"FREQ=(SECONDLY|MINUTELY)", rule):
        raise InvalidRecurrenceError(f"{text[:80]!r} comes too often for a rule", hint="--every 15m, or --cron")
    if found := re.search(r"UNTIL=([0-9]{8}T[0-9]{6})Z", rule):  # wall clocks know no zone
        until = clocks.Instant.parse_iso(found[1] + "Z").to_tz(zone).to_plain().to_stdlib()
        rule = rule.replace(found[0], f"UNTIL={until:%Y%m%dT%H%M%S}")
    try:
        return rrulestr(rule, dtstart=start if near is None else _begun_near(rule, start, near), cache=False)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise InvalidRecurrenceError(f"{text[:80]!r} is no rule: {error}") from error


_PERIODS = {"HOURLY": timedelta(hours=1), "DAILY": timedelta(days=1), "WEEKLY": timedelta(weeks=1)}
_PERIODS_BEFORE = 2
"""The first week of a rule may be a part of one."""


def _begun_near(rule: str, start: datetime, time: datetime) -> datetime:
    """So many whole periods of a rule after ``start`` that it need not be walked through until ``time``.

    One that counts has to be counted from its beginning; one of months or years has few.
    """
    unit = re.search(r"FREQ=([A-Z]+)", rule)
    if unit is None or unit[1] not in _PERIODS or "COUNT=" in rule:
        return start
    given = re.search(r"INTERVAL=([0-9]+)", rule)
    period = _PERIODS[unit[1]] * max(1, int(given[1]) if given else 1)
    return start + max(0, (time - start) // period - _PERIODS_BEFORE) * period
