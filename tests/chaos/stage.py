"""What every part is given: a seed, a folder, databases, and commands as users start them."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.chaos import servers
from tests.chaos.servers import Server
from tests.cli.processes import Finished, Waitctl, finish
from waitctl.domain.instants import format_instant
from waitctl.infrastructure.database import host_clock

ROOT = Path(__file__).parents[2]
"""The checkout."""

NO_BUG = "bug in waitctl"


@dataclass
class Stage:
    """``share``: how much of the full form is asked for, from 0 to 1."""

    folder: Path
    seed: int
    share: float = 1.0
    stack: ExitStack = field(default_factory=ExitStack)
    _server: Server | None = None

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def times(self, number: int, least: int = 1) -> int:
        """A number of the full form, as many as this one asks for."""
        return max(least, round(number * self.share))

    @property
    def server(self) -> Server:
        """A PostgreSQL of this part's own, started when it is first used."""
        if self._server is None:
            self._server = self.stack.enter_context(servers.running(self.folder / "server"))
        return self._server

    def urls(self, name: str) -> Iterator[tuple[str, str]]:
        """A new database of each kind: what it is, and its URL."""
        file = self.folder / f"{name}.db"
        command = Waitctl(self.folder, f"sqlite:///{file}")
        command("db", "upgrade").ok()
        yield "sqlite", f"sqlite:///{file}"
        yield "postgresql", self.server.create(name)

    def command(self, url: str) -> Waitctl:
        """The command on a database, at home in the stage's folder."""
        return Waitctl(self.folder, url)

    def config(self, text: str, name: str = "config.toml") -> Path:
        """A config file of these lines."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o600)
        return path


def check_words(ended: Finished, *allowed: int) -> None:
    """Whatever happened, it is said in plain words with an exit code that is allowed."""
    assert NO_BUG not in ended.err, ended
    assert "Traceback" not in ended.err, ended
    assert ended.code in allowed, ended


def until(condition: Callable[[], object], what: str, patience: float = 60.0) -> None:
    """Poll until ``condition`` holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, f"never came: {what}"
        time.sleep(0.002)


@contextmanager
def started(
    command: Waitctl, *arguments: str, env: dict[str, str | None] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A command that is there meanwhile and, if it still is at the end, killed."""
    process = command.start(*arguments, env=env)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            finish(process)


def hours_from_now(hours: float) -> str:
    """An instant as `--as-of` takes it."""
    return format_instant(host_clock() + timedelta(hours=hours))
