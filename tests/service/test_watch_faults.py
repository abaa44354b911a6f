"""A resident tick, or a script that awaits, outlives what heals: says so once, goes on, and says when it is well."""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from types import ModuleType

import pytest

from tests.cli.processes import Waitctl
from tests.faults import FAULTS, PlainRole
from tests.interleaving import Background, statements, until
from tests.scene import Scene
from tests.service.test_watch import MODULE, Running
from waitctl import Awaited, AwaitService, Database
from waitctl.application.trouble import WELL_AGAIN
from waitctl.domain.errors import ClockSkewError
from waitctl.domain.handlers import ExecConfig, HandlerConfig, PythonConfig
from waitctl.infrastructure import database as clocks
from waitctl.infrastructure import engines

WORDS = FAULTS | dict.fromkeys(("53300", "57P01"), "cannot reach")
"""What is said of it: of a connection that is lost only once, whatever becomes of the next one."""

OFTEN = timedelta(seconds=0.05)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The executions whose deliveries came to the handler ``nudge``."""
    module, calls = ModuleType(MODULE), list[str]()
    vars(module)["nudge"] = lambda document: calls.append(document["wait"]["workflow_execution_id"])
    monkeypatch.setitem(sys.modules, MODULE, module)
    return calls


def with_handler(scene: Scene) -> Scene:
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False))
    return scene.on_the_real_clock()


@pytest.fixture
def role(postgres_url: str) -> Iterator[PlainRole]:
    role = PlainRole(postgres_url)
    yield role
    role.close()


def once(said: list[str], word: str) -> None:
    """Of each kind of trouble once, and that it is over."""
    assert said[-1] == WELL_AGAIN, said
    assert sum(word in line for line in said) == 1, said
    assert len(said) == len(set(said)) <= 3, said


@pytest.mark.parametrize("state", FAULTS)
def test_a_watch_outlives_what_a_server_refuses(
    role: PlainRole, postgres_url: str, calls: list[str], state: str
) -> None:
    owner, scene = Scene(postgres_url).on_the_real_clock(), with_handler(Scene(role.url))
    role.prepare(state, "200ms")
    running = Running(scene, OFTEN)
    owner.create("1s", execution="due", handler="nudge")
    with role.fault(state):
        until(lambda: any(WORDS[state] in line for line in running.said), f"a word about {state}")
    owner.waits.resume_wait(owner.create(handler="nudge").wait.id)
    until(lambda: len(calls) == 2 and WELL_AGAIN in running.said, "the deliveries, and that all is well")
    running.end()
    once(running.said, WORDS[state])
    owner.database.close()
    scene.database.close()


def test_a_report_is_of_all_that_was_done(role: PlainRole, calls: list[str]) -> None:
    """Also before the server was away, and when it is away at the end."""
    scene = with_handler(Scene(role.url))
    running = Running(scene, OFTEN)

    def deliver(name: str) -> None:
        scene.waits.resume_wait(scene.create(execution=name, handler="nudge").wait.id)
        until(lambda: calls[-1:] == [name], name)
        until(lambda: {each.status for each in scene.deliveries.list_deliveries()} == {"delivered"}, "its settling")
        scene.database.close()

    deliver("first")
    with role.fault("53300"):
        until(lambda: running.said, "a word about it")
    until(lambda: running.said[-1] == WELL_AGAIN, "that all is well")
    deliver("second")
    with role.fault("53300"):
        until(lambda: running.said[-1] != WELL_AGAIN, "a word about it")
        report = running.end()
    assert (report.delivered, report.stopped) == (2, "interrupted")


# -- files -------------------------------------------------------------------------------------------------------------


class Outside:
    """Other processes on the same file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"
        self.run = Waitctl(path.parent.parent, self.url)

    def due(self, execution: str) -> bool:
        """Make a wait that is due in a second. Whether that could be done."""
        return self.run("create", "fixed-time", "1s", "-e", execution, "--handler", "nudge").code == 0

    def beside(self, *suffixes: str) -> list[Path]:
        return [self.path.with_name(f"waits.db{suffix}") for suffix in suffixes]

    def is_whole(self) -> bool:
        with closing(sqlite3.connect(self.path)) as connection:
            return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


@pytest.fixture
def outside(migrated_file: Path, tmp_path: Path) -> Outside:
    (tmp_path / "place").mkdir()
    return Outside(Path(shutil.copy(migrated_file, tmp_path / "place" / "waits.db")))


@contextmanager
def watching(outside: Outside, interval: timedelta = OFTEN) -> Iterator[Running]:
    scene = with_handler(Scene(outside.url))
    running = Running(scene, interval)
    yield running
    running.end()
    scene.database.close()


@contextmanager
def gone(outside: Outside) -> Iterator[None]:
    """Its folder is another one meanwhile, as when a volume is not mounted."""
    place = outside.path.parent
    aside = place.rename(place.with_name("aside"))
    yield
    aside.rename(place)


def test_a_file_that_is_gone_for_a_while(outside: Outside, calls: list[str]) -> None:
    with watching(outside) as running:
        with gone(outside):  # whatever it met when the file went
            until(lambda: any("no database at" in line for line in running.said), "a word about it")
        assert outside.due("e")
        until(lambda: calls == ["e"] and WELL_AGAIN in running.said, "the delivery, and that all is well")
        once(running.said, "no database at")


def test_a_file_that_is_written_anew(outside: Outside, calls: list[str], migrated_file: Path) -> None:
    """As cp does it: for a while there is no database in it."""
    with watching(outside) as running:
        for each in outside.beside("", "-wal", "-shm"):
            each.unlink()
        outside.path.write_bytes(migrated_file.read_bytes()[:30_000])
        until(lambda: any("damaged" in line for line in running.said), "a word about it")
        outside.path.write_bytes(migrated_file.read_bytes())
        assert outside.due("e")
        until(lambda: calls == ["e"] and WELL_AGAIN in running.said, "the delivery, and that all is well")


@pytest.mark.parametrize("suffixes", [("-wal", "-shm"), ("-wal",), ("-shm",)])
def test_a_log_that_is_removed_before_others_begin_a_new_one(
    outside: Outside, calls: list[str], suffixes: tuple[str, ...]
) -> None:
    """What others then commit is kept: they know nothing of the log that we write to, and we nothing of theirs.

    What stood in the log alone is lost to all, and the first delivery may come again.
    """
    assert outside.due("before")
    with watching(outside, timedelta(seconds=1)) as running:
        until(lambda: calls == ["before"], "the first delivery")
        for each in outside.beside(*suffixes):
            each.unlink()
        until(lambda: outside.due("after"), "room for others")
        until(lambda: "after" in calls and WELL_AGAIN in running.said, "the delivery, and that all is well")
        once(running.said, "write-ahead log")
    assert outside.is_whole()
    assert len(outside.run("list", "-o", "id").ok().lines) == 2


def test_a_log_that_is_removed_takes_nothing_along(outside: Outside, calls: list[str]) -> None:
    """Nobody else has begun a new one: what stands in it is saved."""
    assert outside.due("e")
    with watching(outside) as running:
        until(lambda: calls == ["e"], "the delivery")
        until(lambda: running.delivered, "its settling")
        for each in outside.beside("-wal", "-shm"):
            each.unlink()
        until(lambda: WELL_AGAIN in running.said, "that all is well")
    assert outside.is_whole()
    assert [each["status"] for each in outside.run("delivery", "list", "-o", "json").ok().json["deliveries"]] == [
        "delivered"
    ]


@pytest.fixture
def disk() -> Iterator[Callable[[bool], None]]:
    """Says how full the disk is: SQLite may not grow its files while it is."""
    full = False

    class Limited(engines.Sqlite):
        def begin(self, connection: sqlite3.Connection, *, write: bool) -> None:
            connection.execute(f"PRAGMA max_page_count = {1 if full else 2**30}")
            super().begin(connection, write=write)

    def set_full(value: bool) -> None:
        nonlocal full
        full = value

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(clocks, "Sqlite", Limited)
        yield set_full


def test_a_full_disk(outside: Outside, calls: list[str], disk: Callable[[bool], None]) -> None:
    scene = Scene(outside.url).on_the_real_clock()
    for number in range(200):
        scene.listen("sms_reply", contact=f"c{number}", execution=f"e{number}", handler="nudge")
    scene.database.close()
    with watching(outside) as running:
        disk(True)
        for number in range(200):
            scene.insert_event("sms_reply", f"c{number}")
        until(lambda: running.said, "a word about it")
        disk(False)
        until(lambda: len(calls) == 200 and WELL_AGAIN in running.said, "the deliveries, and that all is well")
        once(running.said, "full")


def test_a_lock_that_another_holds(outside: Outside, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waitctl.infrastructure.engines.BUSY_SECONDS", 0.1)
    with watching(outside) as running, closing(sqlite3.connect(outside.path, isolation_level=None)) as other:
        assert outside.due("e")
        other.execute("BEGIN IMMEDIATE")
        until(lambda: running.said, "a word about it")
        other.execute("ROLLBACK")
        until(lambda: calls == ["e"] and WELL_AGAIN in running.said, "the delivery, and that all is well")
        once(running.said, "locked")


# -- clocks ------------------------------------------------------------------------------------------------------------


class Clock:
    """This host's clock, which can be wrong."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wrong_by = timedelta(0)
        self._real = clocks.host_clock
        monkeypatch.setattr(clocks, "host_clock", lambda: self._real() + self.wrong_by)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_tick_on_a_wrong_clock_is_healed_by_one_command(sqlite_scene: Scene, calls: list[str], clock: Clock) -> None:
    """And what it did by that clock is said where one looks for it."""
    scene = with_handler(sqlite_scene)
    early = scene.create("2h", handler="nudge").wait
    scene.handlers["fails"] = HandlerConfig("fails", ExecConfig(("false",)))
    failing = scene.create("1h", execution="fails", handler="fails").wait
    clock.wrong_by = timedelta(hours=3)
    assert scene.tick().resumed == 2
    clock.wrong_by = timedelta(0)
    with pytest.raises(ClockSkewError, match="behind"):
        scene.tick()
    due = scene.create("1s", execution="due", base=clocks.host_clock() - timedelta(minutes=1)).wait
    assert scene.tick(ignore_clock=True).resumed == 1
    scene.tick()
    assert scene.statuses(early, due) == "resumed resumed"
    reasons = [line.reason for line in scene.waits.get_history(early.id)]
    assert ["clock that was ahead" in reason for reason in reasons] == [False, True]
    assert not any("clock" in line.reason for line in scene.waits.get_history(due.id))
    again = scene.get(failing).deliveries[0].next_attempt_at
    assert again < clocks.host_clock() + timedelta(hours=2)
    assert scene.sql("SELECT count(*) FROM waitctl_ticks")[0][0] == 3


def test_ignoring_a_clock_that_is_right_changes_nothing(sqlite_scene: Scene) -> None:
    scene = sqlite_scene.on_the_real_clock()
    wait = scene.create("1h").wait
    scene.database.as_of = clocks.host_clock() + timedelta(hours=3)
    scene.tick()
    scene.on_the_real_clock()
    scene.tick(ignore_clock=True)
    assert not any("ahead" in line.reason for line in scene.waits.get_history(wait.id))


def test_a_watch_sees_a_clock_that_is_set_back(sqlite_scene: Scene, calls: list[str], clock: Clock) -> None:
    scene = with_handler(sqlite_scene)
    running = Running(scene, OFTEN)
    clock.wrong_by = -timedelta(hours=1)
    until(lambda: running.said, "a word about it")
    scene.create("1s", execution="first", handler="nudge")
    with Database(scene.url) as database:
        other = Scene(scene.url)
        other.database = database
        other.tick(ignore_clock=True)  # that clock is right from now on, for the resident one as well
    until(lambda: calls == ["first"] and WELL_AGAIN in running.said, "the delivery, and that all is well")
    once(running.said, "clock is behind")
    running.end()


# -- await -------------------------------------------------------------------------------------------------------------


def awaiting(url: str, wait_id: str, said: list[str], timeout: timedelta | None = None) -> Background[Awaited]:
    def job() -> Awaited:
        with Database(url, create=False) as database:
            return AwaitService(database, say=said.append).await_waits([wait_id], timeout=timeout)

    return Background(job)


@pytest.mark.parametrize("state", FAULTS)
def test_who_awaits_outlives_what_a_server_refuses(role: PlainRole, postgres_url: str, state: str) -> None:
    owner, said = Scene(postgres_url), list[str]()
    wait = owner.create().wait
    role.prepare(state, "200ms")
    running = awaiting(role.url, wait.id, said)
    until(role.listens, "who awaits")
    owner.database.close()
    with role.fault(state):
        if state != "53100":  # it only reads
            word = WORDS[state]
            until(lambda: any(word in line for line in said) or running.is_done, f"a word about {state}")
    owner.waits.resume_wait(wait.id)
    assert running.result().resumed
    if state != "53100":
        once(said, WORDS[state])
    owner.database.close()


@pytest.mark.parametrize("state", FAULTS)
def test_who_awaits_ends_at_the_own_deadline(role: PlainRole, postgres_url: str, state: str) -> None:
    """And says what was last seen."""
    owner, said = Scene(postgres_url), list[str]()
    wait = owner.create().wait
    owner.database.close()
    role.prepare(state, "200ms")
    running = awaiting(role.url, wait.id, said, timedelta(seconds=4))
    until(role.listens, "who awaits")
    with role.fault(state):
        found = running.result()
    assert (found.timed_out, found.ended, found.waits[0].wait.id) == (True, (), wait.id)


def test_who_awaits_a_wait_of_a_file_that_is_gone_for_a_while(outside: Outside) -> None:
    wait = outside.run("create", "fixed-time", "1h", "-o", "id").ok().out.strip()
    said: list[str] = []
    with statements() as seen:
        running = awaiting(outside.url, wait, said)
        looks = (
            "count(workflow_wait_executions.resolved_at)"  # a database that is not there at the first look is an error
        )
        until(lambda: sum(looks in statement for statement, _ in seen) > 1, "who has looked, and looks again")
    with gone(outside):  # whatever it met when the file went
        until(lambda: any("no database at" in line for line in said), "a word about it")
    outside.run("resume", wait).ok()
    assert running.result().resumed
    once(said, "no database at")
