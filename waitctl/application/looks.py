"""When to look at the whole of an index again, and when only from the low-water mark on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_SPARED = 20
"""A whole look is followed by this many times as long without one."""


class WholeLooks:
    """Whole looks in at most a twentieth of the time.

    In a database in good health one takes less than a millisecond, and there is no reason to go without. It takes half
    a second where a million entries are dead and a replication slot, or somebody's long transaction, keeps them.
    """

    def __init__(self) -> None:
        self._next_at = 0.0

    @property
    def seconds_left(self) -> float:
        """How long until the next; zero: it is due."""
        return max(self._next_at - time.monotonic(), 0.0)

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Look at the whole."""
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._next_at = ended + _SPARED * (ended - began)
