"""Counts that stop: a screen that counts a million rows dies of them, and nobody needs the number."""

from __future__ import annotations

from collections.abc import Collection, Mapping

CAP = 10_000
"""The highest count that is told; a statement counts one more, which means "more than that"."""


def told(count: int) -> int:
    """The count as documents have it: `CAP` where there are more."""
    return min(count, CAP)


def in_words(count: int, *, at_least: bool = False) -> str:
    """The count for people: ``10,000+`` where there are more. ``at_least``: more than were looked at may be of it."""
    return f"{told(count):,}" + ("+" if at_least or count > CAP else "")


def capped(counts: Mapping[str, int], at_least: Collection[str] = ()) -> list[str]:
    """The names of those that are higher than is told, or ``at_least`` what is."""
    return [name for name, count in counts.items() if count > CAP or name in at_least]
