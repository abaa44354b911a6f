"""`waitctl simulate` as a process: what it prints, what it expects, what it refuses, and what it leaves alone."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl

AS_OF = {"WAITCTL_AS_OF": "2026-03-02T09:00:00Z"}


@pytest.fixture
def flow(run_on: Waitctl, tmp_path: Path) -> Waitctl:
    """A wait that is due, and one for an answer, as of a morning in March."""
    run_on("create", "fixed-time", "3d", "-e", "order-1", env=AS_OF).ok()
    run_on("create", "for-event", "sms_reply", "-c", "ada", "-e", "order-2", "--timeout", "5d", env=AS_OF).ok()
    answer = '{"type": "sms_reply", "contact": "ada", "at": "2026-03-03T09:00:00Z"}\n'
    (tmp_path / "answers.ndjson").write_text(answer)
    return run_on


def test_it_prints_what_would_end(flow: Waitctl) -> None:
    shown = flow("simulate", "--until", "30d", "-o", "json", env=AS_OF).ok().json["endings"]
    assert [(each["at"], each["workflow_execution_id"], each["resolution"]) for each in shown] == [
        ("2026-03-05T09:00:00Z", "order-1", "due"),
        ("2026-03-07T09:00:00Z", "order-2", "timeout"),
    ]
    lines = flow("simulate", "--until", "30d", "-o", "ndjson", env=AS_OF).ok().lines
    assert [json.loads(line) for line in lines] == shown
    assert [each["after_seconds"] for each in shown] == [3 * 86400, 5 * 86400]
    table = flow("simulate", "--until", "2026-03-05T09:00:00Z", env=AS_OF).ok().lines
    assert table[0].split()[:2] == ["AT", "RESOLUTION"] and len(table) == 2
    assert flow("simulate", "--until", "1h", env=AS_OF).err == "nothing would end until then\n"
    assert len(flow("list", "--status", "scheduled", "--status", "waiting", "-o", "id").ok().lines) == 2


def test_a_flow_as_a_test(flow: Waitctl, tmp_path: Path) -> None:
    play = ("simulate", "--until", "30d", "--events", "answers.ndjson")
    (tmp_path / "expected.ndjson").write_text(flow(*play, "-o", "ndjson", env=AS_OF).ok().out)
    assert flow(*play, "--expect", "expected.ndjson", env=AS_OF).ok().out == "2 waits would end as expected\n"
    differs = flow("simulate", "--until", "30d", "--expect", "expected.ndjson", env=AS_OF)
    assert (differs.code, differs.err) == (1, "")
    assert differs.lines[:3] == ["--- expected", "+++ simulated", "@@ -1,2 +1,2 @@"]
    assert [line[0] for line in differs.lines[3:]] == ["-", " ", "+"]
    document = flow("simulate", "--until", "30d", "--expect", "expected.ndjson", "-o", "json", env=AS_OF).json
    assert (document["matches"], document["expected"], document["ended"]) == (False, 2, 2)
    assert document["diff"] == differs.lines


def test_what_was_shown_comes_as_expected_an_hour_later(flow: Waitctl, tmp_path: Path) -> None:
    """Though it is nearer by then."""
    play = ("simulate", "--until", "2026-03-20T00:00:00Z")
    (tmp_path / "expected.ndjson").write_text(flow(*play, "-o", "ndjson", env=AS_OF).ok().out)
    later = {"WAITCTL_AS_OF": "2026-03-02T10:00:00Z"}
    assert flow(*play, "--expect", "expected.ndjson", env=later).ok().out == "2 waits would end as expected\n"
    (tmp_path / "spans.ndjson").write_text('{"after_seconds": 259200}\n{"after_seconds": 432000}\n')
    assert flow(*play, "--expect", "spans.ndjson", env=AS_OF).ok().out == "2 waits would end as expected\n"
    assert flow(*play, "--expect", "spans.ndjson", env=later).code == 1


def test_the_file_stays_as_it_is(run: Waitctl, tmp_path: Path) -> None:
    """To the last byte."""
    run("create", "fixed-time", "1s").ok()
    file = tmp_path / "waits.db"
    before = sha256(file.read_bytes()).hexdigest()
    assert run("simulate", "--until", "30d", "-o", "id").ok().lines
    assert sha256(file.read_bytes()).hexdigest() == before
    assert [each.name for each in tmp_path.iterdir() if each.suffix == ".db"] == ["waits.db"]


def test_no_inline_command_runs(run: Waitctl, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    run("create", "fixed-time", "1s", "--", "touch", "ran").ok()
    (tmp_path / "stub.toml").write_text('[handlers.nudge]\nexec = ["true"]\n')
    (tmp_path / "stub.toml").chmod(0o600)
    for handlers in ((), ("--handlers", "stub.toml")):
        assert len(run("simulate", "--until", "1d", *handlers, "-o", "id").ok().lines) == 1
    assert not (tmp_path / "ran").exists()


BAD = {
    "no until": ((), "Missing option"),
    "until past": (("--until", "-1h"), "--until is past"),
    "until never": (("--until", "soon"), "--until"),
    "no events": (("--until", "1d", "--events", "none.ndjson"), "cannot read none.ndjson"),
    "events without an at": (("--until", "1d", "--events", "bad.ndjson"), "--events bad.ndjson: line 1: "),
    "no expectation": (("--until", "1d", "--expect", "none.ndjson"), "cannot read none.ndjson"),
    "an expectation that is none": (
        ("--until", "1d", "--expect", "bad.ndjson"),
        "--expect bad.ndjson: line 1: there is no",
    ),
    "no handlers": (("--until", "1d", "--handlers", "none.toml"), "none.toml"),
    "handlers that are none": (("--until", "1d", "--handlers", "bad.ndjson"), "bad.ndjson"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(run: Waitctl, tmp_path: Path, case: str) -> None:
    arguments, message = BAD[case]
    (tmp_path / "bad.ndjson").write_text('{"type": "sms_reply", "contact": "ada"}\n')
    (tmp_path / "bad.ndjson").chmod(0o600)
    assert message in run("simulate", *arguments).error(2)
