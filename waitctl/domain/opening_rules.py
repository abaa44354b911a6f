"""What every instant of a wait must pass: business days or weekdays, opening hours, the window."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from waitctl.domain import clocks
from waitctl.domain.calendars import WEEKEND, Calendar
from waitctl.domain.errors import InvalidInputError, InvalidWaitDateError, NoOpeningError
from waitctl.domain.hours import MAX_STEPS, Gate, OpeningHours, all_but, format_days
from waitctl.domain.instants import OUTSIDE, Adjustment, Dst, clock, refuse_adjusted, show_day, to_zone, unless_final
from waitctl.domain.spreading import Spread, share_of

if TYPE_CHECKING:
    from waitctl.domain.intents import Rules

NOT_ASKED = "not asked for"
_SHOWN = 12


class DayRoll(NamedTuple):
    """Days that were passed over, and the local time arrived at."""

    days: list[tuple[clocks.Date, str]]
    at: clocks.PlainDateTime

    def __str__(self) -> str:
        reasons = {why for _, why in self.days}
        kind = "holiday" if reasons - {WEEKEND, NOT_ASKED} else WEEKEND if WEEKEND in reasons else "weekday"
        return f"{kind}: {show_days(self.days)}; moved to {show_day(self.at.date())} {clock(self.at.time())}"


class Opening(NamedTuple):
    """A gate that was closed, and its next opening, in the wait's zone."""

    gate: str
    hours: OpeningHours
    before: clocks.ZonedDateTime
    after: clocks.ZonedDateTime

    def __str__(self) -> str:
        return (
            f"{self.gate}: {show_day(self.before.date())} {clock(self.before.time())} is outside {self.hours}; "
            f"moved to the next opening, {show_day(self.after.date())} {clock(self.after.time())}"
        )


class MovedBack(NamedTuple):
    """What did not let an instant before a date pass, and the latest opening before it, in the wait's zone."""

    held: str
    at: clocks.ZonedDateTime

    def __str__(self) -> str:
        return (
            f"{self.held}; before a date, so moved back to the latest opening, "
            f"{show_day(self.at.date())} {clock(self.at.time())}"
        )


def show_days(days: list[tuple[clocks.Date, str]]) -> str:
    """Days with the reason for each, a dozen at most."""
    shown = [f"{show_day(day)} ({why})" for day, why in days[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(days) - _SHOWN} more" if len(days) > _SHOWN else "")


class OpeningRules:
    """Calendar, weekdays and window of one wait, in its zone; what is learnt about days is kept.

    ``calendar`` is what ``rules.calendar`` names, ``weekdays`` (ISO) are those an until-time was asked for.
    """

    def __init__(
        self, zone: str, rules: Rules, calendar: Calendar | None = None, weekdays: frozenset[int] | None = None
    ) -> None:
        self._zone = zone
        self._dst = rules.dst
        self._reading = unless_final(rules.dst)
        self._calendar = calendar
        self._weekdays = weekdays
        self._elsewhere = calendar.zone if calendar is not None and calendar.zone != zone else None
        self._rolls_days = calendar is not None or weekdays is not None
        self._windows: list[tuple[str, Gate]] = []
        self.counted_by: tuple[str, Gate] | None = None
        """What says how much open time passes: the calendar's hours, or else the window on its business days."""
        hours = None if calendar is None else calendar.gate(zone, rules.dst)
        if calendar is not None and hours is not None:
            self._windows.append((f"opening hours of {calendar.name}", hours))
        # A shift past midnight that began on a business day lasts into a day off.
        self._shifts = [gate for _, gate in self._windows]
        if rules.window is not None:
            window = Gate(rules.window, zone, rules.dst)
            if calendar is not None and calendar.zone in {None, zone}:
                shift = Gate(rules.window, zone, rules.dst, calendar.is_business_day)
                window = shift if rules.window.runs_past_midnight else window
                self._shifts.append(shift)  # past midnight, or moved there by a gap
            self._windows.append(("window", window))
        if hours is not None:
            self.counted_by = self._windows[0]
        elif calendar is not None and rules.window is not None:
            self.counted_by = ("window", Gate(rules.window, zone, rules.dst, calendar.is_business_day))
        elif self._windows:
            self.counted_by = self._windows[0]
        if rules.quiet is not None:
            self._windows.append(
                ("time without quiet hours", Gate(all_but(rules.quiet), zone, rules.dst, shown_only=True))
            )

    def __bool__(self) -> bool:
        """Whether there is anything to pass."""
        return self._rolls_days or bool(self._windows)

    @property
    def have_windows(self) -> bool:
        """Whether a window or opening hours can be closed."""
        return bool(self._windows)

    def window_lets_pass(self, at: clocks.ZonedDateTime) -> bool:
        """Whether the windows, if there are any beside what counts open time, let ``at`` pass."""
        counted = self.counted_by[0] if self.counted_by else ""
        others = [gate for name, gate in self._windows if name != counted]
        return all(gate.is_open(at if gate.zone == self._zone else at.to_tz(gate.zone)) for gate in others)

    def closes_at(self, at: datetime, limit: datetime) -> datetime:
        """How long everything that lets ``at`` pass still does, at most until ``limit``; ``limit`` if nothing does."""
        start, last = clocks.Instant(at), clocks.Instant(limit)
        zoned = start.to_tz(self._zone)
        if self._day_off(zoned, None) is not None:
            return limit
        for _, gate in self._windows:
            closes = gate.closes_before(start, last)
            if closes is None:
                return limit
            last = min(last, closes)
        while (
            self._rolls_days
            and (zoned := zoned.date().next_day().at(clocks.Time()).assume_tz(self._zone, disambiguation="compatible"))
            < last
        ):
            if self._day_off(zoned, None) is not None:
                last = zoned.to_instant()
        return last.to_stdlib()

    def spread(self, at: datetime, span: timedelta, wait_id: str, limit: datetime | None = None) -> Spread:
        """The wait's share of ``span`` after ``at``, inside what is open then, and before ``limit``."""
        last = at + span if limit is None else min(at + span, limit)
        room = (self.closes_at(at, last) if self else last) - at
        return Spread(share_of(wait_id, room), span, room)

    def let_pass(self, at: datetime) -> bool:
        """Whether everything lets ``at`` pass."""
        try:
            return not self.next_opening(at)[1]
        except InvalidInputError:  # nothing opens any more, or who knows
            return False

    def next_opening(self, at: datetime, *, clock_of: datetime | None = None) -> tuple[datetime, tuple[object, ...]]:
        """The first instant from ``at`` on that everything lets pass, and what moved it.

        Past days that do not, a window opens as soon as the next day does; ``clock_of`` is an instant whose wall clock
        is kept instead, as it is that of ``at`` where there is no window. Raises `NoOpeningError`,
        `CalendarRangeError`, `InvalidWaitDateError` past the last day there is, or `InvalidWaitTimeError` for what the
        DST rule rejects.
        """
        moves: list[object] = []
        try:
            kept = clock_of or (None if self._windows else at)
            clock = clocks.Instant(kept).to_tz(self._zone).time() if kept else clocks.Time()
            passed = self.pass_through(clocks.Instant(at).to_tz(self._zone), None, moves, clock)
        except (ValueError, OverflowError) as cause:
            raise InvalidWaitDateError(OUTSIDE) from cause
        except NoOpeningError as error:
            raise self.name_in(error) from error
        if self._dst is Dst.REJECT:
            refuse_adjusted(moves)
            self.refuse_guess(passed)
        return (passed.to_instant().to_stdlib() if moves else at), tuple(moves)

    def refuse_guess(self, at: clocks.ZonedDateTime) -> None:
        """Raise `InvalidWaitTimeError` when only an opening that a gap moved there lets ``at`` pass: for ``reject``."""
        for _, gate in self._windows:
            if guess := gate.guess_at(at.to_tz(gate.zone)):
                raise guess.refusal

    def pass_through(
        self,
        at: clocks.ZonedDateTime,
        local: clocks.PlainDateTime | None,
        moves: list[object],
        clock: clocks.Time | None = None,
    ) -> clocks.ZonedDateTime:
        """Move ``at`` on until nothing moves it: business day or weekday, then opening hours, then window.

        ``local`` is the wall clock that was meant, which a gap may have kept ``at`` from showing; past days that do not
        pass it is kept, or ``clock`` taken. Appends to ``moves``. Raises `NoOpeningError` or `CalendarRangeError`; what
        the DST rule rejects it leaves to the caller.
        """
        mover: Gate | str | None = None  # who moved it last: once all others have let it pass, it has arrived
        meant = self._skipped(moves) if moves and local is not None else None
        for _ in range(MAX_STEPS):
            if self._rolls_days:
                if self._day_off(at, meant) is not None:
                    at, local, meant = self._roll_days(at, meant, local or at.to_plain(), moves, clock)
                    mover = "days"
                elif mover == "days":
                    return at
            for name, gate in self._windows:
                if mover is gate:
                    return at
                if meant is not None and self._goes_by_meant(gate, at, meant) and gate.holds(meant):
                    continue
                opened = gate.pass_through(at if gate.zone == self._zone else at.to_tz(gate.zone))
                if opened is not None:
                    at, local, meant, mover = self._open(name, gate, at, opened, moves)
            if mover is None:
                return at
        raise NoOpeningError(f"after {MAX_STEPS} steps there is still no instant that all rules let pass")

    def pass_back(
        self, at: clocks.ZonedDateTime, local: clocks.PlainDateTime | None, moves: list[object]
    ) -> clocks.ZonedDateTime:
        """Move ``at`` back to the latest opening before it, unless everything lets it pass; see `pass_through`.

        That is the start of an interval of opening hours or window, on a day that counts; without any, the latest such
        day, the wall clock kept. Raises `NoOpeningError` or `CalendarRangeError`.
        """
        held = self._held(at, None if local is None else self._skipped(moves))
        if held is None:
            return at
        if self._windows:
            found, adjusted = self._latest_opening(at)
        else:
            found, adjusted = self._latest_day(at, local or at.to_plain())
        moves.append(MovedBack(held, found))
        if adjusted is not None:
            moves.append(adjusted)
        return found

    def _held(self, at: clocks.ZonedDateTime, meant: clocks.PlainDateTime | None) -> str | None:
        """What does not let ``at`` pass, in words."""
        if self._rolls_days and (off := self._day_off(at, meant)) is not None:
            return f"{WEEKEND if off[1] == WEEKEND else 'holiday'}: {show_days([off])}"
        for name, gate in self._windows:
            if self._opening_of(gate, at, meant) is not None:
                return f"{name}: {show_day(at.date())} {clock(at.time())} is outside {gate.hours}"
        return None

    def _latest_opening(self, at: clocks.ZonedDateTime) -> tuple[clocks.ZonedDateTime, Adjustment | None]:
        until, gates = at.to_instant(), [gate for _, gate in self._windows]
        for _ in range(MAX_STEPS // 7 + 1):
            since = until.subtract(hours=7 * 24)
            for start in sorted({start for gate in gates for start in gate.starts(since, until)}, reverse=True):
                adjusted = next((gate.adjusted[start] for gate in gates if start in gate.adjusted), None)
                found = start.to_tz(self._zone)
                if self._held(found, self._skipped([adjusted])) is None:
                    return found, adjusted
            until = since
        raise NoOpeningError(f"nothing opens within {MAX_STEPS} days before {at.date()}")

    def _latest_day(
        self, at: clocks.ZonedDateTime, local: clocks.PlainDateTime
    ) -> tuple[clocks.ZonedDateTime, Adjustment | None]:
        for _ in range(MAX_STEPS):
            local = local.date().prev_day().at(local.time())
            found, adjusted = to_zone(local, self._zone, self._reading)
            if self._day_off(found, self._skipped([adjusted])) is None and found < at:
                return found, adjusted
        raise NoOpeningError(f"no day passes within {MAX_STEPS} days before {at.date()}")

    def name_in(self, error: NoOpeningError) -> NoOpeningError:
        """The same error with the rules, for somebody who has to change one of them."""
        named = [f"the days {format_days(self._weekdays)}"] if self._weekdays is not None else []
        if self._calendar is not None:
            week = format_days(self._calendar.work_week) or "none"
            named.append(f"the calendar {self._calendar.name} (business days {week})")
        named += [f"the {name} {gate.hours}" for name, gate in self._windows]
        return NoOpeningError(f"no opening: {error.message}: {', '.join(named)}")

    def _skipped(self, moves: Sequence[object]) -> clocks.PlainDateTime | None:
        """The local time in the wait's zone that was meant, when the clocks skip it: the last of ``moves`` says so."""
        last = moves[-1] if moves else None
        return last.asked if isinstance(last, Adjustment) and last.kind == "gap" and last.zone == self._zone else None

    def _opening_of(
        self, gate: Gate, at: clocks.ZonedDateTime, meant: clocks.PlainDateTime | None
    ) -> clocks.Instant | None:
        """The gate's next opening; ``None`` when it lets ``at`` pass, or what was ``meant`` by it."""
        if meant is not None and self._goes_by_meant(gate, at, meant) and gate.holds(meant):
            return None
        return gate.pass_through(at if gate.zone == self._zone else at.to_tz(gate.zone))

    def _goes_by_meant(self, gate: Gate, at: clocks.ZonedDateTime, meant: clocks.PlainDateTime) -> bool:
        """Whether ``gate`` judges the local time that was meant, and not what clocks show instead at ``at``.

        It does where a gap leads to another day, which nobody meant; and for ``reject``, which wants to know whether
        the time that was asked for would do.
        """
        return gate.zone == self._zone and (self._dst is Dst.REJECT or meant.date() != at.date())

    def _in_open_shift(self, at: clocks.ZonedDateTime, meant: clocks.PlainDateTime | None) -> bool:
        return any(
            gate.holds(meant)
            if meant is not None and self._goes_by_meant(gate, at, meant)
            else gate.is_open(at.to_tz(gate.zone))
            for gate in self._shifts
        )

    def _day_off(self, at: clocks.ZonedDateTime, meant: clocks.PlainDateTime | None) -> tuple[clocks.Date, str] | None:
        """The day, in the calendar's zone if it has one, and the reason why weekdays or calendar hold ``at`` back.

        It is the day of the local time that was ``meant``, where a gap leads from there to another one. What opening
        hours or a window began on a business day, before midnight, is not held back.
        """
        if self._weekdays is not None:
            weekday = at.day_of_week() if meant is None else meant.date().day_of_week()
            if weekday.value not in self._weekdays:
                return at.date() if meant is None else meant.date(), NOT_ASKED
        if self._calendar is None:
            return None
        if self._elsewhere is not None:
            day = at.to_tz(self._elsewhere).date()
        else:
            day = at.date() if meant is None else meant.date()
        why = self._calendar.day_off(day)
        return None if why is None or self._in_open_shift(at, meant) else (day, why)

    def _roll_days(
        self,
        at: clocks.ZonedDateTime,
        meant: clocks.PlainDateTime | None,
        local: clocks.PlainDateTime,
        moves: list[object],
        clock: clocks.Time | None,
    ) -> tuple[clocks.ZonedDateTime, clocks.PlainDateTime, clocks.PlainDateTime | None]:
        """The next day that passes, with the wall clock of ``local`` kept, or at ``clock``; again if it is skipped."""
        days: list[tuple[clocks.Date, str]] = []
        adjusted, start = None, at
        while off := self._day_off(at, meant):
            days.append(off)
            if len(days) > MAX_STEPS:
                raise NoOpeningError(f"no day passes within {MAX_STEPS} days of {days[0][0]}")
            local = local.date().next_day().at(local.time() if clock is None else clock)
            at, adjusted = to_zone(local, self._zone, self._reading)
            if adjusted is not None and at <= start:  # a gap read backwards never leads back to where it started
                at, adjusted = to_zone(local, self._zone, Dst.LATER)
            meant = local if adjusted is not None and adjusted.kind == "gap" else None
        moves.append(DayRoll(days, local))
        if adjusted is not None:
            moves.append(adjusted)
        return at, local, meant

    def _open(
        self, name: str, gate: Gate, at: clocks.ZonedDateTime, opened: clocks.Instant, moves: list[object]
    ) -> tuple[clocks.ZonedDateTime, None, clocks.PlainDateTime | None, Gate]:
        """Move ``at`` on to the opening of ``gate``."""
        moved = opened.to_tz(self._zone)
        moves.append(Opening(name, gate.hours, at, moved))
        adjusted = gate.adjusted.get(opened)
        if adjusted is None:
            return moved, None, None, gate
        moves.append(adjusted)
        return moved, None, self._skipped(moves), gate
