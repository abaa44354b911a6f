"""The handler that calls a function of this process with the delivery's document: in the tick's, or in one of its own.

Returning is delivered. `Retry` and `Dead` say later and never; any other exception is a failed attempt. A coroutine is
cancelled at the timeout. A plain function cannot be ended from outside, so it is waited for, and what it returns
counts, however late: calling what it did a failure would only make it do it twice. Its lease is renewed meanwhile.
A process of its own is ended with a tick that is told to end.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NoReturn, cast

from waitctl.domain.deliveries import Deferred, Delivered, Failed, HandlerResult, Rejected
from waitctl.domain.handlers import Dead, Retry
from waitctl.domain.text import JsonObject, storable
from waitctl.infrastructure.handlers import HandlerNotReadyError, Payload, nothing

if TYPE_CHECKING:
    from asyncio import Runner

_MOST_SAID = 1024
"""Characters of an exception that `last_error` keeps."""


class FunctionHandler:
    """Calls ``package.module:function`` in this process.

    Raises `HandlerNotReadyError` when this host cannot import it.
    """

    most_at_once = 64
    one_by_one = True

    def __init__(self, reference: str, timeout: timedelta) -> None:
        self._function = _load(reference)
        self._timeout = timeout.total_seconds()
        # Event loops, one a coroutine that runs, kept for the next: clients of a library may be bound to theirs.
        self._loops: SimpleQueue[Runner] = SimpleQueue()

    def deliver(self, payloads: Sequence[Payload], begun: Callable[[], None] = nothing) -> Sequence[HandlerResult]:
        """Call the function for each and judge how it ends.

        Does not say that it has begun: if this process ended between that and the call, nobody could tell.
        """
        return [self.call(payload.document) for payload in payloads]

    def call(self, document: JsonObject) -> HandlerResult:
        """Call the function and judge how it ends. A process that it has forked ends with it."""
        process = os.getpid()
        result: HandlerResult = Delivered()
        ended: BaseException | None = None
        try:
            returned = self._function(document)
            if returned is not None and inspect.isawaitable(returned):
                result = self._await(returned)
        except BaseException as error:  # noqa: BLE001 (somebody else's code: even its sys.exit must not end the tick)
            result, ended = _judge_exception(error), error
        if os.getpid() != process:
            _end_child(ended)
        del ended  # its traceback and this frame would keep each other
        return result

    def stop(self, *, at_once: bool = False) -> None:
        """Nobody can end a function of this process."""

    def close(self) -> None:
        """Close the event loops."""
        with suppress(Empty):
            while True:
                self._loops.get_nowait().close()

    def _await(self, awaitable: Awaitable[object]) -> HandlerResult:
        import asyncio

        async def run() -> bool:
            deadline = asyncio.timeout(self._timeout)
            try:
                async with deadline:
                    await awaitable
            except TimeoutError:
                if not deadline.expired():
                    raise  # its own
            return deadline.expired()

        try:
            runner = self._loops.get_nowait()
        except Empty:
            runner = asyncio.Runner()
        try:
            timed_out = runner.run(run())
        finally:
            self._loops.put(runner)
        return Failed(f"timed out after {self._timeout:g} s") if timed_out else Delivered()


def _end_child(error: BaseException | None) -> NoReturn:
    """End a process that a function has forked, as Python would have: it is no second one that answers for it."""
    status = 0
    match error:
        case SystemExit(code=int(status)):
            pass
        case SystemExit(code=None) | None:
            pass
        case _:
            status = 1
            with suppress(BaseException):
                traceback.print_exception(error)
    for stream in (sys.stdout, sys.stderr):
        with suppress(BaseException):
            stream.flush()
    os._exit(status & 0xFF)


def _load(reference: str) -> Callable[[Any], object]:
    module, _, name = reference.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        raise HandlerNotReadyError(f"cannot import {reference}: {_last_line(error)}") from error
    if not callable(found):
        raise HandlerNotReadyError(f"{reference} is not a function")
    if inspect.isgeneratorfunction(found) or inspect.isasyncgenfunction(found):
        raise HandlerNotReadyError(f"{reference} is a generator: calling it does nothing")
    return cast("Callable[[Any], object]", found)


def _judge_exception(error: BaseException) -> HandlerResult:
    match error:
        case Retry():
            return Deferred(_said(error), retry_after=error.after)
        case Dead():
            return Rejected(_said(error))
        case _:
            return Failed(_last_line(error))


def _said(error: BaseException) -> str:
    return storable(str(error)[:_MOST_SAID])


def _last_line(error: BaseException) -> str:
    """What a traceback ends with, and where it was raised."""
    lines = "".join(traceback.format_exception_only(error)).strip().splitlines()
    said = lines[-1] if lines else type(error).__name__
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else ""
    return storable(said[:_MOST_SAID] + where)
