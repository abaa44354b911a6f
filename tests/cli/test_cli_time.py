"""Time on the command line: calendars, windows, explanations, other instants, plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.processes import Waitctl

BERLIN = ("--tz", "Europe/Berlin")
OFFICE = ("--window", "mon-fri 09:00-17:00")
DRY = ("--dry-run", "-o", "json")


@pytest.mark.parametrize(
    ("arguments", "at"),
    [
        # 72 hours; three local calendar days over the night of the change; at a time of day
        (("fixed-time", "3d", "--from", "2026-03-27T11:00:00Z"), "2026-03-30T11:00:00Z"),
        (("fixed-time", "3d", "--from", "2026-03-27T11:00:00Z", "--calendar", "DE-BY"), "2026-03-30T10:00:00Z"),
        (("fixed-time", "3d", "--at", "09:00", "--from", "2026-03-27T11:00:00Z"), "2026-03-30T07:00:00Z"),
        (("fixed-time", "PT36H", "--from", "2026-03-27T11:00:00Z"), "2026-03-28T23:00:00Z"),
        # Saturday and one business day is Monday; over Easter
        (("fixed-time", "1bd", "--from", "2026-06-20T08:00:00Z"), "2026-06-22T08:00:00Z"),
        (
            ("fixed-time", "2bd", "--at", "9", "--calendar", "DE-BY", "--from", "2026-04-02T08:00:00Z"),
            "2026-04-08T07:00:00Z",
        ),
        (("fixed-time", "1h", "--window", "22:00-06:00", "--from", "2026-06-20T08:00:00Z"), "2026-06-20T20:00:00Z"),
        (("until-time", "09:00", "--days", "fri-mon", "--from", "2026-06-22T08:00:00Z"), "2026-06-26T07:00:00Z"),
        (("until-time", "20:00", "--window", "09:00-17:00", "--from", "2026-06-22T08:00:00Z"), "2026-06-23T07:00:00Z"),
        (
            ("until-date", "2026-12-24T18:00", "--offset", "-2d", "--from", "2026-06-22T08:00:00Z"),
            "2026-12-22T17:00:00Z",
        ),
        (("until-date", "2026-12-24T18:00", "--offset=-36h", "--from", "2026-06-22T08:00:00Z"), "2026-12-23T05:00:00Z"),
        (("until-date", "2026-03-29 02:30", "--dst", "earlier", "--past", "fire"), "2026-03-29T00:30:00Z"),
        (
            ("until-date", "2026-03-09T08:00", "--offset=-1d", *OFFICE, "--from", "2026-03-01T00:00:00Z"),
            "2026-03-06T08:00:00Z",
        ),
        (
            (
                "until-date",
                "2026-03-09T18:00",
                "--offset=-1d",
                *OFFICE,
                "--roll",
                "forward",
                "--from",
                "2026-03-01T00:00Z",
            ),
            "2026-03-09T08:00:00Z",
        ),
        (
            ("until-date", "2026-03-09", "--offset", "0d", *OFFICE, "--from", "2026-03-01T00:00Z"),
            "2026-03-09T08:00:00Z",
        ),
        (
            ("until-date", "2026-02-01", "--past", "next", *OFFICE, "--from", "2026-03-01T00:00Z"),
            "2026-03-02T08:00:00Z",
        ),
        (("fixed-time", "0", *OFFICE, "--from", "2026-03-01T00:00Z"), "2026-03-02T08:00:00Z"),
        (("fixed-time", "0", *OFFICE, "--from", "2026-03-02T10:00Z"), "2026-03-02T10:00:00Z"),
        (("until-date", "2026-10-25 02:30", "--dst", "later", "--past", "fire"), "2026-10-25T01:30:00Z"),
    ],
)
def test_instants(arguments: tuple[str, ...], at: str, run: Waitctl) -> None:
    found = run("create", *arguments, *BERLIN, *DRY).ok().json
    assert found["scheduled_at"] == at
    assert found["explanation"][0].startswith(arguments[0])
    assert run("list", "-o", "id").ok().out == ""


def test_zero_is_a_value_where_it_has_a_meaning(run_on: Waitctl) -> None:
    run_on("event", "record", "email_open", "--contact", "ada").ok()
    options = ("--contact", "ada", "--timeout", "1h", "--lookback", "0", "--grace", "0", "-o", "json")
    wait = run_on("create", "for-event", "email_open", *options).ok().json
    assert (wait["status"], wait["listeners"][0]["expires_at"]) == ("waiting", wait["timeout_at"])
    now = run_on("create", "fixed-time", "0", "--window", "00:00-24:00", "-o", "json").ok().json
    assert now["scheduled_at"] == now["created_at"]
    assert run_on("tick", "-o", "json").ok().json["resumed"] == 1


def test_timeout_may_keep_to_the_window(run: Waitctl) -> None:
    options = ("--contact", "ada", "--timeout", "1h", *OFFICE, *BERLIN, "--from", "2099-03-01T12:00:00Z", *DRY)
    plain = run("create", "for-event", "email_open", *options).ok().json  # a Sunday
    kept = run("create", "for-event", "email_open", "--timeout-window", *options).ok().json
    assert (plain["timeout_at"], kept["timeout_at"]) == ("2099-03-01T13:00:00Z", "2099-03-02T08:00:00Z")
    assert any("delivered at once; --timeout-window" in line for line in plain["explanation"])


def test_date_in_the_context(run: Waitctl, tmp_path: Path) -> None:
    (tmp_path / "booking.json").write_text('{"appointment": {"start_time": "2099-03-10T15:00:00+01:00"}}')
    options = ("--field", "appointment.start_time", "--offset=-1d", "--context", "@booking.json")
    created = run("create", "until-date", *options, *BERLIN, "-o", "json").ok().json
    assert created["scheduled_at"] == "2099-03-09T14:00:00Z"
    assert created["wait_config"] == {
        "date": "2099-03-10T14:00:00Z",
        "offset": "-1d",
        "field": "appointment.start_time",
        "past": "reject",
        "tzdata": created["wait_config"]["tzdata"],
    }


@pytest.mark.parametrize(
    "date", ['"2099-03-10 15:00:00+0100"', '"2099-03-10T13:59:60Z"', "4076834400", '"4076834400"', "4076834400000"]
)
def test_date_in_the_context_as_programs_write_it(run: Waitctl, date: str) -> None:
    context = ("--field", "at", "--context", f'{{"at": {date}}}')
    created = run("create", "until-date", *context, *BERLIN, "-o", "json").ok().json
    assert (created["scheduled_at"], created["wait_config"]["date"]) == ("2099-03-10T14:00:00Z",) * 2


def test_instants_on_the_command_line_as_programs_write_them(run: Waitctl) -> None:
    for at in ("2026-03-01 12:00:00+00", "2026-03-01T13:00:00+0100", "2026-03-01T11:59:60Z"):
        run("event", "record", "email_open", "--contact", "ada", "--at", at).ok()
    events = run("event", "list", "-o", "json").ok().json["events"]
    assert {event["occurred_at"] for event in events} == {"2026-03-01T12:00:00Z"}
    error = run("event", "record", "email_open", "--contact", "ada", "--at", "1772366400", "-o", "json").json_error(2)
    assert error["code"] == "invalid_wait_date"


def test_calendar_of_ones_own(run: Waitctl, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(
        '[calendars.company]\nbase = "DE-BY"\nextra = { 2026-12-24 = "Christmas Eve" }\n'
        'removed = [2026-12-28]\nhours = ["mon-thu 09:00-12:00,13:00-17:00", "fri 09:00-15:00"]\nzone = "Europe/Berlin"\n'
    )
    words = (
        run(
            *(
                "--config",
                "config.toml",
                "create",
                "fixed-time",
                "1bd",
                "--calendar",
                "company",
                "--tz",
                "America/New_York",
            ),
            *("--from", "2026-12-23T22:00:00Z", "--dry-run"),
        )
        .ok()
        .lines
    )
    assert words[:3] == [
        "fixed-time 1bd: 1 business day after 2026-12-23 17:00:00 America/New_York, at the same wall clock",
        (
            "business days: 1 on from Wednesday 2026-12-23 by company is Monday 2026-12-28, skipping Thursday 2026-12-24 "
            "(Christmas Eve), Friday 2026-12-25 (Christmas Day), Saturday 2026-12-26 (Second Day of Christmas), "
            "Sunday 2026-12-27 (weekend)"
        ),
        (
            "opening hours of company: Monday 2026-12-28 17:00 is outside mon-thu 09:00-12:00,13:00-17:00; "
            "fri 09:00-15:00; moved to the next opening, Tuesday 2026-12-29 03:00"
        ),
    ]
    assert words[-2:] == ["in UTC: 2026-12-29T08:00:00Z", "nothing was written"]


def test_explain_reschedule_replan(run_on: Waitctl) -> None:
    options = ("--window", "tue-thu 09:00-17:00", *BERLIN, "--from", "2098-06-20T08:00:00Z", "-e", "order-17")
    created = run_on("create", "fixed-time", "1bd", *options, "-o", "json").ok().json
    explained = run_on("explain", created["id"], "-o", "json").ok().json
    assert {key: explained[key] for key in created if key != "created"} == {
        key: value for key, value in created.items() if key != "created"
    }
    assert [line.partition(":")[0] for line in explained["explanation"]] == [
        "fixed-time 1bd",
        "business days",
        "window",
    ]

    (moved,) = run_on("reschedule", created["id"], "--by", "+1d", "-o", "json").ok().json["waits"]
    assert moved["scheduled_at"] == "2098-06-25T07:00:00Z"
    assert moved["explanation"] == ["+1d from 2098-06-24 09:00:00 Europe/Berlin"]
    again = run_on("create", "fixed-time", "1bd", *options, "-o", "json").ok().json
    assert (again["created"], again["id"]) == (False, created["id"])

    assert run_on("replan", "--all", "-o", "json").ok().json == {
        "checked": 1,
        "changed": [],
        "failed": [],
        "applied": 0,
    }
    tokyo = run_on("replan", "-e", "order-17", "--tz", "Asia/Tokyo", "--apply", "-o", "json").ok().json
    assert tokyo["applied"] == 1
    assert [(change["id"], change["to_timezone"]) for change in tokyo["changed"]] == [(created["id"], "Asia/Tokyo")]
    assert run_on("status", created["id"], "-o", "json").ok().json["timezone"] == "Asia/Tokyo"


def test_plan_shows_old_and_new_zone(run: Waitctl) -> None:
    run("create", "until-date", "2099-01-10 09:00", *BERLIN, "-e", "order-17").ok()
    planned = run("replan", "--all", "--tz", "Asia/Tokyo")
    assert "  2099-01-10 09:00:00  2099-01-10 09:00:00  Europe/Berlin → Asia/Tokyo" in planned.out


def test_reschedule_of_several_says_which_cannot_be(run: Waitctl) -> None:
    first, second = (run("create", "fixed-time", "3d", "-e", name, "-o", "id").ok().out.strip() for name in "ab")
    run("cancel", first).ok()
    done = run("reschedule", first, second, "--by", "1h", "-o", "id")
    assert (done.code, done.out.strip()) == (4, second)
    assert done.err.startswith(f"error: {first}: the wait cannot be rescheduled: it ended by cancellation")


def test_replan_that_would_change_too_much(run: Waitctl) -> None:
    run("create", "fixed-time", "3d").ok()
    replan = ("replan", "--all", "--tz", "Asia/Tokyo", "--max", "0", "-o", "json")
    assert len(run(*replan).ok().json["changed"]) == 1  # what there is to look at first
    error = run(*replan, "--apply").json_error(4)
    assert error["code"] == "replan_too_large"
    assert error["hint"] == "look at the diff without --apply, then raise --max"


def test_event_outside_the_window(run: Waitctl) -> None:
    as_of = {"WAITCTL_AS_OF": "2026-11-28T12:00:00Z"}
    wait = run(
        "create", "for-event", "email_open", "-c", "ada", "--window", "mon-fri 09:00-17:00", "-o", "id", env=as_of
    )
    assert run("event", "record", "email_open", "-c", "ada", "-o", "json", env=as_of).ok().json["matched"] == []
    parked = run("status", wait.ok().out.strip(), "-o", "json").ok().json
    assert (parked["status"], parked["scheduled_at"]) == ("scheduled", "2026-11-30T09:00:00Z")
    assert run("tick", "--as-of", "2026-11-30T09:00:00Z", "-o", "json").ok().json["resumed"] == 1
    ended = run("status", parked["id"], "-o", "json").ok().json
    assert (ended["status"], ended["resolution"]) == ("resumed", "event")


def test_tick_after_an_outage(run: Waitctl) -> None:
    run("create", "fixed-time", "1h", "--window", "mon-fri 09:00-17:00", "--from", "2026-11-27T10:00:00Z").ok()
    night = run("tick", "--as-of", "2026-11-28T03:00:00Z").ok()
    assert night.lines == ["moved 1 wait to the next opening (idle)"]
    assert run("tick", "--as-of", "2026-11-30T09:00:00Z", "-o", "json").ok().json["resumed"] == 1
