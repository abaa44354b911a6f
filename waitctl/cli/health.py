"""`waitctl doctor` and `waitctl check`: what is wrong, for people and for monitoring."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.cli.output import DocumentOption, ExitCode, Output, print_list, write_line
from waitctl.cli.session import Session, session_of
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidSettingError, WaitStepError
from waitctl.domain.health import Finding, State
from waitctl.domain.values import replace

if TYPE_CHECKING:
    from waitctl.application.operations.checking import Status

app = typer.Typer(add_completion=False)

_STYLES = {State.OK: "green", State.WARN: "yellow", State.FAIL: "red", State.UNKNOWN: "dim"}


@app.command("doctor")
def doctor(context: typer.Context, output: DocumentOption = Output.HUMAN) -> None:
    """Look for what is wrong, and say what to do about it.

    Exits with 1 when a check fails. Example: waitctl doctor -o json
    """
    from waitctl.application.operations.doctor import examine

    session = session_of(context)
    found = examine(session.settings, lambda _: session.database())
    print_list(
        [asdict(finding) for finding in found],
        output,
        whole=lambda rows: rows,
        human=lambda _: _print_findings(found),
    )
    raise typer.Exit(ExitCode.FAILURE if any(each.state is State.FAIL for each in found) else ExitCode.OK)


def _print_findings(found: list[Finding]) -> None:
    from rich.text import Text

    from waitctl.cli.output import clean, console

    wide = max(len(finding.check) for finding in found)
    for finding in found:
        line = Text(f"{finding.state:<8}", style=_STYLES[finding.state])
        line.append(f"{finding.check:<{wide}}  ", style="bold").append(clean(finding.detail), style="default")
        console().print(line)
        if finding.remedy is not None and finding.state is not State.OK:
            console().print(Text(f"{'':<{wide + 10}}→ {clean(finding.remedy)}", style="dim"))


@app.command("check")
def check(
    context: typer.Context,
    max_overdue: Annotated[
        str, typer.Option("--max-overdue", metavar="DURATION", help="How long a wait may be overdue.")
    ] = "5m",
    max_tick_age: Annotated[
        str, typer.Option("--max-tick-age", metavar="DURATION", help="How long ago the last tick may be.")
    ] = "3m",
    max_dead: Annotated[int, typer.Option("--max-dead", metavar="N", min=0, help="Dead deliveries.")] = 0,
    max_held: Annotated[int | None, typer.Option("--max-held", metavar="N", min=0, help="Held deliveries.")] = None,
    max_quarantined: Annotated[
        int | None, typer.Option("--max-quarantined", metavar="N", min=0, help="Webhooks in quarantine.")
    ] = None,
) -> None:
    """Say in one line whether waits are served, as a Nagios plugin does.

    Exits with 0 when all is well, 1 for a warning, 2 when waits are not served, 3 when that cannot be told. Example:
    waitctl check --max-overdue 5m --max-tick-age 3m
    """
    status = _check(session_of(context), max_overdue, max_tick_age, max_dead, max_held, max_quarantined)
    write_line(status.line)
    raise typer.Exit(status.severity)


def _check(
    session: Session,
    max_overdue: str,
    max_tick_age: str,
    max_dead: int,
    max_held: int | None,
    max_quarantined: int | None,
) -> Status:
    from waitctl.application.operations.checking import Limits, check, trouble
    from waitctl.infrastructure.redaction import redact

    try:
        overdue, tick_age = (
            parse_duration(text, error=InvalidSettingError).elapsed for text in (max_overdue, max_tick_age)
        )
        with session.database() as database:
            return check(session.settings(), database, Limits(overdue, tick_age, max_dead, max_held, max_quarantined))
    except WaitStepError as error:
        status = trouble(error)
        return replace(status, words=redact(status.words))
