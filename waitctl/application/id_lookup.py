"""Ids as people type them: whole, or their head or tail."""

from __future__ import annotations

from collections.abc import Sequence

from waitctl.domain.errors import AmbiguousIdError, InvalidWaitConfigurationError

CANDIDATES = 10
"""Ids that an ambiguous one is explained with."""

_SHORTEST_FRAGMENT = 8


def id_fragment(text: str, what: str = "wait") -> str:
    """Bring an id, or a head or tail of one, into the stored form: lower case, dashes where they belong.

    Raises `InvalidWaitConfigurationError` when it is neither.
    """
    digits = text.strip().replace("-", "").lower()
    if not digits or set(digits) - set("0123456789abcdef") or not _SHORTEST_FRAGMENT <= len(digits) <= 32:
        raise InvalidWaitConfigurationError(
            f"{text!a} is not the id of {_article(what)} {what}",
            hint="an id is a UUID; its first or last 8 or more digits will do",
        )
    if len(digits) < 32:
        return digits
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"


def only_candidate(text: str, found: Sequence[str], what: str) -> str:
    """The one id that ``text`` fits. Raises `AmbiguousIdError`, naming up to 10, when it fits several."""
    if len(found) > 1:
        more = " and more" if len(found) > CANDIDATES else ""
        raise AmbiguousIdError(f"{text} fits several {what}: {', '.join(found[:CANDIDATES])}{more}")
    return found[0]
