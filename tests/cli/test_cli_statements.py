"""`-vv` says which statements ran and how long they took."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from tests.cli.processes import Waitctl

LINE = re.compile(r"sql +\d+\.\d\d ms  (\S.*)")
SECRET = "ada-7f3a@example.org"


def names(err: str) -> list[str]:
    return [found[1] for line in err.splitlines() if (found := LINE.fullmatch(line))]


def test_two_v_name_the_statements_and_show_no_parameters(run_on: Waitctl) -> None:
    create = ("create", "fixed-time", "1h", "--execution", "signup-1", "--contact", SECRET, "--handler", "nudge")
    created = run_on("-vv", *create, "-o", "id")
    assert created.code == 0
    assert "insert_wait" in names(created.err) and "insert_first_transition" in names(created.err)
    tick = run_on("-vv", "tick", "--as-of", f"{datetime(2100, 1, 1, tzinfo=UTC):%FT%TZ}", "--only", "due")
    assert tick.code == 0
    due = [name for name in names(tick.err) if name.startswith("resume_")]
    named = ["cleared", "claimed", "ended", "audited", "uncounted", "sent", "told"]
    steps = named if str(run_on.url).startswith("sqlite") else [""]
    assert [name.partition(": ")[2] for name in due][: len(steps)] == steps
    for err in (created.err, tick.err):
        said = "\n".join(line for line in err.splitlines() if line.startswith("sql "))
        assert said and SECRET not in said and created.out.strip() not in said and "signup-1" not in said


def test_what_is_not_kept_is_named_by_the_function_that_asks(run: Waitctl) -> None:
    run("tick")
    assert "deliveries.list_deliveries" in names(run("-vv", "delivery", "list").err)


def test_one_v_says_nothing_of_statements(run: Waitctl) -> None:
    assert names(run("-v", "list").err) == []
