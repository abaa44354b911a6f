"""`waitctl init`: a config file, and what makes it tick."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.cli.output import DocumentOption, Output, print_document, say, write_line
from waitctl.cli.session import session_of

if TYPE_CHECKING:
    from pathlib import Path

    from waitctl.application.setup import Setup

app = typer.Typer(add_completion=False)


@app.command("init")
def init(
    context: typer.Context,
    cron: Annotated[bool, typer.Option("--cron", help="Run a tick every minute by this user's crontab.")] = False,
    systemd: Annotated[bool, typer.Option("--systemd", help="Run a tick every minute by units of systemd.")] = False,
    only_print: Annotated[
        bool, typer.Option("--print", help="Print what would be written, and write nothing.")
    ] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Make a config file, and let cron or systemd tick with it.

    What is there already stays as it is. Shell and ticks get one database, which is named. Example: waitctl init --cron
    """
    from waitctl.application.setup import find_setup

    if cron and systemd:
        raise typer.BadParameter("one of --cron and --systemd: either ticks", param_hint="--cron")
    session = session_of(context)
    setup = find_setup(database_url=session.database_url, config=session.config)
    if only_print:
        _print(setup, cron=cron, systemd=systemd)
        return
    _make(setup, cron=cron, systemd=systemd, output=output)


def _print(setup: Setup, *, cron: bool, systemd: bool) -> None:
    """What can be piped to where it belongs; the words are beside it."""
    from waitctl.application.setup import units_folder

    if cron:
        write_line(setup.crontab_line)
    elif systemd:
        write_line("\n".join(f"# {units_folder() / name}\n{text}" for name, text in setup.units.items()).rstrip())
    else:
        write_line(setup.config_text.rstrip())
    say(f"config    {setup.config_file}")
    say(f"database  {_shown_url(setup)}")


def _make(setup: Setup, *, cron: bool, systemd: bool, output: Output) -> None:
    from waitctl.application.setup import add_to_crontab, require_crontab, units_folder, write_new

    if cron:
        require_crontab()  # before anything is made
    made: list[str] = []
    kept: list[str] = []

    def write(path: Path, text: str) -> None:
        (made if write_new(path, text) else kept).append(str(path))

    units = {units_folder() / name: text for name, text in setup.units.items()} if systemd else {}
    line = setup.crontab_line if cron else None
    if setup.config_file.exists():
        kept.append(str(setup.config_file))
    else:
        write(setup.config_file, setup.config_text)
    for path, text in units.items():
        write(path, text)
    ticking = add_to_crontab(setup) if cron else None
    if cron:
        (made if ticking is None else kept).append("crontab")
    document = {
        "database_url": _shown_url(setup),
        "config_file": str(setup.config_file),
        "crontab": line,
        "made": made,
        "kept": kept,
    }
    print_document(document, output, human=lambda: _tell(setup, made, kept, line))
    if ticking is not None and ticking != line:
        say(f"note: the crontab ticks by another line, which stays: {ticking}")
        say(f"where that is on another database, crontab -e takes this one, too: {line}")
    if units and output is Output.HUMAN:
        for words in _how_to_start():
            say(words)


def _tell(setup: Setup, made: list[str], kept: list[str], line: str | None) -> None:
    from waitctl.application.setup import examples_folder

    for path in made:
        write_line(f"made      {path}")
    for path in kept:
        write_line(f"kept      {path}  (it was there already)")
    yet = "  (the first wait, event or event type makes it)" if setup.is_missing else ""
    write_line(f"database  {_shown_url(setup)}{yet}")
    if line and "crontab" in made:
        write_line(f"every minute: {line.removeprefix('* * * * * ')}")
    if (folder := examples_folder()) is not None:
        write_line(f"examples  {folder / 'examples'}")


def _how_to_start() -> tuple[str, str]:
    if os.geteuid() == 0:
        return (
            "start it: systemctl daemon-reload && systemctl enable --now waitctl-tick.timer",
            "handlers run as root by it; systemd/ beside the examples has units for a user of their own",
        )
    return (
        "start it: systemctl --user daemon-reload && systemctl --user enable --now waitctl-tick.timer",
        "loginctl enable-linger keeps it running while you are logged out",
    )


def _shown_url(setup: Setup) -> str:
    from waitctl.infrastructure.redaction import redact

    return redact(setup.database_url)
