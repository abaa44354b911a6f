"""`waitctl create`: the four ways to wait."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Annotated

import typer

from waitctl.application.documents import wait_document
from waitctl.application.waits.creating import WaitCreator
from waitctl.application.waits.forms import Options, how_of, rules_of, wait_request
from waitctl.application.waits.results import WaitCreateResult
from waitctl.cli.create_options import Common, Matching, OnOption, by_long_name, common_options, matching_options
from waitctl.cli.output import (
    DocumentOption,
    Output,
    outlook,
    print_document,
    print_explanation,
    say,
    write_line,
)
from waitctl.cli.session import Session, session_of
from waitctl.domain.handlers import INLINE
from waitctl.domain.intents import Past, Roll


class FileFormat(StrEnum):
    """What a file of waits is."""

    NDJSON = "ndjson"
    CSV = "csv"


app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.callback(invoke_without_command=True)
def create(
    context: typer.Context,
    file: Annotated[
        str | None,
        typer.Option("-f", "--file", metavar="FILE|-", help="Create a wait for each line of NDJSON, or of CSV."),
    ] = None,
    format_: Annotated[
        FileFormat | None, typer.Option("--format", help="What the file is; by its name, else NDJSON.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --file: say what would happen.")] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Create a wait.

    With --file many: {"type": "fixed-time", "duration": "3d", "execution": "order-17"}, the keys being the long names
    of the form's options and arguments. A bad line is named by its number, and the rest goes in; run again, what has an
    execution or a key is not created twice. Example: waitctl create --file waits.ndjson
    """
    if file is None:
        if context.invoked_subcommand is None:
            raise typer.BadParameter("name a form, as in fixed-time, or a --file", param_hint="create")
        return
    if context.invoked_subcommand is not None:
        raise typer.BadParameter("the lines of the file name the forms", param_hint="--file")
    from waitctl.cli.create_file import create_from_file

    create_from_file(session_of(context), file, format_, dry_run=dry_run, output=output)


@app.command("fixed-time")
@common_options
def fixed_time(
    *,
    context_: typer.Context,
    duration: Annotated[
        str, typer.Argument(metavar="DURATION", help="As in 90m, 2h30m, 3d, '3 days', PT36H, 1mo, 3bd, 4bh.")
    ],
    at: Annotated[
        str | None, typer.Option("--at", metavar="H[H][:MM[:SS]]", help="So many calendar days on, at this time.")
    ] = None,
    on: OnOption = None,
    common: Common,
) -> None:
    """Wait for a span of elapsed time, for months, business days or open hours.

    Example: waitctl create fixed-time 3bd --at 09:00 --tz Europe/Berlin --calendar DE-BY --handler nudge
    """
    _create(context_, common, "fixed-time", {"duration": duration, "at": at, "on": on})


@app.command("until-date")
@common_options
def until_date(
    *,
    context_: typer.Context,
    date: Annotated[
        str | None,
        typer.Argument(metavar="DATETIME", help="RFC 3339, or '2026-12-24 18:00' read in --tz; a date: 00:00."),
    ] = None,
    offset: Annotated[
        str | None, typer.Option("--offset", metavar="±DURATION", help="So long before or after it, as in -2d.")
    ] = None,
    field: Annotated[
        str | None,
        typer.Option("--field", metavar="NAME", help="Where the date stands in --context, instead of DATETIME."),
    ] = None,
    field_format: Annotated[
        str | None,
        typer.Option("--field-format", metavar="FORMAT", help="How it is written there, as in DD.MM.YYYY [HH:mm]."),
    ] = None,
    on: OnOption = None,
    roll: Annotated[
        Roll, typer.Option("--roll", help="Where an instant before the date goes that may not go on then.")
    ] = Roll.BACK,
    past: Annotated[Past, typer.Option("--past", help="What to do with a date that has passed.")] = Past.REJECT,
    common: Common,
) -> None:
    """Wait until a date and time.

    Example: waitctl create until-date '2026-12-24 18:00' --tz Europe/Berlin --handler greet
    """
    given = {"date": date, "offset": offset, "field": field, "field-format": field_format, "on": on}
    _create(context_, common, "until-date", {**given, "roll": roll, "past": past})


@app.command("until-time")
@common_options
def until_time(
    *,
    context_: typer.Context,
    time: Annotated[str, typer.Argument(metavar="H[H][:MM[:SS]]", help="A time of day in --tz.")],
    days: Annotated[
        str | None, typer.Option("--days", metavar="DAYS", help="On these weekdays only, as in mon-fri.")
    ] = None,
    common: Common,
) -> None:
    """Wait until clocks next show a time of day.

    Example: waitctl create until-time 09:00 --tz America/New_York --handler call
    """
    _create(context_, common, "until-time", {"time": time, "days": days})


@app.command("recurring")
@common_options
def recurring(
    *,
    context_: typer.Context,
    every: Annotated[
        str | None, typer.Option("--every", metavar="DURATION", help="So long after the one before, as in 1w or 1mo.")
    ] = None,
    cron: Annotated[
        str | None, typer.Option("--cron", metavar="EXPRESSION", help="Five fields, as in '0 9 * * mon-fri'.")
    ] = None,
    rrule: Annotated[
        str | None, typer.Option("--rrule", metavar="RULE", help="Of RFC 5545, as in 'FREQ=MONTHLY;BYDAY=1MO'.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="H[H][:MM[:SS]]", help="With --every of days: at this time.")
    ] = None,
    on: OnOption = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="Count --every from the start, and not from the one before.")
    ] = False,
    until: Annotated[
        str | None, typer.Option("--until", metavar="DATETIME", help="No later than this: as until-date.")
    ] = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", help="So many times.")] = None,
    stop_on: Annotated[
        str | None, typer.Option("--stop-on", metavar="TYPE[,TYPE…]", help="An event of the contact that stops it.")
    ] = None,
    common: Common,
) -> None:
    """Wait again and again: each time an ordinary wait, made when the one before has ended.

    What was missed is passed over. Example: waitctl create recurring --cron '0 9 * * mon-fri' --tz Europe/Berlin
    """
    from waitctl.cli.recurring import print_recurrence, service_of
    from waitctl.domain.recurrence import RecurrenceRule

    if common.key is not None:
        raise typer.BadParameter("a recurrence goes by its execution and step", param_hint="--key")
    rule = RecurrenceRule.parse(
        every=every, cron=cron, rrule=rrule, at=at, on=on, fixed=fixed, until=until, count=count
    )
    session, given = session_of(context_), by_long_name(common)
    service = service_of(session, create=not common.dry_run)
    result = service.create(
        rule, common.spec(session), rules=rules_of(given), stop_on=stop_on, dry_run=common.dry_run, **how_of(given)
    )
    print_recurrence(result, common.output, dry_run=common.dry_run)


@app.command("for-event")
@common_options
@matching_options
def for_event(
    *,
    context_: typer.Context,
    types: Annotated[
        str,
        typer.Argument(metavar="TYPE[,TYPE…]", help="Any of these event types; with --all each, or a|b for either."),
    ],
    matching: Matching,
    common: Common,
) -> None:
    """Wait for events of a contact, or for a timeout, whichever comes first.

    --where sees event.type, event.contact, event.data, event.at, event.source and wait.context. --calendar says which
    days --timeout counts; beside a --window it holds events back as well.
    Example: waitctl create for-event 'email_open|email_click,form_submit' --all --contact ada@example.org --timeout 2d
    """
    _create(context_, common, "for-event", {"types": types, **by_long_name(matching)})


def _create(context: typer.Context, common: Common, form: str, own: Options) -> None:
    session = session_of(context)
    session.say_when_time_is_pretended()
    request = wait_request(form, {**by_long_name(common), **own}, common.spec(session))
    with session.database(create=True) as database:
        creator = WaitCreator(database, session.settings(), actor=session.actor)
        result = creator.create(request, dry_run=common.dry_run)
        session.warn(f"database: {database.name}")
        if not common.dry_run:
            session.say_when_nothing_ticks(database)
    print_created(result, common, session)


def print_created(result: WaitCreateResult, common: Common, session: Session) -> None:
    """Print a wait that was created, or would be."""
    wait = result.wait
    warn_of_unknown_handlers({wait.handler, *(wait.handlers or {}).values()}, session)
    _warn_of_a_missing_program(session)
    document = {**wait_document(wait), "created": result.created}
    if common.dry_run:
        document["explanation"] = list(result.explanation)
    print_document(document, common.output, human=lambda: _print_created(result, common), id_key="id")


def warn_of_unknown_handlers(names: Collection[str | None], session: Session) -> None:
    """Only a warning: the hosts that tick may know them."""
    for name in sorted(set(names) - {None, INLINE} - session.settings().handlers.keys(), key=str):
        say(f"warning: this host's config has no handler {name!a}; one that ticks must have it")


def _warn_of_a_missing_program(session: Session) -> None:
    """A command that is mistyped would be found out in days; only a warning, since it may be there by then."""
    if session.inline_command is not None:
        from shutil import which  # of these waits alone

        program = session.inline_command[0]
        if which(program) is None:
            say(f"warning: no program that can be run here is called {program!a}; it must be there when the wait ends")


def _print_created(result: WaitCreateResult, common: Common) -> None:
    wait = result.wait
    if common.dry_run:
        print_explanation(wait, result.explanation)
        write_line("nothing was written")
        return
    write_line(f"{wait.id}  {outlook(wait)}" + ("" if result.created else "  (it was there already)"))
