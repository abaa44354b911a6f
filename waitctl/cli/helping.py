"""`waitctl help`: what does not belong to one command alone. The docs and the man page have the same texts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from waitctl.cli.output import console, write_line

app = typer.Typer(add_completion=False)

TOPICS = ("time", "forms", "events", "handlers", "exit-codes", "environment", "config", "formats")


def read_topic(name: str) -> str:
    """The text of a topic as Markdown. Its first line is ``# NAME: WHAT IT SAYS``."""
    return (Path(__file__).parent / "topics" / f"{name}.md").read_text(encoding="utf-8")


@app.command("help")
def help_(
    context: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[TOPIC|COMMAND…]", help=f"One of {', '.join(TOPICS)}, or a command.")
    ] = None,
) -> None:
    """Explain a topic, or a command.

    Left out, the topics are listed. Example: waitctl help time
    """
    from waitctl.cli.app import COMMANDS, run

    if not words:
        _list_topics()
    elif words[0] in TOPICS and len(words) == 1:
        _print_markdown(read_topic(words[0]))
    elif words[0] in COMMANDS:
        raise typer.Exit(run([*words, "--help"]))
    else:
        from difflib import get_close_matches  # only on the way out

        near = get_close_matches(words[0], [*TOPICS, *COMMANDS], n=1)
        hint = f"did you mean {near[0]}?" if near else f"topics are {', '.join(TOPICS)}"
        raise typer.BadParameter(f"there is no help about {' '.join(words)!a}: {hint}", param_hint="TOPIC")


def _list_topics() -> None:
    for name in TOPICS:
        write_line(read_topic(name).partition("\n")[0].removeprefix("# ").replace(":", " " * (14 - len(name)), 1))
    write_line("")
    write_line("waitctl help TOPIC explains one, waitctl --help lists the commands, man waitctl has all of it.")


def _print_markdown(text: str) -> None:
    """Drawn on a terminal; piped, as it is, for what reads Markdown."""
    if not sys.stdout.isatty():
        write_line(text.rstrip())
        return
    from rich.markdown import Markdown

    console().print(Markdown(text))
