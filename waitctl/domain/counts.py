"""Counts that stop: a screen that counts a million rows dies of them, and nobody needs the number."""

from __future__ import annotations

from collections.abc import Mapping

CAP = 10_000
"""The highest count that is told; a statement counts one more, which means "more than that"."""


def told(count: int) -> int:
    """The count as documents have it: `CAP` where there are more."""
    return min(count, CAP)


def in_words(count: int) -> str:
    """The count for people: ``10,000+`` where there are more."""
    return f"{told(count):,}" + ("+" if count > CAP else "")


def capped(counts: Mapping[str, int]) -> list[str]:
    """The names of those that are higher than is told."""
    return [name for name, count in counts.items() if count > CAP]
