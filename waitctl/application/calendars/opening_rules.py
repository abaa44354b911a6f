"""When a wait may go on: its calendar, window and late policy, as this host knows them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from waitctl.domain.calendars import Calendar
from waitctl.domain.errors import InvalidInputError, UnknownCalendarError
from waitctl.domain.hours import parse_days
from waitctl.domain.instants import Dst
from waitctl.domain.intents import Rules
from waitctl.domain.late import LATE_TOLERANCE, Move, Verdict, judge_late
from waitctl.domain.listeners import EventQuery
from waitctl.domain.opening_rules import OpeningRules
from waitctl.domain.text import JsonObject
from waitctl.domain.values import replace
from waitctl.infrastructure.calendars import Calendars
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.zone_rules import tzdata_version


class HostOpeningRules:
    """Knows the calendars of one host. What it has worked out once it keeps.

    A stored wait may name a calendar of another host's config. Then its window alone decides, and the name is in
    ``unknown``, for somebody to be told.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.calendars = Calendars(settings.calendars if settings else {})
        self.unknown: set[str] = set()
        self._late_tolerance = settings.late_tolerance if settings else LATE_TOLERANCE
        self._known: dict[tuple[object, ...], tuple[Rules, OpeningRules]] = {}

    def calendar(self, rules: Rules) -> Calendar | None:
        """The calendar that the rules name. Raises `UnknownCalendarError`."""
        return None if rules.calendar is None else self.calendars.get(rules.calendar)

    def calendars_of(self, query: EventQuery) -> tuple[Calendar | None, Calendar | None]:
        """The calendar that holds a query's events back, and the one that counts its timeout, where that is another.

        Raises `UnknownCalendarError`.
        """
        counted = query.timeout_calendar
        return self.calendar(query.rules), None if counted is None else self.calendars.get(counted)

    def of(self, zone: str, config: Mapping[str, Any]) -> tuple[Rules, OpeningRules]:
        """The rules in a stored wait's ``wait_config``, and what its instants must pass.

        Nobody is there to be refused: where the clocks change ``reject`` is as ``compatible``, on the day meant.
        """
        names = ("dst", "calendar", "window", "days", "late", "max_late", "spread", "quiet")
        key = (zone, (config.get("rescheduled") or {}).get("window"), *map(config.get, names))
        if key not in self._known:
            rules = Rules.from_config(config)
            weekdays = parse_days(config["days"]) if config.get("days") else None
            passed = replace(rules, dst=Dst.COMPATIBLE) if rules.dst is Dst.REJECT else rules
            self._known[key] = rules, OpeningRules(zone, passed, self._calendar_if_known(rules), weekdays)
        return self._known[key]

    def for_event(
        self, zone: str, config: Mapping[str, Any], wait_id: str, *, received_at: datetime, now: datetime
    ) -> datetime | None:
        """Until when an event schedules its wait instead of resuming it; ``None`` when it resumes it."""
        rules, opening_rules = self.of(zone, config)
        try:
            opening, moves = opening_rules.next_opening(self.came_at(received_at, now))
        except InvalidInputError:  # nothing opens any more: better late than never
            return None
        return _spread(opening, rules, opening_rules, wait_id) if moves else None

    def came_at(self, received_at: datetime, correlated_at: datetime) -> datetime:
        """When an event came: when it was received, unless it was correlated so late that only then counts."""
        return received_at if correlated_at - received_at <= self._late_tolerance else correlated_at

    def late_verdict(
        self, zone: str, config: Mapping[str, Any], wait_id: str, *, scheduled_at: datetime, now: datetime
    ) -> Verdict:
        """What a tick does with a wait that is due: see `judge_late`. What it moves to an opening is spread from it."""
        rules, opening_rules = self.of(zone, config)
        found = judge_late(rules, opening_rules, scheduled_at=scheduled_at, now=now, tolerance=self._late_tolerance)
        return Move(_spread(found.at, rules, opening_rules, wait_id)) if isinstance(found, Move) else found

    def late_before(self, now: datetime) -> datetime:
        """Waits scheduled before this are late."""
        return now - self._late_tolerance

    def _calendar_if_known(self, rules: Rules) -> Calendar | None:
        try:
            return self.calendar(rules)
        except UnknownCalendarError:
            self.unknown.add(str(rules.calendar))
            return None


def _spread(opening: datetime, rules: Rules, opening_rules: OpeningRules, wait_id: str) -> datetime:
    if rules.spread is None:
        return opening
    return opening + opening_rules.spread(opening, rules.spread.elapsed, wait_id).moved


def with_zone_rules(config: JsonObject, zone: str) -> JsonObject:
    """A wait's ``wait_config`` with the version of the rules of its zone that its instant was found by."""
    version = tzdata_version(zone)
    return config if version is None else config | {"tzdata": version}
