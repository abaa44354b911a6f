"""Counts in words; and counts that stop: a screen that counts a million rows dies of them, and nobody needs to know."""

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


def number_of(number: int, noun: str, nouns: str | None = None) -> str:
    """``1 wait``, ``2 waits``, ``1,000 waits``; ``nouns`` where an s does not do."""
    return f"{number:,} {noun if number == 1 else nouns or f'{noun}s'}"


def some_of(count: int, noun: str, nouns: str | None = None) -> str:
    """The same of a count that stops: ``10,000+ waits``."""
    return f"{in_words(count)} {noun if count == 1 else nouns or f'{noun}s'}"


def capped(counts: Mapping[str, int], at_least: Collection[str] = ()) -> list[str]:
    """The names of those that are higher than is told, or ``at_least`` what is."""
    return [name for name, count in counts.items() if count > CAP or name in at_least]
