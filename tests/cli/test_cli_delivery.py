"""What runs when a wait ends, at the command line: inline commands, routes, pauses, dead letters, await, watch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl, finish
from tests.interleaving import until
from waitctl.infrastructure.file_trust import user_name

CHECKOUT = Path(__file__).parent.parent.parent
LATER: dict[str, str | None] = {"WAITCTL_AS_OF": "2030-01-01T00:00:00Z"}
CONFIG = """
[handlers.note]
exec = ["sh", "-c", 'echo "$WAITCTL_EXECUTION_ID $WAITCTL_OUTCOME" >> noted']

[handlers.dies]
exec = ["sh", "-c", "echo broken; exit 65"]
on_dead = "on-dead"

[handlers.on-dead]
exec = ["sh", "-c", "cat > notice"]
"""


@pytest.fixture
def own(run: Waitctl) -> Waitctl:
    """A database that nobody else may write."""
    run.folder.chmod(0o700)
    return run


@pytest.fixture
def configured(run_on: Waitctl) -> Waitctl:
    (run_on.folder / ".config" / "waitctl").mkdir(parents=True)
    (run_on.folder / ".config" / "waitctl" / "config.toml").write_text(CONFIG)
    return run_on


# -- inline commands ---------------------------------------------------------------------------------------------------


def test_a_command_behind_dashes_runs_where_it_was_given(own: Waitctl) -> None:
    made = own("create", "fixed-time", "1h", "-o", "json", "--", "sh", "-c", 'echo "$0 $1 $PWD" > out', "-o", "id").ok()
    assert made.json["command"] == {
        "argv": ["sh", "-c", 'echo "$0 $1 $PWD" > out', "-o", "id"],
        "folder": str(own.folder),
    }
    assert own("tick", "-o", "json", env=LATER).ok().json["delivered"] == 1
    assert (own.folder / "out").read_text() == f"-o id {own.folder}\n"
    assert "sh -c" in own("status", made.json["id"]).ok().out


def test_no_command_where_others_may_write(own: Waitctl) -> None:
    own.folder.chmod(0o777)
    refused = own("create", "fixed-time", "1h", "-o", "json", "--", "true").json_error(2)
    assert (refused["code"], refused["hint"]) == ("unsafe_file", f"chmod o-w {own.folder}")
    allowed = {"WAITCTL_ALLOW_UNSAFE_FILES": "1"}
    own("create", "fixed-time", "1h", "--", "touch", "ran", env=allowed).ok()
    assert own("tick", "-o", "json", env=LATER).ok().json["held"] == 1
    assert own("pending", "-o", "json").ok().json["deliveries"]["held"] == 1
    assert not (own.folder / "ran").exists()
    assert own("tick", "-o", "json", env=LATER | allowed).ok().json["delivered"] == 1


def test_a_program_that_is_missing_is_a_warning(own: Waitctl) -> None:
    for program, missing in (("nosuchprogram", True), ("./nosuchscript", True), ("true", False), ("/bin/sh", False)):
        made = own("create", "fixed-time", "1h", "-o", "id", "--", program)
        warning = f"warning: no program that can be run here is called '{program}'; it must be there when the wait ends"
        assert (made.code, made.err.splitlines()) == (0, [warning] if missing else [])


def test_no_command_at_all_is_refused(own: Waitctl) -> None:
    assert "no command behind --" in own("create", "fixed-time", "1h", "--").error(2)
    assert "one of them" in own("create", "fixed-time", "1h", "--handler", "x", "--", "true").error(2)
    assert own("list", "-o", "id").ok().out == ""


# -- routes, dead letters, pauses --------------------------------------------------------------------------------------


def test_each_outcome_to_its_handler(configured: Waitctl) -> None:
    routes = ("--handler", "timeout=note", "--handler", "event=dies")
    wait = configured(
        "create", "for-event", "sms_reply", "-c", "ada", "--timeout", "1h", "-e", "x", *routes, "-o", "json"
    )
    assert (wait.ok().json["handler"], wait.json["handlers"]) == (None, {"timeout": "note", "event": "dies"})
    assert configured("tick", "-o", "json", env=LATER).ok().json["delivered"] == 1
    assert (configured.folder / "noted").read_text() == "x timeout\n"
    assert "never ends by event" in configured("create", "fixed-time", "1h", "--handler", "event=note").error(2)
    assert "two handlers" in configured("create", "fixed-time", "1h", "--handler", "a", "--handler", "b").error(2)


def test_an_unknown_handler_is_a_warning(configured: Waitctl) -> None:
    made = configured("create", "fixed-time", "1h", "--handler", "elsewhere", "-o", "json")
    assert made.code == 0 and made.json["created"]
    assert made.err == "warning: this host's config has no handler 'elsewhere'; one that ticks must have it\n"
    assert configured("create", "fixed-time", "1h", "--handler", "note").err == ""


def test_a_dead_delivery_is_told_of_and_retried(configured: Waitctl) -> None:
    wait = configured("create", "fixed-time", "1h", "-w", "signup", "--handler", "dies", "-o", "id").ok().out.strip()
    report = configured("tick", "-o", "json", env=LATER).ok().json
    assert (report["dead"], report["delivered"]) == (1, 1)
    notice = json.loads((configured.folder / "notice").read_text())
    assert notice["dead"]["last_error"] == "exit status 65: broken" and notice["wait"]["id"] == wait
    assert configured("delivery", "list", "--handler", "on-dead", "-o", "ndjson").ok().json["dead_delivery_id"]
    assert configured("delivery", "retry", "--handler", "note", "-o", "json").ok().json == {"deliveries": []}
    retried = configured("delivery", "retry", "--workflow", "signup", "-o", "json").ok().json["deliveries"]
    assert [each["status"] for each in retried] == ["pending"]
    assert configured("status", wait, "-o", "json").ok().json["status"] == "resumed"
    assert "name either" in configured("delivery", "retry").error(2)


def test_paused_and_let_go(configured: Waitctl) -> None:
    configured("create", "fixed-time", "1h", "-e", "x", "--handler", "note").ok()
    paused = configured("pause", "--handler", "note", "--reason", "it moves", "-o", "json").ok().json
    assert (paused["kind"], paused["name"], paused["reason"], paused["actor"].partition("@")[0]) == (
        "handler",
        "note",
        "it moves",
        user_name(os.geteuid()),
    )
    report = configured("tick", "-o", "json", env=LATER).ok().json
    assert (report["resumed"], report["delivered"], report["held"]) == (1, 0, 1)
    assert configured("pause", "-o", "json").ok().json == {"paused": [paused]}
    assert "handler note" in configured("pending").ok().out
    assert configured("unpause", "--handler", "note", "-o", "json").ok().json["was_paused"]
    assert configured("tick", "-o", "json", env=LATER).ok().json["delivered"] == 1
    assert configured("unpause", "--handler", "note").ok().out == "handler note  was not paused\n"
    assert "--all" in configured("unpause").error(2)
    assert "one of" in configured("pause", "--all", "--handler", "x").error(2)


def test_what_is_held_says_why(configured: Waitctl) -> None:
    configured("create", "fixed-time", "1h", "--handler", "elsewhere").ok()
    configured("create", "fixed-time", "1h", "--handler", "note").ok()
    configured("pause", "--handler", "note").ok()
    tick = configured("tick", env=LATER)
    said = [line for line in tick.err.splitlines() if not line.startswith("held: delivery ")]
    assert said == [
        "deliveries to elsewhere are held: this host's config does not know it",
        "deliveries to note are held: they are paused",
    ]
    rows = configured("delivery", "handlers", "-o", "json").ok().json["handlers"]
    assert {row["handler"]: (row["known"], row["held"]) for row in rows} == {
        "on-dead": (True, False),
        "dies": (True, False),
        "elsewhere": (False, True),
        "note": (True, True),
    }
    assert configured("tick", "-q", env=LATER).err == ""


def test_what_a_function_prints_is_no_data(configured: Waitctl) -> None:
    (configured.folder / "loud.py").write_text("def handle(document): print('hello')\n")
    (configured.folder / "config.toml").write_text('[handlers.loud]\npython = "loud:handle"\n')
    here = LATER | {"WAITCTL_CONFIG": "config.toml", "PYTHONPATH": f"{configured.folder}:{CHECKOUT}"}
    configured("create", "fixed-time", "1h", "--handler", "loud", env=here | {"WAITCTL_AS_OF": None}).ok()
    tick = configured("tick", "-o", "json", env=here)
    assert (tick.json["delivered"], tick.err) == (1, "hello\n")


# -- await -------------------------------------------------------------------------------------------------------------


def create(run: Waitctl, *arguments: str) -> str:
    return run("create", *arguments, "-o", "id").ok().out.strip()


def test_await_says_how_it_ended(run_on: Waitctl) -> None:
    resumed, cancelled, opened = (create(run_on, "fixed-time", "1h") for _ in range(3))
    timed_out = create(run_on, "for-event", "sms_reply", "-c", "ada", "--timeout", "1h")
    run_on("resume", resumed).ok()
    run_on("cancel", cancelled).ok()
    run_on("tick", "--only", "expired", env=LATER).ok()
    assert run_on("await", resumed, "-o", "json").ok().json["resolution"] == "manual"
    for other in (cancelled, timed_out):
        done = run_on("await", other, "-o", "json")
        assert (done.code, done.err, done.json["id"]) == (7, "", other)
    waiting = run_on("await", opened, "--timeout", "0", "-o", "json")
    assert (waiting.code, json.loads(waiting.err)["error"]["code"]) == (6, "timed_out")
    assert waiting.json["status"] == "scheduled"
    assert run_on("await", opened, "--timeout", "0").err == "error: timed out after 0\n"
    assert run_on("await", "0" * 12).error(3)
    assert run_on("await", opened, "--timeout", "soon").error(2)
    assert run_on("await", opened, resumed, "--any", "--all").error(2)

    either = run_on("await", opened, resumed, "--any", "-o", "json").ok().json["waits"]
    assert [each["id"] for each in either] == [resumed]
    both = run_on("await", opened, resumed, "--timeout", "0", "-o", "ndjson")
    assert (both.code, [json.loads(line)["id"] for line in both.lines]) == (6, [opened, resumed])
    assert run_on("await", resumed, cancelled).code == 7


def test_a_script_that_blocks_goes_on(configured: Waitctl) -> None:
    """The recipe: send, await a click or two days, branch."""
    wait = create(configured, "for-event", "email_click", "-c", "ada", "--timeout", "2d")
    blocked = configured.start("await", wait, "-o", "json")
    configured("event", "record", "email_click", "--contact", "ada").ok()
    assert finish(blocked).ok().json["resolution"] == "event"


def test_interrupted_while_it_blocks(run_on: Waitctl) -> None:
    wait = create(run_on, "fixed-time", "1h")
    process = run_on.start("await", wait, shell='echo started; exec "$@"')
    assert process.stdout is not None and process.stdout.readline() == b"started\n"
    until(lambda: _is_asleep(process.pid), "its wait")
    process.send_signal(signal.SIGINT)
    assert finish(process).error(130) == "interrupted"


def _is_asleep(pid: int) -> bool:
    """Whether a process of Python's waits for descriptors, as `await` does between two looks."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return b"await" in command and Path(f"/proc/{pid}/wchan").read_text() in {
        "poll_schedule_timeout",
        "poll_schedule_timeout.constprop.0",
        "do_select",
        "do_poll",
    }


# -- watch -------------------------------------------------------------------------------------------------------------


def test_a_resident_tick(configured: Waitctl) -> None:
    watch = configured.start("tick", "--watch", "-o", "json")
    wait = create(configured, "fixed-time", "1s", "-e", "soon", "--handler", "note")
    assert configured("await", wait, "-o", "json").ok().json["resolution"] == "due"
    until((configured.folder / "noted").exists, "its delivery")
    watch.send_signal(signal.SIGTERM)
    report = finish(watch).ok().json
    assert (report["resumed"], report["delivered"], report["stopped"]) == (1, 1, "interrupted")
    assert (configured.folder / "noted").read_text() == "soon due\n"


OUTLIVES = {
    "blocks": "def handle(document):\n    begin()\n    threading.Event().wait()",
    "does not hear of it": (
        "async def handle(document):\n    begin()\n    while True:\n        with contextlib.suppress(BaseException):\n"
        "            await asyncio.sleep(3600)"
    ),
    "is stopped": "def handle(document):\n    begin()\n    os.kill(os.getpid(), signal.SIGSTOP)\n    threading.Event().wait()",
}


def test_functions_that_outlive_their_timeout_are_ended_with_their_tick(configured: Waitctl) -> None:
    handlers = []
    for number, source in enumerate(OUTLIVES.values()):
        begun = configured.folder / f"begun-{number}"
        (configured.folder / f"outliving_{number}.py").write_text(
            "import asyncio, contextlib, os, pathlib, signal, threading\n"
            f"def begin():\n    pathlib.Path({str(begun)!r}).write_text(str(os.getpid()))\n{source}\n"
        )
        handlers.append(f'[handlers.h{number}]\npython = "outliving_{number}:handle"\ntimeout = "1s"\n')
        configured("resume", create(configured, "fixed-time", "1h", "--handler", f"h{number}")).ok()
    config = configured.folder / "config.toml"
    config.write_text("".join(handlers))
    here = {"WAITCTL_CONFIG": str(config), "PYTHONPATH": str(configured.folder)}
    tick = configured.start("tick", "-o", "json", env=here)

    def pids() -> list[str]:
        return [path.read_text() for path in configured.folder.glob("begun-*") if path.read_text() != ""]

    until(lambda: len(pids()) == len(handlers), "its calls")
    tick.send_signal(signal.SIGTERM)
    finished = finish(tick).ok()
    assert (finished.json["retried"], finished.json["stopped"]) == (len(handlers), "interrupted")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids())
    for delivery in configured("delivery", "list", "-o", "json", env=here).ok().json["deliveries"]:
        assert (delivery["attempt"], delivery["status"]) == (1, "pending")
        assert delivery["last_error"].startswith("it outlived its timeout when the tick was told to end")


def test_a_tick_that_is_killed_leaves_no_function_and_no_traceback(configured: Waitctl) -> None:
    (configured.folder / "outliving.py").write_text(
        "import os, pathlib, threading\ndef handle(document):\n"
        f"    pathlib.Path({str(configured.folder / 'begun')!r}).write_text(str(os.getpid()))\n    threading.Event().wait()\n"
    )
    config = configured.folder / "config.toml"
    config.write_text('[handlers.call]\npython = "outliving:handle"\n')
    here = {"WAITCTL_CONFIG": str(config), "PYTHONPATH": str(configured.folder)}
    configured("resume", create(configured, "fixed-time", "1h", "--handler", "call")).ok()
    tick = configured.start("tick", "-o", "json", env=here)
    until(
        lambda: (configured.folder / "begun").exists() and (configured.folder / "begun").read_text() != "", "its call"
    )
    tick.send_signal(signal.SIGKILL)
    assert finish(tick).err == ""
    until(lambda: not Path(f"/proc/{(configured.folder / 'begun').read_text()}").exists(), "its end")


@pytest.mark.parametrize(
    "option", [["--as-of", "2030-01-01T00:00:00Z"], ["--dry-run"], ["--max-batches", "1"], ["--time-budget", "1s"]]
)
def test_what_is_for_a_single_run(run: Waitctl, option: list[str]) -> None:
    assert "single run" in run("tick", "--watch", *option).error(2)


def test_a_watch_goes_by_the_real_clock(run: Waitctl, nowhere: Waitctl) -> None:
    assert "real clock" in run("tick", "--watch", env=LATER).error(2)


def test_a_watch_without_a_database(nowhere: Waitctl) -> None:
    assert "no database" in nowhere("tick", "--watch").error(5)


def test_a_tick_that_its_own_command_kills(configured: Waitctl) -> None:
    """Between hand-out and settling: the lease runs out, and the same delivery goes out again."""
    config = configured.folder / "config.toml"
    config.write_text(
        '[handlers.kills]\nexec = ["sh", "-c", \'echo "$WAITCTL_DELIVERY_ID $WAITCTL_ATTEMPT" >> tried; '
        "test -e spared || { touch spared; kill -9 $PPID; }']\n"
    )
    create(configured, "fixed-time", "1h", "--handler", "kills")
    here = {"WAITCTL_CONFIG": str(config)}
    killed = configured.start("tick", env=LATER | here)
    assert killed.wait(60) == -signal.SIGKILL
    finish(killed)
    [running] = configured("delivery", "list", "-o", "json").ok().json["deliveries"]
    assert (running["status"], running["attempt"]) == ("running", 1)
    assert configured("tick", "-o", "json", env=LATER | here).ok().json["delivered"] == 0  # on its lease
    assert configured("tick", "--as-of", "2030-01-01T01:00:00Z", "-o", "json", env=here).ok().json["delivered"] == 1
    tried = (configured.folder / "tried").read_text().split()
    assert tried == [running["delivery_id"], "1", running["delivery_id"], "2"]


def test_stdin_is_not_the_watchs(configured: Waitctl) -> None:
    """A unit has no standard input, and neither has a job in the background."""
    watch = configured.start("tick", "--watch", "-q", stdin=subprocess.DEVNULL, shell='exec "$@" <&-')
    wait = create(configured, "fixed-time", "1s", "--handler", "note")
    assert configured("await", wait).ok().out.endswith("resumed (due)\n")
    watch.send_signal(signal.SIGINT)
    done = finish(watch)
    assert (done.code, done.out) == (0, "")
