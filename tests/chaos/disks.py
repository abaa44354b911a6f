"""A disk that is full, a file that is gone, damaged or another one, a log that is removed: under a resident tick."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

from tests.chaos.stage import Stage, check_words, started, until
from tests.chaos.stops import ready_socket
from tests.cli.processes import interrupt
from tests.scene import Scene

DUE = 400
"""Waits of one batch: more than a log has room for that is empty on a full disk."""

PAGE = 4096


def disks(stage: Stage) -> str:
    """Each fault under a watch of its own, which has to go on when it has passed; a short form tries some of them."""
    faults: list[Callable[[Path], AbstractContextManager[None]]] = [gone, replaced, damaged, without_log]
    if may_mount(stage.folder / "probe"):
        faults.append(full)
    tried = stage.random.sample(faults, stage.times(len(faults)))
    for fault in tried:
        place = stage.folder / fault.__name__
        with small_disk(place) if fault is full else folder(place):
            under_a_watch(stage, place / "waits.db", fault)
    return f"{', '.join(fault.__name__ for fault in tried)} under a watch"


@contextmanager
def folder(place: Path) -> Iterator[None]:
    """A folder on the disk that all share."""
    place.mkdir()
    yield


def under_a_watch(stage: Stage, path: Path, fault: Callable[[Path], AbstractContextManager[None]]) -> None:
    """The fault begins as waits become due; it is heard of, and so is its end; then others go on as ever."""
    command = stage.command(f"sqlite:///{path}")
    command("db", "upgrade").ok()
    with (
        ready_socket(stage) as (address, said),
        started(command, "tick", "--watch", "--interval", "1s", env={"NOTIFY_SOCKET": address}) as watch,
    ):
        until(lambda: b"READY=1" in said(), "its first round")  # what goes wrong in it is an error
        scene = Scene(f"sqlite:///{path}").on_the_real_clock()
        for number in range(DUE if fault is full else 5):
            scene.create("1h", execution=f"e{number}")
        scene.sql(
            "UPDATE workflow_wait_executions SET scheduled_at = strftime('%Y-%m-%d %H:%M:%f000', 'now', '1 second')"
        )
        scene.database.close()
        with fault(path):
            hear(watch, b"trying again")
        hear(watch, b"well again")
        wait = command("create", "fixed-time", "1s", "-o", "id").ok().out.strip()
        until(lambda: command("status", wait, "-o", "json").json["status"] == "resumed", "a wait that ends")
        check_words(interrupt(watch), 0)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def hear(watch: subprocess.Popen[bytes], word: bytes) -> None:
    """Read what it says until it says this."""
    assert watch.stderr is not None
    while word not in (line := watch.stderr.readline()):
        assert line, f"it ended and never said {word!r}"


@contextmanager
def gone(path: Path) -> Iterator[None]:
    """As when a volume is not mounted for a while."""
    aside = path.parent.rename(path.parent.with_name("aside"))
    yield
    aside.rename(path.parent)


@contextmanager
def replaced(path: Path) -> Iterator[None]:
    """By an older copy, which is not there at once."""
    copy = copy_of(path)
    remove(path)
    path.write_bytes(copy[: len(copy) // 2])
    yield
    path.write_bytes(copy)


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Garbage from the second page on."""
    copy = copy_of(path)
    remove(path)
    path.write_bytes(copy[:PAGE] + random.Random(0).randbytes(len(copy) - PAGE))
    yield
    remove(path)
    path.write_bytes(copy)


@contextmanager
def without_log(path: Path) -> Iterator[None]:
    """The log and its index are removed while they are open."""
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink()
    yield


@contextmanager
def full(path: Path) -> Iterator[None]:
    """Nothing can grow any more; the log is empty."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    filler = path.with_name("filler")
    filler.write_bytes(bytes(shutil.disk_usage(path.parent).free))
    yield
    filler.unlink()


MOUNT = ("mount", "-t", "tmpfs", "-o", "size=16m,mode=700", "none")


def may_mount(place: Path) -> bool:
    """Whether this user may make a disk: root may, but not in every container."""
    place.mkdir()
    if os.geteuid() != 0 or subprocess.run([*MOUNT, place], capture_output=True, check=False).returncode != 0:
        return False
    subprocess.run(["umount", "--lazy", place], check=True)
    return True


@contextmanager
def small_disk(place: Path) -> Iterator[None]:
    """A file system of 16 MiB in memory."""
    place.mkdir()
    subprocess.run([*MOUNT, place], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def copy_of(path: Path) -> bytes:
    """All that the database holds."""
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(":memory:")) as target:
        source.backup(target)
        return target.serialize()


def remove(path: Path) -> None:
    """With what is beside it."""
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
