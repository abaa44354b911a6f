"""From what was asked to an instant, with every rule that moved it on the way.

All arithmetic is done here, none in SQL: PostgreSQL and Python disagree about the second 02:30 of an autumn night.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import NamedTuple, TypeAlias

from waitctl.domain import clocks
from waitctl.domain.calendars import WEEKDAYS_ONLY, Calendar
from waitctl.domain.counts import number_of
from waitctl.domain.durations import Duration, Offset
from waitctl.domain.errors import InvalidWaitConfigurationError, InvalidWaitDateError, NoOpeningError
from waitctl.domain.hours import format_days
from waitctl.domain.instants import (
    OUTSIDE,
    Adjustment,
    Dst,
    check_zone,
    clock,
    format_instant,
    refuse_adjusted,
    show,
    show_day,
    to_zone,
    unless_final,
    wall,
)
from waitctl.domain.intents import FixedTime, Intent, Past, Roll, Rules, UntilDate, UntilTime
from waitctl.domain.months import DayOfMonth, ReachedMonth
from waitctl.domain.opening_rules import OpeningRules, show_days
from waitctl.domain.spreading import Spread
from waitctl.domain.values import dataclass


@dataclass(slots=True)
class Schedule:
    """A resolved intent: the instant (UTC), how it was read, and what moved it. The texts are made on demand."""

    at: datetime
    asked: Callable[[], str]
    moves: Sequence[object] = ()
    """What moved it, in order; each one's text says which rule and where to."""

    @property
    def explanation(self) -> tuple[str, ...]:
        """First what was asked and how it was read, then every rule that moved it, in order."""
        return (self.asked(), *map(str, self.moves))

    @property
    def before_spread(self) -> datetime:
        """The instant without the wait's own share of ``--spread``."""
        return self.at - sum((move.moved for move in self.moves if isinstance(move, Spread)), timedelta())


class CountedDays(NamedTuple):
    """Business days that were counted, and the days passed over meanwhile."""

    number: int
    calendar: str
    start: clocks.Date
    end: clocks.Date
    days: list[tuple[clocks.Date, str]]

    def __str__(self) -> str:
        skipped = f", skipping {show_days(self.days)}" if self.days else ""
        return (
            f"business days: {abs(self.number)} {'on' if self.number > 0 else 'back'} from {show_day(self.start)} "
            f"by {self.calendar} is {show_day(self.end)}{skipped}"
        )


class CountedOpen(NamedTuple):
    """Open time that was counted, in the wait's zone."""

    offset: Offset
    name: str
    start: clocks.ZonedDateTime
    end: clocks.ZonedDateTime

    def __str__(self) -> str:
        start, end = (f"{show_day(at.date())} {clock(at.time())}" for at in (self.start, self.end))
        way = "back" if self.offset.is_back else "on"
        return f"open time: {self.offset.duration} {way} from {start} by the {self.name} is {end}"


Reading: TypeAlias = "tuple[datetime | clocks.ZonedDateTime, clocks.PlainDateTime | None, Callable[[], str]]"
"""An intent as it was read: an instant before anything moves it, the wall clock that was meant, the words."""


class IntentResolver:
    """Resolves one intent under one set of rules, from any base; what it learns about days it keeps.

    ``calendar`` is what ``rules.calendar`` names. Raises `InvalidTimezoneError`.
    """

    def __init__(self, intent: Intent, zone: str, rules: Rules = Rules(), calendar: Calendar | None = None) -> None:
        self._zone = check_zone(zone)
        self._rejects = rules.dst is Dst.REJECT
        # A date is rejected as it was named, even one that a calendar would move.
        self._dst = rules.dst if isinstance(intent, UntilDate) else unless_final(rules.dst)
        self._calendar = calendar
        self._rules = rules
        self._date = intent if isinstance(intent, UntilDate) else None
        self._read: Callable[[datetime, list[object]], Reading]
        weekdays = None
        match intent:
            case FixedTime():
                self._read = partial(self._fixed_time, intent)
            case UntilDate():
                self._read = partial(self._until_date, intent)
            case UntilTime():
                self._read = partial(self._until_time, intent)
                weekdays = intent.days
        self.opening_rules = OpeningRules(zone, rules, calendar, weekdays)
        self._is_gated = bool(self.opening_rules)
        goes_back = isinstance(intent, UntilDate) and intent.is_before and intent.roll is Roll.BACK
        self._pass = self.opening_rules.pass_back if goes_back else self.opening_rules.pass_through

    def resolve(self, base: datetime, wait_id: str | None = None) -> Schedule:
        """Return the instant that the intent means, counted from ``base`` (aware), once it has passed every rule.

        With ``wait_id`` it is spread as the rules ask for, by that wait's share. Raises `InvalidWaitDateError` outside
        `YEARS`, `InvalidWaitTimeError` for what the DST rule rejects, `NoOpeningError` or `CalendarRangeError`.
        """
        schedule = self._resolve(base, gated=self._is_gated)
        if self._date is not None and self._date.past is Past.NEXT and min(schedule.at, self.delay(base).at) < base:
            schedule = self._next(schedule.asked, base)
        if self._date is not None and self._date.is_before:
            self._check_before(schedule.at, self._date)
        return schedule if wait_id is None else self.spread(schedule, wait_id)

    def spread(self, schedule: Schedule, wait_id: str, *, gated: bool = True) -> Schedule:
        """The same with its share of ``--spread`` added, before a date that it is before; see `OpeningRules.spread`."""
        if self._rules.spread is None or self._rules.spread.is_zero:
            return schedule
        before = self._date_itself(self._date.moment).to_instant() if self._date and self._date.is_before else None
        rules = self.opening_rules if gated else OpeningRules(self._zone, Rules())
        found = rules.spread(schedule.at, self._rules.spread.elapsed, wait_id, before and before.to_stdlib())
        return Schedule(schedule.at + found.moved, schedule.asked, [*schedule.moves, found])

    def delay(self, base: datetime) -> Schedule:
        """Return the instant that the intent means before weekends, holidays and windows move it; raises the same."""
        return self._resolve(base, gated=False)

    def _resolve(self, base: datetime, *, gated: bool) -> Schedule:
        moves: list[object] = []
        try:
            at, local, asked = self._read(base, moves)
            if gated:
                zoned = clocks.Instant(at).to_tz(self._zone) if isinstance(at, datetime) else at
                # Open time ends while it is open, or at closing time, which only a window of its own may hold back.
                counted = bool(moves) and isinstance(moves[-1], CountedOpen)
                at = (
                    zoned if counted and self.opening_rules.window_lets_pass(zoned) else self._pass(zoned, local, moves)
                )
            found = at if isinstance(at, datetime) else at.to_instant().to_stdlib()
        except (ValueError, OverflowError) as cause:
            raise InvalidWaitDateError(OUTSIDE) from cause
        except NoOpeningError as error:
            raise self.opening_rules.name_in(error) from error
        if self._rejects:
            refuse_adjusted(moves)
            if gated:
                self.opening_rules.refuse_guess(clocks.Instant(found).to_tz(self._zone))
        if not 1000 <= found.year < 9900:
            raise InvalidWaitDateError(OUTSIDE)
        return Schedule(found, asked, moves)

    def _fixed_time(self, intent: FixedTime, base: datetime, moves: list[object]) -> Reading:
        duration = intent.duration
        if duration.business_time:
            return (
                self._by_open_time(clocks.Instant(base), Offset(duration), moves),
                None,
                partial(self._say_open, intent, base),
            )
        by_date = intent.at is not None or not duration.is_elapsed or (self._calendar is not None and duration.days)
        if not by_date:
            return base + duration.elapsed, None, lambda: self._say_elapsed(duration, base)
        start = clocks.Instant(base).to_tz(self._zone)
        if intent.at is None and duration.days and not duration.months:
            local = start.to_plain().add(days=duration.days)  # what follows does the same in four steps
        else:
            local = self._shift(start.date(), duration, 1, moves, intent.on).at(intent.at or start.time())
        zoned = self._to_zone(local, moves, after=start)
        says = partial(self._say_by_date, intent, base)
        return (zoned.add(_exactly(duration.time)), None, says) if duration.time else (zoned, local, says)

    def _until_date(self, intent: UntilDate, _: datetime, moves: list[object]) -> Reading:
        moment, offset = intent.moment, intent.offset
        says = partial(self._say_date, intent)
        if offset is None and intent.on is None:
            if isinstance(moment, datetime):
                return moment.astimezone(UTC), None, says
            return self._to_zone(moment, moves), moment, says
        if offset is not None and offset.duration.business_time:
            start = self._date_itself(moment).to_instant()
            return self._by_open_time(start, offset, moves), None, says
        return self._offset_date(moment, offset or Offset(Duration()), intent.on, says, moves)

    def _offset_date(
        self,
        moment: datetime | clocks.PlainDateTime,
        offset: Offset,
        on: DayOfMonth | None,
        says: Callable[[], str],
        moves: list[object],
    ) -> Reading:
        """So many days by the clocks of the zone before or after a date, and so many hours by the watch."""
        duration, hours = offset.duration, _exactly(offset.sign * offset.duration.time)
        if isinstance(moment, datetime):
            zoned = clocks.Instant(moment).to_tz(self._zone)
            if duration.is_elapsed and not duration.days and on is None:
                return zoned.add(hours), None, says
            moment = zoned.to_plain()
        local = self._shift(moment.date(), duration, offset.sign, moves, on).at(moment.time())
        zoned = self._to_zone(local, moves)
        if (
            offset.is_back
            and moves
            and isinstance(moves[-1], Adjustment)
            and zoned.add(hours) >= self._date_itself(moment)
        ):
            # The day before may be left out altogether (Apia): read forwards it would be the date itself.
            zoned, moves[-1] = to_zone(local, self._zone, Dst.EARLIER)
        return (zoned.add(hours), None, says) if duration.time else (zoned, local, says)

    def _date_itself(self, moment: datetime | clocks.PlainDateTime) -> clocks.ZonedDateTime:
        """The date itself, that others are before or after."""
        return (
            to_zone(moment, self._zone)[0]
            if isinstance(moment, clocks.PlainDateTime)
            else clocks.Instant(moment).to_tz(self._zone)
        )

    def _check_before(self, at: datetime, intent: UntilDate) -> None:
        date = self._date_itself(intent.moment)
        if clocks.Instant(at) >= date:
            raise InvalidWaitDateError(
                f"{intent.offset} leads to {show(at, self._zone)}, which is not before {wall(date.to_plain())}",
                hint="--roll back takes the latest opening before the date",
            )

    def _next(self, asked: Callable[[], str], base: datetime) -> Schedule:
        """What follows a date that has passed: the next opening, or its time of day on the next day that passes."""
        passed = self._resolve(base, gated=False)
        said = f"past: {show(passed.at, self._zone)} has passed; the next opening counts"
        if self.opening_rules.have_windows:
            at, moves = self.opening_rules.next_opening(base)
            return Schedule(at, asked, [said, *moves])
        last = passed.moves[-1] if passed.moves else None
        local = last.asked if isinstance(last, Adjustment) else clocks.Instant(passed.at).to_tz(self._zone).to_plain()
        following = IntentResolver(UntilTime(local.time()), self._zone, self._rules, self._calendar).resolve(base)
        said = f"past: {show(passed.at, self._zone)} has passed; the next day at {clock(local.time())} counts"
        return Schedule(following.at, asked, [said, *following.moves])

    def _until_time(self, intent: UntilTime, base: datetime, moves: list[object]) -> Reading:
        start = clocks.Instant(base)
        today = start.to_tz(self._zone).date()
        # From yesterday on, since clocks that go back past midnight show it again; a zone that skips a whole day
        # (Apia, 2011-12-30) needs one more than two.
        for days in range(-1, 4):
            local = today.add(days=days).at(intent.time)
            zoned, adjusted = to_zone(local, self._zone, self._dst)
            if zoned > start and (days >= 0 or (adjusted is not None and adjusted.kind == "fold")):
                if adjusted:
                    moves.append(adjusted)
                return zoned, local, lambda: self._say_time(intent, base)
        raise AssertionError(f"no {intent.time} within four days of {base} in {self._zone}")

    def _shift(
        self, start: clocks.Date, duration: Duration, sign: int, moves: list[object], on: DayOfMonth | None = None
    ) -> clocks.Date:
        """Months first, the day kept or the month's last one taken, then days, then the day to take of that month."""
        if duration.business_days:
            calendar = self._calendar or WEEKDAYS_ONLY
            count = sign * duration.business_days
            end, skipped = calendar.add_business_days(start, count)
            moves.append(CountedDays(count, calendar.name, start, end, skipped))
        elif duration.months:
            reached = start.add(months=sign * duration.months)
            if on is None and reached.day != start.day:
                moves.append(ReachedMonth(start, reached, None))
            end = reached.add(days=sign * duration.days)
        else:
            end = start.add(days=sign * duration.days)
        if on is None:
            return end
        day = on.of(end, self._calendar)
        moves.append(ReachedMonth(start, day, on))
        return day

    def _by_open_time(self, start: clocks.Instant, offset: Offset, moves: list[object]) -> clocks.ZonedDateTime:
        """So much open time after ``start``, or before it."""
        counted = self.opening_rules.counted_by
        if counted is None:
            raise InvalidWaitConfigurationError(
                f"{offset.duration} counts open time, and nothing says when it is open",
                hint="name a --calendar that has hours, or a --window 'mon-fri 09:00-17:00'",
            )
        name, gate = counted
        span = _exactly(offset.duration.business_time)
        end = gate.move_by_open_time(start, span, back=offset.is_back).to_tz(self._zone)
        moves.append(CountedOpen(offset, name, start.to_tz(self._zone), end))
        return end

    def _to_zone(
        self, local: clocks.PlainDateTime, moves: list[object], *, after: clocks.ZonedDateTime | None = None
    ) -> clocks.ZonedDateTime:
        zoned, adjusted = to_zone(local, self._zone, self._dst)
        if adjusted is not None and after is not None and zoned <= after:
            # A gap of a whole day (Apia) read backwards would lie before the start.
            zoned, adjusted = to_zone(local, self._zone, Dst.LATER)
        if adjusted is not None:
            moves.append(adjusted)
        return zoned

    # -- in words --------------------------------------------------------------------------------------------------

    def _say_elapsed(self, duration: Duration, base: datetime) -> str:
        return f"fixed-time {duration}: {Duration(0, duration.elapsed)} of elapsed time after {show(base, self._zone)}"

    def _say_open(self, intent: FixedTime, base: datetime) -> str:
        return f"fixed-time {intent.duration}: that much open time after {show(base, self._zone)}"

    def _say_by_date(self, intent: FixedTime, base: datetime) -> str:
        duration = intent.duration
        months = [number_of(duration.months, "calendar month")] if duration.months else []
        kind = "business" if duration.business_days else "calendar"
        count = duration.business_days or duration.days
        days = " and ".join([*months, *([number_of(count, f"{kind} day")] if count or not months else [])])
        rest = f" and {Duration(0, duration.time)} of elapsed time" if duration.time else ""
        when = f"at {clock(intent.at)}" if intent.at else "at the same wall clock"
        asked = f"fixed-time {duration}" + (f" --on '{intent.on}'" if intent.on else "")
        asked += f" --at {clock(intent.at)}" if intent.at else ""
        day = f", on {intent.on.words} of that month" if intent.on else ""
        return f"{asked}: {days}{rest} after {show(base, self._zone)}{day}, {when}"

    def _say_date(self, intent: UntilDate) -> str:
        if isinstance(intent.moment, datetime):
            asked = f"until-date {intent.moment.isoformat(' ')}: the instant {format_instant(intent.moment)}"
        else:
            asked = f"until-date {wall(intent.moment)}: that local time in {self._zone}"
        if intent.field is not None:
            asked += f", read from {intent.field} of the context"
            asked += f" as {intent.field_format}" if intent.field_format else ""
        day = f", and of that month {intent.on.words}" if intent.on else ""
        if intent.offset is None:
            return asked + day
        where = f", days by the clocks of {self._zone}" if intent.offset.duration.days else ""
        if intent.offset.duration.is_zero:
            return f"{asked}; the date itself{day}"
        return f"{asked}; {intent.offset.duration} {'before' if intent.offset.is_back else 'after'} it{where}{day}"

    def _say_time(self, intent: UntilTime, base: datetime) -> str:
        days = f" on {format_days(intent.days)}" if intent.days else ""
        return f"until-time {intent.time}: the next {intent.time}{days} in {self._zone} after {show(base, self._zone)}"


def _exactly(span: timedelta) -> clocks.TimeDelta:
    return clocks.TimeDelta(microseconds=span // timedelta(microseconds=1))


def resolve(
    intent: Intent, *, base: datetime, zone: str, rules: Rules = Rules(), calendar: Calendar | None = None
) -> Schedule:
    """Return the instant that ``intent`` means, counted from ``base`` (aware) in ``zone``: see `IntentResolver`."""
    return IntentResolver(intent, zone, rules, calendar).resolve(base)
