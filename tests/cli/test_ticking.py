"""Somebody who looks is told when nothing ticks: else an await would block for ever, and nobody knew why."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.cli.processes import Waitctl, finish
from waitctl import Database
from waitctl.infrastructure.executor import Connection
from waitctl.infrastructure.schema import ticks

NOTE = "note: no tick has run on this database yet; waitctl init --cron, or --systemd, has one run every minute"


@pytest.mark.parametrize("arguments", [("create", "fixed-time", "1h"), ("list",), ("pending",)])
def test_somebody_who_looks_is_told(run_on: Waitctl, arguments: tuple[str, ...]) -> None:
    assert run_on(*arguments).err.count(NOTE) == 0, "a script is not"
    assert run_on("-v", *arguments).err.count(NOTE) == 1
    run_on("tick").ok()
    assert "note: no tick" not in run_on("-v", *arguments).err


def test_the_line_that_sets_it_up_sets_up_this_database(sqlite_url: str, run: Waitctl) -> None:
    same = f"{NOTE} (with the same --database-url)\n"
    assert same in run("--database-url", sqlite_url, "-v", "create", "fixed-time", "1h").err
    assert f"{NOTE}\n" in run("-v", "list", env={"WAITCTL_DATABASE_URL": sqlite_url}).err


def test_an_await_says_it_before_it_blocks(run_on: Waitctl) -> None:
    wait = run_on("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
    ended = finish(run_on.start("-v", "await", wait, "--timeout", "1s"))
    assert ended.code == 6 and NOTE in ended.err


def test_pending_says_when_the_last_tick_ran(run_on: Waitctl) -> None:
    assert run_on("pending", "-o", "json").ok().json["last_tick"] is None
    run_on("tick").ok()
    last = run_on("pending", "-o", "json").ok().json["last_tick"]
    assert list(last) == ["at", "age_seconds", "host"] and last["at"].endswith("Z") and last["age_seconds"] >= 0
    assert f"ago on {last['host']}" in run_on("pending").ok().out


def test_a_tick_that_is_ten_minutes_old_is_none(run_on: Waitctl) -> None:
    run_on("tick").ok()
    with Database(str(run_on.url)) as database:

        def grow_old(connection: Connection) -> None:
            at = database.real_clock(connection) - timedelta(minutes=11)
            connection.execute(ticks.update().values(started_at=at, finished_at=at))

        database.write(grow_old)
    assert "note: no tick has run for 11 min (the last one on " in run_on("-v", "list").err
