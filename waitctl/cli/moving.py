"""`waitctl export` and `waitctl import`: move a database, or some of its waits, to another."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, cast

import typer

from waitctl.application.inline_commands import InlineCommands
from waitctl.application.operations.moving import Export, Import, Imported, Moving, read_export_lines
from waitctl.cli.filters import Filters, takes_filters
from waitctl.cli.output import DocumentOption, Output, count, print_document, say, write_line
from waitctl.cli.session import session_of
from waitctl.cli.stopping import ended_by_sigterm
from waitctl.cli.streams import open_input, progress
from waitctl.domain.errors import InvalidExportError
from waitctl.domain.instants import format_instant
from waitctl.infrastructure.file_trust import check_files
from waitctl.infrastructure.new_files import new_file

app = typer.Typer(add_completion=False)

FileArgument = Annotated[
    str, typer.Argument(metavar="FILE", help="FILE.ndjson, FILE.ndjson.gz, or - for standard input and output.")
]


@app.command("export")
@takes_filters
def export(
    *, context: typer.Context, file: FileArgument, filters: Filters, output: DocumentOption = Output.HUMAN
) -> None:
    """Write all there is, or some waits and what belongs to them, to a file that import reads.

    The file is one moment of the database, whatever ticks meanwhile. Example: waitctl export waits.ndjson.gz
    """
    session = session_of(context)
    with session.database() as database, _new(file) as stream, progress(None, output) as show:
        done = Export(database, filters.wanted).write(stream, lambda rows: show(count(rows, "row"), rows))
    if file == "-":
        say(_words(done))
    else:
        print_document({"file": file, **done.to_json()}, output, human=lambda: write_line(f"{file}: {_words(done)}"))


@app.command("import")
def import_(
    context: typer.Context,
    file: FileArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try all of it; write nothing.")] = False,
    sign_inline: Annotated[
        bool, typer.Option("--sign-inline", help="Sign the commands that waits bring along: they run as yours.")
    ] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Read what export has written into an empty database: all of it, or nothing.

    Between SQLite and PostgreSQL in every direction. Example: waitctl --database-url postgresql://waitctl@db/waitctl
    import waits.ndjson.gz
    """
    session = session_of(context)
    if sign_inline and file != "-":
        check_files(Path(file), "an export with commands to sign")
    with session.database_to_try(dry_run=dry_run) as database, open_input(file, InvalidExportError) as stream:
        inline = InlineCommands(session.settings(), database)
        with progress(stream, output) as show, _plain(file, stream) as lines:
            done = Import(database, inline, sign=sign_inline).read(
                read_export_lines(lines), lambda number: show(count(number, "line"), number), dry_run=dry_run
            )
    print_document(done.to_json(), output, human=lambda: write_line(f"{_words(done)}; counts and what is due agree"))
    _say_what_is_held(done)
    if dry_run and output.is_for_people:
        say("nothing was written")


def _say_what_is_held(done: Imported) -> None:
    if done.held:
        say(
            f"note: {count(done.held, 'inline command')} not made by this user: ticks hold them; "
            "import --sign-inline takes them over"
        )


_NOUNS = {
    "listener_matches": ("counted event",),
    "deliveries": ("delivery", "deliveries"),
    "outputs": ("output of a handler", "outputs of handlers"),
    "quarantine": ("payload in quarantine", "payloads in quarantine"),
    "rollups": ("total",),
    "upkeep": ("mark of upkeep", "marks of upkeep"),
}
"""What the rows of tables are to people, where the table's name does not say it."""


def _words(done: Moving) -> str:
    moved = ", ".join(
        count(number, *_NOUNS.get(name, (name[:-1].replace("_", " "),)))
        for name, number in done.counts.items()
        if number
    )
    due = done.due_next
    following = "nothing is due" if due.next_at is None else f"{due.count:,} due, first {format_instant(due.next_at)}"
    return f"{moved or 'nothing'}; {following}"


def _is_compressed(file: str) -> bool:
    return file.endswith(".gz")


@contextmanager
def _new(file: str) -> Iterator[BinaryIO]:
    """A file of this user's alone that is there whole or not at all. Raises `InvalidExportError` when one is there."""
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    try:
        if path.exists() or path.is_symlink():
            raise FileExistsError
        with (
            ended_by_sigterm(),
            new_file(path) as (_, descriptor),
            os.fdopen(os.dup(descriptor), "wb") as raw,
            _compressed(raw) if _is_compressed(file) else raw as stream,
        ):
            yield stream
    except FileExistsError:
        raise InvalidExportError(f"{file} is there already", hint="nothing is replaced: name another file") from None


def _compressed(raw: BinaryIO) -> BinaryIO:
    """Without a name and a time, so that the same rows are the same bytes."""
    return cast("BinaryIO", gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6))


@contextmanager
def _plain(file: str, stream: BinaryIO) -> Iterator[BinaryIO]:
    if _is_compressed(file):
        with gzip.open(stream) as plain:
            yield cast("BinaryIO", plain)
    else:
        with os.fdopen(os.dup(stream.fileno()), "rb") as plain_:
            yield plain_
