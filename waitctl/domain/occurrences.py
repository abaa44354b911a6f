"""What comes next in a recurrence: the instants of its rule, and the wait for the first that is still to come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import NamedTuple, TypeVar

from waitctl.domain import clocks
from waitctl.domain.calendars import Calendar
from waitctl.domain.counts import number_of
from waitctl.domain.durations import Duration
from waitctl.domain.errors import InvalidRecurrenceError
from waitctl.domain.instants import check_zone, format_instant, show_local
from waitctl.domain.intents import FixedTime, Intent, Past, Rules, UntilDate
from waitctl.domain.late import Late, late_policy
from waitctl.domain.recurrence import RecurrenceRule, parse_cron, parse_rrule
from waitctl.domain.schedule import IntentResolver, Schedule
from waitctl.domain.statuses import WaitType
from waitctl.domain.text import JsonObject, to_json
from waitctl.domain.waits import NUMBER, RECURRENCE, WAIT_TYPES, asked_config

_First = TypeVar("_First")

_BEFORE = timedelta(hours=3)
"""How far before an instant local times are looked at that may mean a later one: no change of clocks is longer."""

_MOST_TRIED = 5000
"""Local times that are tried for one that passes."""


class Occurrence(NamedTuple):
    """What the next wait is asked for: its intent, the instant that this is counted from, and what it comes to."""

    intent: Intent
    base: datetime
    resolver: IntentResolver
    schedule: Schedule

    @property
    def at(self) -> datetime:
        """When it is due, before it is spread."""
        return self.schedule.at


class Occurrences:
    """The occurrences of a rule in a zone, for many recurrences: what they have in common is worked out once.

    Raises `InvalidTimezoneError`.
    """

    def __init__(self, rule: RecurrenceRule, zone: str, rules: Rules, calendar: Calendar | None) -> None:
        self._rule, self._zone, self._rules, self._calendar = rule, check_zone(zone), rules, calendar
        self._until = rule.ends_at(self._zone)
        self._spans: dict[clocks.Time | None, tuple[FixedTime, IntentResolver]] = {}
        self._counted: dict[tuple[clocks.Time, clocks.Date], Schedule] = {}
        self._found: dict[tuple[datetime, datetime | None], Occurrence | None] = {}

    def next(self, *, anchor: datetime, base: datetime, after: datetime) -> Occurrence | None:
        """The first occurrence due after ``after``; ``None`` when the rule has come to its end.

        ``anchor`` is where the recurrence began, ``base`` what ``every`` counts from. What was missed is passed over.
        Raises what `IntentResolver.resolve` raises.
        """
        if self._rule.every is not None and not self._rule.fixed:
            intent, resolver = self._span(self._rule.every, anchor)
            return self._first(((intent, resolver, base), (intent, resolver, after)), after)
        key = (after, self._start(anchor))
        if key not in self._found:
            self._found[key] = self._first(self._by_the_rule(after, anchor), after)
        return self._found[key]

    def _first(
        self, candidates: Iterable[tuple[Intent, IntentResolver, datetime]], after: datetime
    ) -> Occurrence | None:
        for intent, resolver, counted_from in candidates:
            schedule = self._resolve(intent, resolver, counted_from)
            if self._until is not None and schedule.at > self._until:
                return None
            if schedule.at > after:
                return Occurrence(intent, counted_from, resolver, schedule)
        return None

    def _resolve(self, intent: Intent, resolver: IntentResolver, base: datetime) -> Schedule:
        """With a time of day whole days are counted: from any time of a day it comes to the same, if nothing moves."""
        if not isinstance(intent, FixedTime) or intent.at is None:
            return resolver.resolve(base)
        key = (intent.at, clocks.Instant(base).to_tz(self._zone).date())
        if (schedule := self._counted.get(key)) is None:
            schedule = resolver.resolve(base)
            if not schedule.moves:
                self._counted[key] = schedule
        return schedule

    def _span(self, every: Duration, anchor: datetime) -> tuple[FixedTime, IntentResolver]:
        at = self._rule.at or _kept_clock(every, anchor, self._zone)
        if at not in self._spans:
            intent = FixedTime(every, at, self._rule.on)
            self._spans[at] = (intent, self._resolver(intent))
        return self._spans[at]

    def _resolver(self, intent: Intent) -> IntentResolver:
        return IntentResolver(intent, self._zone, self._rules, self._calendar)

    def _start(self, anchor: datetime) -> datetime | None:
        """What of where a recurrence began its rule counts from: an expression from nowhere."""
        if self._rule.every is not None:
            return anchor
        return anchor.replace(microsecond=0) if self._rule.rrule is not None else None

    def _by_the_rule(self, after: datetime, anchor: datetime) -> Iterator[tuple[Intent, IntentResolver, datetime]]:
        if self._rule.every is not None:
            found = _multiples(self._rule, self._rule.every, self._zone, anchor, after)
        else:
            found = (UntilDate(clocks.PlainDateTime(time), past=Past.FIRE) for time in self._times(after, anchor))
        for intent in found:
            yield intent, self._resolver(intent), after

    def _times(self, after: datetime, anchor: datetime) -> Iterator[datetime]:
        """Local times of an expression, or of a rule of RFC 5545."""
        start = clocks.Instant(after).to_tz(self._zone).to_plain().to_stdlib() - _BEFORE
        if self._rule.cron is not None:
            times: Iterator[datetime] = parse_cron(self._rule.cron, start)
        else:
            first = clocks.Instant(anchor).to_tz(self._zone).to_plain().to_stdlib().replace(microsecond=0)
            times = parse_rrule(str(self._rule.rrule), first, self._zone, near=start).xafter(start, inc=False)
        return islice(times, _MOST_TRIED)


def next_occurrence(
    rule: RecurrenceRule,
    zone: str,
    rules: Rules,
    calendar: Calendar | None,
    *,
    anchor: datetime,
    base: datetime,
    after: datetime,
) -> Occurrence | None:
    """`Occurrences.next`, for one recurrence."""
    return Occurrences(rule, zone, rules, calendar).next(anchor=anchor, base=base, after=after)


def _kept_clock(every: Duration, anchor: datetime, zone: str) -> clocks.Time | None:
    """Days, weeks and months of a recurrence keep the wall clock that it began at."""
    if every.time or every.business_time or not (every.days or every.months or every.business_days):
        return None
    return clocks.Instant(anchor).to_tz(zone).time().replace(nanosecond=0)


def _multiples(
    rule: RecurrenceRule, every: Duration, zone: str, anchor: datetime, after: datetime
) -> Iterator[UntilDate]:
    """The anchor and so many times the span after it, each counted from the anchor alone."""
    start = clocks.Instant(anchor).to_tz(zone)
    at = rule.at or _kept_clock(every, anchor, zone)
    roughly = timedelta(days=every.days + 30.4375 * every.months) + every.time
    first = max(1, int((after - anchor - _BEFORE) / roughly) - 1)
    for number in range(first, first + _MOST_TRIED):
        if at is None:
            yield UntilDate(anchor + number * (timedelta(days=every.days) + every.time), past=Past.FIRE)
            continue
        day: clocks.Date = start.date().add(months=number * every.months).add(days=number * every.days)
        day = rule.on.of(day) if rule.on is not None else day
        yield UntilDate(day.at(at), past=Past.FIRE)


def preview(
    rule: RecurrenceRule, zone: str, rules: Rules, calendar: Calendar | None, *, anchor: datetime, count: int
) -> list[datetime]:
    """The first ``count`` instants of a rule, as they come if every wait ends when it is due."""
    found: list[datetime] = []
    occurrences, base, after = Occurrences(rule, zone, rules, calendar), anchor, anchor
    while len(found) < min(count, rule.count or count):
        following = occurrences.next(anchor=anchor, base=base, after=after)
        if following is None:
            break
        found.append(following.at)
        base = after = following.at
    return found


def explain(rule: RecurrenceRule, zone: str, instants: list[datetime]) -> tuple[str, ...]:
    """The rule and its first instants, in words."""
    until = rule.ends_at(zone)
    ends = [f"until {show_local(until, zone)}"] if until else []
    ends += [number_of(rule.count, "time")] if rule.count else []
    asked = f"recurring {rule} in {zone}" + (f", {' or '.join(ends)}" if ends else "")
    return (asked, *(f"occurrence {number}: {show_local(at, zone)} {zone}" for number, at in enumerate(instants, 1)))


def check_comes(found: _First | None, rule: RecurrenceRule) -> _First:
    """The first occurrence, or its wait. Raises `InvalidRecurrenceError` when there is none to come."""
    if found is None:
        raise InvalidRecurrenceError(
            f"{rule} has no occurrence to come",
            hint="its end has passed, or lies before the first one, or no day is as it asks",
        )
    return found


# -- its wait ----------------------------------------------------------------------------------------------------------


class Terms(NamedTuple):
    """What the next wait of a recurrence goes by; ``rule`` and ``rules`` are JSON, as they are stored."""

    recurrence_id: str
    rule: str
    rules: str
    timezone: str
    occurrence: int
    anchor_at: datetime


class NextWait(NamedTuple):
    """The wait that comes next: what it has of its own. The rest is its recurrence's; ``wait_config`` is JSON."""

    id: str
    recurrence_id: str
    number: int
    wait_type: WaitType
    scheduled_at: datetime
    timezone: str
    wait_config: str
    late_policy: Late | None


class Common(NamedTuple):
    """What waits have in common that are asked for alike; ``wait_config`` is the JSON of what it is for all of them."""

    wait_type: WaitType
    wait_config: str
    late_policy: Late | None


def in_common(found: Occurrence, rules: Rules, kept: JsonObject, *, tzdata: str | None) -> Common:
    """What waits for one intent have in common; ``kept`` is what `wait_config` has of the rules."""
    config = asked_config(found.intent, kept, base=None, tzdata=tzdata)
    return Common(WAIT_TYPES[type(found.intent)], to_json(config), late_policy(rules, found.resolver.opening_rules))


def next_wait(wait_id: str, terms: Terms, found: Occurrence, common: Common) -> NextWait:
    """The wait for an occurrence, spread by its id."""
    number = terms.occurrence + 1
    # Put behind what is common, as text: to encode all of it once more takes longer than to find the occurrence.
    own = f'"{RECURRENCE}":{to_json(terms.recurrence_id)},"{NUMBER}":{number}'
    if isinstance(found.intent, FixedTime):
        own = f'"from":"{format_instant(found.base)}",{own}'
    return NextWait(
        wait_id,
        terms.recurrence_id,
        number,
        common.wait_type,
        found.resolver.spread(found.schedule, wait_id).at,
        terms.timezone,
        f"{common.wait_config[:-1]},{own}}}",
        common.late_policy,
    )
