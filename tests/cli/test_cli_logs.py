"""What a tick says of deliveries that were not taken, and in which form; and its exit status."""

from __future__ import annotations

import json
import re
import signal

import pytest

from tests.cli.processes import Waitctl, finish
from tests.interleaving import until

DUE = ("--from", "2020-01-01T00:00:00Z")


def config(run: Waitctl, script: str, settings: str = "") -> tuple[str, str]:
    path = run.folder / "config.toml"
    path.write_text(f"{settings}\n[handlers.h]\nexec = {json.dumps(['sh', '-c', script])}\nmax_attempts = 2\n")
    return "--config", str(path)


def due(run: Waitctl, *options: str) -> str:
    created = run("create", "fixed-time", "1h", *DUE, "-e", "order-17", "-s", "remind", *options, "-o", "id").ok()
    return created.out.strip()


def test_each_that_is_retried_and_each_that_dies_is_a_line(run_on: Waitctl) -> None:
    given = config(run_on, "echo boom; exit 1")
    wait = due(run_on, "--handler", "h")
    first = run_on(*given, "tick")
    assert re.fullmatch(
        rf"retried: delivery [0-9a-f-]{{36}} to h, wait {wait} \(order-17, step remind\), attempt 1 of 2, "
        r"again at [0-9TZ:.-]+: exit status 1: boom\n",
        first.err,
    )
    last = run_on(*given, "tick", "-q", "--fail-on", "dead,held", env={"WAITCTL_AS_OF": "2100-01-01T00:00:00Z"})
    assert (last.code, last.out) == (1, "")
    assert re.fullmatch(
        rf"dead: delivery [0-9a-f-]{{36}} to h, wait {wait} \(order-17, step remind\), attempt 2 of 2: .* boom\n",
        last.err,
    )
    again = run_on(*given, "tick", "-q", "--fail-on", "dead", env={"WAITCTL_AS_OF": "2100-01-01T00:00:00Z"})
    assert (again.code, again.err) == (0, ""), "it is said once, and of the run that saw it"


@pytest.mark.parametrize("how", ["option", "config", "environment"])
def test_as_json(run: Waitctl, how: str) -> None:
    given = config(run, "exit 65", 'log_format = "json"' if how == "config" else "")
    wait = due(run, "--handler", "h")
    option = ("--log-format", "json") if how == "option" else ()
    done = run(*given, "tick", *option, env={"WAITCTL_LOG_FORMAT": "json"} if how == "environment" else {})
    (line,) = done.err.splitlines()
    record = json.loads(line)
    assert {
        name: record[name] for name in ("level", "event", "wait_id", "execution", "step", "handler", "attempt")
    } == {
        "level": "error",
        "event": "dead",
        "wait_id": wait,
        "execution": "order-17",
        "step": "remind",
        "handler": "h",
        "attempt": 1,
    }
    assert record["reason"] == "exit status 65" and record["message"].startswith("dead: delivery ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", record["at"])


def test_for_the_journal(run: Waitctl) -> None:
    given = config(run, "exit 65")
    due(run, "--handler", "h")
    assert run(*given, "-v", "tick", "--log-format", "journal").err.startswith("<7>phase events: 0 in ")
    due(run, "--handler", "h")
    assert run(*given, "tick", "--log-format", "journal").err.startswith("<3>dead: ")
    assert "xml" in run("tick", "--log-format", "xml").error(2)
    assert "WAITCTL_LOG_FORMAT" in run("tick", env={"WAITCTL_LOG_FORMAT": "xml"}).error(2)


def test_a_phase_is_a_line_when_asked_for(run: Waitctl) -> None:
    due(run)
    done = run("-v", "tick", "-o", "json")
    phases = re.findall(r"^phase ([a-z ()]+): (\d+) in [\d.]+ s$", done.err, re.MULTILINE)
    assert phases == [("events", "0"), ("due (late)", "0"), ("due", "1"), ("due (recurrences)", "0"), ("expired", "0")]
    assert run("tick", "-o", "json").err == ""


def test_what_is_held_is_said_once_by_delivery(run_on: Waitctl) -> None:
    wait = due(run_on, "--handler", "elsewhere")
    held = re.compile(r"^held: delivery .*", re.MULTILINE)
    done = run_on("tick", "--fail-on", "held")
    assert done.code == 1
    assert f"wait {wait} (order-17, step remind): this host's config does not know it" in held.findall(done.err)[0]
    assert held.findall(run_on("tick").err) == []
    assert run_on("tick", "-q", "--fail-on", "dead").ok().err == ""
    other = due(run_on, "--handler", "elsewhere")
    assert [other in line for line in held.findall(run_on("tick").err)] == [True]


def test_bad_words(run: Waitctl) -> None:
    assert "there is no 'late'" in run("tick", "--fail-on", "dead,late").error(2)
    assert "there is no" in run("tick", "--fail-on", "").error(2)


def test_a_resident_tick_says_what_is_next(run: Waitctl) -> None:
    run("create", "until-date", "2100-01-01", "-e", "far").ok()
    errors = run.folder / "errors"
    process = run.start("tick", "--watch", "--log-format", "json", shell=f'exec "$@" 2>{errors}')
    until(lambda: errors.exists() and "\n" in errors.read_text(), "it has said what is next")
    process.send_signal(signal.SIGTERM)
    finish(process)
    record = json.loads(errors.read_text().splitlines()[0])
    assert (record["event"], record["next_due_at"]) == ("watching", "2100-01-01T00:00:00Z")


def test_the_output_is_shown(run: Waitctl) -> None:
    given = config(run, "printf 'one\\ntwo\\033[31m\\n'")
    due(run, "--handler", "h")
    run(*given, "tick").ok()
    (delivery,) = run("delivery", "list", "-o", "json").ok().json["deliveries"]
    assert "output" not in delivery
    shown = run("delivery", "show", delivery["delivery_id"], "-o", "json").ok().json
    assert (shown["status"], shown["output"]) == ("delivered", "one\ntwo\x1b[31m")
    assert run("delivery", "show", delivery["delivery_id"]).ok().lines[-3:] == [
        "output of attempt 1:",
        "  one",
        "  two [31m",
    ]
