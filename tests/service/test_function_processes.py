"""Python functions in a process of their own: it may end, and nobody else is the worse for it."""

from __future__ import annotations

import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from tests.receiver import Receiver, answer
from tests.scene import Scene
from waitctl import Settings, Tick, TickOptions
from waitctl.domain.deliveries import Deferred, Delivered, Delivery, RetryPolicy
from waitctl.domain.handlers import ExecConfig, HandlerConfig, PythonConfig, WebhookConfig
from waitctl.infrastructure.handlers import Payload
from waitctl.infrastructure.handlers.python import PythonHandler

MODULE = "functions_of_a_test"
DAY = 24 * 60

ENDS = {
    "exits": ("os._exit(3)", "its process ended: exit status 3"),
    "segfault": ("signal.raise_signal(signal.SIGSEGV)", "its process ended: ended by signal SIGSEGV"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "its process ended: ended by signal SIGKILL"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the functions are, and what they write."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, MODULE, raising=False)  # of another test, where it ran in this process
    return tmp_path


def write(folder: Path, source: str) -> None:
    head = (
        f"import asyncio, os, pathlib, signal, sys, threading, time, waitctl\nFOLDER = pathlib.Path({str(folder)!r})\n"
    )
    (folder / f"{MODULE}.py").write_text(head + source)


def call(scene: Scene, function: str = "handle", name: str = "call", *, concurrency: int = 8) -> None:
    scene.handlers[name] = HandlerConfig(
        name,
        PythonConfig(f"{MODULE}:{function}"),
        timedelta(seconds=20),
        concurrency,
        RetryPolicy(backoff=timedelta(minutes=1)),
    )


def due(scene: Scene, *executions: str, handler: str = "call") -> None:
    for execution in executions:
        scene.waits.resume_wait(scene.create(execution=execution, handler=handler).wait.id)


def by_execution(scene: Scene) -> dict[str, Delivery]:
    waits = dict(map(tuple, scene.sql("SELECT CAST(id AS text), workflow_execution_id FROM workflow_wait_executions")))
    return {waits[each.wait_id]: each for each in scene.deliveries.list_deliveries(limit=1000)}


def test_what_a_function_gets_and_how_it_may_end(scene: Scene, folder: Path) -> None:
    write(
        folder,
        """
def handle(document):
    (FOLDER / "given").write_text(repr((document["outcome"], document["attempt"], document["wait"]["context"])))
    match document["wait"]["workflow_execution_id"]:
        case "fails": raise ValueError("no")
        case "later": raise waitctl.Retry("not yet")
        case "never": raise waitctl.Dead("never")
        case "exits": sys.exit(3)

async def awaited(document):
    await asyncio.sleep(60)
""",
    )
    call(scene)
    call(scene, "awaited", "awaited")
    scene.handlers["awaited"] = HandlerConfig("awaited", PythonConfig(f"{MODULE}:awaited"), timedelta(seconds=0.2))
    due(scene, "fails", "later", "never", "exits")
    due(scene, "hangs", handler="awaited")
    scene.tick()
    assert {name: (each.status, each.attempt, each.last_error) for name, each in by_execution(scene).items()} == {
        "fails": ("pending", 1, f"ValueError: no ({MODULE}.py:7)"),
        "later": ("pending", 0, "not yet"),
        "never": ("dead", 1, "never"),
        "exits": ("pending", 1, f"SystemExit: 3 ({MODULE}.py:10)"),
        "hangs": ("pending", 1, "timed out after 0.2 s"),
    }
    wait = scene.listen(execution="heard", handler="call", context={"name": "Zoë\r\n\u2028"})
    scene.record()
    assert scene.tick().delivered == 1
    assert (folder / "given").read_text() == repr(("event", 1, {"name": "Zoë\r\n\u2028"}))
    assert scene.get(wait).deliveries[0].status == "delivered"


@pytest.mark.parametrize(("end", "says"), ENDS.values(), ids=ENDS)
def test_what_was_in_progress_when_its_process_ended_has_not_failed(
    sqlite_scene: Scene, folder: Path, end: str, says: str
) -> None:
    """Seven innocents of the same handler, all begun: each is called again, and the poison alone has failed."""
    write(
        folder,
        f"""
def handle(document):
    name = document["wait"]["workflow_execution_id"]
    started = FOLDER / f"started-{{name}}"
    is_first = not started.exists()
    with started.open("a") as file:
        file.write(f"{{document['attempt']}} ")
    while is_first and (name != "poison" or len(list(FOLDER.glob("started-*"))) < 8):
        time.sleep(0.01)
    if name == "poison":
        {end}
""",
    )
    call(sqlite_scene)
    innocents = [f"innocent-{number}" for number in range(7)]
    due(sqlite_scene, *innocents[:3], "poison", *innocents[3:])
    report = sqlite_scene.tick()
    assert (report.delivered, report.retried, report.dead) == (7, 1, 0)
    found = by_execution(sqlite_scene)
    poison = found.pop("poison")
    assert (poison.status, poison.attempt, poison.last_error) == ("pending", 1, says)
    assert {(each.status, each.attempt) for each in found.values()} == {("delivered", 1)}
    assert {(folder / f"started-{each}").read_text() for each in innocents} == {"1 1 "}


def test_one_that_sends_itself_a_fatal_signal_has_failed(sqlite_scene: Scene, folder: Path) -> None:
    """Though it would be through before another thread had taken the signal."""
    write(folder, "def handle(document):\n    os.kill(os.getpid(), signal.SIGSEGV)\n")
    call(sqlite_scene)
    due(sqlite_scene, "e")
    for day in range(8):
        assert sqlite_scene.at(day * DAY).tick().delivered == 0
    assert by_execution(sqlite_scene)["e"].status == "dead"


def test_poison_beside_many_innocents_of_three_handlers(scene: Scene, folder: Path) -> None:
    """It costs them nothing: not one of their attempts, and not one tick."""
    write(folder, "def end(document):\n    os._exit(1)\n\ndef nothing(document):\n    pass\n")
    call(scene, "end", "poison")
    call(scene, "nothing", "function")
    scene.handlers["command"] = HandlerConfig("command", ExecConfig(("true",)))
    with Receiver() as receiver:
        receiver.reply = answer(204)
        scene.handlers["hook"] = HandlerConfig("hook", WebhookConfig(receiver.url))
        for number in range(200):
            due(scene, f"e{number}", handler=("function", "command", "hook")[number % 3])
            if number == 7:
                due(scene, "poison", handler="poison")
        for day in range(8):
            report = scene.at(day * DAY).tick()
            assert (report.delivered, report.stopped) == (0 if day else 200, "idle")
    found = by_execution(scene)
    poison = found.pop("poison")
    assert (poison.status, poison.attempt) == ("dead", 8)
    assert {(each.status, each.attempt) for each in found.values()} == {("delivered", 1)}


def test_what_went_before_it_in_a_call_is_through_and_what_follows_goes_on(sqlite_scene: Scene, folder: Path) -> None:
    """Of a quick handler one call has many."""
    write(
        folder,
        """
def handle(document):
    with (FOLDER / "called").open("a") as file:
        print(document["wait"]["workflow_execution_id"], file=file)
    if document["wait"]["workflow_execution_id"] == "e1500":
        os._exit(1)
    if document["wait"]["workflow_execution_id"] == "e1501":
        raise ValueError("no")
""",
    )
    call(sqlite_scene, concurrency=1)
    due(sqlite_scene, *(f"e{number}" for number in range(2000)))
    report = sqlite_scene.tick()
    assert (report.delivered, report.retried, report.dead) == (1998, 2, 0)
    called = Counter((folder / "called").read_text().split())
    assert called.pop("e1500") == 2, "in a call with others, and alone"
    assert set(called.values()) == {1} and len(called) == 1999


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("os._exit(4)", f"importing {MODULE}:handle ended its process: exit status 4"),
        ("sys.exit('no')", f"cannot import {MODULE}:handle: SystemExit: no ({MODULE}.py:3)"),
    ],
    ids=["ends", "exits"],
)
def test_an_import_that_ends_the_process_holds_the_deliveries(
    sqlite_scene: Scene, folder: Path, source: str, says: str
) -> None:
    write(folder, source)
    call(sqlite_scene)
    due(sqlite_scene, "e")
    tick = Tick(sqlite_scene.database, Settings(sqlite_scene.url, handlers=sqlite_scene.handlers), TickOptions())
    assert (tick.run().held, [each.attempt for each in by_execution(sqlite_scene).values()]) == (1, [0])
    assert tick.unready_handlers == {"call": says}


def test_threads_that_it_leaves_and_what_it_does_at_its_exit(sqlite_scene: Scene, folder: Path) -> None:
    """The process does not wait for the ones, and does the other."""
    write(
        folder,
        """
import atexit

def handle(document):
    atexit.register((FOLDER / "exited").touch)
    threading.Thread(target=time.sleep, args=(600,)).start()
""",
    )
    call(sqlite_scene)
    due(sqlite_scene, "e")
    assert sqlite_scene.tick().delivered == 1
    assert (folder / "exited").exists()


def test_who_is_short_of_descriptors_tries_later(folder: Path) -> None:
    """As a command does: no attempt is used up, and it goes on when there are some again."""
    write(folder, "def handle(document): pass\n")
    payload = Payload("id", {"wait": {}})
    with closing(PythonHandler(f"{MODULE}:handle", timedelta(seconds=20))) as handler:
        with no_more_files():
            [later] = handler.deliver([payload])
        assert later == Deferred("cannot start its process, or speak to it: Too many open files")
        assert handler.deliver([payload]) == [Delivered()]
    with no_more_files():
        handler = PythonHandler(f"{MODULE}:handle", timedelta(seconds=20))
        assert isinstance(handler.deliver([payload])[0], Deferred)
    with closing(handler):
        assert handler.deliver([payload]) == [Delivered()]


@contextmanager
def no_more_files() -> Iterator[None]:
    """This process opens nothing meanwhile; what is open stays so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_call_needs_no_room_on_a_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is full, who writes to a file that is mapped into memory is killed."""
    write(folder, "def handle(document): pass\n")
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "none"))
    with closing(PythonHandler(f"{MODULE}:handle", timedelta(seconds=20))) as handler:
        assert handler.deliver([Payload("id", {"wait": {}})]) == [Delivered()]


@pytest.mark.parametrize("own_process", [True, False])
def test_a_process_that_a_function_forks_does_not_answer_for_it(scene: Scene, folder: Path, own_process: bool) -> None:
    """Nor does it go on as a second one of the kind that it was forked from."""
    write(
        folder,
        """
def handle(document):
    if not (child := os.fork()):
        match document["wait"]["workflow_execution_id"]:
            case "exits": sys.exit(3)
            case "fails": raise ValueError("no")
            case _: return
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    (FOLDER / document["wait"]["workflow_execution_id"]).write_text(str(ended))
""",
    )
    scene.handlers["call"] = HandlerConfig("call", PythonConfig(f"{MODULE}:handle", own_process=own_process))
    due(scene, "exits", "fails", "returns")
    assert scene.tick().delivered == 3
    assert [(folder / name).read_text() for name in ("exits", "fails", "returns")] == ["3", "1", "0"]
    assert {each.attempt for each in by_execution(scene).values()} == {1}


def test_who_writes_into_the_tick_s_ear_fails_alone(scene: Scene, folder: Path) -> None:
    """As a process does that a function has left, with all that was open."""
    write(
        folder,
        """
def handle(document):
    if document["wait"]["workflow_execution_id"] == "noisy":
        import socket, stat
        for descriptor in range(3, 64):
            try:
                if stat.S_ISSOCK(os.fstat(descriptor).st_mode): os.write(descriptor, b"no json\\n")
            except OSError: pass
""",
    )
    call(scene, concurrency=1)
    due(scene, "noisy")
    scene.tick()
    due(scene, "quiet")
    scene.tick()
    found = by_execution(scene)
    assert (found["quiet"].status, found["quiet"].attempt) == ("delivered", 1)
    assert found["noisy"].attempt == 1
