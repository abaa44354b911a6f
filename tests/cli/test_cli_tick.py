"""One run of the processor as cron, systemd and handlers meet it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.processes import Waitctl, finish
from tests.interleaving import until
from tests.receiver import Receiver

DUE = ("--from", "2020-01-01T00:00:00Z")


def handler(run: Waitctl, script: str, settings: str = "") -> str:
    """A config whose handler ``h`` is this shell script."""
    path = run.folder / "config.toml"
    path.write_text(f"[handlers.h]\nexec = {json.dumps(['sh', '-c', script])}\n{settings}\n")
    return str(path)


def test_silence_where_cron_would_send_mail(run: Waitctl) -> None:
    idle = run("tick").ok()
    assert idle.out == ""
    run("create", "fixed-time", "1h", *DUE).ok()
    assert run("tick").ok().out == "resumed 1 wait (idle)\n"
    run("create", "fixed-time", "1h", *DUE).ok()
    assert run("tick", "-q").ok().out == ""
    assert run("list", "--status", "resumed", "-o", "ndjson").ok().out.count("\n") == 2


def test_only_some_phases(run: Waitctl) -> None:
    run("create", "fixed-time", "1h", *DUE).ok()
    report = run("tick", "--only", "events, expired", "-o", "json").ok().json
    assert (report["resumed"], report["remaining_due"]) == (0, 1)
    report = run("tick", "--only", "due", "--max-batches", "1", "--batch-size", "1", "-o", "json").ok().json
    assert (report["resumed"], report["stopped"]) == (1, "max_batches")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_what_runs_and_gives_back_the_rest(run: Waitctl, number: signal.Signals) -> None:
    for name in ("started", "go"):
        os.mkfifo(run.folder / name)
    config = handler(run, "echo $WAITCTL_ATTEMPT > started; read line < go", "concurrency = 1")
    for n in range(3):
        run("create", "fixed-time", "1h", *DUE, "-e", f"e{n}", "--handler", "h").ok()
    process = run.start("--config", config, "tick", "-o", "json")
    assert (run.folder / "started").read_text() == "1\n"  # the first command runs
    process.send_signal(number)
    pending = ("delivery", "list", "--status", "pending", "-o", "ndjson")
    until(lambda: len(run(*pending).ok().lines) == 2, "what has not begun is given back, while the first one runs")
    (run.folder / "go").write_text("go\n")
    report = finish(process).ok().json
    assert (report["stopped"], report["delivered"], report["resumed"]) == ("interrupted", 1, 3)
    left = run("delivery", "list", "--status", "pending", "-o", "json").ok().json["deliveries"]
    assert [delivery["attempt"] for delivery in left] == [0, 0]


def test_a_signal_while_a_handler_hangs(run: Waitctl) -> None:
    os.mkfifo(run.folder / "started")
    config = handler(run, "echo > started; sleep 600", 'timeout = "1s"')
    run("create", "fixed-time", "1h", *DUE, "--handler", "h").ok()
    process = run.start("--config", config, "tick", "-o", "json")
    (run.folder / "started").read_text()
    process.send_signal(signal.SIGTERM)
    report = finish(process).ok().json
    assert (report["stopped"], report["retried"], report["delivered"]) == ("interrupted", 1, 0)
    [delivery] = run("delivery", "list", "-o", "json").ok().json["deliveries"]
    assert "timed out after 1 s" in delivery["last_error"]


FUNCTIONS = """
import os, pathlib, threading

def block(_):
    pathlib.Path(f"started-{os.getpid()}").write_text("")
    threading.Event().wait()
"""

HANG = {
    "a command": 'exec = ["sh", "-c", "echo > started-a; sleep 600"]',
    "one that ignores TERM": """exec = ["sh", "-c", "trap '' TERM; echo > started-b; while :; do sleep 1; done"]""",
    "a batch": 'exec = ["sh", "-c", "echo > started-c; sleep 600"]\nbatch = true',
    "a function": 'python = "hanging:block"',
    "one of the tick's own": 'python = "hanging:block"\nown_process = false',
}


@pytest.mark.long
@pytest.mark.parametrize("watch", [False, True], ids=["tick", "watch"])
def test_a_second_signal_ends_what_runs(run: Waitctl, watch: bool) -> None:
    """Within ten seconds, and its attempt has failed. It is the same whichever of the two signals comes."""
    config = run.folder / "config.toml"
    (run.folder / "hanging.py").write_text(FUNCTIONS)
    with Receiver() as receiver:

        def hang(_: object, receiver: Receiver) -> None:
            (run.folder / "started-webhook").touch()
            receiver.ended.wait()

        receiver.reply = hang
        targets = [*HANG.values(), f'webhook = "{receiver.url}"']
        config.write_text("".join(f'[handlers.h{n}]\n{each}\ntimeout = "10m"\n' for n, each in enumerate(targets)))
        for n in range(len(targets)):
            run("create", "fixed-time", "1h", *DUE, "--handler", f"h{n}").ok()
        env = {"PYTHONPATH": os.pathsep.join([str(run.folder), *sys.path])}
        process = run.start("--config", str(config), "tick", *(["--watch"] if watch else []), "-o", "json", env=env)

        def all_hang() -> bool:
            return len(list(run.folder.glob("started*"))) == len(targets)

        until(lambda: all_hang() or process.poll() is not None, "what hangs")
        # Two numbers: of one that comes again before it was heard, nobody would know that it came twice.
        for number in (signal.SIGINT, signal.SIGTERM) if watch else (signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
        report = finish(process).ok().json
    assert (report["stopped"], report["retried"], report["delivered"]) == ("interrupted", len(targets), 0)
    for delivery in run("delivery", "list", "-o", "json").ok().json["deliveries"]:
        assert (delivery["status"], delivery["attempt"]) == ("pending", 1)
        assert "the tick was told to end at once" in delivery["last_error"]


def send(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Send a signal until the process has ended: one that comes before the last was heard may be taken for that."""

    def has_ended() -> bool:
        process.send_signal(number)
        return process.poll() is not None

    until(has_ended, "its end")


def test_a_third_ctrl_c_waits_for_nobody(run: Waitctl) -> None:
    for name in ("started", "go"):
        os.mkfifo(run.folder / name)
    config = handler(run, "trap '' TERM; echo > started; read line < go", "concurrency = 1")
    run("create", "fixed-time", "1h", *DUE, "--handler", "h").ok()
    process = run.start("--config", config, "tick")
    (run.folder / "started").read_text()
    send(process, signal.SIGINT)
    assert finish(process).code == 130
    [left] = run("delivery", "list", "--status", "running", "-o", "json").ok().json["deliveries"]
    assert left["attempt"] == 1
    (run.folder / "go").write_text("go\n")


def test_no_more_run_than_there_are_descriptors_for(run: Waitctl) -> None:
    """It is no fault of theirs, and takes no attempt."""
    config = handler(run, "sleep 1", "concurrency = 256\nmax_attempts = 1")
    for n in range(40):
        run("create", "fixed-time", "1h", *DUE, "-e", f"e{n}", "--handler", "h").ok()
    process = run.start("--config", config, "tick", "-o", "json", shell='ulimit -n 60; exec "$@"')
    report = finish(process).ok().json
    assert (report["delivered"], report["retried"], report["dead"]) == (40, 0, 0)


CROWDED = (
    "import os, resource, sys; most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]; "
    "resource.setrlimit(resource.RLIMIT_NOFILE, (most, most)); "
    "[os.set_inheritable(os.dup(0), True) for _ in range(1100)]; os.execv(sys.argv[1], sys.argv[1:])"
)
"""Goes on as a program that has inherited more open files than select counts."""


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("event", "ingest"), 0),
        (("await", "--timeout", "1s"), 6),
        (("tick", "-o", "json"), 0),
        (("tick", "--watch", "--interval", "1s", "-o", "json"), 0),
    ],
    ids=["ingest", "await", "tick", "watch"],
)
def test_with_more_open_files_than_select_counts(run: Waitctl, arguments: tuple[str, ...], code: int) -> None:
    (run.folder / "crowded.py").write_text("from pathlib import Path\n\ndef note(_):\n    Path('noted').touch()\n")
    config = Path(handler(run, "exit 0", '[handlers.function]\npython = "crowded:note"'))
    for name in ("h", "function"):
        run("create", "fixed-time", "1h", *DUE, "-e", name, "--handler", name).ok()
    if arguments[0] == "await":
        arguments = (*arguments, run("create", "fixed-time", "9d", "-o", "id").ok().out.strip())
    shell = f'exec {sys.executable} -c "{CROWDED}" "$@"'
    env = {"PYTHONPATH": str(run.folder)}
    process = run.start("--config", str(config), *arguments, stdin=subprocess.PIPE, shell=shell, env=env)
    if "--watch" in arguments:
        until(lambda: (run.folder / "noted").exists() or process.poll() is not None, "a delivery")
        process.send_signal(signal.SIGTERM)
    line = b'{"type": "email_open", "contact": "ada"}\n'
    done = finish(process, line)
    assert done.code == code, done
    if arguments[0] == "tick":
        assert done.json["delivered"] >= (1 if "--watch" in arguments else 2)


def test_how_a_command_ended_is_known_though_the_parent_ignores_its_children(run: Waitctl) -> None:
    config = handler(run, "exit 65")
    run("create", "fixed-time", "1h", *DUE, "--handler", "h").ok()
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    shell = f'exec {sys.executable} -c "{ignoring}" "$@"'
    process = run.start("--config", config, "tick", "-o", "json", shell=shell)
    assert finish(process).ok().json["dead"] == 1


@pytest.mark.parametrize("own_process", ["true", "false"])
def test_what_a_function_leaves_behind_is_not_the_ticks(run: Waitctl, own_process: str) -> None:
    """Neither what it prints, nor its threads, nor what it has opened."""
    (run.folder / "leaving.py").write_text(
        "import os, subprocess, threading, time\n"
        "def handle(document):\n"
        "    os.write(1, b'no json')\n"
        "    print('{}')\n"
        "    subprocess.run(['echo', '[]'])\n"
        "    threading.Thread(target=time.sleep, args=(600,)).start()\n"
    )
    config = run.folder / "config.toml"
    config.write_text(f'[handlers.h]\npython = "leaving:handle"\nown_process = {own_process}')
    run("create", "fixed-time", "1h", *DUE, "--handler", "h").ok()
    process = run.start("--config", str(config), "tick", "-o", "json", env={"PYTHONPATH": str(run.folder)})
    done = finish(process)
    assert (done.code, done.json["delivered"]) == (0, 1)
    assert done.err.replace("\n", "") == "no json{}[]"


def test_a_handler_that_lacks_its_secret_is_said(run: Waitctl) -> None:
    config = run.folder / "config.toml"
    config.write_text('[handlers.h]\nwebhook = "https://127.0.0.1:9/"\nsecret_env = "HOOK_SECRET"')
    assert run("--config", str(config), "tick", "-q").ok().out == ""
    run("create", "fixed-time", "1h", *DUE, "--handler", "h").ok()
    done = run("--config", str(config), "tick", "-o", "json")
    assert (done.code, done.json["held"], done.json["retried"]) == (0, 1, 0)
    summary, held = "deliveries to h are held: its secret is missing: $HOOK_SECRET is not set", "held: delivery "
    assert [line for line in done.err.splitlines() if not line.startswith(held)] == [summary]


def test_what_each_handler_has_before_it(run_on: Waitctl) -> None:
    run = run_on
    config = handler(run, "exit 65")
    assert run("delivery", "handlers").err == "no handlers\n"
    for name in ("h", "elsewhere"):
        run("create", "fixed-time", "1h", *DUE, "--handler", name).ok()
    run("--config", config, "tick", "-q").ok()
    found = run("--config", config, "delivery", "handlers", "-o", "json").ok().json["handlers"]
    assert [(each["handler"], each["known"], each["pending"], each["dead"]) for each in found] == [
        ("elsewhere", False, 1, 0),
        ("h", True, 0, 1),
    ]
    assert set(found[0]) == {
        *("handler", "known", "held", "pending", "due", "failing", "running", "dead", "oldest_due_at")
    }
    table = [line.rstrip().split(maxsplit=6) for line in run("--config", config, "delivery", "handlers").ok().lines]
    assert table[1:] == [["elsewhere", *"11000", "held: this host's config does not know it"], ["h", *"00001", "known"]]


def test_what_a_handler_is_told(run_on: Waitctl) -> None:
    run = run_on
    config = handler(run, "cat > payload.json; env > env.txt")
    made = run("create", "for-event", "sms_reply", "-e", "e", "-s", "ask", "-c", "ada", "--handler", "h", "-o", "json")
    run("event", "record", "sms_reply", "-c", "ada", "--id", "m").ok()
    as_of = "2998-12-31T23:00:00Z"
    report = run("--config", config, "tick", "--as-of", "2999-01-01T00:00:00+01:00", "-o", "json").ok().json
    assert (report["delivered"], report["as_of"]) == (1, as_of)
    payload = json.loads((run.folder / "payload.json").read_text())
    assert {"delivery_id", "attempt", "outcome", "event", "late_seconds", "wait"} <= set(payload)
    assert (payload["attempt"], payload["outcome"], payload["event"]["id"]) == (1, "event", "m")
    env = dict(entry.split("=", 1) for entry in (run.folder / "env.txt").read_text().splitlines() if "=" in entry)
    told = {
        "WAITCTL_DELIVERY_ID": payload["delivery_id"],
        "WAITCTL_ATTEMPT": "1",
        "WAITCTL_OUTCOME": "event",
        "WAITCTL_WAIT_ID": made.ok().json["id"],
        "WAITCTL_EXECUTION_ID": "e",
        "WAITCTL_STEP_ID": "ask",
        "WAITCTL_CONTACT_ID": "ada",
        "WAITCTL_EVENT_TYPE": "sms_reply",
        "WAITCTL_DATABASE_URL": run.url,
        "WAITCTL_CONFIG": config,
        "WAITCTL_AS_OF": as_of,
    }
    env["WAITCTL_DATABASE_URL"] = env["WAITCTL_DATABASE_URL"].replace("+pysqlite", "")
    assert {name: env.get(name) for name in told} == told


def test_a_delivery_that_runs_twice_creates_its_next_wait_once(run: Waitctl) -> None:
    command = f'"{sys.executable}" -m waitctl'
    # Between the attempts the new wait ends, so that only the key can tell.
    config = handler(
        run,
        f"set -e; id=$({command} create fixed-time 1d -e next -s nudge -o id); echo $id >> made; "
        f'test "$WAITCTL_ATTEMPT" = 2 || {{ {command} cancel $id; exit 1; }}',
    )
    run("create", "fixed-time", "1h", *DUE, "--handler", "h").ok()
    first = run("--config", config, "tick", "-o", "json").ok().json
    assert first["retried"] == 1
    second = run("--config", config, "tick", "--as-of", "2999-01-01T00:00:00Z", "--only", "deliver", "-o", "json")
    assert second.ok().json["delivered"] == 1
    made = Path(run.folder / "made").read_text().split()
    assert len(made) == 2
    assert len(set(made)) == 1
    [wait] = run("status", "-e", "next", "-o", "json").ok().json["waits"]
    assert (wait["id"], wait["status"]) == (made[0], "cancelled")
    assert wait["idempotency_key"].endswith(":nudge")


def test_travelling_in_time_is_written_down_and_reaches_create(run: Waitctl) -> None:
    env = {"WAITCTL_AS_OF": "2030-01-01T00:00:00Z"}
    made = run("create", "fixed-time", "1h", "-o", "json", env=env).ok().json
    assert (made["created_at"], made["scheduled_at"]) == ("2030-01-01T00:00:00Z", "2030-01-01T01:00:00Z")
    assert run("tick", "--as-of", "2030-01-01T00:59:59Z", "-o", "json").ok().json["resumed"] == 0
    assert run("tick", "--as-of", "2030-01-01T01:00:00Z", "-o", "json").ok().json["resumed"] == 1
    last = run("history", made["id"], "-o", "json").ok().json[-1]
    assert "as of 2030-01-01T01:00:00Z" in last["reason"]
