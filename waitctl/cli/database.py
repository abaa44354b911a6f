"""`waitctl db`: migrate the database and look at its schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waitctl.cli.output import DocumentOption, Output, print_document, write_line
from waitctl.cli.session import session_of
from waitctl.domain.errors import InvalidSettingError, SchemaVersionError

app = typer.Typer(help="Migrate the database and look at its schema.", no_args_is_help=True, add_completion=False)


@app.command("upgrade")
def upgrade(
    context: typer.Context,
    revision: Annotated[str, typer.Argument(metavar="[REV]", help="The migration to go up to.")] = "head",
) -> None:
    """Migrate the database; an SQLite file is made when it is missing, and copied beside itself first when it is not.

    Example: waitctl --database-url postgresql://waitctl@db/waitctl db upgrade
    """
    with session_of(context).database(create=True) as database:
        database.upgrade(revision)
        write_line(f"{database.name} is at {database.current_revision()}")


@app.command("current")
def current(context: typer.Context, output: DocumentOption = Output.HUMAN) -> None:
    """Show which migration the database is at, and which one this waitctl needs.

    Example: waitctl db current -o json
    """
    from waitctl.infrastructure.schema_version import HEAD

    with session_of(context).database() as database:
        at = database.current_revision()
    print_document(
        {"database": database.name, "revision": at, "head": HEAD},
        output,
        human=lambda: write_line(f"{database.name} is at {at or 'no migration'}, head is {HEAD}"),
    )


@app.command("check")
def check(context: typer.Context) -> None:
    """Exit with 5 unless the database is at the migration that this waitctl needs, and an SQLite file whole.

    Example: waitctl db check || waitctl db upgrade
    """
    from waitctl.infrastructure.schema_version import HEAD

    with session_of(context).database() as database:
        at = database.current_revision()
        if at != HEAD:
            raise SchemaVersionError(
                f"{database.name} is at {at or 'no migration'}: this waitctl needs {HEAD}",
                hint="run: waitctl db upgrade",
            )
        database.check_pages()
        write_line(f"{database.name} is at head ({HEAD})")


@app.command("backup")
def backup(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; an older one is replaced.")],
) -> None:
    """Copy an SQLite database as it is at one moment, whatever runs meanwhile.

    Example: waitctl db backup waits-$(date +%F).db
    """
    from waitctl.cli.stopping import ended_by_sigterm

    if str(file) == "-":
        raise InvalidSettingError("a copy is a file, and goes to no standard output", hint="./- is a file of that name")
    with session_of(context).database() as database, ended_by_sigterm():
        database.back_up(file)
    write_line(str(file))


@app.command("sql")
def sql(context: typer.Context) -> None:
    """Print the DDL of the whole schema, without connecting, for a database administrator to run.

    Example: waitctl --database-url postgresql:// db sql
    """
    from waitctl.infrastructure.migrations import script

    with session_of(context).database() as database:
        write_line(script(database.url.render_as_string(hide_password=False)).rstrip())
