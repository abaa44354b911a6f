"""A stream of events: a bad line is named, nothing good is lost, a rerun records nothing twice."""

from __future__ import annotations

import json

from tests.cli.processes import Waitctl

TOTALS = ["received", "recorded", "duplicates", "ignored", "rejected", "matched", "without_id"]


def line(number: int) -> bytes:
    event = {"type": "email_click", "contact": f"c{number}@example.org", "id": f"m-{number}", "data": {"n": number}}
    return json.dumps(event).encode()


def test_one_bad_line_among_ten_thousand(run_on: Waitctl) -> None:
    wait = run_on("create", "for-event", "email_click", "-c", "c9999@example.org", "-o", "id").ok().out.strip()
    lines = [line(number) for number in range(1, 10_001)]
    lines[4320] = b'{"type": "email_click", "contact": '
    first = run_on("event", "ingest", stdin=b"\n".join(lines))
    assert first.code == 1
    [named] = first.err.splitlines()
    assert named.startswith("line 4321: the line is not valid JSON")
    assert first.out.startswith("10,000 received, 9,999 recorded, 0 duplicates, 0 ignored, 1 rejected, 1 waits resumed")
    assert run_on("status", wait, "-o", "json").ok().json["resolution"] == "event"

    lines[4320] = line(4321)
    again = run_on("event", "ingest", "-", "-o", "json", stdin=b"\n".join(lines)).ok().json
    assert list(again) == TOTALS
    assert again == dict.fromkeys(TOTALS, 0) | {"received": 10_000, "recorded": 1, "duplicates": 9_999}


def test_every_kind_of_bad_line_is_named(run: Waitctl) -> None:
    bad = [
        b"no json",
        b"[1]",
        b'{"type": "email_click"}',
        b'{"contact": "a"}',
        b'{"type": "email_click", "contact": 3}',
        b'{"type": "email_clik", "contact": "a"}',
        b'{"type": "email_click", "contact": " "}',
        b'{"type": "email_click", "contact": "a", "at": "noon"}',
        b'{"type": "email_click", "contact": "a", "data": [1]}',
        b'{"type": "email_click", "contact": "a", "data": {"x": NaN}}',
        b'{"type": "email_click", "contact": "a", "colour": "red"}',
        b'{"type": "email_click", "contact": "\\ud83d"}',
        b'{"type": "email_click", "contact": "a\\u0000"}',
        b'{"type": "email_click", "contact": "\xff"}',
        b'{"type": "email_click", "contact": "a", "data": {"x": "' + b"x" * 300_000 + b'"}}',
    ]
    path = run.folder / "events.ndjson"
    path.write_bytes(b"\n\n".join([*bad, line(1)]) + b"\n")
    finished = run("event", "ingest", str(path), "-o", "json")
    assert finished.code == 1
    assert finished.json == dict.fromkeys(TOTALS, 0) | {"received": 16, "recorded": 1, "rejected": 15}
    errors = [json.loads(each)["error"] for each in finished.err.splitlines()]
    assert [error["line"] for error in errors] == list(range(1, 31, 2))
    assert errors[5]["code"] == "invalid_event_type"
    assert {error["code"] for error in errors} <= {"invalid_event", "invalid_event_type", "invalid_wait_date"}
    assert run("event", "list", "-o", "json").ok().json["events"][0]["id"] == "m-1"


def test_lines_without_an_id_are_reported(run: Waitctl) -> None:
    lines = b'{"type": "sms_reply", "contact": "a"}\n{"type": "sms_reply", "contact": "b", "id": "1"}\n'
    first = run("event", "ingest", stdin=lines)
    assert (first.code, first.err) == (0, "1 had no id: run again, they are recorded again\n")
    totals = run("event", "ingest", "-o", "json", stdin=lines).ok().json
    assert (totals["recorded"], totals["duplicates"], totals["without_id"]) == (1, 1, 1)


def test_a_dry_run_records_nothing(run: Waitctl) -> None:
    totals = run("event", "ingest", "--dry-run", "-o", "json", stdin=line(1)).ok().json
    assert totals["recorded"] == 1
    assert run("event", "list", "-o", "id").ok().lines == []


def test_a_file_that_cannot_be_read(run: Waitctl) -> None:
    assert "cannot read none.ndjson: No such file" in run("event", "ingest", "none.ndjson").error(2)
    assert "cannot read ." in run("event", "ingest", ".").error(2)
