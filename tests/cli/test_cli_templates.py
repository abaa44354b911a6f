"""`waitctl template`: waits by name, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Waitctl

REMINDER = ("create", "fixed-time", "{days:int}d", "--at", "{at:time=09:00}", "--handler", "nudge")


def config(folder: Path, text: str) -> tuple[str, ...]:
    file = folder / "templates.toml"
    file.write_text(text, encoding="utf-8")
    return ("--config", str(file))


def test_the_walk_of_a_template(run_on: Waitctl) -> None:
    saved = run_on("template", "save", "reminder", "-o", "json", "--", *REMINDER).ok().json
    assert (saved["name"], saved["version"], saved["created"], saved["from"]) == ("reminder", 1, True, "database")
    assert saved["create"] == {
        "type": "fixed-time",
        "duration": "{days:int}d",
        "at": "{at:time=09:00}",
        "handler": ["nudge"],
    }
    assert saved["placeholders"] == [
        {"name": "days", "type": "int", "default": None},
        {"name": "at", "type": "time", "default": "09:00"},
    ]
    assert saved["late_bound"] == {"open": 0, "changed": 0, "moved": 0, "kept": []}
    assert run_on("template", "save", "reminder", "--", *REMINDER).ok().lines == ["reminder@1  says this already"]

    shown = run_on("template", "show", "reminder", "--set", "days=7").ok().lines
    assert shown[0] == "reminder@1"
    assert "example: days=7, at=09:00" in shown
    assert "  waitctl create fixed-time 7d --at 09:00 --handler nudge" in shown
    assert next(line for line in shown if line.startswith("fixed-time")).startswith(
        "fixed-time 7d --at 09:00: 7 calendar"
    )
    document = run_on("template", "show", "reminder", "-o", "json").ok().json
    assert (document["versions"], document["example"]["values"]) == ([1], {"days": "3", "at": "09:00"})
    assert document["example"]["wait"]["handler"] == "nudge"
    assert document["example"]["error"] is None

    used = run_on("template", "use", "reminder", "--set", "days=3", "-e", "order-17", "--late-bound", "-o", "json")
    wait = used.ok().json
    assert (wait["created"], wait["wait_config"]["duration"]) == (True, "3d")
    assert wait["wait_config"]["template"] == {
        "name": "reminder",
        "version": 1,
        "set": {"days": "3"},
        "given": {"execution": "order-17"},
    }
    edited = run_on("template", "save", "reminder", "--", *REMINDER[:4], "10:00").ok().lines
    assert edited == ["reminder@2  saved, 1 of 1 open wait changed, 1 moved"]
    status = run_on("status", wait["id"]).ok().lines
    assert any("template" in line and "reminder@2 days=3, late-bound" in line for line in status)
    assert any(line.startswith("template reminder@2 days=3") for line in run_on("explain", wait["id"]).ok().lines)
    assert "T10:00:00" in run_on("status", wait["id"], "-o", "json").ok().json["scheduled_at"]

    listed = run_on("template", "list", "-o", "json").ok().json["templates"]
    assert [(each["name"], each["version"]) for each in listed] == [("reminder", 2)]
    assert run_on("template", "list", "-o", "id").ok().lines == ["reminder"]
    assert "days:int" in run_on("template", "list").ok().out
    assert run_on("template", "remove", "reminder@1").ok().lines == ["reminder  removed: version 1"]
    assert run_on("template", "remove", "reminder", "-o", "json").ok().json == {"name": "reminder", "removed": [2]}
    assert run_on("template", "list").err == "no templates\n"


def test_options_of_create_go_before_the_template(run: Waitctl) -> None:
    words = ("create", "until-time", "{at:time}", "--tz", "Europe/Berlin", "--context", '{"a": 1, "who": "{who}"}')
    run("template", "save", "call", "--", *words).ok()
    options = (
        "--tz",
        "Asia/Tokyo",
        "--context",
        '{"b": 2}',
        "-c",
        "ada",
        "--handler",
        "x",
        "--late",
        "skip",
        "-s",
        "s",
    )
    wait = run("template", "use", "call", *options, "--set", "at=9", "--set", "who=x y", "-o", "json").ok().json
    assert (wait["timezone"], wait["context"], wait["contact_id"]) == ("Asia/Tokyo", {"b": 2}, "ada")
    assert (wait["handler"], wait["wait_config"]["late"], wait["step_id"]) == ("x", "skip", "s")
    dry = run("template", "use", "call", "--set", "at=9", "--set", "who=x y", "--dry-run").ok().lines
    assert dry[-1] == "nothing was written"
    assert len(run("list", "-o", "id").ok().lines) == 1


@pytest.mark.parametrize(
    "value", ["two words", '"quoted"', "--replace", "-x", "$(id)", "a'b", "{days}", "é\u202e", "--"]
)
def test_a_value_is_one_argument_whatever_it_says(run: Waitctl, value: str) -> None:
    run("template", "save", "any", "--", "create", "fixed-time", "1d", "-e", "{id}", "--context", '{"k": "{id}"}').ok()
    wait = run("template", "use", "any", "--set", f"id={value}", "-o", "json").ok().json
    assert (wait["workflow_execution_id"], wait["context"]) == (value, {"k": value})


BAD: list[tuple[str, str, int, list[str]]] = [
    ("invalid_template", "needs days", 2, ["use", "reminder"]),
    ("invalid_template", "'dayz'", 2, ["use", "reminder", "--set", "dayz=3"]),
    ("invalid_template", "days: 'soon'", 2, ["use", "reminder", "--set", "days=soon"]),
    ("invalid_template", "at: '25:00'", 2, ["use", "reminder", "--set", "days=3", "--set", "at=25:00"]),
    ("invalid_template", "not NAME=VALUE", 2, ["use", "reminder", "--set", "days"]),
    ("invalid_template", "twice", 2, ["use", "reminder", "--set", "days=3", "--set", "days=4"]),
    ("invalid_template", "one version", 2, ["use", "reminder@1", "--set", "days=3", "--late-bound"]),
    ("invalid_template", "names no template", 2, ["use", "re minder"]),
    ("template_not_found", "'remindre'", 3, ["use", "remindre", "--set", "days=3"]),
    ("template_not_found", "reminder@7", 3, ["use", "reminder@7", "--set", "days=3"]),
    ("template_not_found", "'nothing'", 3, ["show", "nothing"]),
    ("template_not_found", "'nothing'", 3, ["remove", "nothing"]),
    ("template_version", "version 1", 4, ["save", "reminder@1", "--", "create", "fixed-time", "1d"]),
    ("invalid_template", "cannot create a wait with n=3", 2, ["save", "new", "--", "create", "fixed-time", "{n:int}"]),
    ("invalid_template", "the date has passed", 2, ["save", "new", "--", "create", "until-date", "2001-01-01"]),
    ("invalid_template", "no type 'days'", 2, ["save", "new", "--", "create", "fixed-time", "{n:days}"]),
    ("invalid_template", "behind --", 2, ["save", "new", "--", "create", "fixed-time", "1d", "--", "true"]),
    ("invalid_template", "it says nothing", 2, ["save", "new"]),
    ("invalid_template", "no form 'cancel'", 2, ["save", "new", "--", "cancel", "x"]),
    ("invalid_template", "--atta", 2, ["save", "new", "--", "create", "fixed-time", "1d", "--atta", "9"]),
    ("invalid_template", "names no template", 2, ["save", "a/b", "--", "create", "fixed-time", "1d"]),
    (
        "invalid_template",
        "no placeholder 'x'",
        2,
        ["save", "new", "--example", "x=1", "--", "create", "fixed-time", "1d"],
    ),
    ("invalid_template", "called create", 2, ["save", "create", "--", "create", "fixed-time", "1d"]),
]


@pytest.mark.parametrize(("code", "said", "status", "words"), BAD, ids=[f"{each[0]} {each[1]}" for each in BAD])
def test_what_cannot_be_is_said_and_leaves_nothing(
    run: Waitctl, code: str, said: str, status: int, words: list[str]
) -> None:
    run("template", "save", "reminder", "--", *REMINDER).ok()
    at = words.index("--") if "--" in words else len(words)
    error = run("template", *words[:at], "-o", "json", *words[at:]).json_error(status)
    assert error["code"] == code
    assert said in error["message"]
    templates = run("template", "list", "-o", "json").ok().json["templates"]
    assert [(each["name"], each["version"]) for each in templates] == [("reminder", 1)]
    assert run("list", "-o", "id").ok().out == ""


def test_templates_of_the_config(nowhere: Waitctl, tmp_path: Path) -> None:
    here = config(
        tmp_path,
        "[templates.reminder]\n"
        'create = "fixed-time {days:int}d --at \'9:00\' --context \'{\\"plan\\": \\"{plan}\\"}\'"\n'
        'examples = { plan = "pro" }\n'
        "[templates.listen]\n"
        'create = ["create", "for-event", "sms_reply", "-c", "{who}"]\n',
    )
    listed = nowhere(*here, "template", "list", "-o", "json").ok().json["templates"]
    assert [(each["name"], each["version"], each["from"]) for each in listed] == [
        ("listen", None, "config"),
        ("reminder", None, "config"),
    ]
    shown = nowhere(*here, "template", "show", "reminder", "-o", "json").ok().json
    assert shown["example"]["wait"]["context"] == {"plan": "pro"}
    assert shown["versions"] == []
    wait = nowhere(*here, "template", "use", "reminder", "--set", "days=2", "--set", "plan=x", "-o", "json").ok().json
    assert (wait["wait_config"]["at"], wait["context"]) == ("09:00:00", {"plan": "x"})
    late = nowhere(*here, "template", "use", "listen", "--set", "who=ada", "--late-bound", "-o", "json").json_error(2)
    assert "this host's config" in late["message"]
    saved = nowhere(*here, "template", "save", "reminder", "--", "create", "fixed-time", "1d")
    assert saved.code == 0
    assert "which goes before it" in saved.err
    behind = [line for line in nowhere(*here, "template", "list").ok().lines if "behind" in line]
    assert [line.split()[:2] for line in behind] == [["reminder", "1"]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[templates.a]\n", "create"),
        ('[templates.a]\ncreate = "fixed-time \'1d"\n', "No closing quotation"),
        ("[templates.a]\ncreate = 3\n", "templates.a.create"),
        ('[templates.a]\ncreate = "x"\nexample = 1\n', "example"),
    ],
)
def test_what_is_wrong_with_the_config(run: Waitctl, tmp_path: Path, text: str, said: str) -> None:
    assert said in run(*config(tmp_path, text), "template", "list", "-o", "json").json_error(2)["message"]


def test_waits_of_a_file_by_a_template(run_on: Waitctl, tmp_path: Path) -> None:
    run_on("template", "save", "reminder", "--", *REMINDER).ok()
    lines: list[Any] = [
        {"template": "reminder", "set": {"days": 2}, "execution": "a"},
        {"template": "reminder", "set": {"days": 3}, "execution": "b", "handler": "other"},
        {"template": "reminder", "set": {"days": "x"}, "execution": "c"},
        {"template": "nothing", "execution": "d"},
        {"template": "reminder", "set": [], "execution": "e"},
        {"type": "fixed-time", "duration": "1d", "execution": "f"},
    ]
    file = tmp_path / "waits.ndjson"
    file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    finished = run_on("create", "-f", "waits.ndjson", "-o", "json")
    assert (finished.code, finished.json["created"], finished.json["rejected"]) == (1, 3, 3)
    errors = [json.loads(line)["error"] for line in finished.err.splitlines() if line[0] == "{"]
    assert [(each["line"], each["code"]) for each in errors] == [
        (3, "invalid_template"),
        (4, "template_not_found"),
        (5, "invalid_template"),
    ]
    waits = run_on("list", "--sort", "created", "-o", "json").ok().json["waits"]
    found = {each["workflow_execution_id"]: (each["wait_config"]["duration"], each["handler"]) for each in waits}
    assert found == {"a": ("2d", "nudge"), "b": ("3d", "other"), "f": ("1d", None)}
    assert run_on("create", "-f", "waits.ndjson", "-o", "json").json["existing"] == 3


DIGEST = ("create", "recurring", "--cron", "0 {hour:int=9} * * mon-fri", "--tz", "{zone:zone}", "-c", "{who}")


def test_the_walk_of_a_template_that_recurs(run_on: Waitctl) -> None:
    """Saved, shown with an example, used, used again, and another version of it."""
    saved = run_on("template", "save", "digest", "-o", "json", "--", *DIGEST).ok().json
    assert [each["name"] for each in saved["placeholders"]] == ["hour", "zone", "who"]
    shown = run_on("template", "show", "digest", "--set", "hour=8").ok().lines
    assert "  waitctl create recurring --cron '0 8 * * mon-fri' --tz Europe/Berlin --contact example" in shown
    assert any(
        "Europe/Berlin" in line for line in shown[shown.index("example: hour=8, zone=Europe/Berlin, who=example") :]
    )
    example = run_on("template", "show", "digest", "-o", "json").ok().json["example"]
    assert (example["wait"], example["error"]) == (None, None)
    assert (example["recurrence"]["timezone"], len(example["explanation"])) == (
        "Europe/Berlin",
        len(example["explanation"]),
    )
    assert example["explanation"]
    use = ("template", "use", "digest", "-e", "e", "--set", "zone=America/New_York", "--set", "who=Ada@Example.org")
    assert run_on(*use, "--dry-run", "-o", "json").ok().json["created"] is False
    assert run_on("recurring", "list", "-o", "json").ok().json["recurrences"] == []
    used = run_on(*use, "--handler", "nudge", "-o", "json").ok().json
    assert (used["created"], used["contact_id"], used["handler"]) == (True, "ada@example.org", "nudge")
    assert used["rule"]["cron"] == "0 9 * * mon-fri"
    assert run_on(*use, "--handler", "nudge").ok().lines[0].split()[1] == "exists"
    assert run_on(*use, "--set", "hour=7").code == 4, "it is another one"
    assert run_on(*use, "--set", "hour=7", "--replace").ok().lines[0].split()[1] == "created"
    (listed,) = run_on("template", "list", "-o", "json").ok().json["templates"]
    assert listed["create"]["type"] == "recurring"


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ("create", "recurring", "--every", "{span}"),
            "digest cannot create a wait with span=example: 'example' is not",
        ),
        (("create", "recurring", "--every", "1d", "--cron", "0 9 * * *"), "name one of --every, --cron and --rrule"),
        (("create", "recurring", "--cron", "0 9 * *"), "has 4 fields, and a cron expression five"),
        (("create", "recurring", "--every", "1d", "--key", "k"), "takes no key"),
        (("create", "recurring", "--every", "1d", "--count", "x"), "'count' must be a whole number"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_not_saved(run_on: Waitctl, argv: tuple[str, ...], said: str) -> None:
    done = run_on("template", "save", "digest", "--", *argv)
    assert (done.code, said in done.err) == (2, True), done.err
    run_on("db", "upgrade").ok()
    assert run_on("template", "list", "-o", "json").ok().json == {"templates": []}


def test_what_recurs_is_not_late_bound_nor_of_a_file(run_on: Waitctl, tmp_path: Path) -> None:
    run_on("template", "save", "digest", "--", "create", "recurring", "--every", "{days:int}d").ok()
    done = run_on("template", "use", "digest", "--set", "days=1", "--late-bound")
    assert (done.code, "that keeps its rule, and is not late-bound" in done.err) == (2, True)
    lines = tmp_path / "waits.ndjson"
    run_on("template", "save", "reminder", "--", *REMINDER).ok()
    given = [
        {"template": "digest", "set": {"days": 1}, "execution": "a"},
        {"template": "reminder", "set": {"days": 1}, "execution": "b", "late_bound": True},
        {"template": "reminder", "set": {"days": 1}, "execution": "c"},
    ]
    lines.write_text("".join(json.dumps(each) + "\n" for each in given))
    done = run_on("create", "--file", str(lines), "-o", "json")
    assert (done.code, done.json["created"], done.json["rejected"]) == (1, 1, 2)
    assert "digest is of a wait that comes again, and a line is of one" in done.err
    assert "a wait of a file is not late-bound" in done.err


def test_late_bound_waits_of_what_recurs_now_stay(run_on: Waitctl) -> None:
    run_on("template", "save", "reminder", "--", *REMINDER).ok()
    run_on("template", "use", "reminder", "--set", "days=3", "-e", "e", "--late-bound").ok()
    saved = run_on("template", "save", "reminder", "-o", "json", "--", "create", "recurring", "--every", "{days:int}d")
    assert saved.code == 0
    (kept,) = saved.json["late_bound"]["kept"]
    assert kept["reason"] == "it is of a wait that comes again now"


def test_a_template_of_the_config_may_recur(nowhere: Waitctl, tmp_path: Path) -> None:
    options = config(tmp_path, '[templates.digest]\ncreate = "recurring --every {days:int}d --at 09:00"\n')
    nowhere(*options, "config", "check").ok()
    used = nowhere(*options, "template", "use", "digest", "--set", "days=2", "-e", "e", "-o", "json").ok().json
    assert (used["created"], used["rule"]["every"]) == (True, "2d")
