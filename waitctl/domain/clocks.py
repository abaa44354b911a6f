"""The library of dates, clocks and zones (`whenever`), loaded when something of it is first asked for.

It takes a tenth of what a short command may take, and only what computes or shows local times needs it. Where zones are
looked up has to be settled before the first one is: whoever knows registers it with `prepare`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whenever import Date as Date  # noqa: PLC0414 (to others they are from here)
    from whenever import Instant as Instant  # noqa: PLC0414
    from whenever import PlainDateTime as PlainDateTime  # noqa: PLC0414
    from whenever import RepeatedTime as RepeatedTime  # noqa: PLC0414
    from whenever import SkippedTime as SkippedTime  # noqa: PLC0414
    from whenever import Time as Time  # noqa: PLC0414
    from whenever import TimeDelta as TimeDelta  # noqa: PLC0414
    from whenever import TimeZoneNotFoundError as TimeZoneNotFoundError  # noqa: PLC0414
    from whenever import ZonedDateTime as ZonedDateTime  # noqa: PLC0414
    from whenever import available_timezones as available_timezones  # noqa: PLC0414

_preparations: list[Callable[[], object]] = []
_loaded: list[str] = []
"""What has been asked for."""


def prepare(act: Callable[[], object]) -> None:
    """Do this before anything of the library is used; at once, when something has been."""
    if _loaded:
        act()
    elif act not in _preparations:
        _preparations.append(act)


def __getattr__(name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(name)
    import whenever

    while _preparations:
        _preparations.pop(0)()
    _loaded.append(name)
    globals()[name] = found = getattr(whenever, name)
    return found
