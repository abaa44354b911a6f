"""`waitctl contact`: the register of contacts, and forgetting them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from waitctl.application.contacts import ContactInput, ContactService
from waitctl.cli.output import (
    DocumentOption,
    ExitCode,
    Output,
    OutputOption,
    count,
    json_text,
    print_card,
    print_document,
    print_list,
    say,
    write_line,
)
from waitctl.cli.session import read_standard_input, read_text_argument, session_of
from waitctl.cli.tables import Column, id_column, print_table
from waitctl.domain.contacts import Contact
from waitctl.domain.errors import InvalidInputError, InvalidWaitConfigurationError
from waitctl.domain.instants import format_instant
from waitctl.domain.text import JsonObject, parse_json_object

app = typer.Typer(help="Keep the zones of contacts, and forget them.", no_args_is_help=True, add_completion=False)

ContactArgument = Annotated[str, typer.Argument(metavar="CONTACT", help="The contact, as waits and events name it.")]


@app.command("set")
def set_(
    context: typer.Context,
    contact: ContactArgument,
    tz: Annotated[str | None, typer.Option("--tz", metavar="ZONE", help="Its IANA time zone.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="JSON|@FILE|-", help="What else to keep of it.")] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Write a contact into the register.

    What is not given stays as it was. Example: waitctl contact set ada@example.org --tz Europe/Berlin
    """
    if tz is None and data is None:
        raise typer.BadParameter("name a --tz or --data", param_hint="--tz")
    text = None if data is None else read_text_argument(data, "the data", InvalidWaitConfigurationError)
    given = ContactInput(contact, tz, None if text is None else parse_json_object(text, "the data"))
    session = session_of(context)
    with session.database(create=True) as database:
        found, affected = ContactService(database, actor=session.actor).set_contact(given)
    print_document(
        _document(found) | {"open_by_zone": affected},
        output,
        human=lambda: write_line(f"{found.contact_id}  {found.timezone or 'no zone'}"),
    )
    if affected and output is Output.HUMAN:
        go = "wait goes" if affected == 1 else "waits go"
        say(f"note: {affected} open {go} by this zone; waitctl replan --contact {found.contact_id} shows where to")


@app.command("show")
def show(context: typer.Context, contact: ContactArgument, output: DocumentOption = Output.HUMAN) -> None:
    """Show a contact, and how much is held of it.

    Example: waitctl contact show ada@example.org
    """
    with session_of(context).database() as database:
        found, held = ContactService(database).get_contact(contact)
    blank: JsonObject = {"contact": contact, "timezone": None, "data": None, "created_at": None, "updated_at": None}
    document = (blank if found is None else _document(found)) | {"held": dict(held)}

    def human() -> None:
        kept = () if found is None else (("zone", found.timezone), ("data", json_text(found.data)))
        print_card(document["contact"], (*kept, *held.items()))

    print_document(document, output, human=human)


@app.command("list")
def list_(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most so many; 0 is all.")] = 0,
    after: Annotated[str | None, typer.Option("--after", metavar="CONTACT", help="Only those beyond this one.")] = None,
    output: OutputOption = Output.HUMAN,
) -> None:
    """List the contacts of the register.

    Example: waitctl contact list --limit 20
    """
    with session_of(context).database() as database:
        found = ContactService(database).list_contacts(limit=limit, after=after)

    def human(_: object) -> None:
        if not found:
            say("no contacts")
            return
        rows = ((each.contact_id, each.timezone, format_instant(each.updated_at)) for each in found)
        print_table((id_column("CONTACT"), Column("ZONE", 2), Column("UPDATED", 1, whole=True)), rows)

    print_list(
        [_document(each) for each in found],
        output,
        whole=lambda rows: {"contacts": rows},
        human=human,
        id_key="contact",
    )


@app.command("remove")
def remove(context: typer.Context, contact: ContactArgument, output: DocumentOption = Output.HUMAN) -> None:
    """Take a contact out of the register; its waits and events stay.

    Example: waitctl contact remove ada@example.org
    """
    session = session_of(context)
    with session.database() as database:
        ContactService(database, actor=session.actor).remove_contact(contact)
    print_document({"contact": contact, "removed": True}, output, human=lambda: write_line(f"{contact}  removed"))


@app.command("import")
def import_(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="NDJSON or CSV: contact, timezone, data.")],
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Write the contacts of a file into the register.

    A bad line is named, and the rest goes in. Example: waitctl contact import contacts.csv
    """
    text = _read(file)
    session = session_of(context)

    def rejected(number: int, error: InvalidInputError) -> None:
        say(f"line {number}: {error.message}")

    with session.database(create=True) as database:
        service = ContactService(database, actor=session.actor)
        done = service.import_contacts(_rows(text, is_csv=file.lower().endswith(".csv")), rejected)
    print_document(
        done.to_json(), output, human=lambda: write_line(f"{done.written} written, {done.rejected} rejected")
    )
    raise typer.Exit(ExitCode.FAILURE if done.rejected else ExitCode.OK)


@app.command("forget")
def forget(
    context: typer.Context,
    contact: ContactArgument,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; count what there is.")] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Remove or blank all that is held of a contact; its open waits are cancelled.

    The audit stays, without the person; there is no way back. Example: waitctl contact forget ada@example.org
    """
    session = session_of(context)
    with session.database() as database:
        done = ContactService(database, actor=session.actor).forget_contact(contact, dry_run=dry_run)
    document = {"contact": contact, "forgotten": not dry_run, "rows": dict(done)}
    counts = ", ".join(count(number, *_KINDS.get(name, (name, name))) for name, number in done.items() if number)
    verb = "would be forgotten" if dry_run else "forgotten"
    print_document(document, output, human=lambda: write_line(f"{contact}  {verb}: {counts or 'no rows'}"))


_KINDS = {
    "waits": ("wait",),
    "open": ("of them open", "of them open"),
    "listeners": ("listener",),
    "events": ("event",),
    "recurrences": ("recurrence",),
    "deliveries": ("delivery", "deliveries"),
    "audit": ("line of audit", "lines of audit"),
    "quarantined": ("quarantined payload",),
    "tombstones": ("tombstone",),
    "contacts": ("entry of the register", "entries of the register"),
}
"""What is counted, in words."""


def _document(contact: Contact) -> JsonObject:
    return {
        "contact": contact.contact_id,
        "timezone": contact.timezone,
        "data": contact.data,
        "created_at": format_instant(contact.created_at),
        "updated_at": format_instant(contact.updated_at),
    }


def _read(file: str) -> str:
    if file == "-":
        return read_standard_input("the contacts", InvalidWaitConfigurationError)
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as cause:
        reason = cause.strerror if isinstance(cause, OSError) else "it is not UTF-8"
        raise InvalidWaitConfigurationError(f"cannot read the contacts from {file}: {reason}") from cause


def _rows(text: str, *, is_csv: bool) -> Iterator[tuple[int, ContactInput | InvalidInputError]]:
    if is_csv:
        reader = csv.DictReader(io.StringIO(text))
        for row in reader:
            yield reader.line_num, _made(lambda row=row: row)
        return
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, _made(lambda line=line: parse_json_object(line, "the line"))


def _made(read: Any) -> ContactInput | InvalidInputError:
    try:
        row = read()
        unknown = set(row) - {"contact", "timezone", "data"}
        if unknown or not isinstance(row.get("contact"), str):
            what = f"unknown key {min(map(str, unknown))!a}" if unknown else "no contact"
            return InvalidWaitConfigurationError(what, hint="contact, timezone, data")
        zone, data = row.get("timezone") or None, row.get("data") or None
        if zone is not None and not isinstance(zone, str):
            return InvalidWaitConfigurationError("the timezone is no text")
        return ContactInput(
            row["contact"], zone, parse_json_object(data, "the data") if isinstance(data, str) else data
        )
    except InvalidInputError as error:
        return error
