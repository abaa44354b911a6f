"""Listeners: which event an event wait is waiting for, and until when."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from waitctl.domain import clocks
from waitctl.domain.conditions import check_condition
from waitctl.domain.durations import Duration, as_duration, parse_duration
from waitctl.domain.errors import (
    InvalidEventTypeError,
    InvalidTimeoutError,
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
)
from waitctl.domain.events import check_event_type_name
from waitctl.domain.intents import (
    FixedTime,
    Rules,
    UntilDate,
    date_text,
    one_of,
    parse_time_of_day,
    parse_until_date,
    reading_config,
)
from waitctl.domain.statuses import ListenerStatus
from waitctl.domain.text import JsonObject, check_json_object, check_text
from waitctl.domain.values import dataclass

if TYPE_CHECKING:
    from waitctl.domain.calendars import Calendar
    from waitctl.domain.schedule import Schedule

MACHINE: JsonObject = {"machine": True}
"""What the data of an event contains that no human caused, such as an open by a mail proxy."""

MAX_COUNT = 1000
"""Events that one wait may count."""


_DECIDED_ON_TIME = (
    "timeout: decided on time though nothing is open then, and delivered at once; --timeout-window waits for an opening"
)


class Mode(StrEnum):
    """How many of the event types of a wait must come."""

    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class EventListener:
    """Waits for events of a topic (event type and contact) that fit its conditions.

    ``since_at`` is the oldest instant of receipt that counts (creation minus lookback), ``timeout_at`` the deadline,
    ``expires_at`` the deadline plus grace. ``gated``: an event outside the wait's window only schedules it.

    ``group_no`` 0 is a wait that its first event ends. Else the listener is one of a group, which needs ``needed``
    events (with ``distinct``, of as many different texts under that key of the data), and the wait ends when each of
    its groups has its own. ``matched_count`` is how many events this listener has counted, ``diagnostic`` why ``where``
    said neither yes nor no the last time that it did.
    """

    id: str
    event_type: str
    contact_id: str
    match: JsonObject | None
    match_json: JsonObject | None
    exclusive: bool
    since_at: datetime
    timeout_at: datetime | None
    expires_at: datetime | None
    status: ListenerStatus = ListenerStatus.ACTIVE
    where: str | None = None
    gated: bool = False
    human: bool = False
    group_no: int = 0
    needed: int = 1
    distinct: str | None = None
    diagnostic: str | None = None
    matched_event_id: str | None = None
    matched_at: datetime | None = None
    matched_count: int = 0

    @property
    def is_grouped(self) -> bool:
        """Whether it takes more than this listener's one event to end the wait."""
        return self.group_no > 0

    def in_time(self, received_at: datetime, occurred_at: datetime | None) -> bool:
        """Whether an event came in time: the deadline decides, not when somebody looks (semantics 19)."""
        if received_at < self.since_at:
            return False
        if self.expires_at is None or self.timeout_at is None:
            return True
        return received_at < self.expires_at and min(occurred_at or received_at, received_at) < self.timeout_at


@dataclass(frozen=True, slots=True)
class EventQuery:
    """What an event wait was asked to wait for, before a clock was read.

    With ``mode`` ANY, the first event of one of ``event_types`` ends it, or the ``count``-th of one type (of those
    with as many different texts under the key ``distinct`` of their data). With ALL one of each must come, and an
    element may name alternatives: ``("email_open|email_click", "form_submit")``.

    The deadline is a ``timeout``, ``at`` a time of day if one is given, or an instant: ``until``, written as for an
    until-date. With ``timeout_window`` it too waits for the next opening. Its days are those of ``timeout_calendar``,
    which holds no event back, or else of the rules' calendar, which does.
    """

    event_types: tuple[str, ...]
    match: Mapping[str, str] | None = None
    match_json: JsonObject | None = None
    timeout: Duration | None = None
    lookback: Duration = Duration(0, timedelta(minutes=1))
    grace: Duration = Duration()
    exclusive: bool = False
    rules: Rules = Rules()
    where: str | None = None
    human: bool = False
    mode: Mode = Mode.ANY
    count: int | None = None
    distinct: str | None = None
    timeout_window: bool = False
    at: clocks.Time | None = None
    until: str | None = None
    timeout_calendar: str | None = None

    def __post_init__(self) -> None:
        """Take what Python programs have: spans, dates and times of the standard library, texts as the options read."""
        for name in ("timeout", "lookback", "grace"):
            given = getattr(self, name)
            if not isinstance(given, Duration) and (given is not None or name != "timeout"):
                read = as_duration(given, error=InvalidTimeoutError, business=name == "timeout")
                object.__setattr__(self, name, read)
        for name, kind, named in _READ_AS:
            given = getattr(self, name)
            if not isinstance(given, kind) and (given is not None or name != "until"):
                object.__setattr__(self, name, named(given))
        if self.at is not None:
            object.__setattr__(self, "at", _time_of_day(self.at))

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The event types, in groups each of which must be satisfied."""
        if self.mode is Mode.ALL:
            return tuple(tuple(name.strip() for name in part.split("|")) for part in self.event_types)
        return (self.event_types,)

    @property
    def types(self) -> tuple[str, ...]:
        """Every event type that is listened to."""
        return tuple(name for group in self.groups for name in group)

    @property
    def is_grouped(self) -> bool:
        """Whether it may take more than one event."""
        return self.mode is Mode.ALL or (self.count or 1) > 1

    def checked(self) -> EventQuery:
        """Return this query when it can be asked.

        Raises `InvalidEventTypeError` or `InvalidWaitConfigurationError`.
        """
        if not self.event_types:
            raise InvalidEventTypeError("no event type to wait for")
        if self.mode is Mode.ANY and any("|" in str(name) for name in self.event_types):
            raise InvalidEventTypeError("alternatives with | go with --all", hint="any of several: a,b")
        for name in self.types:
            check_event_type_name(name)
        if len(set(self.types)) < len(self.types):
            raise InvalidEventTypeError("an event type is named twice")
        for key, value in (self.match or {}).items():
            check_text(key, "a --match key")
            if re.search(r"[\x00\ud800-\udfff]", value):
                raise InvalidWaitConfigurationError("a --match value holds NUL or lone surrogates")
        if self.match_json is not None:
            check_json_object(self.match_json, "--match-json")
        self._check_timeout()
        if self.where is not None:
            check_condition(self.where)
        self._check_groups()
        self.rules.checked()
        return self

    def _check_timeout(self) -> None:
        if self.timeout is not None and self.until is not None:
            raise InvalidWaitConfigurationError("--timeout and --until: name one of them")
        if self.at is not None and self.timeout is None:
            raise InvalidWaitConfigurationError("--at needs a --timeout in days, as in --timeout 3d --at 09:00")
        intent = self._deadline_intent()
        if self.grace.elapsed and intent is None:
            raise InvalidWaitConfigurationError("--grace needs a --timeout or an --until to extend")
        if self.timeout_window and (intent is None or not self.rules.are_gated):
            raise InvalidWaitConfigurationError(
                "--timeout-window needs a --timeout or an --until, and a --window or a --window-calendar"
            )

    def _deadline_intent(self) -> FixedTime | UntilDate | None:
        """What the deadline was asked as. Raises `InvalidInputError` for what is none."""
        if self.until is not None:
            return parse_until_date(self.until)
        return None if self.timeout is None else FixedTime(self.timeout, self.at)

    def _check_groups(self) -> None:
        if self.count is not None and not 1 <= self.count <= MAX_COUNT:
            raise InvalidWaitConfigurationError(f"--count {self.count} is not between 1 and {MAX_COUNT:,}")
        if self.count is not None and self.mode is Mode.ALL:
            raise InvalidWaitConfigurationError("--all and --count do not go together", hint="make two waits of it")
        if (self.count or 1) > 1 and len(self.event_types) > 1:
            raise InvalidWaitConfigurationError(
                "--count counts events of one type", hint="make a wait for each type, or a type that stands for all"
            )
        if self.distinct is not None:
            check_text(self.distinct, "the key of --distinct")
            if (self.count or 1) == 1:
                raise InvalidWaitConfigurationError("--distinct needs a --count of 2 or more")
        if self.exclusive and self.is_grouped:
            raise InvalidWaitConfigurationError(
                "--exclusive does not go with --all or --count: no event can be taken half",
                hint="leave --exclusive out, or wait for one event at a time",
            )

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it. What came later than the first waits only when it was asked for."""
        config: JsonObject = {
            "events": list(self.event_types),
            "match": dict(self.match) if self.match else None,
            "match_json": self.match_json,
            "timeout": str(self.timeout) if self.timeout else None,
            "lookback": str(self.lookback),
            "grace": str(self.grace),
            "exclusive": self.exclusive,
        }
        asked = {
            "where": self.where,
            "human": self.human or None,
            "mode": self.mode.value if self.mode is Mode.ALL else None,
            "count": self.count if (self.count or 1) > 1 else None,
            "distinct": self.distinct,
            "timeout_window": self.timeout_window or None,
            "at": self.at and self.at.format_iso(),
            "until": self.until,
            "timeout_calendar": self.timeout_calendar,
        }
        return config | {key: value for key, value in asked.items() if value is not None} | self.rules.to_config()

    @classmethod
    def from_config(cls, config: JsonObject) -> EventQuery:
        """Read it back from `wait_config`; see `reading_config`."""
        with reading_config():
            return cls(
                event_types=tuple(config["events"]),
                match=config["match"],
                match_json=config["match_json"],
                timeout=parse_duration(config["timeout"], business=True) if config["timeout"] else None,
                lookback=parse_duration(config["lookback"], zero=True),
                grace=parse_duration(config["grace"], zero=True),
                exclusive=config["exclusive"],
                rules=Rules.from_config(config),
                where=config.get("where"),
                human=config.get("human", False),
                mode=Mode(config.get("mode", Mode.ANY)),
                count=config.get("count"),
                distinct=config.get("distinct"),
                timeout_window=config.get("timeout_window", False),
                at=parse_time_of_day(config["at"]) if config.get("at") else None,
                until=config.get("until"),
                timeout_calendar=config.get("timeout_calendar"),
            )

    def deadline(
        self,
        base: datetime,
        zone: str,
        calendar: Calendar | None = None,
        timeout_calendar: Calendar | None = None,
        *,
        wait_id: str | None = None,
    ) -> Schedule | None:
        """The deadline, counted from ``base``: a duration as of a fixed-time wait, or an instant as of an until-date.

        With ``wait_id`` it is spread as the rules ask for, by that wait's share.
        ``calendar`` is what the rules name, ``timeout_calendar`` what `timeout_calendar` does. No weekend or window
        moves it but with ``timeout_window``. Raises `InvalidTimeoutError` when it lies outside the calendar,
        `CalendarRangeError`, `NoOpeningError`, or `InvalidWaitTimeError` for what the DST rule rejects.
        """
        intent = self._deadline_intent()
        if intent is None:
            return None
        from waitctl.domain.schedule import IntentResolver  # what only looks at waits computes no instants

        counted_by = IntentResolver(intent, zone, self.rules, timeout_calendar or calendar)
        held_by = counted_by if timeout_calendar is None else IntentResolver(intent, zone, self.rules, calendar)
        try:
            if self.timeout_window and timeout_calendar is None and self.until is None:
                return counted_by.resolve(base, wait_id)
            schedule = counted_by.delay(base)
            if self.timeout_window:
                schedule.at, moves = held_by.opening_rules.next_opening(schedule.at)
                schedule.moves = [*schedule.moves, *moves]
            if wait_id is not None:
                schedule = held_by.spread(schedule, wait_id, gated=self.timeout_window)
            if not self.timeout_window and held_by.opening_rules and not held_by.opening_rules.let_pass(schedule.at):
                schedule.moves = [*schedule.moves, _DECIDED_ON_TIME]
            return schedule
        except InvalidWaitDateError as cause:
            raise InvalidTimeoutError("the deadline lies beyond the calendar") from cause

    def listeners(
        self, ids: Iterable[str], contact_id: str, *, now: datetime, timeout_at: datetime | None
    ) -> tuple[EventListener, ...]:
        """A listener per event type, for a wait created at ``now``."""
        placed = [(number, name) for number, group in enumerate(self.groups, 1) for name in group]
        return tuple(
            EventListener(
                id=listener_id,
                event_type=event_type,
                contact_id=contact_id,
                match=dict(self.match) if self.match else None,
                match_json=self.match_json,
                exclusive=self.exclusive,
                where=self.where,
                gated=self.rules.are_gated,
                human=self.human,
                group_no=number if self.is_grouped else 0,
                needed=self.count or 1,
                distinct=self.distinct,
                since_at=now - self.lookback.elapsed,
                timeout_at=timeout_at,
                expires_at=timeout_at + self.grace.elapsed if timeout_at else None,
            )
            for listener_id, (number, event_type) in zip(ids, placed, strict=True)
        )


def _names(given: object) -> tuple[str, ...]:
    """Event types as a list, or as one text with commas."""
    if isinstance(given, str):
        return tuple(name.strip() for name in given.split(","))
    if isinstance(given, list):
        return tuple(given)
    raise InvalidEventTypeError(f"{given!r:.80} names no event types", hint="a tuple of texts")


def _time_of_day(given: object) -> clocks.Time:
    return given if isinstance(given, clocks.Time) else parse_time_of_day(str(given))


_READ_AS: tuple[tuple[str, type, Callable[[object], object]], ...] = (
    ("event_types", tuple, _names),
    ("mode", Mode, lambda given: one_of(Mode, given)),
    ("until", str, date_text),
)


def progress(listeners: Iterable[EventListener]) -> tuple[int, int]:
    """How far a grouped wait has come: events of its one group, or groups; and how many it needs."""
    counted, needed = dict[int, int](), dict[int, int]()
    for listener in listeners:
        counted[listener.group_no] = counted.get(listener.group_no, 0) + listener.matched_count
        needed[listener.group_no] = listener.needed
    if len(needed) == 1:
        return sum(counted.values()), sum(needed.values())
    return sum(counted[group] >= needed[group] for group in needed), len(needed)
