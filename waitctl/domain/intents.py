"""What a wait for an instant was asked for: the intent, and the rules that the instant must obey.

An *intent* is what the caller meant (``3d``, ``2026-12-24 18:00``, ``09:00``). `wait_config` keeps both as they were
asked, so that they can be resolved again when zones or holidays change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from waitctl.domain import clocks
from waitctl.domain.contacts import value_under
from waitctl.domain.durations import Duration, Offset, as_duration, parse_duration, parse_offset
from waitctl.domain.errors import (
    InvalidWaitConfigurationError,
    InvalidWaitDateError,
    InvalidWaitDurationError,
    InvalidWaitTimeError,
)
from waitctl.domain.hours import OpeningHours, format_days, parse_days, parse_hours
from waitctl.domain.instants import Dst, clock, format_instant, parse_formatted, parse_moment
from waitctl.domain.late import Late
from waitctl.domain.months import DayOfMonth, parse_day_of_month
from waitctl.domain.patterns import pattern
from waitctl.domain.text import JsonObject, check_text
from waitctl.domain.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class FixedTime:
    """Go on when this much time has passed; with ``at``, so many days on at that time of day.

    ``on`` is the day in the month that so many months lead to.
    """

    duration: Duration
    at: clocks.Time | None = None
    on: DayOfMonth | None = None

    def __post_init__(self) -> None:
        if self.on is not None and (not self.duration.months or self.duration.days):
            minutes = self.duration.months == 0 and self.duration.time
            raise InvalidWaitConfigurationError(
                f"{self.duration} --on '{self.on}': a day of the month goes with whole months",
                hint=("m is minutes and mo months: " if minutes else "") + f"write 1mo --on '{self.on}'",
            )
        if self.at is not None and (self.duration.time or self.duration.business_time):
            raise InvalidWaitConfigurationError(
                f"{self.duration} --at {clock(self.at)}: only whole days go with a time of day",
                hint="write 3d --at 09:00, or leave --at out",
            )
        if self.at is not None and self.duration.is_zero:
            raise InvalidWaitConfigurationError(
                f"{self.duration} --at {clock(self.at)}: no days and a time of day",
                hint=f"until-time {clock(self.at)} is the next such time",
            )

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it."""
        config: JsonObject = {"duration": str(self.duration)}
        if self.at is not None:
            config["at"] = self.at.format_iso()
        return config if self.on is None else config | {"on": str(self.on)}


class Past(StrEnum):
    """What becomes of a date that has passed."""

    REJECT = "reject"
    """An error."""
    FIRE = "fire"
    """It is due at once."""
    NEXT = "next"
    """The next opening of its window or hours; without any, the next day that passes, at its time of day."""


class Roll(StrEnum):
    """Where an instant before a date goes that calendar or window do not let pass."""

    BACK = "back"
    """To the latest opening before it."""
    FORWARD = "forward"
    """To the next opening, if that is still before the date."""


@dataclass(frozen=True, slots=True)
class UntilDate:
    """Go on at this instant, or at this local time in the wait's zone; ``offset`` before or after it.

    ``field`` is where in the context the date was read, ``field_format`` how, and ``on`` the day to take of the
    month that it leads to.
    """

    moment: datetime | clocks.PlainDateTime
    offset: Offset | None = None
    field: str | None = None
    roll: Roll = Roll.BACK
    past: Past = Past.REJECT
    on: DayOfMonth | None = None
    field_format: str | None = None

    @property
    def is_before(self) -> bool:
        """Whether it is meant to be before the date."""
        return self.offset is not None and self.offset.is_back

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it."""
        moment = self.moment
        config: JsonObject = {"date": format_instant(moment) if isinstance(moment, datetime) else moment.format_iso()}
        if self.offset is not None:
            config["offset"] = str(self.offset)
        if self.field is not None:
            config["field"] = self.field
        if self.field_format is not None:
            config["field_format"] = self.field_format
        if self.on is not None:
            config["on"] = str(self.on)
        if self.is_before and self.roll is Roll.FORWARD:
            config["roll"] = self.roll.value
        return config


@dataclass(frozen=True, slots=True)
class UntilTime:
    """Go on the next time that clocks in the wait's zone show this time of day, on one of these ISO weekdays."""

    time: clocks.Time
    days: frozenset[int] | None = None

    def to_config(self) -> JsonObject:
        """The intent as `wait_config` keeps it."""
        return {"time": self.time.format_iso()} | ({"days": format_days(self.days)} if self.days else {})


Intent = FixedTime | UntilDate | UntilTime


MAX_SPREAD = timedelta(days=7)
"""A herd may be spread over so much."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What an instant must obey, as it was asked for. ``calendar`` is a name; the wait's zone stands beside.

    ``late`` left out means next-window with a window, else fire; past ``max_late`` a wait is skipped. ``spread`` is
    a span over which the waits for one instant are spread, ``quiet`` hours at which nothing goes on.
    """

    dst: Dst = Dst.COMPATIBLE
    calendar: str | None = None
    window: OpeningHours | None = None
    late: Late | None = None
    max_late: Duration | None = None
    spread: Duration | None = None
    quiet: OpeningHours | None = None

    @property
    def are_gated(self) -> bool:
        """Whether a calendar, a window or quiet hours may hold an instant back."""
        return self.window is not None or self.calendar is not None or self.quiet is not None

    def __post_init__(self) -> None:
        """Take what Python programs have: a `timedelta`, and texts as the options read them."""
        for name, kind, read in _READ_AS:
            given = getattr(self, name)
            if not isinstance(given, kind) and (given is not None or name == "dst"):
                object.__setattr__(self, name, read(given))

    def checked(self) -> Rules:
        """Return these rules when they go together. Raises `InvalidWaitConfigurationError`."""
        if self.late is Late.NEXT_WINDOW and not self.are_gated:
            raise InvalidWaitConfigurationError("--late next-window needs a --window or a --calendar")
        if self.late is Late.FIRE and self.max_late is not None:
            raise InvalidWaitConfigurationError("--late fire always fires: it takes no --max-late")
        if self.spread is not None and self.spread.elapsed > MAX_SPREAD:
            raise InvalidWaitConfigurationError(f"--spread {self.spread} is more than a week")
        return self

    def to_config(self) -> JsonObject:
        """The rules as `wait_config` keeps them: only those that were asked for."""
        config: JsonObject = {} if self.dst is Dst.COMPATIBLE else {"dst": self.dst.value}
        asked = {
            "calendar": self.calendar,
            "window": self.window and str(self.window),
            "quiet": self.quiet and str(self.quiet),
            "late": self.late and self.late.value,
            "max_late": None if self.max_late is None else str(self.max_late),
            "spread": None if not self.spread or self.spread.is_zero else str(self.spread),
        }
        return config | {key: value for key, value in asked.items() if value is not None}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Rules:
        """Read them back from `wait_config`, with the window that `rescheduled` put in; see `reading_config`."""
        with reading_config():
            window = (config.get("rescheduled") or {}).get("window", config.get("window"))
            return cls(
                dst=Dst(config.get("dst", Dst.COMPATIBLE)),
                calendar=config.get("calendar"),
                window=parse_hours(window) if window else None,
                quiet=parse_hours(config["quiet"]) if config.get("quiet") else None,
                late=Late(config["late"]) if config.get("late") else None,
                max_late=parse_duration(config["max_late"], zero=True) if config.get("max_late") else None,
                spread=parse_duration(config["spread"]) if config.get("spread") else None,
            )


_READ_AS: tuple[tuple[str, type, Callable[[Any], object]], ...] = (
    ("calendar", str, lambda given: check_text(given, "the calendar")),
    ("dst", Dst, lambda text: one_of(Dst, text)),
    ("late", Late, lambda text: one_of(Late, text)),
    ("window", OpeningHours, lambda text: _hours(text, "the window")),
    ("quiet", OpeningHours, lambda text: _hours(text, "the quiet hours")),
    ("max_late", Duration, as_duration),
    ("spread", Duration, as_duration),
)


def _hours(text: object, what: str) -> OpeningHours:
    if not isinstance(text, str):
        raise InvalidWaitConfigurationError(f"{what} {text!r:.80} is no text", hint="mon-fri 09:00-17:00")
    return parse_hours(text, what)


@contextmanager
def reading_config() -> Iterator[None]:
    """Raises `InvalidWaitConfigurationError` for a `wait_config` that waitctl did not write: rows may be anybody's."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InvalidWaitConfigurationError(
            "what was asked for cannot be read from the wait's row", hint="something else has written its wait_config"
        ) from error


def rescheduled(config: JsonObject, **changes: datetime | str) -> JsonObject:
    """`wait_config` with what came after it was asked for.

    That is ``at`` or a ``deadline``, as `parse_until_date` reads them; another ``window`` (``""``: none); and
    ``since``, the instant that a time of day is counted from instead of the creation.

    What was asked stays as it was, so that the same create finds its wait.
    """
    texts = {name: format_instant(value) if isinstance(value, datetime) else value for name, value in changes.items()}
    return config | {"rescheduled": (config.get("rescheduled") or {}) | texts}


FIRST_DUE_AT = "first_due_at"
"""Where `wait_config` keeps when a wait was due that the late policy moved: from then on it is late."""


def moved_when_late(config: JsonObject, *, due_at: datetime, to: datetime) -> JsonObject:
    """`wait_config` of a wait that was due at ``due_at``, that nobody ended in time, and that goes on at ``to``."""
    return {FIRST_DUE_AT: format_instant(due_at), **rescheduled(config, at=to)}


def set_by_hand(config: JsonObject, **changes: datetime | str) -> JsonObject:
    """The same as `rescheduled`, by somebody: what it was due at before does not count any more."""
    return rescheduled({key: value for key, value in config.items() if key != FIRST_DUE_AT}, **changes)


_Choice = TypeVar("_Choice", bound=StrEnum)

_TIME_OF_DAY = pattern(r"([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2}))?)?")


def parse_fixed_time(text: str, at: str | None = None, on: str | None = None, *, zero: bool = False) -> FixedTime:
    """Parse the DURATION of a fixed-time wait, ``--at`` and ``--on``; ``zero``, where something opens, is now or then.

    Raises `InvalidWaitDurationError`, `InvalidWaitTimeError`, or `InvalidWaitConfigurationError` for ``2h`` at a time.
    """
    duration = parse_duration(text, business=True, zero=True)
    if duration.is_zero and not zero:
        hint = "with a --window, or a --calendar that has hours, it is now or the next opening"
        raise InvalidWaitDurationError(f"a duration is more than zero: {text!r}", hint=hint)
    return FixedTime(
        duration,
        None if at is None else parse_time_of_day(at),
        None if on is None else parse_day_of_month(on),
    )


def parse_until_date(
    date: str | float | Decimal,
    offset: str | None = None,
    field: str | None = None,
    *,
    roll: str = Roll.BACK,
    past: str = Past.REJECT,
    on: str | None = None,
    field_format: str | None = None,
) -> UntilDate:
    """Parse RFC 3339 or a local ``2026-12-24 18:00``; a date alone means 00:00.

    What was found in a ``field`` may be seconds or milliseconds since 1970, or is written as ``field_format`` has it,
    as in ``DD.MM.YYYY``. Raises `InvalidWaitDateError`,
    `InvalidWaitDurationError` for the offset, or `InvalidWaitConfigurationError`.
    """
    distance = None if offset is None else parse_offset(offset, zero=True)
    if field_format is not None and field is None:
        raise InvalidWaitConfigurationError("a format is for the date in a --field")
    if field_format is None:
        moment = parse_moment(date, epoch=field is not None)
    else:
        moment = parse_formatted(date, field_format)
    day = None if on is None else parse_day_of_month(on)
    return UntilDate(moment, distance, field, one_of(Roll, roll), one_of(Past, past), day, field_format)


def one_of(choices: type[_Choice], text: object) -> _Choice:
    """The choice that a text names. Raises `InvalidWaitConfigurationError`."""
    try:
        return choices(str(text))
    except ValueError:
        raise InvalidWaitConfigurationError(
            f"{choices.__name__.lower()} {text!a} is none of {', '.join(choices)}"
        ) from None


def date_text(given: object) -> str:
    """A date or an aware datetime as `parse_until_date` reads it. Raises `InvalidWaitDateError` for what is neither."""
    if isinstance(given, str):
        return given
    if isinstance(given, datetime) and given.tzinfo is None:
        raise InvalidWaitDateError("a naive datetime is no instant", hint="give it a tzinfo, or pass a text")
    if not isinstance(given, date):
        raise InvalidWaitDateError(f"{given!r:.80} is no date")
    return given.isoformat()


def date_in_context(context: JsonObject | None, field: str) -> str | float | Decimal:
    """The date, a text or a number, that stands in the context under a dotted name, as in ``appointment.start_time``.

    Raises `InvalidWaitDateError` when there is none.
    """
    found = value_under(context, field)
    if isinstance(found, bool) or not isinstance(found, str | int | float | Decimal):
        what = "nothing" if found is None else "no date"
        raise InvalidWaitDateError(f"the context has {what} under {field!a}", hint="--context JSON holds the date")
    return found


def parse_until_time(text: str, days: str | None = None) -> UntilTime:
    """Parse ``9``, ``09:00`` or ``09:00:30``, and weekdays.

    Raises `InvalidWaitTimeError` or `InvalidWaitConfigurationError`.
    """
    return UntilTime(parse_time_of_day(text), None if days is None else parse_days(days))


def parse_time_of_day(text: str) -> clocks.Time:
    """Parse ``9``, ``09:00`` or ``09:00:30``. Raises `InvalidWaitTimeError`."""
    matched = _TIME_OF_DAY.fullmatch(text.strip())
    hour, minute, second = (int(part or 0) for part in matched.groups()) if matched else (24, 0, 0)
    if hour > 23 or minute > 59 or second > 59:
        raise InvalidWaitTimeError(f"{text!r} is not a time of day", hint="write it as 9, 09:00 or 09:00:30")
    return clocks.Time(hour, minute, second)


def read_intent(config: JsonObject) -> Intent:
    """Read back the intent that `wait_config` of a wait for an instant keeps; see `reading_config`."""
    with reading_config():
        if "duration" in config:
            return parse_fixed_time(config["duration"], config.get("at"), config.get("on"), zero=True)
        if "time" in config:
            return parse_until_time(config["time"], config.get("days"))
        intent = parse_until_date(
            config["date"],
            config.get("offset"),
            config.get("field"),
            roll=config.get("roll", Roll.BACK),
            past=config.get("past", Past.REJECT),
            on=config.get("on"),
        )
        return replace(intent, field_format=config.get("field_format"))


def read_again(config: JsonObject, context: JsonObject | None) -> UntilDate:
    """The intent of a wait whose date stands in its context, by what stands there now.

    Raises `InvalidWaitDateError` when nothing does.
    """
    return parse_until_date(
        date_in_context(context, config["field"]),
        config.get("offset"),
        config["field"],
        roll=config.get("roll", Roll.BACK),
        past=config.get("past", Past.REJECT),
        on=config.get("on"),
        field_format=config.get("field_format"),
    )
