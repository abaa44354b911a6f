"""The resident tick: wakes when something is due, when somebody says so, and when it is told to stop."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy.engine import make_url

from tests.interleaving import Background, until
from tests.scene import HandlerModule, Scene
from waitctl import Database, Settings, TickOptions, TickReport, WaitSchedulingService, Wakeup, Watch
from waitctl.domain.deliveries import RetryPolicy
from waitctl.domain.handlers import HandlerConfig, PythonConfig
from waitctl.domain.statuses import DeliveryStatus

MODULE = "handlers_of_a_watch"
FOREVER = timedelta(hours=1)


@dataclass
class Running:
    """A watch in a thread of its own, on a connection pool of its own."""

    scene: Scene
    interval: timedelta = FOREVER
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.stop = threading.Event()
        self.rounds = self.delivered = 0
        self.database = Database(self.scene.url, create=False)
        self.database.identity = "the watch"
        self.signal = Wakeup(self.database)
        settings = Settings(self.scene.url, handlers=self.scene.handlers)
        watch = Watch(self.database, settings, TickOptions(), self.signal, interrupted=self.stop.is_set)
        self.job = Background(lambda: watch.run(self.interval, beat=self._beat, say=self.said.append))
        until(lambda: self.rounds or self.job.is_done, "the first round")

    def _beat(self, report: TickReport) -> None:
        self.rounds += 1
        self.delivered = report.delivered

    def end(self) -> TickReport:
        self.stop.set()
        self.signal.wake()
        try:
            return self.job.result()
        finally:
            self.signal.__exit__(None, None, None)
            self.database.close()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch, scene: Scene) -> list[str]:
    """The executions whose deliveries came to the handler ``nudge``."""
    module, calls = HandlerModule(MODULE), list[str]()
    module.nudge = lambda document: calls.append(document["wait"]["workflow_execution_id"])
    monkeypatch.setitem(sys.modules, MODULE, module)
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False))
    scene.on_the_real_clock()
    return calls


@pytest.fixture
def watch(scene: Scene, calls: list[str]) -> Iterator[Running]:
    running = Running(scene)
    yield running
    if not running.stop.is_set():
        running.end()


def test_fires_when_it_is_due(scene: Scene, calls: list[str]) -> None:
    """Nobody tells it, and it would look again in an hour: it knows when."""
    scene.create("1s", execution="soon", handler="nudge")
    scene.listen(execution="expires", timeout="1s", handler="nudge")
    running = Running(scene)
    until(lambda: len(calls) == 2, "both deliveries")
    until(lambda: scene.deliveries.list_deliveries()[0].status == "delivered", "its settling")
    report = running.end()
    assert (report.resumed, report.timed_out, report.delivered, report.stopped) == (1, 1, 2, "interrupted")


def test_hears_of_what_others_create(postgres_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = HandlerModule(MODULE), list[Any]()
    module.nudge = calls.append
    monkeypatch.setitem(sys.modules, MODULE, module)
    scene = postgres_scene.on_the_real_clock()
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False))
    running = Running(scene)
    scene.create("1s", handler="nudge")
    until(lambda: calls, "the delivery")
    running.end()


def test_looks_by_itself_as_often_as_it_was_told(scene: Scene, calls: list[str]) -> None:
    """What nobody announces: a row that another system wrote."""
    wait = scene.listen(handler="nudge")
    running = Running(scene, timedelta(seconds=0.05))
    scene.insert_event()
    until(lambda: calls, "the delivery")
    assert scene.get(wait).resolution == "event"
    running.end()


def test_a_retry_has_its_own_turn(scene: Scene, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def fail_once(document: dict[str, Any]) -> None:
        tries.append(document["attempt"])
        if len(tries) < 3:
            raise ValueError

    vars(sys.modules[MODULE])["nudge"] = fail_once
    policy = RetryPolicy(backoff=timedelta(seconds=0.3), max_backoff=timedelta(seconds=0.3))
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False), retry=policy)
    scene.create("1s", handler="nudge")
    running = Running(scene)
    until(lambda: tries == [1, 2, 3], "the third attempt")
    until(lambda: scene.deliveries.list_deliveries()[0].status == "delivered", "its settling")
    assert running.end().retried == 2


def test_a_slow_handler_holds_up_nobody(scene: Scene, calls: list[str], tmp_path: Path) -> None:
    """While its command hangs, other waits end and other handlers hear of it."""
    hold = tmp_path / "hold"
    scene.handle(tmp_path, f"touch {tmp_path}/hangs; until test -e {hold}; do sleep 0.02; done", name="slow")
    scene.create("1s", execution="slow", handler="slow")
    running = Running(scene, timedelta(seconds=0.05))
    until((tmp_path / "hangs").exists, "the slow one")
    scene.create("1s", execution="quick", handler="nudge")
    until(lambda: calls == ["quick"], "the quick one")
    hold.touch()
    assert running.end().delivered == 2


def test_stops_when_told_and_gives_back_what_has_not_begun(scene: Scene, calls: list[str], tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    scene.handle(
        tmp_path, f"touch {tmp_path}/hangs; until test -e {hold}; do sleep 0.02; done", name="slow", concurrency=1
    )
    for number in range(3):
        scene.waits.resume_wait(scene.create(execution=f"e{number}", handler="slow").wait.id)
    running = Running(scene)
    until((tmp_path / "hangs").exists, "the first one")
    running.stop.set()
    running.signal.wake()
    until(lambda: len(scene.deliveries.list_deliveries([DeliveryStatus.PENDING])) == 2, "their return")
    hold.touch()
    assert running.end().delivered == 1
    assert [each.attempt for each in scene.deliveries.list_deliveries()] == [0, 0, 1]


def test_the_heartbeat_is_one_row(scene: Scene, watch: Running) -> None:
    assert scene.sql("SELECT count(*) FROM waitctl_ticks")[0][0] == 1
    watch.end()
    ((finished_at, count),) = scene.sql("SELECT max(finished_at), count(*) FROM waitctl_ticks")
    assert finished_at is not None and count == 1


def test_an_idle_round_writes_nothing(postgres_scene: Scene) -> None:
    """Else two of them would wake each other for ever."""
    scene = postgres_scene.on_the_real_clock()
    scene.create()
    running = Running(scene, timedelta(seconds=0.02))
    plain = make_url(scene.url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as other:
        other.execute("LISTEN waitctl")
        rounds = running.rounds
        until(lambda: running.rounds > rounds + 10, "ten rounds")
        assert list(other.notifies(timeout=0)) == []
    running.end()


def test_a_database_that_goes_away_is_waited_for(postgres_scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    module, calls = HandlerModule(MODULE), list[Any]()
    module.nudge = calls.append
    monkeypatch.setitem(sys.modules, MODULE, module)
    scene = postgres_scene.on_the_real_clock()
    scene.handlers["nudge"] = HandlerConfig("nudge", PythonConfig(f"{MODULE}:nudge", own_process=False))
    running = Running(scene, timedelta(seconds=0.05))
    scene.database.close()
    admin_url = make_url(scene.url).set(drivername="postgresql", database="postgres")
    with psycopg.connect(admin_url.render_as_string(hide_password=False), autocommit=True) as admin:
        name = make_url(scene.url).database
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        until(lambda: running.said, "a word about it")
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())
    WaitSchedulingService(scene.database).resume_wait(scene.create(handler="nudge").wait.id)
    until(lambda: calls, "the delivery")
    running.end()


def test_a_file_that_was_replaced_is_not_gone_on_with(sqlite_scene: Scene, tmp_path: Path) -> None:
    """A restore or a rotation: the name counts, not the file that bore it."""
    scene = sqlite_scene.on_the_real_clock()
    old = scene.create(execution="old").wait
    running = Running(scene, timedelta(seconds=0.05))
    scene.database.close()
    for name in ("waits.db", "waits.db-wal", "waits.db-shm"):
        if (tmp_path / name).exists():
            (tmp_path / name).rename(tmp_path / f"old-{name}")
    new = scene.create("1s", execution="new").wait
    until(lambda: scene.get(new).resolution == "due", "the wait in the new file")
    running.end()
    assert old.id != new.id


def test_systemd_is_told(sqlite_scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """By datagrams to a real socket: ready after the first round, alive after each, and that it stops."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "notify"))
        notified.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "100000")
        sqlite_scene.on_the_real_clock().create()
        running = Running(sqlite_scene)
        assert [notified.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
        running.end()
        told = b""
        while told != b"STOPPING=1":
            told = notified.recv(100)


def test_a_systemd_that_does_not_listen_holds_up_nothing(
    sqlite_scene: Scene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("waitctl.infrastructure.systemd._PATIENCE", 0.01)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        sqlite_scene.on_the_real_clock().create()
        running = Running(sqlite_scene, timedelta(seconds=0.01))
        until(lambda: running.rounds > 100, "more rounds than there is room for")
        running.end()
