"""The handler that runs a command: argv without a shell, the delivery as JSON on its standard input.

Exit status (sysexits.h): 0 delivered, 75 (EX_TEMPFAIL) try later without using up an attempt, 65 (EX_DATAERR) and
78 (EX_CONFIG) dead at once, anything else try again.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from waitctl.domain.deliveries import Deferred, Delivered, Failed, HandlerResult, Rejected
from waitctl.infrastructure.handlers import Payload
from waitctl.infrastructure.handlers.commands import MOST_NAMED, Commands, Ended, NoRoomError

_ESSENTIALS = "\0".join(f"{name}=%s" for name in Payload.VARIABLES)


class ExecHandler:
    """Runs ``argv`` in a session of its own: once per delivery, or once per ``batch`` of them.

    A batch is NDJSON, a delivery a line. What it prints on standard output, an id a line, are the deliveries that it
    failed; the others are delivered. Its exit status applies to those, or to all when it names none.
    """

    def __init__(
        self, argv: tuple[str, ...], timeout: timedelta, environment: Mapping[str, str], *, batch: bool = False
    ) -> None:
        self._argv = argv
        self._timeout = timeout.total_seconds()
        # A tick that a handler started has that handler's delivery in its environment: none of this one's.
        variables = os.environ | environment
        inherited = (f"{name}={variables[name]}" for name in variables.keys() - set(Payload.VARIABLES))
        self._environment = tuple(map(os.fsencode, inherited))
        self._batch = batch

    def start(
        self, commands: Commands, payloads: Sequence[Payload], done: Callable[[Sequence[HandlerResult]], None]
    ) -> None:
        """Run the command for one payload, or for a batch of them, as one of ``commands``.

        ``done`` hears what became of each: at once when it cannot run, else while somebody attends to the commands.
        Raises only `NoRoomError`: for one more, while others run.
        """
        first = payloads[0]
        if self._batch:
            body = b"".join([payload.body for payload in payloads])
            judge = partial(_judge_batch, payloads, self._timeout)
        else:
            body, judge = first.body, partial(_judge_one, self._timeout)
        argv, folder = self._command(first)
        try:
            commands.start(
                argv,
                body,
                self._environment,
                lambda ended: done(judge(ended)),
                own=() if self._batch else _essentials(first),
                folder=folder,
                apart=self._batch,
            )
        except NoRoomError as error:
            if commands:
                raise
            done([Deferred(f"cannot run {argv[0]}: {error}")] * len(payloads))
        except OSError as error:
            where = f" in {folder}" if folder else ""
            done([Failed(f"cannot run {argv[0]}{where}: {error.strerror}")] * len(payloads))
        except ValueError as error:  # an environment that no process can have
            done([Failed(f"cannot run {argv[0]}: {error}")] * len(payloads))

    def _command(self, payload: Payload) -> tuple[Sequence[str], str | None]:
        """What runs for a payload, and in which folder."""
        return self._argv, None

    def close(self) -> None:
        """Nothing is kept."""


class InlineHandler(ExecHandler):
    """Runs the command that the wait itself brings along, in the folder that it was given in."""

    def __init__(self, timeout: timedelta, environment: Mapping[str, str]) -> None:
        super().__init__((), timeout, environment)

    def _command(self, payload: Payload) -> tuple[Sequence[str], str | None]:
        command = payload.document["wait"]["command"]
        return command["argv"], command["folder"]


def _essentials(payload: Payload) -> list[bytes]:
    """``NAME=value`` of each. Raises `ValueError` for what no process can have."""
    encoded = os.fsencode(_ESSENTIALS % payload.essentials).split(b"\0")
    if len(encoded) != len(Payload.VARIABLES):
        raise ValueError("embedded null byte")
    return encoded


def _judge_one(timeout: float, ended: Ended) -> list[HandlerResult]:
    return [_judge(ended, timeout)]


def _judge_batch(payloads: Sequence[Payload], timeout: float, ended: Ended) -> list[HandlerResult]:
    verdict = _judge(ended, timeout)
    if ended.timed_out or ended.status < 0:
        return [verdict] * len(payloads)  # what it had done by then, nobody knows
    if len(ended.named) > MOST_NAMED:
        flooded = Failed(f"it printed more than {MOST_NAMED:,} bytes, where the ids of failures belong")
        return [flooded] * len(payloads)
    named = {line.strip().decode(errors="replace") for line in ended.named.splitlines()}
    failed = {payload.delivery_id for payload in payloads} & named
    if ended.status == 0:
        verdict = Failed(f"named as failed{f': {ended.said}' if ended.said else ''}")
    everything = ended.status != 0 and not failed
    if not everything and not failed:
        return [Delivered()] * len(payloads)
    return [verdict if everything or payload.delivery_id in failed else Delivered() for payload in payloads]


def _judge(ended: Ended, timeout: float) -> HandlerResult:
    status, said = ended.status, f": {ended.said}" if ended.said else ""
    if ended.timed_out:
        return Failed(f"timed out after {timeout:g} s{said}")
    match status:
        case 0:
            return Delivered()
        case os.EX_TEMPFAIL:
            return Deferred(f"exit status 75{said}")
        case os.EX_DATAERR | os.EX_CONFIG:
            return Rejected(f"exit status {status}{said}")
        case _ if status < 0:
            return Failed(f"ended by signal {_signal_name(-status)}{said}")
        case _:
            return Failed(f"exit status {status}{said}")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)
