"""`waitctl tick`: one run of the processor."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.application import logs
from waitctl.application.processor.run import Phase, Stopped, TickOptions
from waitctl.application.processor.tick import Tick, TickReport
from waitctl.cli.interrupts import Interrupts
from waitctl.cli.logs import write_logs
from waitctl.cli.output import DocumentOption, ExitCode, Output, count, print_document, write_line
from waitctl.cli.session import Session, session_of
from waitctl.cli.streams import words_only
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidSettingError
from waitctl.domain.instants import parse_instant
from waitctl.domain.logs import FailOn, LogFormat
from waitctl.domain.text import did_you_mean
from waitctl.infrastructure.redaction import redact

if TYPE_CHECKING:
    from waitctl.infrastructure.pings import Pings

app = typer.Typer(add_completion=False)

_EVERY = 5.0
"""Seconds between two lines of a resident tick."""

_PING_EVERY = 60.0
"""Seconds between two of its pings."""


@app.command("tick")
def tick(
    context: typer.Context,
    batch_size: Annotated[int, typer.Option("--batch-size", metavar="N", help="Rows a transaction.")] = 1000,
    max_batches: Annotated[
        int | None, typer.Option("--max-batches", metavar="N", help="Batches a phase; no maximum when left out.")
    ] = None,
    time_budget: Annotated[
        str, typer.Option("--time-budget", metavar="DURATION", help="When to stop claiming.")
    ] = "50s",
    only: Annotated[
        str | None, typer.Option("--only", metavar="PHASE[,PHASE…]", help="Of events, due, expired, deliver.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="INSTANT", help="Pretend that it is this instant (RFC 3339).")
    ] = None,
    ignore_clock: Annotated[
        bool, typer.Option("--ignore-clock", help="SQLite: run although this host's clock was set back.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Stay, and process what is due when it is due, until SIGTERM.")
    ] = False,
    interval: Annotated[
        str, typer.Option("--interval", metavar="DURATION", help="With --watch: look at least this often.")
    ] = "5s",
    fail_on: Annotated[
        str | None, typer.Option("--fail-on", metavar="dead,held", help="Exit 1 when this run has seen one.")
    ] = None,
    log_format: Annotated[LogFormat | None, typer.Option("--log-format", help="How the log is written.")] = None,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors and new deaths.")] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Process what is due, once.

    Events of the inbox table, due waits, expired listeners, then deliveries. Any number of ticks may overlap. SIGTERM
    and Ctrl-C finish the batch in hand; twice, they end what runs, too. Example: waitctl tick --time-budget 50s
    """
    if watch:
        _refuse_beside_watch(context)
    options = TickOptions(
        batch_size=batch_size,
        max_batches=max_batches,
        time_budget=parse_duration(time_budget, error=InvalidSettingError).elapsed,
        only=frozenset(Phase) if only is None else _phases(only),
        dry_run=dry_run,
        ignore_clock=ignore_clock,
    ).checked()
    failures = frozenset[FailOn]() if fail_on is None else _failures(fail_on)
    session = session_of(context)
    write_logs(log_format or session.settings().log_format, quiet=quiet, verbose=session.verbose)
    if not quiet:
        session.say_when_time_is_pretended()
    if watch:
        report = _watch(session, options, _interval(interval), output, quiet=quiet)
    else:
        report = _tick_once(session, options, as_of, output, quiet=quiet)
    raise typer.Exit(_exit_code(report, failures))


def _tick_once(session: Session, options: TickOptions, as_of: str | None, output: Output, *, quiet: bool) -> TickReport:
    database = session.database(as_of=None if as_of is None else parse_instant(as_of, "--as-of"))
    with database:
        interrupts = Interrupts(database.patience.hurry)
        run = Tick(database, session.settings(), options, interrupted=interrupts.is_set, urged=interrupts.is_urgent)
        with words_only(), _pinged(None if options.dry_run else session.settings().ping_url) as told:
            report = told(run.run())
        interrupts.over()
        if report.held and not quiet:
            _say_what_is_held(run)
    _say_what_is_missing(run)
    # cron mails what is printed
    if not quiet and not (output.is_for_people and report.did_nothing and not sys.stdout.isatty()):
        print_document(report.to_json(), output, human=lambda: _print_report(report))
    return report


def _failures(text: str) -> frozenset[FailOn]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(FailOn)]
    if unknown or not names:
        wrong = (unknown or [text])[0]
        hint = did_you_mean(wrong, FailOn) or f"of {', '.join(FailOn)}"
        raise InvalidSettingError(f"--fail-on: there is no {wrong!a}", hint=hint)
    return frozenset(map(FailOn, names))


def _exit_code(report: TickReport, failures: frozenset[FailOn]) -> ExitCode:
    seen = {FailOn.DEAD: report.dead, FailOn.HELD: report.held}
    return ExitCode.FAILURE if any(seen[each] for each in failures) else ExitCode.OK


@contextmanager
def _pinged(url: str | None) -> Iterator[Callable[[TickReport], TickReport]]:
    """Tell a dead man's switch that a run begins, and how it ends: what is yielded is told of the report."""
    if url is None:
        yield lambda report: report
        return
    from waitctl.infrastructure.pings import Pings

    words: list[str] = []

    def note(report: TickReport) -> TickReport:
        words.append(_done(report))
        return report

    pings = Pings(url)
    pings.start()
    try:
        yield note
    except BaseException as error:
        pings.failure(f"{type(error).__name__}: {redact(str(error))}")
        raise
    pings.success("".join(words))
    if pings.trouble is not None:
        _say_warning(pings.trouble)


def _say_what_is_missing(run: Tick) -> None:
    for name in sorted(run.unknown_calendars):
        message = f"the calendar {name} is not known on this host: only the windows of its waits were looked at"
        logs.say(logging.ERROR, "calendar_unknown", message, calendar=name)
    for name, reason in sorted(run.unready_handlers.items()):
        logs.say(logging.ERROR, "handler_unready", f"deliveries to {name} are held: {reason}", handler=name)


def _say_what_is_held(run: Tick) -> None:
    for name, reason in run.held_reasons().items():
        logs.say(logging.WARNING, "handler_held", f"deliveries to {name} are held: {reason}", handler=name)


def _refuse_beside_watch(context: typer.Context) -> None:
    """What says how far one run goes has no meaning for one that stays."""
    for name in ("max_batches", "time_budget", "dry_run", "as_of"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise typer.BadParameter(f"--{name.replace('_', '-')} is for a single run", param_hint="--watch")


def _interval(text: str) -> timedelta:
    return parse_duration(text, error=InvalidSettingError).elapsed


def _watch(session: Session, options: TickOptions, interval: timedelta, output: Output, *, quiet: bool) -> TickReport:
    from waitctl.application.processor.watch import Watch
    from waitctl.infrastructure.wakeup import Wakeup

    if session.settings().as_of is not None:
        raise InvalidSettingError("--watch goes by the real clock", hint="unset WAITCTL_AS_OF")
    with session.database() as database, Wakeup(database) as signal_:
        interrupts = Interrupts(database.patience.hurry, signal_.wake)
        resident = Watch(
            database, session.settings(), options, signal_, interrupted=interrupts.is_set, urged=interrupts.is_urgent
        )
        told = _Teller(session.settings().ping_url, quiet=quiet or not output.is_for_people)
        with words_only():
            report = resident.run(interval, beat=told.hear, say=_say_warning)
        interrupts.over()
    _say_what_is_missing(resident.tick)
    if not quiet:
        print_document(report.to_json(), output, human=lambda: _print_report(report))
    return report


def _say_warning(message: str) -> None:
    logs.say(logging.ERROR, "trouble", message)


class _Teller:
    """Says what a resident tick has done: a line when there is something new, at most one in five seconds.

    And tells a dead man's switch once a minute.
    """

    def __init__(self, ping_url: str | None, *, quiet: bool) -> None:
        self._quiet = quiet
        self._pings: Pings | None = None
        self._pinged_at = -_PING_EVERY
        if ping_url is not None:
            from waitctl.infrastructure.pings import Pings

            self._pings = Pings(ping_url)
        self._said: str | None = None
        self._said_at = -_EVERY

    def hear(self, report: TickReport) -> None:
        line = _done(report)
        if self._pings is not None and time.monotonic() - self._pinged_at >= _PING_EVERY:
            self._pinged_at = time.monotonic()
            self._pings.beat(line)
        if self._quiet or line in {self._said, ""} or time.monotonic() - self._said_at < _EVERY:
            return
        self._said, self._said_at = line, time.monotonic()
        logs.say(logging.INFO, "progress", line)


def _phases(text: str) -> frozenset[Phase]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in set(Phase)]
    if unknown:
        hint = did_you_mean(unknown[0], Phase) or f"of {', '.join(Phase)}"
        raise InvalidSettingError(f"--only: there is no phase {unknown[0]!a}", hint=hint)
    return frozenset(map(Phase, names))


def _print_report(report: TickReport) -> None:
    would = "would have " if report.ids is not None else ""
    stopped = report.stopped.replace("_", " ")
    if report.stopped is Stopped.IDLE and report.remaining_due:
        stopped = "nothing more for this run"  # --only leaves them, or another tick has them in hand
    nothing = "nothing to do" if report.stopped is Stopped.IDLE else "nothing done"
    write_line(f"{would}{_done(report) or nothing} ({stopped})")
    for what, ids in (report.ids or {}).items():
        for identifier in ids:
            write_line(f"  {what.replace('_', ' ')}  {identifier}")


def _done(report: TickReport) -> str:
    done = (
        ("correlated", report.correlated, "event", ""),
        ("resumed", report.resumed, "wait", ""),
        ("timed out", report.timed_out, "wait", ""),
        ("moved", report.moved, "wait", " to the next opening"),
        ("delivered", report.delivered, "", ""),
        ("to retry", report.retried, "", ""),
        ("dead", report.dead, "", ""),
        ("stale", report.stale, "", ""),
        ("held", report.held, "", ""),
        ("still due", report.remaining_due, "wait", ""),
        ("in quarantine", report.quarantined, "webhook", ""),
        ("pruned", report.pruned, "", ""),
    )
    return ", ".join(
        f"{what} {count(number, noun) if noun else f'{number:,}'}{rest}" for what, number, noun, rest in done if number
    )
