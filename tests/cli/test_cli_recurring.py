"""Waits that come again, contacts and changed contexts, on the command line."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.processes import Waitctl

BERLIN = ("--tz", "Europe/Berlin")


def test_the_walk_of_a_recurrence(run_on: Waitctl) -> None:
    options = ("--cron", "0 9 * * mon-fri", *BERLIN, "-e", "standup", "-c", "ada", "--stop-on", "sms_reply")
    dry = run_on("create", "recurring", *options, "--from", "2098-06-21T08:00:00Z", "--dry-run").ok().lines
    assert dry[0] == "recurring cron 0 9 * * mon-fri in Europe/Berlin"
    assert dry[1] == "occurrence 1: 2098-06-23 09:00:00 Europe/Berlin"

    made = run_on("create", "recurring", *options, "-o", "json").ok().json
    assert (made["created"], made["status"], made["occurrence"]) == (True, "active", 1)
    assert made["rule"] == {"cron": "0 9 * * mon-fri"}
    wait = run_on("status", made["wait_id"], "-o", "json").ok().json
    assert (wait["scheduled_at"], wait["wait_config"]["recurrence"]) == (made["next_at"], made["id"])
    again = run_on("create", "recurring", *options, "-o", "json").ok().json
    assert (again["created"], again["id"]) == (False, made["id"])
    assert run_on("create", "recurring", "--every", "1d", *BERLIN, "-e", "standup", "-o", "json").json_error(4)

    run_on("resume", made["wait_id"]).ok()
    shown = run_on("recurring", "show", made["id"][-12:], "-o", "json").ok().json
    assert (shown["occurrence"], len(shown["upcoming"])) == (2, 5)
    assert shown["upcoming"][0] == shown["next_at"] > made["next_at"]
    assert made["id"][-12:] in run_on("recurring", "list").ok().out

    assert run_on("recurring", "pause", made["id"], "-o", "json").ok().json["status"] == "paused"
    assert run_on("recurring", "unpause", made["id"], "-o", "json").ok().json["status"] == "active"
    run_on("event", "record", "sms_reply", "-c", "ada").ok()
    stopped = run_on("recurring", "list", "-o", "json").ok().json["recurrences"]
    assert [(each["id"], each["status"], each["reason"]) for each in stopped] == [
        (made["id"], "stopped", "stopped by an event")
    ]
    run_on("recurring", "stop", made["id"]).ok()
    assert run_on("recurring", "pause", made["id"], "-o", "json").json_error(4)["code"] == "conflict"
    assert run_on("recurring", "show", "0" * 12, "-o", "json").json_error(3)["code"] == "recurrence_not_found"
    assert run_on("pending", "-o", "json").ok().json["open"] == 0


def test_a_contact_and_its_zone(run_on: Waitctl, tmp_path: Path) -> None:
    run_on("contact", "set", "Ada@Example.org", *BERLIN, "--data", '{"plan": "pro"}').ok()
    wait = run_on("create", "until-time", "9", "-c", "ada@example.org", "--tz", "contact", "-o", "json").ok().json
    assert wait["timezone"] == "Europe/Berlin"
    changed = run_on("contact", "set", "ada@example.org", "--tz", "Asia/Tokyo", "-o", "json").ok()
    assert changed.json["open_by_zone"] == 1
    back = run_on("contact", "set", "ada@example.org", *BERLIN)
    assert (back.code, back.lines) == (0, ["ada@example.org  Europe/Berlin"])
    assert "1 open wait goes by this zone" in back.err
    run_on("contact", "set", "ada@example.org", "--tz", "Asia/Tokyo", "-o", "json").ok()
    plan = run_on("replan", "--contact", "ada@example.org", "-o", "json").ok().json
    assert [change["to_timezone"] for change in plan["changed"]] == ["Asia/Tokyo"]

    (tmp_path / "contacts.csv").write_text('contact,timezone,data\nbob,UTC,"{""x"": 1}"\neve,+02:00,\n,UTC,\n')
    done = run_on("contact", "import", "contacts.csv", "-o", "json")
    assert (done.code, done.json) == (1, {"received": 3, "written": 1, "rejected": 2})
    assert "line 3: '+02:00' is not a time zone" in done.err
    (tmp_path / "more.ndjson").write_text(
        '{"contact": "mia", "timezone": "UTC"}\n\n{"contact": 3}\n{"contact": "x", "n": 1}\n'
    )
    assert run_on("contact", "import", "more.ndjson", "-o", "json").json == {"received": 3, "written": 1, "rejected": 2}
    assert run_on("contact", "list", "-o", "id").ok().lines == ["ada@example.org", "bob", "mia"]

    shown = run_on("contact", "show", "ada@example.org", "-o", "json").ok().json
    assert (shown["timezone"], shown["data"], shown["held"]["waits"]) == ("Asia/Tokyo", {"plan": "pro"}, 1)
    assert run_on("contact", "forget", "ada@example.org", "--dry-run", "-o", "json").ok().json["forgotten"] is False
    said = run_on("contact", "forget", "ada@example.org", "--dry-run").ok().out
    assert said.startswith("ada@example.org  would be forgotten: 1 wait, 1 of them open"), said
    gone = run_on("contact", "forget", "ada@example.org", "-o", "json").ok().json
    assert (gone["forgotten"], gone["rows"]["waits"]) == (True, 1)
    run_on("contact", "remove", "bob").ok()
    for command in ("show", "forget", "remove"):
        assert run_on("contact", command, "ada@example.org", "-o", "json").json_error(3)["code"] == "contact_not_found"
    assert run_on("status", wait["id"], "-o", "json").ok().json["contact_id"] is None


def test_another_context_moves_the_wait(run: Waitctl) -> None:
    options = ("--field", "visit", "--field-format", "DD.MM.YYYY HH:mm", "--offset=-1d", *BERLIN)
    context = '{"visit": "10.03.2099 15:00", "name": "ada"}'
    made = run("create", "until-date", *options, "--context", context, "-o", "json").ok().json
    assert made["scheduled_at"] == "2099-03-09T14:00:00Z"
    changed = run("update", made["id"], "--merge", "--context", '{"visit": "11.03.2099 15:00"}', "-o", "json").ok()
    [moved] = changed.json["waits"]
    assert (moved["scheduled_at"], moved["context"]["name"]) == ("2099-03-10T14:00:00Z", "ada")
    assert moved["explanation"][0].startswith("until-date 2099-03-11 15:00")
    for text in ("{}", '{"visit": "soon"}', '{"visit": "10.03.2020 15:00"}'):
        refused = run("update", made["id"], "--context", text, "-o", "json")
        assert (refused.code, refused.json) == (2, {"waits": []})
        assert json.loads(refused.err)["error"]["code"] == "invalid_wait_date"
    assert run("status", made["id"], "-o", "json").ok().json["scheduled_at"] == "2099-03-10T14:00:00Z"
    assert run("history", made["id"]).ok().out.count("context updated") == 1


def test_months_open_time_and_ramps(run: Waitctl) -> None:
    office = ("--window", "mon-fri 09:00-17:00", *BERLIN, "--from", "2098-06-20T12:00:00Z", "-o", "json")
    for form, at in (
        (("fixed-time", "1mo"), "2098-07-21T07:00:00Z"),
        (("fixed-time", "1mo", "--on", "last friday"), "2098-07-25T12:00:00Z"),
        (("fixed-time", "4bh"), "2098-06-23T08:00:00Z"),
    ):
        assert run("create", *form, *office).ok().json["scheduled_at"] == at
    event = ("for-event", "sms_reply", "-c", "ada")
    assert run("create", *event, "--timeout", "4bh", *office).ok().json["timeout_at"] == "2098-06-23T08:00:00Z"
    spread = run("create", "fixed-time", "1h", "--spread", "30m", "--quiet-hours", "22:00-08:00", *office).ok().json
    assert (spread["wait_config"]["spread"], spread["wait_config"]["quiet"]) == ("30m", "22:00-08:00")
