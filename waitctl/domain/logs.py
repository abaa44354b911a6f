"""The forms of a log."""

from __future__ import annotations

from enum import StrEnum


class LogFormat(StrEnum):
    """How a line of the log is written."""

    HUMAN = "human"
    JSON = "json"
    JOURNAL = "journal"
    """For systemd's journal: each line begins with its priority, as in ``<3>``."""


class FailOn(StrEnum):
    """What of a run makes its exit status 1."""

    DEAD = "dead"
    HELD = "held"
