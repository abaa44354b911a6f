"""Lists of any length, a page at a time: each page in a transaction of its own, so that a slow reader holds none."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

T = TypeVar("T")

PAGE = 1000
"""Rows that are read at once."""


def in_pages(
    read: Callable[[str | None, int], Sequence[T]],
    id_of: Callable[[T], str],
    *,
    after: str | None = None,
    limit: int | None = None,
) -> Generator[T, None, None]:
    """What ``read`` gives for the id that a page goes on behind and for how many rows it may have, page after page.

    From behind ``after`` on, ``limit`` rows at most, or all.
    """
    left = limit
    while left is None or left > 0:
        size = PAGE if left is None else min(PAGE, left)
        page = read(after, size)
        yield from page
        if len(page) < size:
            return
        left = None if left is None else left - size
        after = id_of(page[-1])
