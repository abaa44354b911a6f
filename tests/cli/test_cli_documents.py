"""What programs read: every key always there, instants in UTC with Z, one JSON document and nothing else."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Waitctl
from waitctl.infrastructure.file_trust import user_name

WAIT = [
    "id",
    "workflow_id",
    "workflow_execution_id",
    "step_id",
    "contact_id",
    "wait_type",
    "status",
    "scheduled_at",
    "timeout_at",
    "timezone",
    "wait_config",
    "context",
    "handler",
    "handlers",
    "command",
    "idempotency_key",
    "created_at",
    "updated_at",
    "resolved_at",
    "resolution",
    "resolution_event_id",
    "late_seconds",
    "listeners",
    "deliveries",
]
LISTENER = {
    "event_type",
    "contact_id",
    "match",
    "where",
    "expires_at",
    "status",
    "matched_event_id",
    "matched_at",
}
EVENT = ["event_id", "type", "contact", "source", "id", "data", "occurred_at", "received_at", "matched"]
DELIVERY = [
    "delivery_id",
    "wait_id",
    "handler",
    "outcome",
    "status",
    "attempt",
    "max_attempts",
    "next_attempt_at",
    "lease_expires_at",
    "last_error",
    "created_at",
    "delivered_at",
    "dead_delivery_id",
]
REPORT = [
    "started_at",
    "finished_at",
    "as_of",
    "correlated",
    "resumed",
    "timed_out",
    "moved",
    "delivered",
    "retried",
    "dead",
    "stale",
    "held",
    "remaining_due",
    "quarantined",
    "pruned",
    "stopped",
]
ZULU = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def instants(document: Any) -> Iterator[Any]:
    """Every value whose key says that it is an instant."""
    match document:
        case dict():
            for key, value in document.items():
                if key.endswith("_at") or key == "at":
                    yield value
                else:
                    yield from instants(value)
        case list():
            for value in document:
                yield from instants(value)
        case _:
            pass


def check_instants(document: Any) -> None:
    found = [value for value in instants(document) if value is not None]
    assert found
    for value in found:
        assert ZULU.fullmatch(value), value


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A config file whose handler succeeds."""
    path = tmp_path / "config.toml"
    path.write_text('[handlers.ok]\nexec = ["true"]\n')
    return str(path)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (["fixed-time", "3d"], {"wait_type": "fixed_time", "status": "scheduled"}),
        (["until-date", "2999-12-24 18:00"], {"wait_type": "until_date", "scheduled_at": "2999-12-24T18:00:00Z"}),
        (["until-time", "9"], {"wait_type": "until_time", "status": "scheduled"}),
        (["for-event", "sms_reply", "-c", "+49 1"], {"wait_type": "for_event", "status": "waiting"}),
    ],
)
def test_every_key_of_a_new_wait_is_there(run: Waitctl, form: list[str], expected: dict[str, str]) -> None:
    wait = run("create", *form, "-o", "json").ok().json
    assert list(wait) == [*WAIT, "created"]
    assert expected.items() <= wait.items()
    assert wait["created"] is True
    assert UUID7.fullmatch(wait["id"])
    assert UUID7.fullmatch(wait["workflow_execution_id"])
    assert (wait["step_id"], wait["timezone"], wait["context"]) == ("wait", "UTC", None)
    check_instants(wait)


def test_the_walk_of_an_event_wait(run_on: Waitctl, config: str) -> None:
    at_home = {"WAITCTL_CONFIG": config}

    def run(*arguments: str) -> Any:
        return run_on(*arguments, "-o", "json", env=at_home).ok().json

    created = run(
        "create", "for-event", "email_click,email_open", "-e", "order-17", "-s", "ask", "-w", "nurture",
        "-c", " Ada@Example.ORG ", "--match", "n=3", "--timeout", "2d", "--handler", "ok",
        "--context", '{"a": [1, null]}',
    )  # fmt: skip
    assert (created["contact_id"], created["context"]) == ("ada@example.org", {"a": [1, None]})
    assert [listener["event_type"] for listener in created["listeners"]] == ["email_click", "email_open"]
    assert all(LISTENER <= set(listener) and listener["status"] == "active" for listener in created["listeners"])
    assert created["scheduled_at"] is None
    assert ZULU.fullmatch(created["timeout_at"])

    again = run(
        "create", "for-event", "email_click,email_open", "-e", "order-17", "-s", "ask", "-w", "nurture",
        "-c", "ada@example.org", "--match", "n=3", "--timeout", "2d", "--handler", "ok",
        "--context", '{"a": [1, null]}',
    )  # fmt: skip
    assert again == created | {"created": False}

    assert run("status", "-e", "order-17")["state"] == "waiting"
    pending = run("pending")
    assert list(pending) == [
        "open", "by_type", "by_status", "overdue", "oldest_overdue_seconds", "overdue_age", "next_due_at", "listeners",
        "deliveries", "quarantined", "paused", "last_tick", "capped",
    ]  # fmt: skip
    assert pending["open"] == 1
    assert pending["by_type"]["for_event"] == 1
    assert pending["by_status"]["waiting"] == 1
    assert pending["deliveries"] == {"pending": 0, "held": 0, "dead": 0, "oldest_due_seconds": None}

    recorded = run("event", "record", "email_click", "-c", "ADA@example.org", "--data", '{"n": "3"}', "--id", "m-1")
    assert list(recorded) == ["event_id", "type", "contact", "duplicate", "matched"]
    assert recorded["matched"] == [created["id"]]
    assert recorded["duplicate"] is False
    twice = run("event", "record", "email_click", "-c", "ada@example.org", "--data", '{"n": "3"}', "--id", "m-1")
    assert twice == recorded | {"duplicate": True, "matched": []}

    shown = run("event", "show", recorded["event_id"])
    assert list(shown) == EVENT
    assert (shown["id"], shown["source"], shown["data"]) == ("m-1", "cli", {"n": "3"})
    assert shown["matched"] == [created["id"]]
    assert run("event", "list") == {"events": [shown], "next": None}
    check_instants(shown)

    held = run_on("tick", "-o", "json").ok().json
    assert list(held) == REPORT
    assert (held["held"], held["delivered"], held["stopped"]) == (1, 0, "idle")
    preview = run("tick", "--dry-run")
    assert list(preview) == [*REPORT, "ids"]
    assert preview["delivered"] == 1
    report = run("tick")
    assert (report["delivered"], report["as_of"], report["stopped"]) == (1, None, "idle")
    check_instants(report)

    ended = run("status", created["id"][-8:])
    assert list(ended) == WAIT
    assert (ended["status"], ended["resolution"]) == ("resumed", "event")
    assert ended["resolution_event_id"] == recorded["event_id"]
    assert [each["status"] for each in ended["listeners"]] == ["matched", "cancelled"]
    [delivery] = ended["deliveries"]
    assert list(delivery) == DELIVERY
    assert (delivery["status"], delivery["outcome"], delivery["attempt"]) == ("delivered", "event", 1)
    assert preview["ids"]["delivered"] == [delivery["delivery_id"]]
    assert run("delivery", "show", delivery["delivery_id"]) == delivery | {"output": None}
    assert run("delivery", "list", "--status", "delivered") == {"deliveries": [delivery], "next": None}
    assert run("list", "--status", "resumed") == {"waits": [ended], "next": None}
    assert run("status", "-e", "order-17") == {"workflow_execution_id": "order-17", "state": "done", "waits": [ended]}

    history = run("history", created["id"])
    assert all({"at", "from", "to", "reason", "actor"} <= set(line) for line in history)
    assert [(line["from"], line["to"]) for line in history] == [(None, "waiting"), ("waiting", "resumed")]
    assert history[0]["actor"].startswith(f"{user_name(os.geteuid())}@")
    check_instants(history)


def test_the_walk_of_a_time_wait_through_a_dry_tick(run_on: Waitctl) -> None:
    due = run_on("create", "fixed-time", "1h", "--from", "2020-01-01T00:00:00Z", "-o", "json").ok().json
    assert due["late_seconds"] is None or due["late_seconds"] > 0
    late = run_on("create", "for-event", "form_submit", "-c", "x", "--timeout", "1m", "-o", "id").ok().out.strip()
    overdue = run_on("list", "--overdue", "-o", "id").ok()
    assert overdue.lines == [due["id"]]

    report = run_on("tick", "--dry-run", "--as-of", "2999-01-01T00:00:00+01:00", "-o", "json").ok().json
    assert report["as_of"] == "2998-12-31T23:00:00Z"
    assert report["ids"] == {
        "correlated": [],
        "resumed": [due["id"]],
        "timed_out": [late],
        "moved": [],
        "delivered": [],
    }
    assert (report["resumed"], report["timed_out"]) == (1, 1)
    assert run_on("pending", "-o", "json").ok().json["open"] == 2

    done = run_on("tick", "-o", "json").ok().json
    assert (done["resumed"], done["timed_out"]) == (1, 0)
    assert run_on("status", due["id"], "-o", "json").ok().json["late_seconds"] > 150_000_000


def test_states_of_an_execution(run: Waitctl) -> None:
    run("create", "fixed-time", "1h", "-e", "e").ok()
    run("cancel", "-e", "e", "--reason", "paid").ok()
    assert run("status", "-e", "e", "-o", "json").json["state"] == "cancelled"
    run("create", "fixed-time", "1h", "-e", "e").ok()
    assert run("status", "-e", "e", "-o", "json").json["state"] == "waiting"
    latest = run("status", "-e", "e", "-s", "wait", "-o", "json").json
    assert latest["status"] == "scheduled"
    run("resume", latest["id"], "--data", '{"by": "phone"}').ok()
    document = run("status", "-e", "e", "-o", "json").json
    assert document["state"] == "done"
    assert [wait["status"] for wait in document["waits"]] == ["cancelled", "resumed"]


def test_the_state_of_an_execution_whose_delivery_died(run: Waitctl, tmp_path: Path) -> None:
    (tmp_path / "dying.toml").write_text('[handlers.x]\nexec = ["sh", "-c", "echo no such person; exit 65"]\n')
    due = ["--from", "2020-01-01T00:00:00Z", "--handler", "x", "-e", "e"]
    identifier = run("create", "fixed-time", "1h", *due, "-o", "id").ok().out.strip()
    report = run("--config", "dying.toml", "tick", "-o", "json").ok().json
    assert (report["resumed"], report["dead"], report["delivered"]) == (1, 1, 0)
    document = run("status", "-e", "e", "-o", "json").json
    assert document["state"] == "error"
    assert (document["waits"][0]["status"], document["waits"][0]["resolution"]) == ("error", "due")
    [dead] = run("delivery", "list", "--status", "dead", "-o", "ndjson").ok().lines
    assert "no such person" in json.loads(dead)["last_error"]
    assert json.loads(dead)["wait_id"] == identifier
    assert run("pending", "-o", "json").json["deliveries"]["dead"] == 1

    retried = run("delivery", "retry", "--all-dead", "-o", "json").ok().json
    assert [each["status"] for each in retried["deliveries"]] == ["pending"]
    assert run("status", identifier, "-o", "json").json["status"] == "resumed"
    assert run("delivery", "drop", json.loads(dead)["delivery_id"], "-o", "json").ok().json["deliveries"][0][
        "status"
    ] == ("dropped")


def test_pages_lines_and_ids(run: Waitctl) -> None:
    made = [run("create", "fixed-time", "1h", "-e", f"e{n}", "-o", "id").ok().out.strip() for n in range(3)]
    newest = made[::-1]
    page = run("list", "--limit", "2", "-o", "json").ok().json
    assert [wait["id"] for wait in page["waits"]] == newest[:2]
    assert page["next"] == newest[1]
    rest = run("list", "--limit", "2", "--after", page["next"], "-o", "json").ok().json
    assert ([wait["id"] for wait in rest["waits"]], rest["next"]) == (newest[2:], None)
    rows = [json.loads(line) for line in run("list", "-o", "ndjson").ok().lines]
    assert [row["id"] for row in rows] == newest
    assert all(list(row) == WAIT for row in rows)
    assert run("list", "-o", "id").ok().lines == newest
    assert run("status", "-e", "e0", "-o", "id").ok().lines == [made[0]]
    assert run("cancel", *made, "-o", "id").ok().lines == made
    assert run("list", "--status", "scheduled", "-o", "json").ok().json == {"waits": [], "next": None}
    assert run("list", "--status", "scheduled", "-o", "ndjson").ok().out == ""


@pytest.mark.parametrize("command", [["pending"], ["tick"], ["event", "ingest"], ["db", "current"]])
def test_without_ids_nothing_is_done_for_output_id(run: Waitctl, command: list[str]) -> None:
    run("create", "fixed-time", "1h", "--from", "2020-01-01T00:00:00Z").ok()
    line = b'{"type": "sms_reply", "contact": "a"}'
    assert "id" in run(*command, "-o", "id", stdin=line).error(2)
    assert run("list", "--status", "scheduled", "-o", "id").ok().lines
    assert run("event", "list", "-o", "id").ok().lines == []


def test_filters_of_the_list(run: Waitctl) -> None:
    one = run("create", "fixed-time", "1h", "-w", "w", "-c", "A@x", "-o", "id").ok().out.strip()
    two = run("create", "for-event", "email_open", "-c", "b@x", "--timeout", "3d", "-o", "id").ok().out.strip()
    assert run("list", "--contact", "a@X", "-o", "id").ok().lines == [one]
    assert run("list", "--workflow", "w", "-o", "id").ok().lines == [one]
    assert run("list", "--type", "for_event", "-o", "id").ok().lines == [two]
    assert run("list", "--status", "waiting", "--status", "scheduled", "-o", "id").ok().lines == [two, one]
    assert run("list", "--due-before", "2999-01-01T00:00:00Z", "--status", "scheduled", "-o", "id").ok().lines == [one]
    assert run("list", "--due-before", "2020-01-01T00:00:00Z", "-o", "id").ok().lines == []


def test_a_dry_run_explains_and_writes_nothing(nowhere: Waitctl, tmp_path: Path) -> None:
    wait = nowhere("create", "until-date", "2026-03-29 02:30", "--past", "fire", "--tz", "Europe/Berlin", "--dry-run",
               "-o", "json").ok().json  # fmt: skip
    assert list(wait) == [*WAIT, "created", "explanation"]
    assert wait["created"] is False
    assert wait["scheduled_at"] == "2026-03-29T01:30:00Z"
    assert "2026-03-29 02:30" in wait["explanation"][0]
    assert "gap" in wait["explanation"][1]
    assert not (tmp_path / "waits.db").exists()


def test_event_types(run: Waitctl) -> None:
    run("event", "types", "add", "cart_abandoned", "--description", "left behind").ok()
    types = run("event", "types", "list", "-o", "json").ok().json["event_types"]
    assert {each["name"] for each in types} == {
        "email_open", "email_click", "sms_reply", "form_submit", "page_visit", "appointment_booked", "cart_abandoned",
    }  # fmt: skip
    assert run("event", "types", "-o", "json").ok().json["event_types"] == types
    run("event", "record", "cart_abandoned", "-c", "a").ok()
    assert run("event", "list", "--type", "cart_abandoned", "--unmatched", "-o", "id").ok().lines
    run("event", "types", "remove", "cart_abandoned").ok()
    assert "cart_abandoned" not in run("event", "types", "list", "-o", "id").ok().lines


def test_the_schema_by_command(run_on: Waitctl) -> None:
    run_on("db", "upgrade").ok()
    run_on("db", "check").ok()
    document = run_on("db", "current", "-o", "json").ok().json
    assert document["revision"] == document["head"]
    assert document["revision"]


@pytest.mark.parametrize("url", ["sqlite:///nowhere.db", "postgresql://nobody@127.0.0.1:1/none"])
def test_the_ddl_needs_no_connection(tmp_path: Path, url: str) -> None:
    ddl = Waitctl(tmp_path, url)("db", "sql").ok().out
    assert "CREATE TABLE workflow_wait_executions" in ddl
    assert not (tmp_path / "nowhere.db").exists()


def test_a_wait_for_several_events(run: Waitctl) -> None:
    created = (
        run(
            *["create", "for-event", "email_open|email_click,form_submit", "--all", "--human", "-c", "ada"],
            *["--where", "event.data.n > 1", "-o", "json"],
        )
        .ok()
        .json
    )
    assert created["wait_config"]["events"] == ["email_open|email_click", "form_submit"]
    asked = {name: created["wait_config"][name] for name in ("mode", "human", "where")}
    assert asked == {"mode": "all", "human": True, "where": "event.data.n > 1"}
    assert [(each["event_type"], each["group"], each["needed"]) for each in created["listeners"]] == [
        ("email_open", 1, 1),
        ("email_click", 1, 1),
        ("form_submit", 2, 1),
    ]
    event = run("event", "record", "email_open", "-c", "ada", "-o", "json").ok().json
    listener = run("status", created["id"], "-o", "json").ok().json["listeners"][0]
    assert listener["diagnostic"] == f"event {event['event_id']}: no such key: n"
    run("event", "record", "email_click", "-c", "ada", "--data", '{"n": 2, "machine": true}').ok()
    run("event", "record", "email_click", "-c", "ada", "--data", '{"n": 2}').ok()
    card = run("status", created["id"]).ok().out
    assert "1 of 2: email_click" in card
    assert "no such key: n" in card
    counts = [each["matched_count"] for each in run("status", created["id"], "-o", "json").ok().json["listeners"]]
    assert counts == [0, 1, 0]
    last = run("event", "record", "form_submit", "-c", "ada", "--data", '{"n": 2}', "-o", "json").ok().json
    assert last["matched"] == [created["id"]]


def test_a_dry_run_says_what_several_events_are(run: Waitctl) -> None:
    counting = ["create", "for-event", "page_visit", "-c", "ada", "--count", "3", "--distinct", "url", "--human"]
    lines = run(*counting, "--where", "true", "--dry-run", "-o", "json").ok().json["explanation"]
    assert "count: it ends with the 3rd such event, each with another text under url" in lines
    assert any(line.startswith("human: ") for line in lines)
    assert any(line.startswith("where: true") for line in lines)
    every = run("create", "for-event", "email_open|email_click,form_submit", "-c", "ada", "--all", "--dry-run").ok().out
    assert "in any order: email_open or email_click, form_submit" in every
    identifier = run(*counting, "-o", "id").ok().lines[0]
    assert "it ends with the 3rd such event" in run("explain", identifier).ok().out
