"""What people read, and terminals obey: data is never markup and never an escape sequence; pipes get it whole."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from tests.cli.processes import Waitctl

ESCAPES = "\x1b[31mred\x1b]0;title\x07\x9b2J\u202e"


def test_markup_and_escapes_in_data_stay_data(run: Waitctl) -> None:
    context = json.dumps({"note": ESCAPES, "also": "[red]not red[/red] :smile:"})
    contact = "[bold]ada[/bold]"
    identifier = run("create", "fixed-time", "1h", "-c", contact, "--context", context, "-o", "id").ok().out.strip()
    run("cancel", identifier, "--reason", ESCAPES).ok()
    run("event", "record", "sms_reply", "-c", contact, "--data", context, "--id", "[link=x]", "-o", "id").ok()
    card = run("status", identifier).ok().out
    assert contact in card
    assert "[red]not red[/red] :smile:" in card
    event = run("event", "list", "-o", "id").ok().out.strip()
    shown = [card] + [
        run(*command).ok().out
        for command in (["list"], ["history", identifier], ["event", "list"], ["event", "show", event])
    ]
    for text in shown:
        assert not set(text) & set("\x1b\x07\x9b\u202e"), ascii(text)
    assert contact in shown[1]
    assert contact in shown[3]
    assert "[31mred" in shown[2]


UNSEEN = "\u061c\u200b\u200f\u2060\u2067\ufeff\xad\U000e0041"


def test_what_nobody_sees_is_seen_in_its_place(run: Waitctl) -> None:
    contact = f"a{UNSEEN}b"
    identifier = run("create", "fixed-time", "1h", "-c", contact, "-o", "id").ok().out.strip()
    for command in (["list"], ["status", identifier]):
        text = run(*command).ok().out
        assert not set(text) & set(UNSEEN), ascii(text)
        assert "a b" in text


def test_json_steers_no_terminal_and_means_the_same(run: Waitctl) -> None:
    note = "\x7f\x85\x9b2J\u061c\u200e\u202e\u2067 é \u2028"
    identifier = run("create", "fixed-time", "1h", "--context", json.dumps({note: note}), "-o", "id").ok().out.strip()
    for command in (["status", identifier, "-o", "json"], ["list", "-o", "ndjson"], ["list", "-o", "json"]):
        finished = run(*command).ok()
        assert not set(finished.out) & set("\x7f\x85\x9b\u061c\u200e\u202e\u2067"), ascii(finished.out)
        assert "\\u202e" in finished.out and "é" in finished.out
    assert run("status", identifier, "-o", "json").json["context"] == {note: note}


def test_errors_are_cleaned_too(run: Waitctl) -> None:
    finished = run("status", "-e", "[red]x[/red]")
    assert "'[red]x[/red]'" in finished.error(3)
    assert "\x1b" not in run("create", "fixed-time", ESCAPES).err


def test_a_pipe_gets_whole_lines_without_colour(run: Waitctl) -> None:
    names = {name: name * 255 for name in "esc"}
    note = "word " * 4000
    arguments = ["-e", names["e"], "-s", names["s"], "-c", names["c"], "--context", json.dumps({"a": note})]
    identifier = run("create", "fixed-time", "1h", *arguments, "-o", "id").ok().out.strip()
    for env in ({}, {"NO_COLOR": "1"}, {"COLUMNS": "20", "TERM": "xterm-256color"}):
        table = run("list", env=env).ok()
        [header, row] = table.lines
        assert header.split()[0] == "WAIT"
        assert all(name in row for name in names.values())
        assert identifier[-12:] in row
    card = run("status", identifier).ok().out
    assert note.strip() in card
    assert "\x1b" not in card


@pytest.mark.parametrize(("env", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_is_for_terminals(run: Waitctl, env: dict[str, str], coloured: bool) -> None:
    run("create", "fixed-time", "1h").ok()
    seen = run.on_a_terminal("list", columns=200, env=env).ok().out
    assert "scheduled" in seen
    assert ("\x1b[34m" in seen) is coloured


def test_a_label_steers_a_terminal_no_more_than_anything_else(run: Waitctl) -> None:
    """A source is whatever whoever writes to the inbox table calls it; what is refused is counted under its name."""
    with closing(sqlite3.connect(run.folder / "waits.db")) as other:
        row = ("form_submit", "ada", "\x1b]0;planted\x07")
        other.execute("INSERT INTO workflow_events (event_type, contact_id, source) VALUES (?, ?, ?)", row)
        other.commit()
    run("tick").ok()
    shown = run.on_a_terminal("metrics", columns=200).ok().out
    assert "planted" in shown
    assert "\x1b" not in shown
    assert 'source="\x1b]0;planted\x07"' in run("metrics").ok().out, "a program has it as it is"


def test_words_for_nothing(run: Waitctl) -> None:
    for command, words in (
        (["list"], "no waits"),
        (["event", "list"], "no events"),
        (["delivery", "list"], "no deliveries"),
    ):
        finished = run(*command)
        assert (finished.code, finished.out, finished.err) == (0, "", f"{words}\n")
