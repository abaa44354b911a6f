"""Regular expressions that are compiled when they are first asked: most commands ask few of those that they load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:

    def pattern(text: str, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
        """As the standard's ``re.compile``."""


class _Pattern:
    def __init__(self, text: str, flags: re.RegexFlag = re.NOFLAG) -> None:
        self._given = text, flags

    def __getattr__(self, name: str) -> Any:
        found = getattr(re.compile(*self._given), name)
        setattr(self, name, found)  # from now on it is there at once
        return found


if not TYPE_CHECKING:
    pattern = _Pattern
