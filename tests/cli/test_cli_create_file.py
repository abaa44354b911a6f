"""`waitctl create --file`: lines of NDJSON and CSV, whose keys are the names of the options."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from typing import Any

import pytest

from tests.cli.processes import Waitctl, finish
from tests.cli.test_cli_help import commands
from tests.interleaving import until
from waitctl.application.waits.forms import keys_of
from waitctl.cli.app import load
from waitctl.cli.session import Session
from waitctl.cli.wait_lines import LineReader
from waitctl.domain.errors import WaitStepError

COUNTS = ("received", "created", "existing", "rejected")


def totals(document: dict[str, Any]) -> tuple[int, ...]:
    return tuple(document[name] for name in COUNTS)


def lines(*waits: dict[str, Any] | str) -> str:
    return "".join((each if isinstance(each, str) else json.dumps(each)) + "\n" for each in waits)


GOOD = (
    {"type": "fixed-time", "duration": "3d", "execution": "a", "context": {"n": 1, "text": "ä"}, "handler": None},
    {"type": "for_event", "types": ["email_open", "sms_reply"], "contact": "Ada@X.org", "execution": "b",
     "timeout": "2d", "match": {"n": 3}, "exclusive": True},
    {"type": "until-time", "time": "09:00", "days": "mon-fri", "tz": "Europe/Berlin", "execution": "c", "key": "k"},
    {"type": "until-date", "field": "at", "context": {"at": "2100-01-01"}, "execution": "d", "past": "fire"},
    {"type": "until-date", "field": "at", "context": {"at": "2100-01-02"}, "execution": "e", "past": "fire"},
)  # fmt: skip


def test_each_line_is_what_its_command_would_be(run_on: Waitctl) -> None:
    done = run_on("create", "-f", "-", "-o", "json", stdin=lines(*GOOD)).ok()
    assert totals(done.json) == (5, 5, 0, 0)
    assert totals(run_on("create", "--file", "-", "-o", "json", stdin=lines(*GOOD)).ok().json) == (5, 0, 5, 0)
    for arguments in (
        ("fixed-time", "3d", "-e", "a", "--context", '{"text": "ä", "n": 1}'),
        ("for-event", "email_open,sms_reply", "-c", "ada@x.org", "-e", "b", "--timeout", "2d", "--match", "n=3",
         "--exclusive"),
        ("until-time", "09:00", "--days", "mon-fri", "--tz", "Europe/Berlin", "-e", "c", "--key", "k"),
        ("until-date", "--field", "at", "--context", '{"at": "2100-01-01"}', "-e", "d", "--past", "fire"),
        ("until-date", "--field", "at", "--context", '{"at": "2100-01-02"}', "-e", "e", "--past", "fire"),
    ):  # fmt: skip
        assert not run_on("create", *arguments, "-o", "json").ok().json["created"]


def test_a_bad_line_is_named_and_the_rest_goes_in(run: Waitctl) -> None:
    given = lines(
        GOOD[0],
        "",
        {"type": "fixed-time", "duraton": "3d"},
        "{nonsense",
        {"type": "fixed-time", "execution": "x"},
        {"type": "never", "execution": "x"},
        {"type": "recurring", "every": "1w", "execution": "x"},
        {"duration": "1h"},
        {"type": "fixed-time", "duration": "1h", "execution": 7},
        {"type": "fixed-time", "duration": "1h", "context": [1]},
        {"type": "for-event", "types": "email_open", "count": "many", "contact": "ada"},
        {"type": "until-date", "date": "2100-01-01", "past": "sometimes"},
        {"type": "for-event", "types": "email_open", "exclusive": "perhaps", "contact": "ada"},
        {"type": "fixed-time", "duration": "2d", "execution": "a"},
        '"text"',
        GOOD[2],
    )
    done = run("create", "-f", "-", stdin=given)
    assert (done.code, done.out) == (1, "15 received, 2 created, 0 there already, 13 rejected\n")
    assert [line.partition(" (")[0] for line in done.err.splitlines()] == [
        "line 3: unknown key 'duraton'",
        "line 4: the line is not valid JSON: Expecting property name enclosed in double quotes at character 2",
        "line 5: 'duration' is missing",
        "line 6: there is no type 'never'",
        "line 7: a wait that comes again is none of a file's",
        "line 8: 'type' is missing",
        "line 9: 'execution' must be a string",
        "line 10: the context must be a JSON object, not an array",
        "line 11: 'count' must be a whole number",
        "line 12: 'past': 'sometimes' is none of reject, fire, next",
        "line 13: 'exclusive' must be true or false",
        "line 14: execution 'a', step 'wait' has another open wait: "
        + run("status", "--execution", "a", "-o", "json").json["waits"][0]["id"],
        "line 15: the line is no JSON object",
    ]
    as_json = run("create", "-f", "-", "-o", "json", stdin=lines({"type": "fixed-time", "duraton": "3d"}))
    error = json.loads(as_json.err)["error"]
    assert (as_json.code, error["line"], error["code"]) == (1, 1, "invalid_wait_configuration")
    assert "duration" in error["hint"]


def test_csv(run: Waitctl) -> None:
    (run.folder / "waits.csv").write_text(
        "\ufefftype,duration,execution,contact,context.name,handler,handler,replace\n"
        'fixed-time,3d,a,ada,"Ada\nLovelace",due=one,manual=two,\n'
        "fixed-time,1h,b,,,,,yes\n"
        "\n"
        "fixed-time,,c,,,,,\n"
        "fixed-time,1h,d,,,,,,,\n"
    )
    done = run("create", "-f", "waits.csv", "-o", "json")
    assert (done.code, totals(done.json)) == (1, (4, 2, 0, 2))
    errors = [json.loads(line)["error"] for line in done.err.splitlines() if line.startswith("{")]
    assert [(each["line"], each["message"]) for each in errors] == [
        (6, "'duration' is missing"),
        (7, "it has 10 cells, and the header 8"),
    ]
    (wait,) = run("status", "--execution", "a", "-o", "json").ok().json["waits"]
    assert (wait["context"], wait["handlers"]) == ({"name": "Ada\nLovelace"}, {"due": "one", "manual": "two"})
    assert "unknown key 'duratin'" in run("create", "-f", "-", "--format", "csv", stdin="type,duratin\n").error(2)
    assert "no column 'type'" in run("create", "-f", "-", "--format", "csv", stdin="duration\n").error(2)


def test_a_dry_run_explains_the_first_and_counts(nowhere: Waitctl) -> None:
    done = nowhere("create", "-f", "-", "--dry-run", "-o", "json", stdin=lines(*GOOD, GOOD[0])).ok().json
    assert totals(done) == (6, 5, 1, 0)
    assert done["explanation"][0].startswith("fixed-time 3d: 72h of elapsed time after ")
    assert nowhere("list").error(5), "and makes no database"


def test_what_goes_with_a_file(run: Waitctl) -> None:
    assert "the lines of the file name the forms" in run("create", "-f", "x", "fixed-time", "3d").error(2)
    assert run("create").code == 2
    assert "for one wait" in run("create", "-f", "-", "--", "true").error(2)
    assert "cannot read there-is-none" in run("create", "-f", "there-is-none").error(2)
    assert run("create", "-f", "-", stdin="").ok().out == "0 received, 0 created, 0 there already, 0 rejected\n"


def test_a_line_reads_no_files(run: Waitctl) -> None:
    (run.folder / "secret").write_text('{"password": "sesame"}')
    done = run("create", "-f", "-", stdin=lines({"type": "fixed-time", "duration": "3d", "context": "@secret"}))
    assert done.code == 1 and "not valid JSON" in done.err


def test_inside_a_handler_a_file_goes_in_once(run: Waitctl) -> None:
    delivery = {"WAITCTL_DELIVERY_ID": "01890000-0000-7000-8000-000000000001"}
    given = lines(*({"type": "fixed-time", "duration": "3d"} for _ in range(3)))
    assert totals(run("create", "-f", "-", "-o", "json", stdin=given, env=delivery).ok().json) == (3, 3, 0, 0)
    assert totals(run("create", "-f", "-", "-o", "json", stdin=given, env=delivery).ok().json) == (3, 0, 3, 0)
    said = run("create", "-f", "-", stdin=given)
    assert "3 had neither an execution nor a key" in said.err


BAR = """
from waitctl.cli.output import Output
from waitctl.cli.streams import progress

with progress(None, Output.HUMAN) as show:
    show("1,000 received, " * 10, 1000)
"""


def test_ctrl_c_has_room_behind_a_bar(nowhere: Waitctl) -> None:
    """A terminal shows it as ^C: on a line of its own it would keep the bar above it from being cleared."""
    columns, (ours, theirs) = 50, os.openpty()
    termios.tcsetwinsize(theirs, (24, columns))
    environment = nowhere.environment({"TERM": "xterm", "NO_COLOR": None, "COLUMNS": None})
    command = [sys.executable, "-c", BAR]
    process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # nobody has the other end any more
        while said := os.read(ours, 4096):
            shown += said
    os.close(ours)
    assert process.wait() == 0
    lines_ = [re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line) for line in re.split("[\r\n]", shown.decode())]
    assert 20 < max(len(line) for line in lines_ if line.startswith("1,000 received")) <= columns - len("^C")


def test_interrupted_it_says_how_far_it_came(nowhere: Waitctl) -> None:
    process = nowhere.start("create", "-f", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(lines(*GOOD).encode())
    process.stdin.flush()
    until((nowhere.folder / "waits.db").exists, "it has begun")
    process.send_signal(signal.SIGTERM)
    done = finish(process)
    assert done.code == 130 and "run it again" in done.err


# -- every option is defined once --------------------------------------------------------------------------------------

FORMS = {path[1]: command for path, command in commands(("create",), load("create")) if len(path) == 2}
del FORMS["recurring"]  # a file makes waits; what comes again is made one at a time
NOT_OF_A_LINE = {"dry-run", "output", "quiet", "context-raw", "help"}


@pytest.mark.parametrize("form", FORMS)
def test_the_keys_are_the_options_and_arguments_of_the_form(form: str) -> None:
    names = {
        next((name[2:] for name in parameter.opts if name.startswith("--")), parameter.name)
        for parameter in FORMS[form].params
    }
    assert set(keys_of(form)) == names - NOT_OF_A_LINE


def test_forms_are_read_once_and_lines_each() -> None:
    reader = LineReader(Session(database_url="sqlite:///nowhere.db"))
    line = {"type": "for-event", "types": ["email_open"], "match": {"a": "b"}, "contact": "ada", "tz": "Europe/Berlin"}
    one, other = (reader.read(number, line | {"execution": str(number)}).request for number in (1, 2))
    assert one.asked is other.asked and one.spec.timezone == other.spec.timezone == "Europe/Berlin"
    assert (one.spec.workflow_execution_id, other.spec.workflow_execution_id) == ("1", "2")
    different = reader.read(3, line | {"match": {"a": "c"}}).request
    assert different.asked != one.asked
    with pytest.raises(WaitStepError):
        reader.read(4, line | {"mach": {}})
    zones = {"type": "until-time", "time": "09:00", "tz": "contact", "tz-field": "zone", "contact": "ada"}
    theirs = [reader.read(number, zones).request for number in (5, 6)][1]
    assert (theirs.spec.zone_of_contact, theirs.spec.zone_field) == (True, "zone")
