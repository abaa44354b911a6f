"""Weekly opening intervals: what a window and a calendar's opening hours are made of.

Intervals are half-open, ``[start, end)``, several a day; one whose end is not after its start runs past midnight and
belongs to the day it opens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TypeAlias

from waitctl.domain import clocks
from waitctl.domain.errors import InvalidWaitConfigurationError, NoOpeningError
from waitctl.domain.instants import Adjustment, Dst, to_zone, unless_final
from waitctl.domain.patterns import pattern
from waitctl.domain.values import dataclass

WEEKDAY_NAMES = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
WEEKDAYS = tuple(name[:3] for name in WEEKDAY_NAMES)
MAX_STEPS = 400
"""How far an opening is looked for: days, or rounds through all rules. Past a year nothing new comes."""

_MOST_DAYS = 3660
DAY = 24 * 60
_WEEK = 7 * DAY
_EXAMPLE = "write it as 'mon-fri 09:00-12:00,13:00-17:00' or '22:00-06:00'; parts are joined by ';'"
_SPAN = pattern(r"([0-9]{1,2}):([0-9]{2})-([0-9]{1,2}):([0-9]{2})")

Interval = tuple[int, int]
"""Start and end in minutes after the midnight of the day that it belongs to; the end may lie on the next day."""


def parse_days(text: str) -> frozenset[int]:
    """Parse ``mon-fri`` or ``sat,sun,wed`` to ISO weekdays (1 is Monday); ``fri-mon`` wraps.

    Raises `InvalidWaitConfigurationError`.
    """
    days: set[int] = set()
    for part in text.lower().split(","):
        named = [_weekday(name.strip()) for name in part.split("-")]
        if None in named or len(named) > 2:
            raise InvalidWaitConfigurationError(f"{text!r} names no weekdays", hint="write mon-fri, or sat,sun")
        first, last = named[0] or 0, named[-1] or 0
        days |= {(first - 1 + step) % 7 + 1 for step in range((last - first) % 7 + 1)}
    return frozenset(days)


def _weekday(name: str) -> int | None:
    """The ISO weekday of its name, whole or cut down to three letters."""
    found = [day for day, whole in enumerate(WEEKDAY_NAMES, 1) if len(name) >= 3 and whole.startswith(name)]
    return found[0] if found else None


def format_days(days: frozenset[int]) -> str:
    """Write weekdays so that `parse_days` reads the same back: ``mon-fri``, ``sat,sun``, ``fri-mon``."""
    if len(days) == 7:
        return "mon-sun"
    runs: list[list[int]] = []
    for day in sorted(days):
        if runs and runs[-1][-1] == day - 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    if len(runs) > 1 and runs[0][0] == 1 and runs[-1][-1] == 7 and len(runs[0]) + len(runs[-1]) > 2:
        runs = [*runs[1:-1], runs[-1] + runs[0]]
    return ",".join(_run(run) for run in runs)


def _run(run: Sequence[int]) -> str:
    first, last = WEEKDAYS[run[0] - 1], WEEKDAYS[run[-1] - 1]
    if len(run) < 3:
        return ",".join(WEEKDAYS[day - 1] for day in run)
    return f"{first}-{last}"


@dataclass(frozen=True)
class OpeningHours:
    """When something is open, week by week. Make it with `parse_hours`."""

    intervals: Mapping[int, tuple[Interval, ...]]
    """By ISO weekday, in order; days without any are left out."""

    def __str__(self) -> str:
        return format_hours(self)

    @property
    def days(self) -> frozenset[int]:
        """The weekdays on which it opens."""
        return frozenset(self.intervals)

    @cached_property
    def runs_past_midnight(self) -> bool:
        """Whether any interval ends on the day after it opened."""
        return any(end > DAY for spans in self.intervals.values() for _, end in spans)


def parse_hours(text: str, what: str = "the window") -> OpeningHours:
    """Parse ``mon-fri 09:00-12:00,13:00-17:00; sat 10:00-14:00``. Days alone are whole days, hours alone every day.

    Raises `InvalidWaitConfigurationError` for what cannot be read, for empty and for overlapping intervals.
    """
    intervals: dict[int, list[Interval]] = {}
    for part in re.sub(r";\s*$", "", text).split(";"):
        days, spans = _read_part(part.strip(), text, what)
        for day in days:
            intervals.setdefault(day, []).extend(spans)
    hours = OpeningHours({day: tuple(sorted(intervals[day])) for day in sorted(intervals)})
    _check_overlaps(hours, text, what)
    return hours


def _read_part(part: str, text: str, what: str) -> tuple[frozenset[int], list[Interval]]:
    words = re.sub(r"\s*([,-])\s*", r"\1", part).split()
    timed = [word for word in words if word[:1].isdigit()]
    named = [word for word in words if not word[:1].isdigit()]
    if not words or len(timed) > 1 or len(named) > 1 or (timed and words[-1] != timed[0]):
        raise InvalidWaitConfigurationError(f"{what} {text!r} cannot be read", hint=_EXAMPLE)
    days = parse_days(named[0]) if named else frozenset(range(1, 8))
    spans = [_read_span(span, text, what) for span in timed[0].split(",")] if timed else [(0, DAY)]
    return days, spans


def _read_span(span: str, text: str, what: str) -> Interval:
    matched = _SPAN.fullmatch(span)
    if not matched:
        raise InvalidWaitConfigurationError(f"{what} {text!r} cannot be read: {span!r}", hint=_EXAMPLE)
    hour, minute, end_hour, end_minute = map(int, matched.groups())
    start, end = hour * 60 + minute, end_hour * 60 + end_minute
    if max(minute, end_minute) > 59 or start >= DAY or end > DAY:
        raise InvalidWaitConfigurationError(f"{what} {text!r}: {span!r} is no time of day", hint=_EXAMPLE)
    if start == end:
        raise InvalidWaitConfigurationError(f"{what} {text!r}: {span!r} is empty", hint="a whole day is 00:00-24:00")
    return start, end if end > start else end + DAY


def _check_overlaps(hours: OpeningHours, text: str, what: str) -> None:
    week = sorted(
        ((day - 1) * DAY + start, (day - 1) * DAY + end)
        for day, spans in hours.intervals.items()
        for start, end in spans
    )
    first = (week[0][0] + _WEEK, week[0][1] + _WEEK)
    for (_, end), (start, _) in pairwise([*week, first]):
        if start < end:
            at = f"{WEEKDAYS[start // DAY % 7]} {_clock(start % DAY)}"
            raise InvalidWaitConfigurationError(f"{what} {text!r}: intervals overlap at {at}")


def format_hours(hours: OpeningHours) -> str:
    """Write hours so that `parse_hours` reads the same back."""
    days_of: dict[tuple[Interval, ...], set[int]] = {}
    for day, spans in hours.intervals.items():
        days_of.setdefault(spans, set()).add(day)
    parts = []
    for spans, days in days_of.items():
        clocks = ",".join(f"{_clock(start)}-{_clock(end if end <= DAY else end - DAY)}" for start, end in spans)
        parts.append(clocks if len(days) == 7 else f"{format_days(frozenset(days))} {clocks}")
    return "; ".join(parts)


def _clock(minutes: int) -> str:
    return f"{minutes // 60:02}:{minutes % 60:02}"


Pieces: TypeAlias = "tuple[tuple[clocks.Instant, clocks.Instant], ...]"
"""Half-open stretches of time."""


def all_but(quiet: OpeningHours) -> OpeningHours:
    """When it is not quiet, week by week: no interval is longer than a day.

    Raises `InvalidWaitConfigurationError` when it always is.
    """
    minutes = sorted(
        ((day - 1) * DAY + start, (day - 1) * DAY + end)
        for day, spans in quiet.intervals.items()
        for start, end in spans
    )
    intervals: dict[int, list[Interval]] = {}
    for (_, ends), (closes, _) in zip(minutes, [*minutes[1:], (minutes[0][0] + _WEEK, 0)], strict=True):
        opens = ends
        while opens < closes:
            day, start = divmod(opens, DAY)
            until = min(closes - day * DAY, start + DAY)
            intervals.setdefault(day % 7 + 1, []).append((start, until))
            opens = day * DAY + until
    if not intervals:
        raise InvalidWaitConfigurationError(f"the quiet hours {quiet} leave no time at all")
    return OpeningHours({day: tuple(sorted(intervals[day])) for day in sorted(intervals)})


class Gate:
    """Opening hours in a zone: lets an instant pass, or holds it back until the next opening.

    ``opens_on`` says on which dates the hours hold at all, and ``special`` which they are where a date may have its
    own. The openings of a day are worked out once, with the clocks' gaps and folds; after that an instant costs a
    look-up. ``adjusted`` tells which openings start at a local time that the clocks skip or repeat. With
    ``shown_only`` no gap moves an opening: it is open at nothing that clocks do not show, as quiet hours demand.
    """

    def __init__(
        self,
        hours: OpeningHours,
        zone: str,
        dst: Dst = Dst.COMPATIBLE,
        opens_on: Callable[[clocks.Date], bool] = lambda _: True,
        special: Callable[[clocks.Date], tuple[Interval, ...]] | None = None,
        *,
        shown_only: bool = False,
    ) -> None:
        self.hours = hours
        self.zone = zone
        self.adjusted: dict[clocks.Instant, Adjustment] = {}
        self._dst = unless_final(dst)
        self._opens_on = opens_on
        self._special = special
        self._shown_only = shown_only
        self._from_yesterday = hours.runs_past_midnight or special is not None
        self._days: dict[clocks.Date, Pieces] = {}
        self._merged: dict[clocks.Date, Pieces] = {}

    def pass_through(self, at: clocks.ZonedDateTime) -> clocks.Instant | None:
        """Return ``None`` when it is open at ``at`` (in this gate's zone), else the next opening.

        Raises `NoOpeningError` when there is none within 400 days.
        """
        date = at.date()
        days = self._days
        for _ in range(MAX_STEPS):
            openings = days.get(date)
            if openings is None:
                openings = self._openings_of(date)
            for opens, closes in openings:
                if at < closes:
                    return opens if at < opens else None
            date = date.next_day()
        raise NoOpeningError(f"{self.hours} in {self.zone} does not open within {MAX_STEPS} days of {at.date()}")

    def is_open(self, at: clocks.ZonedDateTime) -> bool:
        """Whether it is open at ``at``, which is in this gate's zone."""
        date = at.date()
        return any(opens <= at < closes for opens, closes in self._days.get(date) or self._openings_of(date))

    def guess_at(self, at: clocks.ZonedDateTime) -> Adjustment | None:
        """The start in a gap that alone has it open at ``at``, in this gate's zone, though clocks show another time."""
        if self.holds(at.to_plain()):
            return None
        openings = self._days.get(at.date()) or self._openings_of(at.date())
        return next(
            (self.adjusted[opens] for opens, closes in openings if opens <= at < closes and opens in self.adjusted),
            None,
        )

    def starts(self, since: clocks.Instant, until: clocks.Instant) -> Iterator[clocks.Instant]:
        """The starts of its intervals after ``since`` and up to ``until``, in no order."""
        date, last = since.to_tz(self.zone).date().prev_day(), until.to_tz(self.zone).date().next_day()
        while date <= last:
            for span in self._spans(date):
                pieces = self._pieces(date, span)
                if pieces and since < pieces[0][0] <= until:
                    yield pieces[0][0]
            date = date.next_day()

    def holds(self, local: clocks.PlainDateTime) -> bool:
        """Whether it would be open at ``local`` if the clocks of this gate's zone showed that time."""
        minute = local.hour * 60 + local.minute
        for date, past in ((local.date(), minute), (local.date().prev_day(), minute + DAY)):
            if any(start <= past < end for start, end in self._spans(date)):
                return True
        return False

    def closes_at(self, at: clocks.ZonedDateTime) -> clocks.Instant | None:
        """When what is open at ``at`` closes; ``None`` when it is closed, or stays open for 400 days."""
        date = at.date().prev_day() if self._from_yesterday else at.date()
        until = None
        for _ in range(MAX_STEPS):
            if (until.to_tz(self.zone) if until else at).date() < date:
                return until
            for opens, closes in self._openings_of(date):
                if opens <= (until or at) < closes:
                    until = closes
            date = date.next_day()
        return None

    def closes_before(self, at: clocks.Instant, limit: clocks.Instant) -> clocks.Instant | None:
        """When what is open at ``at`` closes, or ``limit`` if it is still open then; ``None`` when it is closed."""
        date, until = at.to_tz(self.zone).date().prev_day(), at
        for _ in range(MAX_STEPS):
            for opens, closes in self._open_on(date):
                if opens <= until < closes:
                    until = closes
            date = date.next_day()
            if until >= limit or _midnight(date, self.zone) > until:
                break
        return None if until == at else min(until, limit)

    def move_by_open_time(self, at: clocks.Instant, span: clocks.TimeDelta, *, back: bool = False) -> clocks.Instant:
        """When it will have been open for ``span`` since ``at``, or, ``back``, since when it was until ``at``.

        Raises `NoOpeningError` when it does not open for 400 days, or that takes more than ten years.
        """
        date = at.to_tz(self.zone).date().add(days=1 if back else -1)
        left, idle = span, 0
        for _ in range(_MOST_DAYS):
            pieces, idle = self._open_on(date), idle + 1
            for opens, closes in reversed(pieces) if back else pieces:
                first, last = (opens, min(closes, at)) if back else (max(opens, at), closes)
                if first >= last:
                    continue
                length, idle = last - first, 0
                if left <= length:
                    return last - left if back else first + left
                left -= length
            if idle > MAX_STEPS:
                raise NoOpeningError(f"{self.hours} in {self.zone} does not open within {MAX_STEPS} days of {date}")
            date = date.add(days=-1 if back else 1)
        raise NoOpeningError(f"{self.hours} in {self.zone} is not open for so long within ten years of {at}")

    def _open_on(self, date: clocks.Date) -> Pieces:
        """What is open between the midnights that ``date`` lies between, in order and without overlaps."""
        found = self._merged.get(date)
        if found is None:
            if len(self._merged) > 4096:
                self._merged.clear()
            start, end = (_midnight(day, self.zone) for day in (date, date.next_day()))
            pieces = list[tuple[clocks.Instant, clocks.Instant]]()
            for opens, closes in self._days.get(date) or self._openings_of(date):
                first, last = max(opens, start), min(closes, end)
                if first >= last:
                    continue
                if pieces and first <= pieces[-1][1]:
                    first, last = pieces[-1][0], max(pieces.pop()[1], last)
                pieces.append((first, last))
            found = self._merged[date] = tuple(pieces)
        return found

    def _openings_of(self, date: clocks.Date) -> Pieces:
        """The openings to go through on ``date``, in order: its own, and its neighbours' that reach into it.

        Around a change of the clocks any neighbour may: a gap moves openings to another day, and clocks that go back
        past midnight show the day before once more, in the middle of the next.
        """
        if len(self._days) > 4096:
            self._days.clear()
        if self._changes_around(date):
            days = [date.add(days=past) for past in range(-2, 2)]
        else:
            days = [date.prev_day(), date] if self._from_yesterday else [date]
        found = self._days[date] = tuple(sorted(piece for day in days for piece in self._belonging_to(day)))
        return found

    def _changes_around(self, date: clocks.Date) -> bool:
        since, until = (
            date.add(days=days).at(clocks.Time()).assume_tz(self.zone, disambiguation="compatible") for days in (-2, 2)
        )
        change = since.next_transition()
        return change is not None and change <= until

    def _belonging_to(self, date: clocks.Date) -> list[tuple[clocks.Instant, clocks.Instant]]:
        return [piece for span in self._spans(date) for piece in self._pieces(date, span)]

    def _spans(self, date: clocks.Date) -> tuple[Interval, ...]:
        if self._special is not None:
            return self._special(date) if self._opens_on(date) else ()
        spans = self.hours.intervals.get(date.day_of_week().value, ())
        return spans if spans and self._opens_on(date) else ()

    def _pieces(self, date: clocks.Date, span: Interval) -> list[tuple[clocks.Instant, clocks.Instant]]:
        """The instants at which clocks show a time within ``span``: one piece, or several around a change.

        A start that the clocks skip or repeat is read as any local time is, by the DST rule.
        """
        start, end = (_local(date, minutes) for minutes in span)
        opens, adjustment = to_zone(start, self.zone, self._dst)
        if adjustment is not None and adjustment.kind == "gap" and not self._shown_only:
            first = opens.to_instant()
            self.adjusted[first] = adjustment
            closes = to_zone(end, self.zone, self._dst)[0].to_instant()
            # What would be over before it opens moves as a whole: it opens all the same, on the day that was meant.
            return [(first, closes if closes > first else first + _between(start, end))]
        last = end.assume_tz(self.zone, disambiguation="later")
        at = start.assume_tz(self.zone, disambiguation="earlier")
        pieces = []
        while at < last:
            change = at.next_transition()
            until = last if change is None or change > last else change
            clock = at.to_plain()
            begins = max(at.add(_between(clock, start)), at, opens)
            past = min(at.add(_between(clock, end)), until)
            if begins < past:
                pieces.append((begins.to_instant(), past.to_instant()))
            at = until
        if adjustment is not None and pieces and pieces[0][0] == opens.to_instant():
            self.adjusted[pieces[0][0]] = adjustment
        return pieces


def _local(date: clocks.Date, minutes: int) -> clocks.PlainDateTime:
    days, minute = divmod(minutes, DAY)
    return date.add(days=days).at(clocks.Time(*divmod(minute, 60)))


def _midnight(day: clocks.Date, zone: str) -> clocks.Instant:
    return day.at(clocks.Time()).assume_tz(zone, disambiguation="compatible").to_instant()


def _between(one: clocks.PlainDateTime, other: clocks.PlainDateTime) -> clocks.TimeDelta:
    """What clocks run through from one reading to the other, without a change."""
    return other.assume_utc() - one.assume_utc()
