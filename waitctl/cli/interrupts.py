"""How signals end a tick: the first lets it finish what runs, the second ends what runs, a third waits for nobody."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from waitctl.cli.output import ExitCode
from waitctl.cli.stopping import end_soon

if TYPE_CHECKING:
    from types import FrameType


class Interrupts:
    """Counts SIGTERM and SIGINT from now on, and calls ``tell`` at each of the first two.

    From the second on what runs is told to end, and the process ends within ten seconds, its report made if it can be.
    After that SIGINT ends it at once, as SIGKILL would: what still runs comes again when its lease has run out.
    """

    def __init__(self, *tell: Callable[[], None]) -> None:
        self._tell = tell
        self._count = 0
        signal.signal(signal.SIGTERM, self.hear)
        signal.signal(signal.SIGINT, self.hear)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # who ignores it, as a parent may, never hears how a child ended

    def hear(self, number: int, _: FrameType | None) -> None:
        """A signal has come."""
        self._count += 1
        if self._count > 2:
            if number == signal.SIGINT:
                # Not KeyboardInterrupt: every thread would wait for the handlers on its way out.
                os._exit(ExitCode.INTERRUPTED)
            return
        if self.is_urgent():
            end_soon()
        for each in self._tell:
            each()

    def over(self) -> None:
        """The run has ended: what is left is to say so, and a signal ends that as it ends other commands."""
        if self.is_set():
            end_soon()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def is_set(self) -> bool:
        """Whether the run is to end."""
        return self._count > 0

    def is_urgent(self) -> bool:
        """Whether it is to end at once."""
        return self._count > 1
