"""Where waits would go if many were rescheduled: worked out as `reschedule` does it, and written down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from waitctl.application.waits.changes import Open, Replan, is_waiting, movable_instant, see
from waitctl.application.waits.rescheduling import ReschedulingService
from waitctl.domain import clocks
from waitctl.domain.calendars import Calendar
from waitctl.domain.durations import Offset, parse_duration, parse_offset
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDateError, WaitStepError
from waitctl.domain.filters import WaitFilter
from waitctl.domain.hours import parse_hours
from waitctl.domain.instants import YEARS, format_instant
from waitctl.domain.intents import MAX_SPREAD, Rules, UntilDate, parse_until_date, set_by_hand
from waitctl.domain.listeners import EventQuery
from waitctl.domain.opening_rules import OpeningRules
from waitctl.domain.plans import Fate
from waitctl.domain.schedule import IntentResolver
from waitctl.domain.spreading import share_of
from waitctl.domain.text import JsonObject, from_json, to_json
from waitctl.domain.waits import WaitStepExecution
from waitctl.infrastructure.database import Connection
from waitctl.infrastructure.ids import new_id
from waitctl.infrastructure.sql_values import instant_text
from waitctl.infrastructure.store import plans as store
from waitctl.infrastructure.store.plans import Movable, PlannedMove
from waitctl.infrastructure.store.waits import get_waits
from waitctl.infrastructure.zone_rules import tzdata_version


@dataclass(frozen=True, slots=True)
class MoveOptions:
    """Where waits are to go: an instant, the same one moved, another window; and over what span they are spread."""

    at: str | None = None
    by: str | None = None
    window: str | None = None
    spread: str | None = None

    def checked(self) -> MoveOptions:
        """The same, if it can be meant. Raises `InvalidWaitConfigurationError`, or what reading the options raises."""
        given = [name for name in ("at", "by", "window") if getattr(self, name) is not None]
        if len(given) > 1 or not (given or self.spread):
            raise InvalidWaitConfigurationError("name one of --at, --by and --window, or a --spread")
        if self.window and self.spread:
            raise InvalidWaitConfigurationError("--spread goes with --at or --by, or stands alone")
        if self.at is not None:
            parse_until_date(self.at)
        if self.by is not None:
            parse_offset(self.by)
        if self.window not in {None, "none"}:
            parse_hours(self.window or "", "--window")
        if self.spread is not None and self.span > MAX_SPREAD:
            raise InvalidWaitConfigurationError(f"--spread {self.spread} is more than a week")
        return self

    @property
    def span(self) -> timedelta:
        """What they are spread over. Raises `InvalidWaitConfigurationError`."""
        return parse_duration(self.spread or "", error=InvalidWaitConfigurationError).elapsed

    def to_json(self) -> JsonObject:
        """The options that were given."""
        return {name: value for name in self.__slots__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True, slots=True)
class _Frame:
    """What waits of one zone and of the same rules have in common."""

    zone: str
    rules: Rules
    calendar: Calendar | None
    opening_rules: OpeningRules
    grace: timedelta
    tzdata: str | None

    def resolver(self, intent: UntilDate) -> IntentResolver:
        """What was set by hand passes calendar and window, but not the weekdays that a time of day was asked for."""
        return IntentResolver(intent, self.zone, self.rules, self.calendar)


class _Alike(NamedTuple):
    """What waits have in common of which the same was asked in one zone; their new `wait_config` around the instant."""

    frame: _Frame
    head: str
    tail: str


class MovePlanner(ReschedulingService):
    """Works out where open waits go, as `reschedule_wait` does it for one. Nothing is written."""

    def plan(self, connection: Connection, wait_ids: Sequence[str], options: MoveOptions) -> list[PlannedMove]:
        """Where each of these waits that is open goes, or why it cannot."""
        now = self._database.clock(connection)
        if options.window is None:
            movable = store.list_movable(connection, wait_ids)
            return Moves(self, options, now, self._meant_otherwise(connection, movable, options)).of(movable)
        found = [wait for wait in get_waits(connection, wait_ids).values() if wait.status.is_open]
        return [self._under_window(seen, options.window) for seen in see(connection, found, now)]

    def _meant_otherwise(
        self, connection: Connection, found: Sequence[Movable], options: MoveOptions
    ) -> dict[str, clocks.PlainDateTime]:
        """The local times of waits that stand where they do because clocks skip them: days are counted from those."""
        if options.by is None or _elapsed(parse_offset(options.by)) is not None:
            return {}
        near = {wait.id: wait.at for wait in found if wait.at is not None and _is_by_a_gap(wait.at, wait.timezone)}
        waits = get_waits(connection, list(near)) if near else {}
        meant = {wait_id: self._local_time_meant(wait, near[wait_id]) for wait_id, wait in waits.items()}
        return {wait_id: local for wait_id, local in meant.items() if local is not None}

    def _under_window(self, seen: Open, window: str) -> PlannedMove:
        try:
            seen.wait.check_listeners()
            changed, _ = self._with_window(seen, window)
        except WaitStepError as error:
            return impossible(seen.wait, error)
        return move_of(seen.wait, changed)

    def plan_again(self, wanted: WaitFilter, zone: str | None) -> tuple[Replan, list[PlannedMove]]:
        """What `replan` comes to, and where it would move waits, each with why. Raises what `replan` raises."""
        found, moved = self._replan(wanted, zone)
        return found, [move_of(wait, changed, why.removeprefix("replanned: ")) for wait, changed, why in moved]

    def frame(self, wait: Movable, config: JsonObject) -> _Frame:
        """What waits like this one have in common. Raises what reading their rules raises."""
        rules = Rules.from_config(config)
        calendar = self._host_rules.calendar(rules)
        grace = config.get("grace")
        return _Frame(
            wait.timezone,
            rules,
            calendar,
            OpeningRules(wait.timezone, rules, calendar),
            parse_duration(grace, zero=True).elapsed if wait.listens and grace else timedelta(),
            tzdata_version(wait.timezone),
        )


class Moves:
    """Where waits go by ``options``, at ``now``. What many waits have in common it works out once."""

    def __init__(
        self, planner: MovePlanner, options: MoveOptions, now: datetime, meant: Mapping[str, clocks.PlainDateTime]
    ) -> None:
        self._planner, self._now, self._meant = planner, now, meant
        self._frames: dict[tuple[object, ...], _Frame] = {}
        self._alike: dict[tuple[str, bool, str], _Alike] = {}
        self._targets: dict[tuple[int, bool], datetime] = {}
        self._intent = None if options.at is None else parse_until_date(options.at)
        self._offset = None if options.by is None else parse_offset(options.by)
        self._elapsed = None if self._offset is None else _elapsed(self._offset)
        self._span = None if options.spread is None else options.span

    def of(self, found: Iterable[Movable]) -> list[PlannedMove]:
        """Where each of these goes, or why it cannot."""
        return [self._planned(wait) for wait in found]

    def _planned(self, wait: Movable) -> PlannedMove:
        try:
            frame, head, tail = self._what_is_alike(wait)
            at, text = self._target(wait, frame)
            if self._span is not None:
                at = self._spread(wait, frame, at, self._span)
                text = format_instant(at)
        except WaitStepError as error:
            return impossible(wait, error)
        expires, gated = None, None
        if wait.listens:
            expires, gated = instant_text(at + frame.grace), "1" if frame.rules.are_gated else "0"
        where = (instant_text(at), expires, f"{head}{text}{tail}", wait.late_policy, wait.timezone, gated)
        return PlannedMove(wait.id, instant_text(wait.updated_at), *where, None, None)

    def _what_is_alike(self, wait: Movable) -> _Alike:
        key = (wait.timezone, wait.listens, wait.config)
        if key not in self._alike:
            config = from_json(wait.config)
            frame = self._frame(wait, config)
            place = new_id()  # which no config holds
            moved = set_by_hand(config, **{"deadline" if wait.listens else "at": place})
            if frame.tzdata is not None:
                moved["tzdata"] = frame.tzdata
            head, tail = to_json(moved).split(place)
            self._alike[key] = _Alike(frame, head, tail)
        return self._alike[key]

    def _frame(self, wait: Movable, config: JsonObject) -> _Frame:
        window = (config.get("rescheduled") or {}).get("window")
        key = (wait.timezone, wait.listens, window, *map(config.get, _FRAMED_BY))
        if key not in self._frames:
            self._frames[key] = self._planner.frame(wait, config)
        return self._frames[key]

    def _target(self, wait: Movable, frame: _Frame) -> tuple[datetime, str]:
        """Where a wait goes, and as what it is kept: as it was asked for, and not what it comes to."""
        if self._intent is not None:
            key = (id(frame), wait.listens)
            if key not in self._targets:
                self._targets[key] = self._passed(frame, self._intent, wait)
            return self._targets[key], self._intent.to_config()["date"]
        if wait.at is None:
            raise InvalidWaitConfigurationError("the wait has no deadline to move", hint="--at INSTANT sets one")
        if self._offset is None:
            return wait.at, ""
        moved = self._moved_by(wait.at, frame, self._offset, self._meant.get(wait.id))
        if moved < self._now:
            raise InvalidWaitDateError(_HAS_PASSED)
        gated = bool(frame.opening_rules) and not wait.listens
        return self._passed(frame, UntilDate(moved), wait) if gated else moved, format_instant(moved)

    def _moved_by(self, at: datetime, frame: _Frame, offset: Offset, meant: clocks.PlainDateTime | None) -> datetime:
        if self._elapsed is not None:
            with suppress(OverflowError):
                moved = at + self._elapsed
                if moved.year in YEARS:
                    return moved
        return frame.resolver(UntilDate(meant or at, offset)).delay(self._now).at

    def _passed(self, frame: _Frame, intent: UntilDate, wait: Movable) -> datetime:
        """The instant once calendar and window let it pass, which hold no deadline back."""
        resolver = frame.resolver(intent)
        delayed = resolver.delay(self._now).at
        if delayed < self._now:
            raise InvalidWaitDateError(_HAS_PASSED)
        return delayed if wait.listens else resolver.resolve(self._now).at

    def _spread(self, wait: Movable, frame: _Frame, at: datetime, span: timedelta) -> datetime:
        """Later by the wait's share of ``span``, inside what is open then."""
        moved = at + (share_of(wait.id, span) if wait.listens else frame.opening_rules.spread(at, span, wait.id).moved)
        if moved <= self._now:
            raise InvalidWaitDateError(_HAS_PASSED)
        return moved


_FRAMED_BY = ("dst", "calendar", "window", "late", "max_late", "spread", "quiet", "grace")
_HAS_PASSED = "that instant has passed"


def _elapsed(offset: Offset) -> timedelta | None:
    """An offset by the watch, which is the same whatever the zone."""
    by_watch = offset.duration.is_elapsed and not offset.duration.days
    return offset.sign * offset.duration.elapsed if by_watch else None


def _is_by_a_gap(at: datetime, zone: str) -> bool:
    """Whether clocks were put forward within two days of ``at``: no gap is longer than one."""
    around = (clocks.Instant(at).add(hours=hours).to_tz(zone) for hours in (-48, 48))
    before, after = (zoned.to_plain() for zoned in around)
    return before.add(days=4) < after


def move_of(wait: WaitStepExecution, changed: WaitStepExecution, note: str | None = None) -> PlannedMove:
    """An entry of a plan: the wait goes where ``changed`` is; ``note`` is why."""
    expires, gated = None, None
    if is_waiting(wait):
        query = EventQuery.from_config(changed.wait_config)
        expires = changed.timeout_at and changed.timeout_at + query.grace.elapsed
        gated = "1" if query.rules.are_gated else "0"
    config = to_json(changed.wait_config)
    where = (instant_text(movable_instant(changed)), instant_text(expires), config)
    own = (changed.late_policy, changed.timezone, gated)
    return PlannedMove(wait.id, instant_text(wait.updated_at), *where, *own, note, None)


def impossible(wait: WaitStepExecution | Movable, error: WaitStepError) -> PlannedMove:
    """An entry of a plan: the wait cannot go there, and why."""
    note = " ".join(error.message.split())
    nowhere = (None, None, None, None, None, None)
    return PlannedMove(wait.id, instant_text(wait.updated_at), *nowhere, note, Fate.IMPOSSIBLE.value)
