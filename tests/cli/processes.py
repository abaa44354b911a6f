"""Run `waitctl` as users do: a process of its own, with an environment that holds nothing of the caller's."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import waitctl
from tests.cli import forks

COMMAND = (sys.executable, "-m", "waitctl")
_CHECKOUT = Path(waitctl.__file__).parent.parent
SMALL_PIPE = 4096
"""Bytes that a pipe to a process holds: who has written more knows that it reads."""

_PATIENCE = 60
"""Seconds after which a process that should have ended long ago fails the test."""
_READ_LATE = re.compile(r"(COVERAGE|WAITCTL|XDG)_\w+|HOME|PATH|USER|NEWER|OLDER|HOOK_SECRET")
"""The environment that no interpreter and no library looks at before a command runs."""


@dataclass(frozen=True)
class Finished:
    """What a process left behind."""

    code: int
    out: str
    err: str

    def ok(self) -> Finished:
        """Itself, when it succeeded without a word on standard error, but for what is said of handlers."""
        of_handlers = ("warning: this host's config has no handler", "deliveries to ", "dead: ", "retried: ", "held: ")
        said = [line for line in self.err.splitlines() if not line.startswith((*of_handlers, "watching, "))]
        assert (self.code, said) == (0, []), self
        return self

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document and nothing else."""
        return json.loads(self.out)

    @property
    def lines(self) -> list[str]:
        """Standard output by lines."""
        return self.out.splitlines()

    def error(self, code: int) -> str:
        """The message of a failure in words: one ``error:`` line, at most one ``hint:`` line, no data."""
        assert self.code == code, self
        assert self.out == "", self
        first, *rest = self.err.splitlines()
        assert first.startswith("error: "), self
        assert [line[:6] for line in rest] in ([], ["hint: "]), self
        return first.removeprefix("error: ")

    def json_error(self, code: int) -> dict[str, Any]:
        """The error of a failure under ``-o json``: a document on standard error, no data."""
        assert self.code == code, self
        assert self.out == "", self
        assert len(self.err.splitlines()) == 1, self
        document = json.loads(self.err)
        assert list(document) == ["error"], self
        error: dict[str, Any] = document["error"]
        assert list(error) == ["code", "message", "hint"], self
        assert len(error["message"].splitlines()) == 1, self
        return error


class Waitctl:
    """The command, at home in ``folder``, on the database ``url`` (the default one when it is None)."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.folder = folder
        self.url = url

    def environment(self, extra: Mapping[str, str | None]) -> dict[str, str]:
        """A clean environment, plus ``extra`` (None takes a name away)."""
        # What measures the coverage of processes must reach them.
        inherited = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
        clean = {
            **inherited,
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(_CHECKOUT),
            "HOME": str(self.folder),
            "USER": "ada",
            "LANG": "C.UTF-8",
            **({} if self.url is None else {"WAITCTL_DATABASE_URL": self.url}),
            **extra,
        }
        return {name: value for name, value in clean.items() if value is not None}

    def start(
        self,
        *arguments: str | bytes,
        env: Mapping[str, str | None] | None = None,
        stdin: int = subprocess.DEVNULL,
        stdout: int | IO[Any] = subprocess.PIPE,
        shell: str | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start it and do not wait. ``shell`` says how a shell starts it, as in ``exec "$@" <&-``."""
        return subprocess.Popen(
            [*(() if shell is None else ("sh", "-c", shell, "sh")), *COMMAND, *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.PIPE,
            pipesize=SMALL_PIPE,
            env=self.environment(env or {}),
            cwd=self.folder,
        )

    def __call__(
        self,
        *arguments: str | bytes,
        stdin: str | bytes | None = None,
        env: Mapping[str, str | None] | None = None,
        stdout: int | IO[Any] = subprocess.PIPE,
        shell: str | None = None,
    ) -> Finished:
        """Run it to its end. Without ``stdin`` the input is empty."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        if stdout == subprocess.PIPE and shell is None and all(map(_READ_LATE.fullmatch, env or {})):
            return _finished(*self._fork(arguments, env or {}, given))
        pipe = subprocess.DEVNULL if given is None else subprocess.PIPE
        return finish(self.start(*arguments, env=env, stdin=pipe, stdout=stdout, shell=shell), given)

    def anyhow(self, *arguments: str, env: Mapping[str, str | None] | None = None) -> Finished:
        """Run it to its end, whatever becomes of it: with -vv a traceback belongs to what it says."""
        code, out, err = self._fork(arguments, env or {}, None)
        return Finished(code, out.decode(), err.decode())

    def on_a_terminal(self, *arguments: str, columns: int, env: Mapping[str, str | None] | None = None) -> Finished:
        """Run it to its end with a terminal so wide as its standard output."""
        asked = {"TERM": "xterm-256color", "COLUMNS": str(columns), **(env or {})}
        return _finished(*self._fork(arguments, asked, None, terminal=True))

    def _fork(
        self,
        arguments: Sequence[str | bytes],
        env: Mapping[str, str | None],
        given: bytes | None,
        *,
        terminal: bool = False,
    ) -> tuple[int, bytes, bytes]:
        """Run it as a fork of a process that has imported everything, and where nothing ever ran."""
        asked = {
            "arguments": [os.fsdecode(argument) for argument in arguments],
            "environment": self.environment(env),
            "folder": str(self.folder),
        }
        return forks.run(self._started_in(), asked, given, _PATIENCE, terminal=terminal)

    def _started_in(self) -> dict[str, str]:
        """The environment that has to be there when an interpreter starts."""
        return {name: value for name, value in self.environment({}).items() if _READ_LATE.fullmatch(name) is None}

    @contextmanager
    def on_the_path(self) -> Iterator[dict[str, str]]:
        """For a script that calls ``waitctl``: the environment in which it is found. Each call is a fork."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        with forks.program(self._started_in(), folder):
            yield self.environment({"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"})


def interrupt(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT) -> Finished:
    """Send a signal; that alone ends the process, since its standard input stays open until it is gone."""
    process.send_signal(number)
    return finish(process, close_input=False)


def finish(process: subprocess.Popen[bytes], given: bytes | None = None, *, close_input: bool = True) -> Finished:
    """Wait for a process, and check that it showed no traceback."""
    try:
        if not close_input:
            process.wait(_PATIENCE)
        out, err = process.communicate(given, timeout=_PATIENCE)
    except BaseException:
        # Reaped and its pipes closed here, or another test would be blamed for what this one left behind.
        process.kill()
        process.communicate()
        raise
    return _finished(process.returncode, out or b"", err)


def _finished(code: int, out: bytes, err: bytes) -> Finished:
    finished = Finished(code, out.decode(), err.decode())
    assert "Traceback" not in finished.err, finished.err
    return finished
