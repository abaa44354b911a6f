"""`waitctl config`: which settings hold and why, and what is wrong with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waitctl.cli.output import DocumentOption, ExitCode, Output, count, print_document, say, write_line
from waitctl.cli.session import session_of

if TYPE_CHECKING:
    from waitctl.infrastructure.config_report import ConfigReport, Problem

app = typer.Typer(
    help="Show the settings that hold, and check the config file.", no_args_is_help=True, add_completion=False
)


@app.command("show")
def show(
    context: typer.Context,
    origin: Annotated[
        bool, typer.Option("--origin", help="Where each comes from: a flag, a variable, a line, or a default.")
    ] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Show the settings that hold here: flags over environment over file over defaults.

    Secrets are never shown. Example: waitctl config show --origin
    """
    report = _report(context)
    document: dict[str, Any] = {
        "config_file": None if report.file is None else str(report.file),
        "settings": {setting.key: setting.value for setting in report.settings},
    }
    if origin:
        document["origins"] = {setting.key: setting.origin for setting in report.settings}

    def human() -> None:
        widest = max(len(setting.key) for setting in report.settings)
        for setting in report.settings:
            line = f"{setting.key:{widest}} = {_as_toml(setting.value)}"
            write_line(f"{line}  # {setting.origin}" if origin else line)
        if report.file is None:
            say("there is no config file; waitctl init makes one")

    print_document(document, output, human=human)
    if report.problems:
        say(f"waitctl config check says what is wrong with {count(len(report.problems), 'thing')}")


@app.command("check")
def check(context: typer.Context, output: DocumentOption = Output.HUMAN) -> None:
    """Say everything that is wrong with the settings, each with its line and an example of what is right.

    Looks also at the programs and files that the config names, and at who may write to them. Exit status 2 when
    something is wrong. Example: waitctl config check
    """
    report = _report(context)
    file = "" if report.file is None else str(report.file)
    document = {
        "config_file": file or None,
        "problems": [
            {"key": each.key or None, "line": each.line, "problem": each.message, "example": each.example}
            for each in report.problems
        ],
    }

    def human() -> None:
        for problem in report.problems:
            write_line(_line(file, problem))
            if problem.example:
                write_line(f"  right: {problem.example}")
        if not report.problems:
            write_line(f"{file or 'no config file'}: nothing is wrong")

    print_document(document, output, human=human)
    if report.problems:
        say(f"{count(len(report.problems), 'thing')} to mend")
        raise typer.Exit(ExitCode.USAGE)


def _report(context: typer.Context) -> ConfigReport:
    from waitctl.application.operations.templates import fault_of
    from waitctl.infrastructure.config_report import report_config

    session = session_of(context)
    return report_config(database_url=session.database_url, config=session.config, fault_of_template=fault_of)


def _line(file: str, problem: Problem) -> str:
    of_file = not problem.key.startswith("WAITCTL_")
    place = f"{file}:{problem.line}" if problem.line else file if of_file else ""
    return ": ".join(filter(None, (place, problem.key, problem.message)))


def _as_toml(value: object) -> str:
    return "-" if value is None else json.dumps(value, ensure_ascii=False)
