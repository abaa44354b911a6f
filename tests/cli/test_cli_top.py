"""`waitctl top` on a terminal: it shows what changes, follows the window, and leaves everything as it was."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from collections.abc import Iterator
from contextlib import contextmanager

from tests.cli.processes import COMMAND, Waitctl

_PATIENCE = 60.0


class Screen:
    """A process on a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], ours: int) -> None:
        self.process, self.ours = process, ours
        self.seen = bytearray()

    def until(self, *words: str) -> str:
        """Read until all of these have been shown since the last time."""
        self.seen.clear()
        while not all(word.encode() in self.seen for word in words):
            ready, _, _ = select.select([self.ours], [], [], _PATIENCE)
            assert ready, f"{words} not in {self.seen.decode(errors='replace')}"
            self.seen += os.read(self.ours, 65536)
        return self.seen.decode(errors="replace")

    def resize(self, columns: int, rows: int = 40) -> None:
        fcntl.ioctl(self.ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process.send_signal(signal.SIGWINCH)

    def ended(self) -> int:
        """Its exit status; what it still shows is read meanwhile."""
        while self.process.poll() is None:
            if select.select([self.ours], [], [], 0.05)[0]:
                try:
                    self.seen += os.read(self.ours, 65536)
                except OSError:  # how Linux says that the other side hung up
                    return self.process.wait(_PATIENCE)
        return self.process.returncode


@contextmanager
def top(run: Waitctl, *arguments: str) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    environment = run.environment({"TERM": "xterm-256color"})
    process = subprocess.Popen(
        [*COMMAND, "top", *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=run.folder
    )
    screen = Screen(process, ours)
    screen.resize(120)
    try:
        yield screen
        assert termios.tcgetattr(theirs) == before, "the terminal is as it was"
    finally:
        process.kill()
        process.wait()
        os.close(ours)
        os.close(theirs)


def test_top_shows_what_changes_and_quits(run: Waitctl) -> None:
    run("create", "fixed-time", "3d", "-e", "first").ok()
    with top(run, "--interval", "1s") as screen:
        screen.until("waitctl", "dead", "NEXT DUE", "first")
        run("create", "fixed-time", "2d", "-e", "second").ok()
        screen.until("second")
        run("tick", "-q").ok()
        screen.until("served", "nothing to do")
        os.write(screen.ours, b"xq")
        assert screen.ended() == 0


def test_top_follows_its_window_at_once(run: Waitctl) -> None:
    run("create", "fixed-time", "3d", "-e", "an-execution-with-a-rather-long-name-that-needs-room").ok()
    with top(run, "--interval", "1h") as screen:
        screen.until("that-needs-room")
        screen.resize(60)
        assert "that-needs-room" not in screen.until("an-execution")
        os.write(screen.ours, b"q")
        assert screen.ended() == 0


def test_top_waits_for_a_database_that_is_away(run: Waitctl) -> None:
    run("create", "fixed-time", "3d", "-e", "first").ok()
    file = run.folder / "waits.db"
    with top(run, "--interval", "1s") as screen:
        screen.until("first")
        away = [
            each for each in (file, *(file.with_name(file.name + end) for end in ("-wal", "-shm"))) if each.exists()
        ]
        for each in away:
            each.rename(each.with_name(f"away-{each.name}"))
        screen.until("trying again")
        for each in away:
            each.with_name(f"away-{each.name}").rename(each)
        screen.until("NEXT DUE", "first")
        screen.process.send_signal(signal.SIGINT)
        assert screen.ended() == 130
