"""The word that helps, at the moment when it does."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import COMMAND, Finished, Waitctl
from tests.cli.terminal import on_a_terminal, shown_and_said
from tests.somebody import IS_ROOT, as_somebody, public_folder
from waitctl.infrastructure.sqlite_file import why_barred


def hint(finished: Finished) -> str:
    return finished.err.splitlines()[-1]


def test_an_event_type_that_is_not_there_yet(nowhere: Waitctl) -> None:
    asked = ("create", "for-event", "payment", "-c", "ada")
    nowhere("create", "fixed-time", "1h", "-o", "id").ok()
    assert hint(nowhere(*asked)) == "hint: waitctl event types add payment registers it"
    assert hint(nowhere("create", "for-event", "email_opem", "-c", "ada")).startswith("hint: did you mean email_open")
    nowhere("event", "types", "add", "payment").ok()
    nowhere(*asked).ok()


def test_event_types_add_makes_the_database(nowhere: Waitctl) -> None:
    nowhere("event", "types", "add", "payment").ok()
    assert "payment" in nowhere("event", "types", "-o", "id").ok().lines


@pytest.mark.parametrize("command", ["status", "history", "cancel", "await", "why", "explain"])
def test_an_execution_in_the_place_of_a_wait(run: Waitctl, command: str) -> None:
    for execution in ("order 17", "deadbeef01"):
        run("create", "fixed-time", "1h", "-e", execution, "-o", "id").ok()
        shown = f"'{execution}'" if " " in execution else execution
        assert hint(run(command, execution)) == (
            f"hint: it is an execution: waitctl status --execution {shown} shows its waits"
        )


def test_an_event_that_a_window_holds_back_says_until_when(run: Waitctl) -> None:
    at = {"WAITCTL_AS_OF": "2026-03-01T12:00:00Z"}  # a Sunday
    window = ("--window", "mon-fri 09:00-17:00", "--tz", "Europe/Berlin")
    held = run("create", "for-event", "sms_reply", "-c", "ada", *window, "-o", "id", env=at).ok().out.strip()
    told = run("event", "record", "sms_reply", "-c", "ada", env=at).ok().lines
    assert told[0].endswith("  recorded, 1 wait held until Mon 2026-03-02 09:00 Europe/Berlin")
    assert told[1:] == [f"  {held}"]
    assert run("event", "record", "sms_reply", "-c", "ada", env=at).ok().lines[0].endswith("recorded, 0 waits resumed")


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("list", "--status", "resumd"), "resumed"),
        (("list", "--type", "fixd-time"), "fixed-time"),
        (("create", "fixed-time", "1h", "--late", "next-windw"), "next-window"),
        (("list", "-o", "jsn"), "json"),
        (("list", "--sort", "-du"), "due"),
        (("list", "--columns", "wait,exection"), "execution"),
        (("event", "ingest", "--format", "sendgird"), "sendgrid"),
        (("tick", "--only", "due,evnts"), "events"),
        (("tick", "--fail-on", "ded"), "dead"),
    ],
)
def test_a_mistyped_value_is_guessed(run: Waitctl, arguments: tuple[str, ...], meant: str) -> None:
    finished = run(*arguments)
    assert (finished.code, hint(finished)) == (2, f"hint: did you mean {meant}?")


def test_a_time_that_is_pretended_is_said_on_a_terminal(run: Waitctl) -> None:
    environment = {**run.environment({}), "WAITCTL_AS_OF": "2026-03-01T12:00:00Z"}
    assert run("create", "fixed-time", "1h", env={"WAITCTL_AS_OF": "2026-03-01T12:00:00Z"}).err == ""
    for command in (("create", "fixed-time", "1h"), ("tick",)):
        ours, theirs = os.openpty()
        subprocess.run([*COMMAND, *command], env=environment, stdout=subprocess.DEVNULL, stderr=theirs, check=True)
        os.close(theirs)
        assert b"WAITCTL_AS_OF is set: it is 2026-03-01T12:00:00Z for this command" in os.read(ours, 4096)
        os.close(ours)


def test_quiet_leaves_words_out_and_errors_in(run: Waitctl) -> None:
    assert run("list").err == "no waits\n"
    assert run("list", "-q").err == ""
    assert run("-v", "list", "--quiet").err == ""
    assert run("event", "types", "-q").ok().lines
    assert run("status", "-q", "01900000").error(3)
    ingested = run("event", "ingest", "-q", stdin="{}\n")
    assert ingested.code == 1 and ingested.err.startswith("line 1: ")


def test_a_delivery_in_the_time_of_its_wait(run: Waitctl) -> None:
    zone = ("--tz", "Asia/Tokyo", "--handler", "nudge")
    wait = run("create", "fixed-time", "1h", *zone, "-o", "id").out.strip()
    run("resume", wait).ok()
    delivery = run("delivery", "list", "-o", "id").ok().out.strip()
    card = run("delivery", "show", delivery).ok().out
    assert " Asia/Tokyo (" in card and "T" not in card.split("created")[1].split("Asia")[0]


def test_a_database_that_is_barred_says_whose_it_is() -> None:
    def look(path: Path) -> None:
        barred = why_barred(path)
        assert barred is not None
        assert f"{path} belongs to " in barred.reason and "(mode 0000), and this is " in barred.reason
        assert barred.remedy.startswith("run waitctl as root" if IS_ROOT else f"chmod u+rw {path}")

    with public_folder() as folder:
        path = folder / "waits.db"
        path.touch()
        assert why_barred(path) is None
        path.chmod(0)
        as_somebody(lambda: look(path)) if IS_ROOT else look(path)


def test_what_is_left_to_others_does_not_read_as_idle(run: Waitctl) -> None:
    run("create", "fixed-time", "1s", "--from", "2026-01-01T00:00:00Z", "-o", "id").ok()
    assert run("tick", "--only", "deliver").out == "still due 1 wait (nothing more for this run)\n"
    assert run("tick").out == "resumed 1 wait (idle)\n"


def test_a_calendar_counts_the_days_of_a_timeout(run: Waitctl) -> None:
    asked = ("create", "for-event", "form_submit", "-c", "ada", "--tz", "Europe/Berlin", "--dry-run", "-o", "json")
    timeout = ("--timeout", "3bd", "--at", "09:00", "--calendar", "DE")
    plain = run(*asked, *timeout, "--from", "2026-04-01T10:00:00Z").ok().json
    assert plain["timeout_at"] == "2026-04-08T07:00:00Z"  # Thursday, then after Easter Tuesday, Wednesday
    assert (plain["wait_config"]["timeout_calendar"], plain["wait_config"].get("calendar")) == ("DE", None)
    window = ("--window", "mon-fri 09:00-17:00")
    for more, gate in (((), "DE"), (("--window-calendar", "FR"), "FR"), (("--window-calendar", "none"), None)):
        config = run(*asked, *timeout, *window, *more).ok().json["wait_config"]
        assert config.get("calendar") == gate
        assert config.get("timeout_calendar", gate) == "DE"
    until = run(*asked, "--until", "2099-01-01 09:00").ok().json
    assert until["timeout_at"] == "2099-01-01T08:00:00Z"
    assert run(*asked, "--until", "2020-01-01").json_error(2)["code"] == "invalid_timeout"


def test_examples_stand_in_a_block_of_their_own(run: Waitctl) -> None:
    shown = on_a_terminal(run, "cancel", "--help", columns=80)
    at = next(place for place, line in enumerate(shown) if line.strip() == "Example:")
    assert shown[at + 1].strip() == "waitctl cancel --execution order-17 --reason paid"
    assert shown[at - 1].strip() == ""


def test_the_first_help_is_in_groups_with_an_example_and_the_exit_codes(run: Waitctl) -> None:
    shown, said = shown_and_said(run, "--help", columns=80)
    text = "\n".join(shown)
    places = [text.index(f"─ {title} ─") for title in ("Waits", "Events", "Processing", "Operating", "Setting up")]
    assert places == sorted(places) and said == []
    assert "waitctl create fixed-time 3d" in text
    assert "0 ok" in text and "130 interrupted" in text
