"""Lists: nothing is silently cut, and a row is shown in the form and with the parts that are asked for."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.processes import Waitctl, finish
from tests.cli.terminal import on_a_terminal, shown_and_said
from waitctl import Database, WaitSchedulingService, WaitSpec
from waitctl.cli.formats import yaml_text
from waitctl.cli.listing import Listing, Rows, print_rows
from waitctl.cli.output import Output
from waitctl.cli.tables import Column, id_column

MANY = 60


@pytest.fixture
def many(run: Waitctl) -> Waitctl:
    """More waits than a terminal shows at once, half of them about ada."""
    with_waits(run, MANY)
    return run


def with_waits(run: Waitctl, number: int) -> None:
    assert run.url is not None
    with Database(run.url) as database:
        service = WaitSchedulingService(database)
        for each in range(number):
            spec = WaitSpec(f"e{each:02}", step_id=f"s{each % 3}", contact_id="ada" if each % 2 else "bob")
            service.create_fixed_time_wait(f"{each % 7 + 1}h", spec)


# -- how many ----------------------------------------------------------------------------------------------------------


def test_nothing_is_cut_that_a_program_reads(many: Waitctl) -> None:
    assert len(many("list", "-o", "id").ok().lines) == MANY
    assert len(many("list", "-o", "ndjson").ok().lines) == MANY
    assert len(many("list", "-o", "csv").ok().lines) == MANY + 1
    assert len(many("list").ok().lines) == MANY + 1
    document = many("list", "-o", "json").ok().json
    assert (len(document["waits"]), document["next"]) == (MANY, None)
    assert len(many("list", "--limit", "7", "-o", "id").ok().lines) == 7


def test_a_terminal_shows_fifty_and_says_how_to_see_the_rest(many: Waitctl) -> None:
    shown, said = shown_and_said(many, "list", "-q", columns=100)
    assert len(shown) == 51
    after = said[-1].split("--after ")[1].split()[0]
    assert said == [f"50 shown, and there are more: --limit 0 for all, --after {after} for the next"]
    assert len(many("list", "--after", after, "-o", "id").ok().lines) == MANY - 50
    assert len(on_a_terminal(many, "list", "--limit", "0", columns=100)) == MANY + 1
    assert len(on_a_terminal(many, "list", "-o", "id", columns=100)) == MANY
    assert shown_and_said(many, "list", "-q", "-c", "ada", columns=100)[1] == []


def test_pages_of_a_document_follow_each_other(many: Waitctl) -> None:
    seen: list[str] = []
    following: list[str] = []
    while len(seen) < MANY:
        page = many("list", "-o", "json", "--limit", "25", "--sort", "due", *following).ok().json
        seen += [wait["workflow_execution_id"] for wait in page["waits"]]
        following = ["--after", page["next"]] if page["next"] else []
    assert following == [] and len(set(seen)) == MANY


def test_rows_are_printed_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    printed: list[bool] = []

    def come() -> Iterator[int]:
        for number in range(7, 10):
            yield number
            printed.append(str(number) in capsys.readouterr().out)

    for output in (Output.NDJSON, Output.JSON, Output.YAML, Output.CSV, Output.ID):
        print_rows(NUMBERS, come(), Listing(output=output))
    assert printed == [True] * 15


NUMBERS: Rows[int] = Rows(
    key="numbers",
    id_key="n",
    fields=("n", "of"),
    document=lambda number: {"n": number, "of": {"x": [number, None]}},
    columns=(id_column("N"), Column("TWICE", 1), Column("LAST ERROR", 2, extra=True)),
    cells=lambda number: (number, 2 * number, None),
    nothing="no numbers",
)


@pytest.mark.parametrize("key", ["numbers", None])
@pytest.mark.parametrize("number", [0, 1, 3])
def test_a_document_is_written_as_if_at_once(capsys: pytest.CaptureFixture[str], key: str | None, number: int) -> None:
    rows = Rows(key, "n", NUMBERS.fields, NUMBERS.document, NUMBERS.columns, NUMBERS.cells, NUMBERS.nothing)
    each = list(map(NUMBERS.document, range(number)))
    whole: Any = each if key is None else {key: each, "next": None}
    print_rows(rows, range(number), Listing(output=Output.JSON), paged=True)
    assert capsys.readouterr().out == json.dumps(whole, indent=2) + "\n"
    print_rows(rows, range(number), Listing(output=Output.YAML), paged=True)
    assert capsys.readouterr().out == yaml_text(whole)


# -- which parts -------------------------------------------------------------------------------------------------------


def test_the_keys_of_a_document(many: Waitctl) -> None:
    chosen = ("--fields", "step_id,id", "--limit", "2")
    for line in many("list", "-o", "ndjson", *chosen).ok().lines:
        assert list(json.loads(line)) == ["step_id", "id"]
    [first, _] = many("list", "-o", "json", *chosen).ok().json["waits"]
    assert first == {"step_id": "s2", "id": many("list", "-o", "id", "--limit", "1").ok().lines[0]}
    header, row, _ = csv.reader(io.StringIO(many("list", "-o", "csv", *chosen).ok().out))
    assert (header, row) == (["step_id", "id"], [first["step_id"], first["id"]])
    assert many("list", "-c", "nobody", "-o", "csv", "--fields", "id,context").ok().out == "id,context\n"


def test_the_columns_of_a_table(many: Waitctl) -> None:
    chosen = ("list", "--columns", "workflow,Step,wait", "--limit", "1")
    assert many(*chosen).ok().lines[0].split() == ["WORKFLOW", "STEP", "WAIT"]
    assert "there is no column 'colour', but wait, execution" in many("list", "--columns", "colour").error(2)
    header, _ = on_a_terminal(many, *chosen, columns=60)
    assert header.split() == ["WORKFLOW", "STEP", "WAIT"]


def test_wide_shows_every_column_and_ids_whole(many: Waitctl) -> None:
    header, row = on_a_terminal(many, "list", "-o", "wide", "--limit", "1", columns=400)
    assert {"WORKFLOW", "HANDLER", "CREATED", "KEY"} <= set(header.split())
    assert row.split()[0] == many("list", "-o", "id", "--limit", "1").ok().lines[0]


def test_a_list_is_watched_until_ctrl_c(many: Waitctl) -> None:
    ours, theirs = os.openpty()
    process = many.start("list", "--watch", "--limit", "3", env={"TERM": "xterm", "COLUMNS": "100"}, stdout=theirs)
    os.close(theirs)
    seen = b""
    while seen.count(b"\n") < 4:
        seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    finished = finish(process)
    os.close(ours)
    assert (finished.code, seen.startswith(b"\x1b[H\x1b[2J")) == (0, True), finished


@pytest.mark.parametrize("listing", [("event", "list"), ("delivery", "list"), ("event", "types"), ("calendar", "list")])
def test_every_list_can_be_shaped(run: Waitctl, listing: tuple[str, ...]) -> None:
    first = run(*listing, "-o", "csv").ok().lines[0].split(",")
    assert run(*listing, "-o", "csv", "--fields", first[-1]).ok().lines[0] == first[-1]
    assert run(*listing, "-o", "yaml").ok().out.partition(":")[0] == next(iter(run(*listing, "-o", "json").ok().json))
    assert "there is no key 'nothing'" in run(*listing, "-o", "ndjson", "--fields", "nothing").err


def test_csv_holds_what_the_document_holds(run: Waitctl) -> None:
    context = {"note": 'a "quote", a\nline and a tab\t', "n": 1.5, "none": None}
    run("create", "fixed-time", "1h", "-e", "x, y", "--context", json.dumps(context), "-o", "id").ok()
    [row] = csv.DictReader(io.StringIO(run("list", "-o", "csv").ok().out))
    assert (row["workflow_execution_id"], row["contact_id"]) == ("x, y", "")
    assert json.loads(row["context"]) == context


def test_yaml_by_example() -> None:
    document: dict[str, Any] = {
        "id": "0190",
        "status": "waiting",
        "no": "no",
        "at": "2026-03-01T12:00:00Z",
        "nothing": None,
        "numbers": [1, -2.5, 1e22, True],
        "empty": [{}, []],
        "waits": [{"a": "x: y", "b": {"c": ["\u2028", "é\n"]}}],
    }
    assert yaml_text(document) == (
        'id: "0190"\nstatus: waiting\n"no": "no"\nat: "2026-03-01T12:00:00Z"\nnothing: null\n'
        "numbers:\n  - 1\n  - -2.5\n  - 1.0e+22\n  - true\nempty:\n  - {}\n  - []\n"
        'waits:\n  - a: "x: y"\n    b:\n      c:\n        - "\\u2028"\n        - "é\\n"\n'
    )


@given(st.recursive(st.none() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_yaml_says_nothing_that_a_line_could_end(value: Any) -> None:
    for line in yaml_text(value).splitlines():
        assert line.strip() and "\t" not in line


# -- ending what is meant ----------------------------------------------------------------------------------------------


def test_what_a_filter_means_is_cancelled(many: Waitctl) -> None:
    dry = many("cancel", "-c", "ada", "--step", "s1", "--dry-run", "-o", "id").ok().lines
    assert len(dry) == MANY // 6
    words = many("cancel", "-c", "ada", "--step", "s1", "--dry-run")
    assert words.lines[0].endswith("  would be cancelled") and words.err == f"{len(dry)} waits; nothing was changed\n"
    assert many("pending", "-o", "json").json["open"] == MANY
    done = many("cancel", "-c", "ada", "--step", "s1", "--reason", "paid", "-o", "json").ok().json["waits"]
    assert {wait["id"] for wait in done} == set(dry) and {wait["status"] for wait in done} == {"cancelled"}
    assert many("history", dry[0], "-o", "json").json[-1]["reason"] == "paid"
    assert many("cancel", "-c", "ada", "--step", "s1").err == "nothing cancelled\n"
    assert many("pending", "-c", "ada", "-o", "json").json["open"] == MANY // 2 - len(dry)
    assert len(many("cancel", "--all", "--type", "for-event", "-o", "id").err.splitlines()) == 2
    assert len(many("cancel", "--all", "-o", "id").ok().lines) == MANY - len(dry)


def test_what_a_filter_means_is_resumed(run: Waitctl) -> None:
    late = run("create", "for-event", "email_open", "-c", "ada", "--timeout", "1h", "--from", "2026-01-01T00:00:00Z")
    early = run("create", "for-event", "email_open", "-c", "ada", "-s", "b", "-o", "id").ok().out.strip()
    tried = run("resume", "-c", "ada", "--dry-run", "-o", "id")
    assert (tried.code, tried.lines) == (4, [early])
    done = run("resume", "-c", "ada", "--data", '{"by": "hand"}', "-o", "id")
    assert (done.code, done.lines) == (4, [early])
    assert f"error: {late.out.split()[0]}: the wait cannot be resumed: its deadline has passed" in done.err
    assert run("history", early, "-o", "json").json[-1]["data"] == {"by": "hand"}
    assert run("resume", early, "--dry-run").error(4).startswith("the wait cannot be resumed: it ended by hand")


def test_a_named_wait_is_only_looked_at(run: Waitctl) -> None:
    wait = run("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
    assert run("cancel", wait, "--dry-run").lines == [f"{wait}  would be cancelled"]
    assert run("resume", wait, "--dry-run").lines == [f"{wait}  would be resumed"]
    assert run("status", wait, "-o", "json").json["status"] == "scheduled"


def test_who_sleeps_until_when_and_why(run_on: Waitctl) -> None:
    first = run_on("create", "until-time", "9", "--tz", "Europe/Berlin", "-e", "a", "-c", "ada", "-o", "json").ok().json
    run_on("create", "for-event", "sms_reply", "-c", "ada", "-e", "b", "--timeout", "3d").ok()
    run_on("create", "for-event", "sms_reply", "-c", "bob", "-e", "c").ok()
    lines = run_on("list", "--sleeping").ok().lines
    assert lines[0].split() == ["WAIT", "EXECUTION", "STEP", "CONTACT", "UNTIL", "REASON"]
    assert lines[1].endswith("09:00:00 Europe/Berlin  09:00 Europe/Berlin")
    assert "an event" in lines[3]
    document = run_on("list", "--sleeping", "--limit", "1", "-o", "json").ok().json
    assert document == {
        "waits": [
            {
                "id": first["id"],
                "workflow_execution_id": "a",
                "step_id": "wait",
                "contact_id": "ada",
                "status": "scheduled",
                "timezone": "Europe/Berlin",
                "until": first["scheduled_at"],
                "reason": "09:00 Europe/Berlin",
            }
        ],
        "next": first["id"],
    }
    rest = run_on("list", "--sleeping", "--after", first["id"], "--contact", "ada", "-o", "ndjson").ok().lines
    assert [json.loads(line)["workflow_execution_id"] for line in rest] == ["b"]
    assert run_on("list", "--sleeping", "--status", "resumed").err == "nobody sleeps\n"
    assert run_on("list", "--sleeping", "--sort", "due", "-o", "json").json_error(2)["code"] == "usage"
