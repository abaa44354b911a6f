"""How long one waits for a database: so long for one answer, and no longer than one's own deadline."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

ANSWER = 40.0
"""Seconds without an answer after which a connection counts as lost, and a lock as not to be had."""

GRACE = 3.0
"""Seconds that a step has in any case, however near the deadline it begins."""

_SECONDS_TO_STOP = 6.0
"""Seconds for everything once a signal has come."""


class Patience:
    """Says when a step that waits for the database is given up. Any thread may ask, and a signal handler may `hurry`.

    Not a timeout of the server's: behind a pooler there is no session to set one in, and a network that has gone silent
    brings no answer of a server that has given up. Keepalives find neither a proxy that takes everything and passes
    nothing on, nor a server that hangs.
    """

    def __init__(self) -> None:
        self._answer = ANSWER
        self._deadline = math.inf
        self._grace = GRACE

    @property
    def is_limited(self) -> bool:
        """Whether there is a deadline."""
        return self._deadline < math.inf

    def ends_at(self, began: float) -> float:
        """When to give up what began then; both as of ``time.monotonic``. May come nearer meanwhile."""
        return min(began + self._answer, max(self._deadline, began + self._grace))

    @contextmanager
    def until(self, deadline: float | None, *, grace: float = GRACE) -> Iterator[None]:
        """Keep to a deadline (as of ``time.monotonic``), or to none; a step has ``grace`` seconds in any case."""
        before = self._deadline, self._grace
        self._deadline, self._grace = math.inf if deadline is None else deadline, grace
        try:
            yield
        finally:
            self._deadline, self._grace = before

    @contextmanager
    def unlimited(self) -> Iterator[None]:
        """Wait for an answer for as long as it takes: a migration may build an index for an hour."""
        self._answer, before = math.inf, self._answer
        try:
            yield
        finally:
            self._answer = before

    def hurry(self) -> None:
        """Come to an end soon: a signal has asked for it."""
        self._deadline = min(self._deadline, time.monotonic() + _SECONDS_TO_STOP)
        self._grace = min(self._grace, GRACE)
