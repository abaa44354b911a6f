"""Durations as people write them: ``90m``, ``2h30m``, ``3 days``, ``1w``, ``PT36H``, ``1mo``, ``3bd``, ``4bh``."""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache

from waitctl.domain.errors import InvalidInputError, InvalidWaitDurationError
from waitctl.domain.patterns import pattern
from waitctl.domain.values import dataclass

MAX_DURATION = timedelta(days=3653)
"""Ten years."""


class TimeUnit(StrEnum):
    """The units a wait is measured in."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"
    MONTHS = "months"
    YEARS = "years"

    @property
    def symbol(self) -> str:
        """The unit in a duration: ``m``, ``h``, ``d``, ``w``, ``mo``, ``y``."""
        return "mo" if self is TimeUnit.MONTHS else self.value[0]


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time, its days kept apart from its hours, and its months from both.

    ``days`` are 24 hours each when the duration is elapsed time. They stay apart so that a duration combined
    with a time of day, a calendar or months can count them as local days (semantics 4). ``business_days`` and
    ``business_time``, open time of a calendar, stand alone.
    """

    days: int = 0
    time: timedelta = timedelta()
    business_days: int = 0
    months: int = 0
    business_time: timedelta = timedelta()

    @property
    def is_zero(self) -> bool:
        """Whether it is no time at all."""
        return self == _ZERO

    @property
    def is_elapsed(self) -> bool:
        """Whether its length needs no calendar."""
        return not self.business_days and not self.months and not self.business_time

    @property
    def elapsed(self) -> timedelta:
        """The duration as elapsed time. Raises `InvalidWaitDurationError` when a calendar says how long it is."""
        if not self.is_elapsed:
            raise InvalidWaitDurationError(f"{self} has no fixed length", hint="count in hours, days or weeks")
        return timedelta(days=self.days) + self.time

    def __str__(self) -> str:
        return format_duration(self)

    @classmethod
    def of(cls, amount: int, unit: TimeUnit) -> Duration:
        """``Duration.of(3, TimeUnit.DAYS)``. Raises `InvalidWaitDurationError` unless 0 < it ≤ ten years."""
        return parse_duration(f"{amount}{unit.symbol}", business=True)


_ZERO = Duration()

_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
    **dict.fromkeys(("mo", "mon", "month", "months"), "mo"),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), "y"),
    **dict.fromkeys(("bd", "business day", "business days"), "bd"),
    **dict.fromkeys(("bh", "business hour", "business hours"), "bh"),
}
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_MONTHS = {"mo": 1, "y": 12}
_MONTH_DAYS = Decimal("30.4375")
_PART = pattern(r"([0-9]+(?:\.[0-9]+)?)\s*(business\s+(?:days?|hours?)|[a-z]+)\s*", re.IGNORECASE)
_ISO = pattern(
    r"P(?:(?P<y>[0-9]+(?:[.,][0-9]+)?)Y)?(?:(?P<mo>[0-9]+(?:[.,][0-9]+)?)M)?(?:(?P<w>[0-9]+(?:[.,][0-9]+)?)W)?(?:(?P<d>[0-9]+(?:[.,][0-9]+)?)D)?"
    r"(?:T(?=[0-9])(?:(?P<h>[0-9]+(?:[.,][0-9]+)?)H)?(?:(?P<m>[0-9]+(?:[.,][0-9]+)?)M)?"
    r"(?:(?P<s>[0-9]+(?:[.,][0-9]+)?)S)?)?"
)
_EXAMPLES = "write it as 90m, 2h30m, 3d, 1w, '3 days' or PT36H"
_MAX_BUSINESS = {"bd": 2600, "bh": 62_400}  # ten years of weeks of five
_BUSINESS_NAMES = {"bd": "business days", "bh": "business hours"}


def parse_duration(
    text: str,
    *,
    error: type[InvalidInputError] = InvalidWaitDurationError,
    zero: bool = False,
    business: bool = False,
) -> Duration:
    """Parse a duration: units s, m, h, d, w with their long names, or ISO 8601 (``P3DT4H``).

    With ``business`` also what a calendar gives its length: ``1mo``, ``2y``, ``P1M2D``, ``3bd``, ``4bh``. Raises
    ``error`` for anything else, for zero unless ``zero``, and for more than ten years.
    """
    stripped = text.strip()
    if stripped.startswith(("-", "+", "\u2212")):
        raise error(f"a duration has no sign: {text!r}", hint=_EXAMPLES)
    if stripped == "0":
        stripped = "0s"
    amounts = _iso_amounts(stripped, error) if stripped[:1] in "Pp" else _plain_amounts(stripped, error)
    if unit := next((unit for unit in _BUSINESS_NAMES if unit in amounts), None):
        if zero and business and amounts == {unit: 0}:
            return Duration()
        return _business(text, unit, amounts, error, business=business)
    if any(amount > 10**9 for amount in amounts.values()):  # past what Decimal can divide
        raise error(f"{text[:80]!r} is more than ten years")
    months = _months(text, amounts, error, allowed=business)
    days = amounts.get("d", Decimal()) + 7 * amounts.get("w", Decimal())
    seconds = sum((_SECONDS[unit] * amount for unit, amount in amounts.items() if unit in _SECONDS), Decimal())
    seconds += (days % 1) * 86400
    if months * _MONTH_DAYS + days + seconds / 86400 > MAX_DURATION.days:
        raise error(f"{text!r} is more than ten years")
    if seconds * 1_000_000 % 1:
        raise error(f"{text!r} is finer than a microsecond")
    if months and seconds:
        raise error(
            f"{text!r}: hours beside months can mean the clock on the day that is reached, or time that passes",
            hint="write 1mo --at 11:00, or 1mo2d with whole days",
        )
    duration = Duration(int(days), timedelta(microseconds=int(seconds * 1_000_000)), months=months)
    if duration.is_zero and not zero:
        raise error(f"a duration is more than zero: {text!r}", hint=_EXAMPLES)
    return duration


def _months(text: str, amounts: dict[str, Decimal], error: type[InvalidInputError], *, allowed: bool) -> int:
    named = {unit: amounts[unit] for unit in _MONTHS if unit in amounts}
    if named and not allowed:
        raise error(
            f"{text!r}: months and years have no fixed length, and here one is needed",
            hint="count in days or weeks; 1m is one minute, 1mo one month",
        )
    if any(amount % 1 for amount in named.values()):
        raise error(f"{text!r}: months and years are whole", hint="write 1y6mo, or 1mo2w")
    return int(sum(_MONTHS[unit] * amount for unit, amount in named.items()))


def _business(
    text: str, unit: str, amounts: dict[str, Decimal], error: type[InvalidInputError], *, business: bool
) -> Duration:
    count, most, name = amounts[unit], _MAX_BUSINESS[unit], _BUSINESS_NAMES[unit]
    if not business:
        raise error(f"{name} have no place here: {text!r}", hint=_EXAMPLES)
    if not 0 < count <= most:
        raise error(f"{text[:80]!r} is not between 1 and {most:,} {name}")
    if len(amounts) > 1 or (unit == "bd" and count % 1):
        raise error(
            f"{text!r}: {name} stand alone" + (", and are whole" if unit == "bd" else ""),
            hint="write it as 3bd" if unit == "bd" else "write it as 4bh, or 1.5bh",
        )
    if unit == "bd":
        return Duration(business_days=int(count))
    micros = round(count * 3_600_000_000, 6)
    if micros % 1:
        raise error(f"{text!r} is finer than a microsecond")
    return Duration(business_time=timedelta(microseconds=int(micros)))


def _plain_amounts(text: str, error: type[InvalidInputError]) -> dict[str, Decimal]:
    amounts: dict[str, Decimal] = {}
    position = 0
    while part := _PART.match(text, position):
        number, name = part.groups()
        unit = _UNITS.get(" ".join(name.lower().split()))
        if name == "M":
            raise error(f"{text!r}: M may be minutes or months", hint="1m is one minute, 1mo one month")
        if unit is None:
            raise error(f"{text!r}: there is no unit {name!r}", hint=_EXAMPLES)
        if unit in amounts:
            raise error(f"{text!r} names the unit {unit!r} twice")
        amounts[unit] = Decimal(number)
        position = part.end()
    if position != len(text) or not amounts:
        raise error(f"{text!r} is not a duration", hint=_EXAMPLES)
    return amounts


def _iso_amounts(text: str, error: type[InvalidInputError]) -> dict[str, Decimal]:
    matched = _ISO.fullmatch(text.upper())
    amounts = {
        unit: Decimal(number.replace(",", "."))
        for unit, number in (matched.groupdict() if matched else {}).items()
        if number is not None
    }
    if not amounts:
        raise error(f"{text!r} is not a duration", hint=_EXAMPLES)
    if any(amount % 1 for amount in list(amounts.values())[:-1]):
        raise error(f"{text!r}: only the last part may have a fraction (ISO 8601)", hint="write PT1H30M, or PT1.5H")
    return amounts


@dataclass(frozen=True, slots=True)
class Offset:
    """A duration forwards or backwards: ``+2h``, ``-1d``, ``-3bd``."""

    duration: Duration
    is_back: bool = False

    @property
    def sign(self) -> int:
        """1 forwards, -1 backwards."""
        return -1 if self.is_back else 1

    def __str__(self) -> str:
        return f"{'-' if self.is_back else '+'}{self.duration}"


def parse_offset(text: str, *, error: type[InvalidInputError] = InvalidWaitDurationError, zero: bool = False) -> Offset:
    """Parse a duration with a sign; none means forwards, and so does zero, if it is allowed. Raises ``error``."""
    stripped = text.strip()
    signed = stripped[:1] in {"-", "+", "\u2212"}
    duration = parse_duration(stripped[1:] if signed else stripped, error=error, business=True, zero=zero)
    return Offset(duration, is_back=signed and stripped[0] != "+" and not duration.is_zero)


def duration_text(value: str | Duration | timedelta) -> str:
    """A duration as `parse_duration` and `parse_offset` read it. The days of a `timedelta` are days."""
    if isinstance(value, timedelta):
        span = abs(value)
        days = timedelta(span.days)
        return ("-" if value < timedelta() else "") + format_duration(Duration(span.days, span - days))
    return str(value)


def as_duration(
    value: object, *, error: type[InvalidInputError] = InvalidWaitDurationError, business: bool = False
) -> Duration:
    """The same as a `Duration`, which may be zero: of a `timedelta`, a text, or 0, which needs no unit.

    Raises ``error`` for anything else, and for a span that is less than nothing or longer than any.
    """
    if isinstance(value, Duration):
        return value
    if isinstance(value, timedelta | str):
        return parse_duration(duration_text(value), error=error, zero=True, business=business)
    if value == 0 and not isinstance(value, bool):
        return Duration()
    raise error(f"{value!r:.80} is not a duration", hint=_EXAMPLES)


@lru_cache(1024)
def format_duration(duration: Duration) -> str:
    """Write a duration so that `parse_duration` reads the same one back: ``2h30m``, ``3d``, ``0``."""
    if duration.business_days:
        return f"{duration.business_days}bd"
    if duration.business_time:
        open_time = Decimal(duration.business_time // timedelta(microseconds=1))
        return f"{(open_time / 3_600_000_000).normalize():f}bh"
    years, months = divmod(duration.months, 12)
    parts = [f"{amount}{unit}" for amount, unit in ((years, "y"), (months, "mo"), (duration.days, "d")) if amount]
    micros = duration.time // timedelta(microseconds=1)
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000)):
        amount, micros = divmod(micros, size)
        if amount:
            parts.append(f"{amount}{unit}")
    if micros:
        parts.append(f"{Decimal(micros).scaleb(-6).normalize():f}s")
    return "".join(parts) or "0"


def format_timedelta(span: timedelta) -> str:
    """Write a span for people, by its largest unit and the next smaller one: ``2 days 3 h``, ``45 s``."""
    seconds = abs(int(span.total_seconds()))
    for name, size, smaller, next_size in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        amount, rest = divmod(seconds, size)
        if amount:
            first = f"{amount} {('day' if amount == 1 else 'days') if name == 'd' else name}"
            return f"{first} {rest // next_size} {smaller}" if rest >= next_size else first
    return f"{seconds} s"
