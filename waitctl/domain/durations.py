"""Durations as people write them: ``90m``, ``2h30m``, ``3 days``, ``1w``, ``PT36H``, ``3bd``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum

from waitctl.domain.errors import InvalidInputError, InvalidWaitDurationError

MAX_DURATION = timedelta(days=3653)
"""Ten years."""


class TimeUnit(StrEnum):
    """The units a wait is measured in."""

    MINUTES = "minutes"
    HOURS = "hours"
    DAYS = "days"
    WEEKS = "weeks"

    @property
    def symbol(self) -> str:
        """The unit's letter in a duration: ``m``, ``h``, ``d``, ``w``."""
        return self.value[0]


@dataclass(frozen=True, slots=True)
class Duration:
    """A span of time, its days kept apart from its hours.

    ``days`` are 24 hours each when the duration is elapsed time. They stay apart so that a duration combined
    with a time of day or a calendar can count them as local days (semantics 4). ``business_days`` stand alone.
    """

    days: int = 0
    time: timedelta = timedelta()
    business_days: int = 0

    @property
    def is_zero(self) -> bool:
        """Whether it is no time at all."""
        return not self.days and not self.time and not self.business_days

    @property
    def elapsed(self) -> timedelta:
        """The duration as elapsed time; business days, whose length a calendar says, have none."""
        return timedelta(days=self.days) + self.time

    def __str__(self) -> str:
        return format_duration(self)

    @classmethod
    def of(cls, amount: int, unit: TimeUnit) -> Duration:
        """``Duration.of(3, TimeUnit.DAYS)``. Raises `InvalidWaitDurationError` unless 0 < it ≤ ten years."""
        return parse_duration(f"{amount}{unit.symbol}")


_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "m"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "d"),
    **dict.fromkeys(("w", "week", "weeks"), "w"),
    **dict.fromkeys(("bd", "business day", "business days"), "bd"),
}
_SECONDS = {"s": 1, "m": 60, "h": 3600}
_CALENDAR_UNITS = {"mo", "mon", "month", "months", "y", "yr", "year", "years"}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(business\s+days?|[a-z]+)\s*", re.IGNORECASE)
_ISO = re.compile(
    r"P(?:(?P<w>[0-9]+(?:[.,][0-9]+)?)W)?(?:(?P<d>[0-9]+(?:[.,][0-9]+)?)D)?"
    r"(?:T(?=[0-9])(?:(?P<h>[0-9]+(?:[.,][0-9]+)?)H)?(?:(?P<m>[0-9]+(?:[.,][0-9]+)?)M)?"
    r"(?:(?P<s>[0-9]+(?:[.,][0-9]+)?)S)?)?"
)
_EXAMPLES = "write it as 90m, 2h30m, 3d, 1w, '3 days' or PT36H"
_MAX_BUSINESS_DAYS = 2600  # ten years of weeks of five


def parse_duration(
    text: str,
    *,
    error: type[InvalidInputError] = InvalidWaitDurationError,
    zero: bool = False,
    business: bool = False,
) -> Duration:
    """Parse a duration: units s, m, h, d, w with their long names, or ISO 8601 (``P3DT4H``); ``3bd`` if ``business``.

    Raises ``error`` for anything else, for months and years (how long is one?), for zero unless ``zero``, and for
    more than ten years.
    """
    stripped = text.strip()
    if stripped.startswith(("-", "+", "\u2212")):
        raise error(f"a duration has no sign: {text!r}", hint=_EXAMPLES)
    if stripped == "0" and zero:
        return Duration()
    amounts = _iso_amounts(stripped, error) if stripped[:1] in "Pp" else _plain_amounts(stripped, error)
    if "bd" in amounts:
        if zero and business and amounts == {"bd": 0}:
            return Duration()
        return _business_days(text, amounts, error, business=business)
    if any(amount > 10**9 for amount in amounts.values()):  # past what Decimal can divide
        raise error(f"{text[:80]!r} is more than ten years")
    days = amounts.get("d", Decimal()) + 7 * amounts.get("w", Decimal())
    seconds = sum((_SECONDS[unit] * amount for unit, amount in amounts.items() if unit in _SECONDS), Decimal())
    seconds += (days % 1) * 86400
    if days + seconds / 86400 > MAX_DURATION.days:
        raise error(f"{text!r} is more than ten years")
    if seconds * 1_000_000 % 1:
        raise error(f"{text!r} is finer than a microsecond")
    duration = Duration(int(days), timedelta(microseconds=int(seconds * 1_000_000)))
    if duration.is_zero and not zero:
        raise error(f"a duration is more than zero: {text!r}", hint=_EXAMPLES)
    return duration


def _business_days(
    text: str, amounts: dict[str, Decimal], error: type[InvalidInputError], *, business: bool
) -> Duration:
    count = amounts["bd"]
    if not business:
        raise error(f"business days have no place here: {text!r}", hint=_EXAMPLES)
    if not 0 < count <= _MAX_BUSINESS_DAYS:
        raise error(f"{text[:80]!r} is not between 1 and {_MAX_BUSINESS_DAYS:,} business days")
    if len(amounts) > 1 or count % 1:
        raise error(f"{text!r}: business days stand alone, and are whole", hint="write it as 3bd")
    return Duration(business_days=int(count))


def _plain_amounts(text: str, error: type[InvalidInputError]) -> dict[str, Decimal]:
    amounts: dict[str, Decimal] = {}
    position = 0
    while part := _PART.match(text, position):
        number, name = part.groups()
        unit = _UNITS.get(" ".join(name.lower().split()))
        if name == "M" or name.lower() in _CALENDAR_UNITS:
            raise error(
                f"{text!r}: months and years have no fixed length",
                hint="count in days or weeks, or use until-date",
            )
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
    upper = text.upper()
    if re.search(r"[0-9]Y|^P[^T]*[0-9]M", upper):
        raise error(
            f"{text!r}: months and years have no fixed length", hint="count in days or weeks, or use until-date"
        )
    matched = _ISO.fullmatch(upper)
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


def as_duration(value: Duration | timedelta, *, error: type[InvalidInputError] = InvalidWaitDurationError) -> Duration:
    """The same as a `Duration`, which may be zero. Raises ``error`` for a span that is less, or longer than any."""
    return parse_duration(duration_text(value), error=error, zero=True) if isinstance(value, timedelta) else value


def format_duration(duration: Duration) -> str:
    """Write a duration so that `parse_duration` reads the same one back: ``2h30m``, ``3d``, ``0``."""
    if duration.business_days:
        return f"{duration.business_days}bd"
    parts = [f"{duration.days}d"] if duration.days else []
    micros = duration.time // timedelta(microseconds=1)
    for unit, size in (("h", 3_600_000_000), ("m", 60_000_000)):
        amount, micros = divmod(micros, size)
        if amount:
            parts.append(f"{amount}{unit}")
    if micros:
        parts.append(f"{Decimal(micros).scaleb(-6).normalize():f}s")
    return "".join(parts) or "0"


def format_timedelta(span: timedelta) -> str:
    """Write a span for people, two units at most: ``2 days 3 h``, ``45 s``."""
    seconds = abs(int(span.total_seconds()))
    parts = []
    for name, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, seconds = divmod(seconds, size)
        if amount:
            parts.append(f"{amount} {('day' if amount == 1 else 'days') if name == 'd' else name}")
    return " ".join(parts[:2]) or "0 s"
