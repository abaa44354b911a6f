"""The handler that runs a command: argv without a shell, the delivery as JSON on its standard input.

Exit status (sysexits.h): 0 delivered, 75 (EX_TEMPFAIL) try later without using up an attempt, 65 (EX_DATAERR) and
78 (EX_CONFIG) dead at once, anything else try again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from threading import Condition

from waitctl.domain.deliveries import Deferred, Delivered, Failed, HandlerResult, Rejected
from waitctl.infrastructure.handlers import Payload, nothing
from waitctl.infrastructure.handlers.commands import MOST_NAMED, CommandEnd, NoRoomError, run_command

_MOST_IN_A_BATCH = 1000
"""Deliveries that one process gets at most."""


class ExecHandler:
    """Runs ``argv`` in a session of its own: once per delivery, or once per ``batch`` of them.

    A batch is NDJSON, a delivery a line. What it prints on standard output, an id a line, are the deliveries that it
    failed; the others are delivered. Its exit status applies to those, or to all when it names none.
    """

    one_by_one = False

    def __init__(
        self, argv: tuple[str, ...], timeout: timedelta, environment: Mapping[str, str], *, batch: bool = False
    ) -> None:
        self._argv = argv
        self._timeout = timeout
        # A tick that a handler started has that handler's delivery in its environment: none of this one's.
        self._environment = {
            os.fsencode(name): os.fsencode(value)
            for name, value in environment.items()
            if name not in {*Payload.VARIABLES, Payload.LINKS}
        }
        self._batch = batch
        self._changed = Condition()
        self._running = 0
        self._told, self._teller = os.pipe()  # closed at one end: what runs is to end
        self._is_stopped = False

    @property
    def most_at_once(self) -> int:
        """A batch, or one."""
        return _MOST_IN_A_BATCH if self._batch else 1

    def deliver(self, payloads: Sequence[Payload], begun: Callable[[], None] = nothing) -> Sequence[HandlerResult]:
        """Run the command for one payload, or for a batch of them."""
        first = payloads[0]
        argv, folder = self._command(first)
        try:
            ended = self._run(argv, folder, payloads, begun)
        except NoRoomError as error:
            return [Deferred(f"cannot run {argv[0]}: {error}")] * len(payloads)
        except OSError as error:
            where = f" in {folder}" if folder else ""
            return [Failed(f"cannot run {argv[0]}{where}: {error.strerror}")] * len(payloads)
        except ValueError as error:  # an environment that no process can have
            return [Failed(f"cannot run {argv[0]}: {error}")] * len(payloads)
        timeout = self._timeout.total_seconds()
        return _judge_batch(payloads, timeout, ended) if self._batch else [_judge_command(ended, timeout)]

    def _run(
        self, argv: Sequence[str], folder: str | None, payloads: Sequence[Payload], begun: Callable[[], None]
    ) -> CommandEnd:
        """Run a command. While the system has no room for it, wait until another one has ended.

        Raises `NoRoomError` when there is none for it alone, and what `run_command` raises.
        """
        body = b"".join([payload.body for payload in payloads])
        own = {} if self._batch else _essentials(payloads[0])
        while True:
            with self._changed:
                self._running += 1
                others = self._running - 1
            try:
                return run_command(
                    argv,
                    body,
                    self._environment | own,
                    self._timeout,
                    folder=folder,
                    apart=self._batch,
                    reserve=others > 0,
                    begun=begun,
                    told=self._told,
                )
            except NoRoomError:
                if not others:
                    raise
            finally:
                with self._changed:
                    self._running -= 1
                    self._changed.notify_all()
            self._wait_for_fewer(others)

    def _wait_for_fewer(self, running: int) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._running < running)

    def _command(self, payload: Payload) -> tuple[Sequence[str], str | None]:
        """What runs for a payload, and in which folder."""
        return self._argv, None

    def stop(self, *, at_once: bool = False) -> None:
        """Its commands end by their timeout anyhow, or when they are told to."""
        if at_once and not self._is_stopped:
            self._is_stopped = True
            os.close(self._teller)

    def close(self) -> None:
        """Let go of what tells commands to end."""
        self.stop(at_once=True)
        os.close(self._told)


class InlineHandler(ExecHandler):
    """Runs the command that the wait itself brings along, in the folder that it was given in.

    ``verifies`` says whether a wait's command with that signature may run; one that may not is put off, ``otherwise``
    being why.
    """

    def __init__(
        self,
        timeout: timedelta,
        environment: Mapping[str, str],
        verifies: Callable[[str, object, str | None], bool],
        otherwise: str,
    ) -> None:
        super().__init__((), timeout, environment)
        self._verifies = verifies
        self._otherwise = otherwise

    def deliver(self, payloads: Sequence[Payload], begun: Callable[[], None] = nothing) -> Sequence[HandlerResult]:
        """Run a wait's command, once it is known to be this user's: others may have written since it was claimed."""
        (payload,) = payloads
        wait = payload.document["wait"]
        if self._verifies(wait["id"], wait["command"], payload.signature):
            return super().deliver(payloads, begun)
        return [Deferred(self._otherwise)]

    def _command(self, payload: Payload) -> tuple[Sequence[str], str | None]:
        command = payload.document["wait"]["command"]
        return command["argv"], command["folder"]


def _essentials(payload: Payload) -> dict[bytes, bytes]:
    values = [*zip(Payload.VARIABLES, payload.essentials, strict=True)]
    if links := payload.trace_links:
        values.append((Payload.LINKS, links))
    return {os.fsencode(name): os.fsencode(value) for name, value in values}


def _judge_batch(payloads: Sequence[Payload], timeout: float, ended: CommandEnd) -> list[HandlerResult]:
    """What becomes of each. All have the process's output, since nobody can tell whose line is whose."""
    output = ended.output
    verdict = _judge_command(ended, timeout)
    if ended.timed_out or ended.status < 0:
        return [verdict] * len(payloads)  # what it had done by then, nobody knows
    if len(ended.named) > MOST_NAMED:
        flooded = Failed(f"it printed more than {MOST_NAMED:,} bytes, where the ids of failures belong", output=output)
        return [flooded] * len(payloads)
    named = {line.strip().decode(errors="replace") for line in ended.named.splitlines()}
    failed = {payload.delivery_id for payload in payloads} & named
    if ended.status == 0:
        verdict = Failed(f"named as failed{f': {ended.said}' if ended.said else ''}", output=output)
    everything = ended.status != 0 and not failed
    if not everything and not failed:
        return [Delivered(output)] * len(payloads)
    return [verdict if everything or payload.delivery_id in failed else Delivered(output) for payload in payloads]


def _judge_command(ended: CommandEnd, timeout: float) -> HandlerResult:
    status, output, said = ended.status, ended.output, f": {ended.said}" if ended.said else ""
    if ended.timed_out:
        return Failed(f"timed out after {timeout:g} s{said}", output=output)
    match status:
        case 0:
            return Delivered(output)
        case _ if ended.was_told and status not in {os.EX_TEMPFAIL, os.EX_DATAERR, os.EX_CONFIG}:
            return Failed(f"it was ended: the tick was told to end at once{said}", output=output)
        case os.EX_TEMPFAIL:
            return Deferred(f"exit status 75{said}", output=output)
        case os.EX_DATAERR | os.EX_CONFIG:
            return Rejected(f"exit status {status}{said}", output)
        case _ if status < 0:
            return Failed(f"ended by signal {_signal_name(-status)}{said}", output=output)
        case _:
            return Failed(f"exit status {status}{said}", output=output)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
