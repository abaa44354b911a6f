"""How records of the log become lines on standard error: for people, as JSON, or for systemd's journal."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from waitctl.application.logs import FIELDS, log
from waitctl.cli.output import clean
from waitctl.domain.instants import format_instant
from waitctl.domain.logs import LogFormat
from waitctl.infrastructure.redaction import redact

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
"""Levels as syslog numbers them: https://man7.org/linux/man-pages/man3/sd-daemon.3.html"""


def write_logs(format_: LogFormat, *, quiet: bool, verbose: int) -> None:
    """Write what is logged from now on to standard error: when quiet deaths and errors alone, with -v every phase."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Lines(format_))
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.INFO)


class _Lines(logging.Formatter):
    def __init__(self, format_: LogFormat) -> None:
        super().__init__()
        self._format = format_

    def format(self, record: logging.LogRecord) -> str:
        """A record as one line, without secrets and without what steers a terminal."""
        fields = getattr(record, FIELDS, {})
        message = clean(redact(record.getMessage()))
        match self._format:
            case LogFormat.HUMAN:
                return message
            case LogFormat.JOURNAL:
                return f"<{_PRIORITIES.get(record.levelno, 5)}>{message}"
            case LogFormat.JSON:
                at = format_instant(datetime.fromtimestamp(record.created, UTC))
                plain = {name: redact(value) if isinstance(value, str) else value for name, value in fields.items()}
                return json.dumps({"at": at, "level": record.levelname.lower(), **plain, "message": message})
