"""`waitctl template`: waits that are asked for by name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from typing import Annotated

import typer

from waitctl.application.documents import wait_document
from waitctl.application.operations.templates import Example, Saved, TemplateService, recurs
from waitctl.application.waits.command_lines import command_line
from waitctl.application.waits.forms import COMMON
from waitctl.application.waits.recurring import RecurrenceResult, recurrence_document
from waitctl.application.waits.results import WaitCreateResult
from waitctl.cli.create import print_created
from waitctl.cli.create_options import Common, common_options, delivery_key
from waitctl.cli.output import (
    DocumentOption,
    Output,
    OutputOption,
    count,
    print_card,
    print_document,
    print_explanation,
    print_list,
    say,
    write_line,
)
from waitctl.cli.recurring import print_recurrence
from waitctl.cli.session import Session, read_text_argument, read_text_option, session_of
from waitctl.cli.tables import Column, print_table
from waitctl.domain.errors import InvalidTemplateError, InvalidWaitConfigurationError
from waitctl.domain.instants import show
from waitctl.domain.templates import Placeholder, Template, parse_values
from waitctl.domain.text import JsonObject, parse_json_object
from waitctl.infrastructure.database import Database

app = typer.Typer(help="Save waits under a name, and create them by it.", no_args_is_help=True, add_completion=False)

TemplateArgument = Annotated[
    str, typer.Argument(metavar="TEMPLATE", help="Its name; with @2 its second version, else the newest.")
]


def _service(session: Session, database: Database) -> TemplateService:
    return TemplateService(database, actor=session.actor, settings=session.settings())


@app.command("save")
def save(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="What it is called.")],
    words: Annotated[
        list[str] | None, typer.Argument(metavar="-- create FORM …", help="A command of create, with placeholders.")
    ] = None,
    example: Annotated[
        list[str] | None,
        typer.Option("--example", metavar="NAME=VALUE", help="A value to check and to show it with (repeatable)."),
    ] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Save a template, or its next version.

    {days:int} stands for what is given when it is used: str, int, number, duration, time, date, zone; {days:int=3} has
    a default. It is tried with examples first. Open waits that are late-bound to it follow.
    Example: waitctl template save reminder -- create fixed-time '{days:int}d' --at '{at:time=09:00}' --handler nudge
    """
    session = session_of(context)
    if session.inline_command is not None:
        raise InvalidTemplateError("a template cannot be called create")
    examples = parse_values(example or (), "--example")
    with session.database(create=True) as database:
        saved = _service(session, database).save(name, _with_its_context(words or []), examples)
    template = saved.template
    if saved.shadowed:
        say(f"warning: this host's config has a template {template.name}, which goes before it")
    for wait_id, reason in saved.edits.kept:
        say(f"{wait_id} stays as it is: {reason}", always=True)
    document = {**template.to_json(), "created": saved.created, "late_bound": saved.edits.to_json()}
    print_document(document, output, human=lambda: write_line(_saved(saved)))


def _with_its_context(words: list[str]) -> list[str]:
    """The command with the text of its context, which may stand in a file."""
    if "--context" not in words[:-1]:
        return words
    at = words.index("--context") + 1
    text = read_text_argument(words[at], "the context", InvalidWaitConfigurationError)
    return [*words[:at], text, *words[at + 1 :]]


def _saved(saved: Saved) -> str:
    said = f"{saved.template.reference}  {'saved' if saved.created else 'says this already'}"
    edits = saved.edits
    if edits.bound:
        said += f", {edits.changed} of {count(edits.bound, 'open wait')} changed, {edits.moved} moved"
    return said


@app.command("list")
def list_(context: typer.Context, output: OutputOption = Output.HUMAN) -> None:
    """List templates, of the database and of this host's config.

    Example: waitctl template list
    """
    session = session_of(context)
    with session.database() as database:
        found = _service(session, database).list_templates()
    here = {each.name for each in found if each.version is None}

    def human(_: object) -> None:
        if not found:
            say("no templates")
            return
        columns = (
            *(Column("NAME", 7, whole=True), Column("VERSION", 3, whole=True), Column("TYPE", 4, whole=True)),
            *(Column("PLACEHOLDERS", 5), Column("FROM", 2)),
        )
        print_table(columns, (_row(each, here) for each in found))

    documents = [each.to_json() for each in found]
    print_list(documents, output, whole=lambda rows: {"templates": rows}, human=human, id_key="name")


def _row(each: Template, here: set[str]) -> tuple[object, ...]:
    origin = "config" if each.version is None else "database, behind the config's" if each.name in here else "database"
    placeholders = ", ".join(map(_placeholder, each.placeholders.values()))
    return each.name, each.version or "-", each.fields.get("type"), placeholders, origin


def _placeholder(each: Placeholder) -> str:
    return f"{each.name}:{each.kind}" + ("" if each.default is None else f"={each.default}")


@app.command("show")
def show_(
    context: typer.Context,
    template: TemplateArgument,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Show it with this value (repeatable).")
    ] = None,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Show a template, and what it would create, with examples for its placeholders.

    Example: waitctl template show reminder --set days=7
    """
    session = session_of(context)
    given = parse_values(values or (), "--set")
    with session.database() as database:
        service = _service(session, database)
        found = service.get(template)
        versions = service.versions(found.name)
        example = service.example(found, given)
    numbers = [each.version for each in versions]
    document = {**found.to_json(), "versions": numbers, "example": _example_document(example)}

    def human() -> None:
        zone = session.settings().timezone
        print_card(
            str(found.reference),
            (
                ("create", command_line(found.fields)),
                ("placeholders", ", ".join(map(_placeholder, found.placeholders.values()))),
                ("from", "config" if found.version is None else "database"),
                ("versions", ", ".join(map(str, numbers))),
                ("saved", None if found.saved_at is None else show(found.saved_at, zone)),
                ("by", found.actor),
            ),
        )
        said = ", ".join(f"{name}={text}" for name, text in example.values.items())
        write_line(f"example: {said}" if said else "example:")
        write_line(f"  {command_line(example.fields)}")
        match example.result:
            case None:
                say(f"it would not create a wait: {example.error}", always=True)
            case RecurrenceResult():
                for line in example.explanation:
                    write_line(line)
            case _:
                print_explanation(example.result.wait, example.explanation)

    print_document(document, output, human=human)


def _example_document(example: Example) -> JsonObject:
    result = example.result
    return {
        "values": dict(example.values),
        "create": example.fields,
        "wait": wait_document(result.wait) if isinstance(result, WaitCreateResult) else None,
        "recurrence": recurrence_document(result.recurrence) if isinstance(result, RecurrenceResult) else None,
        "explanation": list(example.explanation),
        "error": None if example.error is None else example.error.message,
    }


@app.command("use")
@common_options
def use(
    *,
    context_: typer.Context,
    template: TemplateArgument,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="What stands in a placeholder's place.")
    ] = None,
    late_bound: Annotated[
        bool, typer.Option("--late-bound", help="While it is open, it follows what the template says.")
    ] = False,
    common: Common,
) -> None:
    """Create the wait that a template asks for.

    Options of create go before what the template says. Example: waitctl template use reminder --set days=3 -e order-17
    """
    session = session_of(context_)
    session.say_when_time_is_pretended()
    given = _given(context_, common)
    in_config = template in session.settings().templates
    with session.database(create=in_config) as database:
        service, filled = _service(session, database), parse_values(values or (), "--set")
        found = service.get(template)
        if recurs(found):
            _recur(service, found, filled, given, late_bound=late_bound, common=common)
            return
        result = service.create_wait(
            template,
            filled,
            given=given,
            late_bound=late_bound,
            traceparent=os.environ.get("TRACEPARENT"),
            dry_run=common.dry_run,
        )
        if not common.dry_run:
            session.say_when_nothing_ticks(database)
    print_created(result, common, session)


def _recur(
    service: TemplateService,
    found: Template,
    values: Mapping[str, str],
    given: JsonObject,
    *,
    late_bound: bool,
    common: Common,
) -> None:
    """Create a wait that comes again; inside a handler, too, it goes by its execution and step."""
    if late_bound:
        raise InvalidTemplateError(
            f"{found.reference} is of a wait that comes again: that keeps its rule, and is not late-bound",
            hint="use the template again with --replace",
        )
    if common.key is None:
        given.pop("key", None)
    result = service.create_recurrence(str(found.reference), values, given=given, dry_run=common.dry_run)
    print_recurrence(result, common.output, dry_run=common.dry_run)


def _given(context: typer.Context, common: Common) -> JsonObject:
    """The options of `create` that were given, by their long names."""
    found: JsonObject = {}
    for parameter, value in vars(common).items():
        name, source = parameter.rstrip("_").replace("_", "-"), context.get_parameter_source(parameter)
        if name in COMMON and source is not None and source.name == "COMMANDLINE":
            found[name] = value.value if isinstance(value, Enum) else value
    found.pop("context", None)
    delivery = os.environ.get("WAITCTL_DELIVERY_ID")
    if common.key is None and delivery:
        found["key"] = delivery_key(delivery, common.step)
    text = read_text_option("context", common.context, common.context_raw, "the context", InvalidWaitConfigurationError)
    return found if text is None else found | {"context": parse_json_object(text, "the context")}


@app.command("remove")
def remove(context: typer.Context, template: TemplateArgument, output: DocumentOption = Output.HUMAN) -> None:
    """Remove a template with all its versions, or one version. Waits stay as they are.

    Example: waitctl template remove reminder@1
    """
    session = session_of(context)
    with session.database() as database:
        removed = _service(session, database).remove(template)
    said = ", ".join(map(str, removed))
    document = {"name": template.partition("@")[0], "removed": removed}
    print_document(document, output, human=lambda: write_line(f"{document['name']}  removed: version {said}"))
