"""A stream of events: a bad line is named, nothing good is lost, a rerun records nothing twice."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import termios
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.cli.processes import COMMAND, SMALL_PIPE, Finished, Waitctl, finish, interrupt
from tests.interleaving import until
from waitctl import Database
from waitctl.infrastructure.executor import Connection

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
    assert first.out.startswith("10,000 received, 9,999 recorded, 0 duplicates, 0 ignored, 1 rejected, 1 wait resumed")
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


def test_a_byte_order_mark_costs_no_line(run: Waitctl) -> None:
    totals = run("event", "ingest", "-o", "json", stdin=b"\xef\xbb\xbf" + line(1) + b"\n" + line(2)).ok().json
    assert totals["recorded"] == 2


def test_a_dry_run_records_nothing(run: Waitctl) -> None:
    totals = run("event", "ingest", "--dry-run", "-o", "json", stdin=line(1)).ok().json
    assert totals["recorded"] == 1
    assert run("event", "list", "-o", "id").ok().lines == []


def test_a_file_that_cannot_be_read(run: Waitctl) -> None:
    assert "cannot read none.ndjson: No such file" in run("event", "ingest", "none.ndjson").error(2)
    assert "cannot read ." in run("event", "ingest", ".").error(2)


def test_killed_half_way_and_run_again_it_ends_with_the_same_rows(run_on: Waitctl) -> None:
    lines = [line(number) + b"\n" for number in range(3000)]
    process = run_on.start("event", "ingest", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b"".join(lines[:2500]))  # all but a pipe of it is read: one batch is in, one in hand
    process.stdin.flush()
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    again = run_on("event", "ingest", "-o", "json", stdin=b"".join(lines)).ok().json
    assert again["recorded"] + again["duplicates"] == again["received"] == 3000
    assert 1000 <= again["recorded"] <= 2000
    listed = run_on("event", "list", "--limit", "10000", "-o", "json").ok().json["events"]
    assert len({event["id"] for event in listed}) == len(listed) == 3000


def interrupted(process: subprocess.Popen[bytes]) -> bool:
    """Whether it has ended; if not, it is told to once more."""
    if process.poll() is not None:
        return True
    process.send_signal(signal.SIGINT)
    return False


def unread(process: subprocess.Popen[bytes]) -> int:
    """How many bytes of its standard input a process has not read yet."""
    assert process.stdin is not None
    return int(struct.unpack("i", fcntl.ioctl(process.stdin, termios.FIONREAD, b"\0" * 4))[0])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("drained", [False, True], ids=["busy", "waiting"])
def test_a_signal_says_how_far_it_came(run: Waitctl, number: signal.Signals, drained: bool) -> None:
    """While it has enough to do, and while it waits for input that nobody sends."""
    lines = b"".join(line(each) + b"\n" for each in range(1500))
    process = run.start("event", "ingest", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(lines)  # more than a pipe holds: it is reading
    process.stdin.flush()
    if drained:
        until(lambda: unread(process) == 0, "the end of what was sent")
    finished = interrupt(process, number)
    assert finished.error(130) == "interrupted"
    said = int(finished.err.partition("hint: ")[2].partition(" received")[0].replace(",", ""))
    assert len(run("event", "list", "--limit", "10000", "-o", "id").ok().lines) == said > 0
    again = run("event", "ingest", "-o", "json", stdin=lines).ok().json
    assert (again["recorded"], again["duplicates"]) == (1500 - said, said)


@pytest.mark.parametrize("arguments", [[], ["--format", "sendgrid", "--no-verify"]], ids=["stream", "webhook"])
def test_ctrl_c_before_anything_came(run: Waitctl, arguments: list[str]) -> None:
    process = run.start("event", "ingest", *arguments, stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(b" " * 2 * SMALL_PIPE)
    process.stdin.flush()
    assert interrupt(process).error(130) == "interrupted"


def test_a_second_ctrl_c_does_not_wait_for_the_batch_in_hand(run_on: Waitctl) -> None:
    process = run_on.start("event", "ingest", stdin=subprocess.PIPE)
    assert process.stdin is not None
    assert run_on.url is not None
    with Database(run_on.url) as database:

        def ingest_and_interrupt(connection: Connection) -> Finished:
            if not database.is_sqlite:  # there, every writer keeps the others out
                connection.execute(sa.text("LOCK TABLE workflow_events"))
            assert process.stdin is not None
            process.stdin.write(b"".join(line(each) + b"\n" for each in range(900)))
            process.stdin.flush()
            until(lambda: unread(process) == 0, "a batch to write")
            until(lambda: interrupted(process), "its end")
            return finish(process)

        finished = database.write(ingest_and_interrupt)
    assert finished.error(130) == "interrupted"
    assert run_on("event", "list", "-o", "id").ok().lines == []


def on_a_terminal(run: Waitctl, path: Path, **env: str | None) -> str:
    """What a terminal shows of an ingest."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "event", "ingest", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        env=run.environment({"TERM": "xterm", **env}),
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # the terminal is gone with its last process
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait(60) == 0
    return shown.decode()


def test_a_bar_on_a_terminal_and_nothing_without_colour(run: Waitctl) -> None:
    path = run.folder / "events.ndjson"
    path.write_bytes(b"\n".join(line(number) for number in range(3000)))
    shown = on_a_terminal(run, path)
    assert "3,000 received, 0 waits" in shown
    assert "━" in shown
    plain = on_a_terminal(run, path, NO_COLOR="1")
    assert plain.splitlines()[0].startswith("3,000 received, 0 recorded, 3,000 duplicates")


def test_lines_of_ten_megabytes(run: Waitctl) -> None:
    large = b'{"type": "email_click", "contact": "a", "data": {"x": "' + b"x" * 10 * 1024 * 1024 + b'"}}'
    finished = run("event", "ingest", "-o", "json", stdin=b"\n".join([line(1), large, line(2), large, line(3)]))
    assert (finished.code, finished.json["recorded"], finished.json["rejected"]) == (1, 3, 2)
    assert [json.loads(each)["error"]["line"] for each in finished.err.splitlines()] == [2, 4]
