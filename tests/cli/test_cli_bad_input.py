"""Bad input: its exit code, its error code, one line, no traceback, and nothing written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl
from waitctl import Database, WaitSchedulingService, WaitSpec

BYTES = b"caf\xe9"
"""Latin-1: no UTF-8."""

TIME = ("create", "fixed-time", "1h")
EVENT = ("create", "for-event", "sms_reply", "-c", "ada")
RECORD = ("event", "record", "sms_reply", "-c", "ada")

USAGE = [
    # zones
    ("invalid_timezone", "Mars/Olympus", [*TIME, "--tz", "Mars/Olympus"]),
    ("invalid_timezone", "GMT+2", [*TIME, "--tz", "GMT+2"]),
    ("invalid_timezone", "''", [*TIME, "--tz", ""]),
    ("invalid_timezone", "caf", [*TIME, "--tz", BYTES]),
    # durations
    ("invalid_wait_duration", "0m", ["create", "fixed-time", "0m"]),
    ("invalid_wait_duration", "-3d", ["create", "fixed-time", "-3d"]),
    ("invalid_wait_duration", "fortnights", ["create", "fixed-time", "3 fortnights"]),
    ("invalid_wait_duration", "beside months", ["create", "fixed-time", "1mo2h"]),
    ("invalid_wait_duration", "M may be minutes or months", ["create", "fixed-time", "1M"]),
    ("invalid_wait_configuration", "nothing says when it is open", ["create", "fixed-time", "4bh"]),
    ("invalid_wait_configuration", "no day of a month", ["create", "fixed-time", "1mo", "--on", "31 feb"]),
    ("invalid_wait_configuration", "more than a week", [*TIME, "--spread", "8d"]),
    ("invalid_wait_configuration", "no time at all", [*TIME, "--quiet-hours", "mon-sun"]),
    ("invalid_wait_configuration", "needs a contact", [*TIME, "--tz", "contact"]),
    ("invalid_timezone", "+02:00", [*TIME, "--tz-field", "tz", "--context", '{"tz": "+02:00"}']),
    (
        "invalid_wait_date",
        "DD.MM.YY",
        ["create", "until-date", "--field", "d", "--field-format", "DD.MM.YY", "--context", '{"d": "1"}'],
    ),
    ("invalid_wait_configuration", "--field", ["create", "until-date", "2099-01-01", "--field-format", "DD.MM.YYYY"]),
    ("invalid_recurrence", "6 fields", ["create", "recurring", "--cron", "0 0 9 * * *"]),
    ("invalid_recurrence", "name one of", ["create", "recurring"]),
    (
        "invalid_recurrence",
        "no occurrence to come",
        ["create", "recurring", "--rrule", "FREQ=DAILY;UNTIL=20200101T000000Z"],
    ),
    ("invalid_recurrence", "31 2", ["create", "recurring", "--cron", "0 0 31 2 *"]),
    ("invalid_recurrence", "needs a contact", ["create", "recurring", "--every", "1d", "--stop-on", "sms_reply"]),
    ("invalid_timezone", "+02:00", ["contact", "set", "ada", "--tz", "+02:00"]),
    ("invalid_wait_duration", "ten years", ["create", "fixed-time", "3654d"]),
    ("invalid_wait_duration", "ten years", ["create", "fixed-time", "9" * 400 + "w"]),
    ("invalid_wait_duration", "''", ["create", "fixed-time", ""]),
    ("invalid_wait_duration", "caf", ["create", "fixed-time", BYTES]),
    ("invalid_timeout", "0s", [*EVENT, "--timeout", "0s"]),
    ("invalid_wait_configuration", "--lookback", [*EVENT, "--lookback", "soon"]),
    ("invalid_wait_configuration", "--grace", [*EVENT, "--timeout", "1d", "--grace", "1mo"]),
    # times and dates
    ("invalid_wait_time", "25:00", ["create", "until-time", "25:00"]),
    ("invalid_wait_time", "9:5", ["create", "until-time", "9:5"]),
    ("invalid_wait_date", "2026-02-30", ["create", "until-date", "2026-02-30"]),
    ("invalid_wait_date", "tomorrow", ["create", "until-date", "tomorrow"]),
    ("invalid_wait_date", "2020-01-01", ["create", "until-date", "2020-01-01"]),
    ("invalid_wait_date", "--from", [*TIME, "--from", "2026-01-01"]),
    ("invalid_wait_date", "9999", [*TIME, "--from", "9999-12-31T23:30:00Z"]),
    ("invalid_wait_date", "9999", [*EVENT, "--timeout", "1d", "--from", "9999-12-31T23:30:00Z"]),
    # calendars, windows, rules
    ("unknown_calendar", "DE-BX", [*TIME, "--calendar", "DE-BX"]),
    ("unknown_calendar", "''", [*TIME, "--calendar", ""]),
    ("unknown_calendar", "DE-BX", [*EVENT, "--calendar", "DE-BX"]),
    ("no_opening", "no opening", [*TIME, "--calendar", "DE-BY", "--window", "sat"]),
    ("no_opening", "no opening", [*EVENT, "--calendar", "DE-BY", "--window", "sat"]),
    ("invalid_wait_configuration", "overlap", [*TIME, "--window", "mon 09:00-12:00,11:00-13:00"]),
    ("invalid_wait_configuration", "overlap", [*TIME, "--window", "22:00-06:00; tue 05:00-07:00"]),
    ("invalid_wait_configuration", "empty", [*TIME, "--window", "09:00-09:00"]),
    ("invalid_wait_configuration", "cannot be read", [*TIME, "--window", "nine to five"]),
    ("invalid_wait_configuration", "''", [*TIME, "--window", ""]),
    ("invalid_wait_configuration", "names no weekdays", ["create", "until-time", "9", "--days", "mon-someday"]),
    ("calendar_range", "2026", ["create", "until-date", "2027-03-01", "--calendar", "LK"]),
    ("calendar_range", "2100", [*TIME, "--from", "2101-01-01T00:00:00Z", "--calendar", "DE"]),
    ("invalid_wait_configuration", "2h --at 09:00", ["create", "fixed-time", "2h", "--at", "09:00"]),
    ("invalid_wait_time", "25:00", ["create", "fixed-time", "3d", "--at", "25:00"]),
    ("invalid_wait_duration", "1.5bd", ["create", "fixed-time", "1.5bd"]),
    ("invalid_wait_duration", "0bd", ["create", "fixed-time", "0bd"]),
    ("invalid_wait_duration", "stand alone", ["create", "fixed-time", "3bd2h"]),
    (
        "invalid_wait_time",
        "does not exist",
        ["create", "until-date", "2027-03-28 02:30", "--tz", "Europe/Berlin", "--dst", "reject"],
    ),
    (
        "invalid_wait_time",
        "comes twice",
        ["create", "until-date", "2027-10-31 02:30", "--tz", "Europe/Berlin", "--dst", "reject"],
    ),
    ("usage", "--dst", [*TIME, "--dst", "sometimes"]),
    ("usage", "--late", [*TIME, "--late", "never"]),
    ("invalid_wait_configuration", "--late next-window", [*TIME, "--late", "next-window"]),
    ("invalid_wait_configuration", "--max-late", [*TIME, "--late", "fire", "--max-late", "1h"]),
    ("invalid_wait_configuration", "--max-late", [*TIME, "--max-late", "soon"]),
    ("invalid_wait_configuration", "business days", [*EVENT, "--lookback", "1bd"]),
    ("invalid_wait_date", "either", ["create", "until-date"]),
    ("invalid_wait_date", "either", ["create", "until-date", "2099-01-01", "--field", "x"]),
    ("invalid_wait_date", "nothing under 'a.b'", ["create", "until-date", "--field", "a.b", "--context", '{"a": 1}']),
    ("invalid_wait_date", "no date", ["create", "until-date", "--field", "a", "--context", '{"a": true}']),
    ("invalid_wait_date", "1 is not a date", ["create", "until-date", "--field", "a", "--context", '{"a": 1}']),
    ("invalid_wait_date", "passed", ["create", "until-date", "2027-01-01", "--offset", "-3000d"]),
    ("invalid_wait_duration", "'x'", ["create", "until-date", "2099-01-01", "--offset", "-x"]),
    ("usage", "--all", ["replan"]),
    # plans
    *(("usage", "--all", ["bulk", action]) for action in ("cancel", "resume", "retry")),
    ("usage", "--all", ["bulk", "reschedule", "--by", "1h"]),
    ("usage", "no filter", ["bulk", "cancel", "--all", "--workflow", "w"]),
    ("invalid_wait_configuration", "--spread", ["bulk", "reschedule", "--all"]),
    ("invalid_wait_configuration", "one of", ["bulk", "reschedule", "--all", "--by", "1h", "--at", "2099-01-01"]),
    ("invalid_wait_configuration", "more than a week", ["bulk", "reschedule", "--all", "--spread", "8d"]),
    ("invalid_wait_date", "soon", ["bulk", "reschedule", "--all", "--at", "soon"]),
    ("invalid_wait_duration", "parsecs", ["bulk", "reschedule", "--all", "--by", "2 parsecs"]),
    ("invalid_wait_configuration", "have ended", ["bulk", "cancel", "--status", "resumed"]),
    ("invalid_wait_configuration", "id of a plan", ["bulk", "apply", "x"]),
    ("invalid_wait_configuration", "id of a plan", ["bulk", "show", "x"]),
    ("usage", "--max", ["bulk", "apply", "01900000", "--max", "-1"]),
    # events and contacts
    ("invalid_event_type", "email_opend", ["create", "for-event", "email_opend", "-c", "ada"]),
    ("invalid_event_type", "email_opend", ["event", "record", "email_opend", "-c", "ada"]),
    ("invalid_event_type", "''", ["create", "for-event", "sms_reply,", "-c", "ada"]),
    ("invalid_wait_configuration", "contact", ["create", "for-event", "sms_reply"]),
    ("invalid_wait_configuration", "contact", ["create", "for-event", "sms_reply", "-c", " "]),
    ("invalid_event", "contact", ["event", "record", "sms_reply", "-c", ""]),
    ("invalid_event", "source", [*RECORD, "--source", ""]),
    ("invalid_event", "id", [*RECORD, "--id", "a\tb"]),
    ("invalid_wait_date", "--at", [*RECORD, "--at", "noon"]),
    ("invalid_wait_configuration", "KEY=VALUE", [*EVENT, "--match", "plan"]),
    ("invalid_wait_configuration", "--match-json", [*EVENT, "--match-json", "[1]"]),
    # conditions and groups
    ("invalid_wait_configuration", "line 1, character 15", [*EVENT, "--where", "event.data.n >"]),
    ("invalid_wait_configuration", "line 2, character 3", [*EVENT, "--where", "true\n&&)"]),
    ("invalid_wait_configuration", "no 'evnt' (character 9)", [*EVENT, "--where", "true && evnt.data.n > 1"]),
    ("invalid_wait_configuration", "empty", [*EVENT, "--where", ""]),
    ("invalid_wait_configuration", "4,096", [*EVENT, "--where", "1 == 1 " * 600]),
    ("invalid_wait_configuration", "too costly", [*EVENT, "--where", "['a']" + ".map(x, x + x)" * 25 + " == []"]),
    ("invalid_wait_configuration", "surrogates", [*EVENT, "--where", b"event.type == '\xe9'"]),
    ("invalid_wait_configuration", "--count 0", [*EVENT, "--count", "0"]),
    ("invalid_wait_configuration", "--count 1001", [*EVENT, "--count", "1001"]),
    ("invalid_wait_configuration", "--count -1", [*EVENT, "--count", "-1"]),
    ("usage", "--count", [*EVENT, "--count", "many"]),
    ("invalid_wait_configuration", "--count", ["create", "for-event", "a,b", "-c", "ada", "--count", "2"]),
    ("invalid_wait_configuration", "together", [*EVENT, "--count", "2", "--all"]),
    ("invalid_wait_configuration", "--distinct", [*EVENT, "--distinct", "url"]),
    ("invalid_wait_configuration", "--distinct", [*EVENT, "--distinct", "url", "--count", "1"]),
    ("invalid_wait_configuration", "--distinct", [*EVENT, "--distinct", "", "--count", "2"]),
    ("invalid_wait_configuration", "--exclusive", [*EVENT, "--exclusive", "--count", "2"]),
    ("invalid_wait_configuration", "--exclusive", ["create", "for-event", "a,b", "-c", "x", "--all", "--exclusive"]),
    ("invalid_event_type", "--all", ["create", "for-event", "sms_reply|email_open", "-c", "ada"]),
    ("invalid_event_type", "twice", ["create", "for-event", "sms_reply|email_open,sms_reply", "-c", "ada", "--all"]),
    ("invalid_event_type", "''", ["create", "for-event", "sms_reply|", "-c", "ada", "--all"]),
    (
        "invalid_event_type",
        "sms_repl",
        ["create", "for-event", "email_open|sms_repl,form_submit", "-c", "ada", "--all"],
    ),
    # texts
    ("invalid_wait_configuration", "execution", [*TIME, "-e", ""]),
    ("invalid_wait_configuration", "step", [*TIME, "-s", "a\x1b[31m"]),
    ("invalid_wait_configuration", "256", [*TIME, "-w", "x" * 256]),
    ("invalid_wait_configuration", "caf", [*TIME, "-e", BYTES]),
    ("invalid_wait_configuration", "caf", [*TIME, "-c", BYTES]),
    ("invalid_wait_configuration", "caf", [*TIME, "--handler", BYTES]),
    ("invalid_wait_configuration", "caf", [*TIME, "--key", BYTES]),
    ("invalid_wait_configuration", "surrogates", [*EVENT, "--match", b"k=" + BYTES]),
    ("invalid_wait_configuration", "caf", ["status", "-e", BYTES]),
    ("invalid_wait_configuration", "caf", ["status", "-e", "e", "-s", BYTES]),
    ("invalid_wait_configuration", "caf", ["cancel", "-e", BYTES]),
    ("invalid_wait_configuration", "caf", ["list", "-e", BYTES]),
    ("invalid_wait_configuration", "caf", ["list", "-w", BYTES]),
    ("invalid_event", "caf", ["event", "list", "-c", BYTES]),
    ("invalid_event_type", "caf", ["event", "list", "--type", BYTES]),
    # JSON
    ("invalid_wait_configuration", "not valid JSON", [*TIME, "--context", "{'a': 1}"]),
    ("invalid_wait_configuration", "NaN", [*TIME, "--context", '{"a": NaN}']),
    ("invalid_wait_configuration", "Infinity", [*TIME, "--context", '{"a": -Infinity}']),
    ("invalid_wait_configuration", "JSON", [*TIME, "--context", '{"a": 1e999}']),
    ("invalid_wait_configuration", "array", [*TIME, "--context", "[]"]),
    ("invalid_wait_configuration", "NUL", [*TIME, "--context", r'{"a": "\u0000"}']),
    ("invalid_wait_configuration", "NUL", [*TIME, "--context", r'{"a\u0000": [1]}']),
    ("invalid_wait_configuration", "surrogates", [*TIME, "--context", r'{"a": "\ud83d"}']),
    ("invalid_wait_configuration", "surrogates", [*TIME, "--context", b'{"a": "\xe9"}']),
    ("invalid_wait_configuration", "nested", [*TIME, "--context", '{"a": ' + "[" * 3000 + "]" * 3000 + "}"]),
    ("invalid_wait_configuration", "missing.json", [*TIME, "--context", "@missing.json"]),
    ("invalid_event", "NUL", [*RECORD, "--data", r'{"a": "\u0000"}']),
    ("invalid_event", "NaN", [*RECORD, "--data", '{"a": NaN}']),
    # ids
    ("invalid_wait_configuration", "order-17", ["status", "order-17"]),
    ("invalid_wait_configuration", "0190", ["history", "0190"]),
    ("invalid_wait_configuration", "caf", ["status", BYTES]),
    ("invalid_wait_configuration", "", ["list", "--after", "x"]),
    ("invalid_wait_configuration", "id of an event", ["event", "show", "x"]),
    ("invalid_wait_configuration", "id of a delivery", ["delivery", "show", "x"]),
    # options
    ("invalid_setting", "--batch-size", ["tick", "--batch-size", "0"]),
    ("invalid_setting", "--max-batches", ["tick", "--max-batches", "0"]),
    ("invalid_setting", "0s", ["tick", "--time-budget", "0s"]),
    ("invalid_setting", "all", ["tick", "--only", "due,all"]),
    ("invalid_setting", "--only", ["tick", "--only", ","]),
    ("invalid_wait_date", "--as-of", ["tick", "--as-of", "2026-01-01"]),
    ("invalid_setting", "mysql", ["--database-url", "mysql://x", "pending"]),
    ("invalid_setting", "not valid", ["--database-url", "waits.db", "pending"]),
    ("usage", "days", ["create", "fixed-time", "3", "days"]),
    ("usage", "--status", ["list", "--status", "open"]),
    ("usage", "--limit", ["list", "--limit", "-1"]),
    ("usage", "no key 'nothing', but event_id", ["event", "list", "--fields", "id,nothing"]),
    ("usage", "-o json has no columns", ["list", "--columns", "wait"]),
    ("invalid_wait_configuration", "nothing to sort by", ["list", "--sort", "age"]),
    ("usage", "for a terminal", ["list", "--watch"]),
    ("usage", "'for_events' is not one of 'fixed-time'", ["list", "--type", "for_events"]),
    ("invalid_wait_date", "--due-before", ["list", "--due-before", "soon"]),
    ("usage", "frobnicate", ["frobnicate"]),
    ("usage", "--frob", ["pending", "--frob"]),
    ("usage", "WAIT", ["status"]),
    ("usage", "DURATION", ["create", "fixed-time"]),
    ("usage", "--all for every open one", ["cancel"]),
    ("usage", "--all for every open one", ["resume", "--dry-run"]),
    ("usage", "either", ["cancel", "01900000", "--step", "s"]),
    ("usage", "goes with no filter", ["cancel", "--all", "-c", "ada"]),
    ("invalid_wait_configuration", "have ended: status resumed", ["cancel", "--status", "resumed"]),
    ("usage", "--execution", ["status", "-s", "wait", "01900000-0000-7000-8000-000000000000"]),
]


def label(case: object) -> str | None:
    return ascii(case)[1:40] if isinstance(case, str) else None


@pytest.mark.parametrize(("code", "fragment", "arguments"), USAGE, ids=label)
def test_bad_input(run: Waitctl, tmp_path: Path, code: str, fragment: str, arguments: list[str | bytes]) -> None:
    before = (tmp_path / "waits.db").read_bytes()
    error = run(*arguments, "-o", "json").json_error(2)
    assert error["code"] == code, error
    assert fragment in error["message"], error
    assert (tmp_path / "waits.db").read_bytes() == before


@pytest.mark.parametrize(
    ("message", "hint", "arguments"),
    [
        ("a duration has no sign: '-3d'", None, ["create", "fixed-time", "-3d"]),
        ("unexpected extra argument", "quote what has spaces", ["create", "fixed-time", "3", "days"]),
        ("'GMT+2' is not a time zone", "offsets are no zones", [*TIME, "--tz", "GMT+2"]),
        ("'Berlin' is not a time zone", "did you mean Europe/Berlin", [*TIME, "--tz", "Berlin"]),
        ("'1mo': months and years have no fixed length", "1m is one minute", [*EVENT, "--lookback", "1mo"]),
        ("signed for one wait", "--handler", ["create", "recurring", "--every", "1d", "--", "true"]),
        ("alternatives with |", "any of several: a,b", [*EVENT[:2], "sms_reply|email_open", "-c", "ada"]),
        ("no event can be taken half", "leave --exclusive out", [*EVENT, "--exclusive", "--count", "2"]),
        ("there is no 'data'", "it sees event.type", [*EVENT, "--where", "data.n > 1"]),
        ("not a registered event type", "did you mean email_open", [*EVENT[:2], "email_opend", "-c", "ada"]),
        ("no phase 'all'", "events, due, expired, deliver", ["tick", "--only", "all"]),
        ("caf", None, ["event", "types", "add", BYTES]),
        ("caf", None, ["event", "types", "add", "caf", "--description", BYTES]),
        ("caf", None, ["event", "types", "remove", BYTES]),
        ("No such command", "--help says more", ["frobnicate"]),
        ("No such command", "a part of create: waitctl create fixed-time", ["fixed-time", "3d"]),
        ("No such command", "a part of event: waitctl event record", ["record", "payment"]),
        ("No such command", "it is called: waitctl cancel", ["delete", "x"]),
        ("No such command", "it is called: waitctl tick", ["run"]),
        ("No such option", "before the command: waitctl --database-url list", ["list", "--database-url", "x"]),
        ("No such option", "before the command: waitctl -v event list", ["event", "list", "-v"]),
        ("No such option", "a command goes behind it: waitctl list … --limit", ["--limit", "3", "list"]),
        ("No such option", "waitctl list --help says more", ["list", "--nonsense"]),
        ("more than zero: '0'", "with a --window, or a --calendar", ["create", "fixed-time", "0"]),
    ],
)
def test_bad_input_in_words(run: Waitctl, message: str, hint: str | None, arguments: list[str | bytes]) -> None:
    finished = run(*arguments)
    assert message in finished.error(2)
    if hint is not None:
        assert hint in finished.err.splitlines()[1]


def test_two_v_show_the_traceback(run: Waitctl) -> None:
    process = run.start("-vv", "create", "fixed-time", "0m")
    out, err = process.communicate()
    assert (process.returncode, out) == (2, b"")
    assert err.startswith(b"Traceback (most recent call last):")
    assert b"\nerror: a duration is more than zero: '0m'\n" in err


def test_a_context_may_be_256_kib_and_no_more(run: Waitctl) -> None:
    largest = json.dumps({"a": "x" * (256 * 1024 - len('{"a":""}'))})
    identifier = run(*TIME, "--context", "-", "-o", "id", stdin=largest).ok().out.strip()
    assert run("status", identifier, "-o", "json").ok().json["context"] == json.loads(largest)
    longer = json.dumps({"a": "x" * (256 * 1024 - len('{"a":""}') + 1)})
    (run.folder / "context.json").write_text(longer)
    assert "262,145 bytes" in run(*TIME, "--context", "@context.json").error(2)
    assert "262,145 bytes" in run(*RECORD, "--data", "-", stdin=longer).error(2)


def test_standard_input_that_is_no_utf8(run: Waitctl) -> None:
    assert "not UTF-8" in run(*TIME, "--context", "-", stdin=b'{"a": "\xff"}').error(2)


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("wait_execution_not_found", ["status", "01900000-0000-7000-8000-000000000000"]),
        ("wait_execution_not_found", ["status", "01900000"]),
        ("wait_execution_not_found", ["status", "-e", "nobody"]),
        ("wait_execution_not_found", ["status", "-e", "nobody", "-s", "wait"]),
        ("wait_execution_not_found", ["history", "01900000-0000-7000-8000-000000000000"]),
        ("wait_execution_not_found", ["resume", "01900000-0000-7000-8000-000000000000"]),
        ("wait_execution_not_found", ["list", "--after", "01900000"]),
        ("event_not_found", ["event", "show", "01900000"]),
        ("delivery_not_found", ["delivery", "show", "01900000-0000-7000-8000-000000000000"]),
    ],
)
def test_what_is_not_there(run: Waitctl, code: str, arguments: list[str]) -> None:
    assert run(*arguments, "-o", "json").json_error(3)["code"] == code


def test_conflicts(run: Waitctl) -> None:
    keyed = run(*TIME, "-e", "e", "--key", "k", "-o", "json").ok().json["id"]
    assert run(*TIME, "-e", "e", "--key", "k", "-o", "json").ok().json["id"] == keyed
    other = ["create", "fixed-time", "2h", "-e", "e"]
    assert run(*other, "--key", "k", "-o", "json").json_error(4)["code"] == "idempotency_key_conflict"
    error = run(*other, "-o", "json").json_error(4)
    assert error["code"] == "wait_already_open"
    assert keyed in error["message"]
    assert "--replace" in error["hint"]
    replaced = run(*other, "--replace", "-o", "json").ok().json
    assert replaced["created"] is True
    assert run("status", keyed, "-o", "json").json["status"] == "cancelled"

    run("resume", replaced["id"]).ok()
    assert run("resume", replaced["id"], "-o", "json").json_error(4)["code"] == "illegal_transition"
    assert "resumed" in run("resume", replaced["id"]).error(4)
    assert run("cancel", replaced["id"], "-o", "ndjson").code == 4
    nothing = run("cancel", "-e", "e")
    assert (nothing.code, nothing.out, nothing.err) == (0, "", "nothing cancelled\n")
    several = run("cancel", keyed, replaced["id"], "01900000-0000-7000-8000-000000000000", "-o", "json")
    assert several.code == 4
    assert [wait["id"] for wait in several.json["waits"]] == [keyed]
    assert [json.loads(line)["error"]["code"] for line in several.err.splitlines()] == [
        "illegal_transition",
        "wait_execution_not_found",
    ]


def test_a_wait_that_timed_out_says_so(run: Waitctl) -> None:
    identifier = run(*EVENT, "--timeout", "1h", "-o", "id").ok().out.strip()
    run("tick", "--as-of", "2999-01-01T00:00:00Z", "-q").ok()
    assert run("resume", identifier, "-o", "json").json_error(4)["code"] == "wait_execution_expired"
    assert run("cancel", identifier).code == 4


def test_an_ambiguous_head_names_ten_candidates(run: Waitctl) -> None:
    assert run.url is not None
    with Database(run.url) as database:
        service = WaitSchedulingService(database)
        made = [service.create_fixed_time_wait("1h", WaitSpec(f"e{n}")).wait.id for n in range(25)]
    # The head is a clock: at most two different ones here, so that one of them stands for more than ten.
    head = max((identifier[:8] for identifier in made), key=[identifier[:8] for identifier in made].count)
    fitting = [identifier for identifier in made if identifier.startswith(head)]
    error = run("status", head, "-o", "json").json_error(4)
    assert error["code"] == "ambiguous_id"
    assert sum(identifier in error["message"] for identifier in fitting) == 10
    assert "and more" in error["message"]
    assert run("status", fitting[0].replace("-", "")[:20] + fitting[0][-12:], "-o", "id").ok().lines == [fitting[0]]
    assert run("status", fitting[0][-12:].upper(), "-o", "id").ok().lines == [fitting[0]]


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ('databse_url = "x"', "unknown key 'databse_url'"),
        ("timezone = 3", "timezone: "),
        ('timezone = "Mars"', "timezone: 'Mars' is not a time zone"),
        ('[handlers.x]\nexec = "true"', "handlers.x.exec: "),
        ("[handlers.x]\nexec = []", "handlers.x.exec: "),
        ('[handlers.x]\nexec = ["true"]\ntimeout = 30', "handlers.x.timeout: write a duration in quotes"),
        ('[handlers.x]\nexec = ["true"]\nretries = 3', "unknown key 'handlers.x.retries'"),
        ('[handlers.x]\nexec = ["true"]\nmax_attempts = 0', "handlers.x.max_attempts: "),
        ("[handlers.x", "is not TOML"),
        ("[handlers.x]", "handlers.x: nothing to run"),
    ],
)
def test_a_config_that_is_not_understood(run: Waitctl, text: str, fragment: str) -> None:
    (run.folder / "bad.toml").write_text(text)
    error = run("--config", "bad.toml", "pending", "-o", "json").json_error(2)
    assert error["code"] == "invalid_setting"
    assert "bad.toml" in error["message"], error
    assert fragment in error["message"], error


def test_a_config_that_is_not_there(run: Waitctl) -> None:
    assert "no config file at none.toml" in run("pending", env={"WAITCTL_CONFIG": "none.toml"}).error(2)
    assert "not a time zone" in run("pending", env={"WAITCTL_TIMEZONE": "GMT+2"}).error(2)
    assert "WAITCTL_AS_OF" in run("pending", env={"WAITCTL_AS_OF": "now"}).error(2)
