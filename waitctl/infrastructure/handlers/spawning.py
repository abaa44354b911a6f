"""How a command is started: by the C library's posix_spawn where that can do all that is needed, else by `subprocess`.

`os.posix_spawn` would not do: it keeps Python's lock until the program has begun, and can neither run it in another
folder nor keep it from inheriting whatever is open. Since glibc 2.34 the C library can.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Protocol, TypeAlias

_OPAQUE = ctypes.c_char * 1024
"""Room for any of the C library's types: the largest, posix_spawnattr_t, takes 336 bytes."""

_SETSIGDEF, _SETSID = 0x04, 0x80
"""Flags of <spawn.h>."""

_LATEST = ("posix_spawn_file_actions_addclosefrom_np", "posix_spawn_file_actions_addchdir_np")
"""What it has to know that was added last."""

_UNKNOWN = 255
"""The exit status of a command of which it is not known."""

_Strings: TypeAlias = "ctypes.Array[ctypes.c_char_p]"


class Process(Protocol):
    """What is used of `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""
        ...

    def poll(self) -> int | None:
        """Its exit status, negative for a signal; ``None`` while it runs."""
        ...


class Spawner:
    """Starts programs, for one thread."""

    def __init__(self) -> None:
        self._environment: Sequence[bytes] = ()
        self._variables = _strings(())

    def start(
        self,
        argv: Sequence[str],
        streams: Sequence[int],
        environment: Sequence[bytes],
        own: Sequence[bytes],
        folder: str | None,
    ) -> Process:
        """Start a program in a session of its own: a signal for tick is not for it, and its whole group can be ended.

        ``streams`` are its standard input, output and error; it inherits nothing else that is open. ``environment`` is
        what it has in common with the one before, as a rule, and ``own`` what it has not. Raises `OSError`, and
        `ValueError` for arguments that hold a NUL.
        """
        library = _library()
        if library is None or min(streams) <= 2:  # of streams that stand where others go, `subprocess` takes care
            stdin, stdout, stderr = streams
            variables = dict(each.split(b"=", 1) for each in (*environment, *own))
            return subprocess.Popen(
                argv, stdin=stdin, stdout=stdout, stderr=stderr, env=variables, cwd=folder, start_new_session=True
            )
        return _Spawned(library, argv, streams, self._strings(environment, own), folder)

    def _strings(self, environment: Sequence[bytes], own: Sequence[bytes]) -> _Strings:
        """Both as C has them. What was there for the one before stays: when a program has begun, it has its own."""
        common = len(environment)
        if self._environment is environment and len(self._variables) == common + len(own) + 1:
            self._variables[common:-1] = [*own]
        else:
            self._environment, self._variables = environment, _strings([*environment, *own])
        return self._variables


class _Library:
    """The C library, and the attributes that all commands are started with."""

    def __init__(self) -> None:
        self.calls: Any = ctypes.PyDLL(None)
        self.spawn: Any = ctypes.CDLL(None).posix_spawnp
        """The one call that lets other threads go on meanwhile; the others are too short for that."""
        self.attributes = _OPAQUE()
        ignored = _OPAQUE()
        self.calls.sigemptyset(ignored)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them; what it starts must not
            self.calls.sigaddset(ignored, number)
        self.calls.posix_spawnattr_init(self.attributes)
        self.calls.posix_spawnattr_setsigdefault(self.attributes, ignored)
        self.calls.posix_spawnattr_setflags(self.attributes, ctypes.c_short(_SETSIGDEF | _SETSID))


@cache
def _library() -> _Library | None:
    if sys.platform != "linux":  # elsewhere the flags have other numbers
        return None
    calls = ctypes.PyDLL(None)
    return _Library() if all(hasattr(calls, name) for name in _LATEST) else None


class _Actions:
    """What happens in the child before its program begins: its streams and its folder."""

    def __init__(self, calls: Any, streams: Sequence[int], folder: str | None) -> None:
        self.opaque = _OPAQUE()
        self._calls = calls
        calls.posix_spawn_file_actions_init(self.opaque)
        for theirs, ours in enumerate(streams):
            _check(calls.posix_spawn_file_actions_adddup2(self.opaque, ours, theirs))
        _check(calls.posix_spawn_file_actions_addclosefrom_np(self.opaque, 3))
        if folder is not None:
            _check(calls.posix_spawn_file_actions_addchdir_np(self.opaque, os.fsencode(folder)))

    def __del__(self) -> None:
        self._calls.posix_spawn_file_actions_destroy(self.opaque)


@lru_cache(maxsize=256)
def _actions(streams: tuple[int, ...], folder: str | None) -> _Actions:
    """Kept: the same few descriptors come again and again."""
    library = _library()
    assert library is not None
    return _Actions(library.calls, streams, folder)


@lru_cache(maxsize=64)
def _arguments(argv: tuple[str, ...]) -> _Strings:
    if any("\0" in argument for argument in argv):
        raise ValueError("embedded null byte")
    return _strings([os.fsencode(argument) for argument in argv])


def _check(error: int) -> None:
    if error:
        raise OSError(error, os.strerror(error))


class _Spawned:
    """A process that posix_spawn has started."""

    def __init__(
        self,
        library: _Library,
        argv: Sequence[str],
        streams: Sequence[int],
        environment: _Strings,
        folder: str | None,
    ) -> None:
        self._status: int | None = None
        pid, actions = ctypes.c_int(), _actions(tuple(streams), folder)
        arguments = _arguments(tuple(argv))
        _check(
            library.spawn(ctypes.byref(pid), arguments[0], actions.opaque, library.attributes, arguments, environment)
        )
        self.pid = pid.value

    def poll(self) -> int | None:
        if self._status is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:  # somebody else in this process has waited for it: nobody knows how it ended
                return _UNKNOWN
            if pid:
                self._status = os.waitstatus_to_exitcode(status)
        return self._status


def _strings(values: Sequence[bytes]) -> _Strings:
    """The array of C strings that ends with NULL."""
    strings = (ctypes.c_char_p * (len(values) + 1))()
    strings[:-1] = [*values]
    return strings
