"""A command that is forked is a command that is started, but for the time that it takes."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tests.cli.processes import Finished, Waitctl

STARTED = 'exec "$@"'
LINES = """{"type": "sms_reply", "contact": "ada", "id": "1"}
no event
{"type": "sms_reply", "contact": "\N{CAT FACE}", "id": "2"}
"""


@pytest.mark.parametrize(
    ("command", "given"),
    [
        (["--version"], {}),
        (["--help"], {}),
        (["no-such-command"], {}),
        (["-vv", "list"], {}),
        (["create", "fixed-time", "1h", "--dry-run", "-o", "json", "--as-of", "2026-03-01T12:00:00Z"], {}),
        (["create", "fixed-time", b"caf\xe9"], {}),
        (["create", "fixed-time", "1h", "--context", "-"], {"stdin": b"\xff"}),
        (["create", "fixed-time", "1h", "--context", "@none.json"], {}),
        (["event", "ingest", "--dry-run"], {"stdin": LINES}),
        (["event", "ingest", "--dry-run", "-o", "json"], {"stdin": LINES}),
        (["event", "ingest", "--dry-run", "-o", "json"], {"stdin": b""}),
        (["pending"], {"env": {"WAITCTL_DATABASE_URL": "sqlite:///none.db", "HOME": None}}),
        (["db", "current"], {}),
        (["calendar", "check", "DE-BY", "--as-of", "2026-03-01T12:00:00Z"], {}),
    ],
)
def test_forked_or_started(run: Waitctl, command: list[str | bytes], given: dict[str, Any]) -> None:
    assert timeless(run(*command, **given)) == timeless(run(*command, **given, shell=STARTED))


def timeless(finished: Finished) -> Finished:
    """What -vv says, without how long each statement took."""
    return replace(finished, err=re.sub(r" +[0-9]+\.[0-9]+ ms", " … ms", finished.err))


def test_nothing_stays_from_one_to_the_next(run: Waitctl) -> None:
    day = ("create", "fixed-time", "1h", "--dry-run", "-o", "json")
    assert run(*day, env={"WAITCTL_TIMEZONE": "Asia/Tokyo"}).ok().json["timezone"] == "Asia/Tokyo"
    assert run(*day).ok().json["timezone"] == "UTC"
    made = {run("create", "fixed-time", "1h", "-o", "id").ok().out for _ in range(20)}
    assert len(made) == 20
