"""What a command finds when it starts, and that those which run at the same time do not stand in each other's way."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.scene import Scene
from waitctl.domain.handlers import ExecConfig, HandlerConfig, Inheritance
from waitctl.infrastructure.handlers import Payload


@pytest.fixture(params=["told-of-exits", "looks"])
def exits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells of an exit, or as where it cannot."""
    if request.param == "looks":
        monkeypatch.delattr(os, "pidfd_open")


@pytest.fixture
def inherited() -> Iterator[int]:
    """A file that whoever started the tick has left open for it: the lock of flock(1), say."""
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    yield descriptor
    os.close(descriptor)


def due(scene: Scene, number: int) -> None:
    for each in range(number):
        scene.waits.resume_wait(scene.create(execution=f"e{each}", handler="nudge").wait.id)


def test_what_a_command_starts_with(sqlite_scene: Scene, tmp_path: Path, inherited: int) -> None:
    """A session of its own, no file but its three streams, and the signals that Python ignores as they come."""
    look = tmp_path / "look.py"
    look.write_text(
        "import os, sys\n"
        "assert sys.stdin.read(1) == '{'\n"
        "assert os.getsid(0) == os.getpgrp() == os.getppid(), 'the shell leads its session'\n"
        f"assert not os.path.exists('/proc/self/fd/{inherited}')\n"
    )
    pipe = "{ yes; echo $? > $OUT; } | head -n 1 > /dev/null"
    out = sqlite_scene.handle(tmp_path, f"{sys.executable} {look} || exit 1; {pipe}")
    due(sqlite_scene, 1)
    report = sqlite_scene.tick()
    assert [each.last_error for each in sqlite_scene.deliveries.list_deliveries()] == [None]
    assert report.delivered == 1
    assert out.read_text() == "141\n", "ended by SIGPIPE"


def test_each_has_the_essentials_of_its_own_delivery(scene: Scene, tmp_path: Path) -> None:
    """What they have in common is kept between them, and what they have not is not."""
    check = tmp_path / "check.py"
    check.write_text(
        "import json, os, sys\n"
        "payload = json.load(sys.stdin)\n"
        "wait = payload['wait']\n"
        "own = (payload['delivery_id'], '1', 'manual', wait['id'], wait['workflow_execution_id'], wait['step_id'],\n"
        "       wait['contact_id'] or '', '')\n"
        "names = ('DELIVERY_ID', 'ATTEMPT', 'OUTCOME', 'WAIT_ID', 'EXECUTION_ID', 'STEP_ID', 'CONTACT_ID', 'EVENT_TYPE')\n"
        "own = {f'WAITCTL_{name}': value for name, value in zip(names, own)}\n"
        "has = {name: os.environ.get(name) for name in own}\n"
        "sys.exit(f'{has}, not {own}' if has != own or 'PATH' not in os.environ else 0)\n"
    )
    scene.handle(tmp_path, f"exec {sys.executable} -SE {check}", concurrency=6)
    for number in range(24):
        contact = None if number % 5 == 0 else "é=" * (number * 4 + 1)
        made = scene.create(execution="e" * (number + 1), step_id=f"{number}", handler="nudge", contact_id=contact)
        scene.waits.resume_wait(made.wait.id)
    report = scene.tick()
    assert [each.last_error for each in scene.deliveries.list_deliveries()] == [None] * 24
    assert report.delivered == 24


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (None, "cannot run {command}: No such file or directory"),
        ("not executable", "cannot run {command}: Permission denied"),
        ("\x7fELF nonsense", "cannot run {command}: Exec format error"),
    ],
    ids=["missing", "not-executable", "not-a-program"],
)
def test_a_command_that_cannot_run(sqlite_scene: Scene, tmp_path: Path, script: str | None, error: str) -> None:
    command = sqlite_scene.handle(tmp_path, "true").with_suffix(".sh")
    if script is None:
        command.unlink()
    else:
        command.write_text(script)
        command.chmod(0o644 if script == "not executable" else 0o755)
    due(sqlite_scene, 1)
    assert sqlite_scene.tick().retried == 1
    (delivery,) = sqlite_scene.deliveries.list_deliveries()
    assert delivery.last_error == error.format(command=command)


@pytest.mark.usefixtures("exits")
@pytest.mark.parametrize("concurrency", [2, 8])
def test_one_waits_for_others_that_come_after_it(sqlite_scene: Scene, tmp_path: Path, concurrency: int) -> None:
    """Whoever attends to it attends to them."""
    waits = "for each in 1 2 3 4 5 6; do until [ -e $OUT.e$each ]; do sleep 0.01; done; done"
    script = f'case $WAITCTL_EXECUTION_ID in e0) {waits};; *) : > "$OUT.$WAITCTL_EXECUTION_ID";; esac'
    sqlite_scene.handle(tmp_path, script, concurrency=concurrency)
    due(sqlite_scene, 7)
    assert sqlite_scene.tick().delivered == 7


def test_one_whose_exit_nobody_heard_of_is_not_delivered(sqlite_scene: Scene, tmp_path: Path) -> None:
    """The system throws the status away for a program that ignores SIGCHLD."""
    sqlite_scene.handle(tmp_path, "exit 0")
    due(sqlite_scene, 1)
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        sqlite_scene.tick()
    finally:
        signal.signal(signal.SIGCHLD, before)
    assert [each.last_error for each in sqlite_scene.deliveries.list_deliveries()] == ["exit status 255"]


def test_a_timeout_of_months(sqlite_scene: Scene, tmp_path: Path) -> None:
    """More milliseconds than a C int holds."""
    sqlite_scene.handle(tmp_path, "sleep 0.2", timeout=365 * 24 * 3600)
    due(sqlite_scene, 1)
    assert sqlite_scene.tick().delivered == 1


@pytest.mark.usefixtures("exits")
def test_many_that_close_their_output_before_they_end(sqlite_scene: Scene, tmp_path: Path) -> None:
    """What one has closed, the next one opens: it is the same number, and another's."""
    sqlite_scene.handle(tmp_path, "exec >&- 2>&-; sleep 0.01")
    due(sqlite_scene, 60)
    assert sqlite_scene.tick().delivered == 60


@pytest.mark.usefixtures("exits")
@pytest.mark.parametrize(
    "script",
    [
        "sleep 60",
        "exec >&- 2>&-; sleep 60",
        "trap '' TERM; while :; do sleep 0.05; done",
        "(trap '' TERM; sleep 60) & wait",
    ],
    ids=["sleeps", "says-nothing-more", "ignores-term", "child-ignores-term"],
)
def test_one_that_outlives_its_timeout_is_ended_with_its_group(
    sqlite_scene: Scene, tmp_path: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waitctl.infrastructure.handlers.commands.KILL_AFTER", timedelta(seconds=0.2))
    sqlite_scene.handle(tmp_path, f"echo started; {script}", timeout=0.3)
    due(sqlite_scene, 1)
    assert sqlite_scene.tick().retried == 1
    (delivery,) = sqlite_scene.deliveries.list_deliveries()
    assert delivery.last_error == "timed out after 0.3 s: started"


@pytest.mark.usefixtures("exits")
@pytest.mark.parametrize(
    "script",
    ["exec <&-; exit 0", "true", "yes | head -c 3000000; exit 0", "sleep 60 & exit 0", "cat > /dev/null"],
    ids=["closes-stdin", "does-not-read", "floods", "leaves-a-child", "reads"],
)
def test_one_that_behaves_oddly_is_delivered(sqlite_scene: Scene, tmp_path: Path, script: str) -> None:
    sqlite_scene.handle(tmp_path, script)
    wait = sqlite_scene.create(handler="nudge", context={"large": "x" * 200_000}).wait
    sqlite_scene.waits.resume_wait(wait.id)
    assert sqlite_scene.tick().delivered == 1


@pytest.mark.parametrize(
    ("inheritance", "kept"),
    [
        (Inheritance(), {"PATH", "SHOP_TOKEN", "SHOP_NAME", "WAITCTL_DATABASE_URL"}),
        (Inheritance(drop=("*_TOKEN", "WAITCTL_DATABASE_URL")), {"PATH", "SHOP_NAME"}),
        (Inheritance(only=("PATH", "SHOP_N*")), {"PATH", "SHOP_NAME"}),
        (Inheritance(only=()), set()),
    ],
)
def test_what_a_command_inherits(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inheritance: Inheritance, kept: set[str]
) -> None:
    monkeypatch.setenv("SHOP_TOKEN", "s3cret")
    monkeypatch.setenv("SHOP_NAME", "corner")
    out = tmp_path / "out"
    argv = ("/bin/sh", "-c", f"/usr/bin/env > {out}")
    scene.handlers["nudge"] = HandlerConfig("nudge", ExecConfig(argv), timedelta(seconds=20), inheritance=inheritance)
    scene.create(handler="nudge")
    assert scene.at(60).tick().delivered == 1
    names = {line.partition("=")[0] for line in out.read_text().splitlines()}
    assert names & {"PATH", "SHOP_TOKEN", "SHOP_NAME", "WAITCTL_DATABASE_URL"} == kept
    assert names >= set(Payload.VARIABLES)


def test_a_tick_that_is_short_of_descriptors_makes_a_handler_later(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And goes on: what waits for it has used up no attempt."""

    def none_left() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    scene.handle(tmp_path, "true")
    due(scene, 1)
    with monkeypatch.context() as short:
        short.setattr(os, "pipe", none_left)
        assert scene.tick().delivered == 0
    assert [(each.status, each.attempt) for each in scene.deliveries.list_deliveries()] == [("pending", 0)]
    assert scene.tick().delivered == 1


def test_a_tick_that_gets_no_more_threads_goes_on_with_those_it_has(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused: list[str] = []

    def refuse_another(thread: threading.Thread) -> None:
        if thread.name.startswith("handler-nudge-") and thread.name != "handler-nudge-1":
            refused.append(thread.name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_another)
    scene.handle(tmp_path, "true")
    due(scene, 5)
    assert scene.tick().delivered == 5
    assert refused
