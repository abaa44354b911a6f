"""`waitctl create`: the four ways to wait."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from waitctl.application.documents import wait_document
from waitctl.application.waits.requests import WaitRequest
from waitctl.application.waits.results import WaitCreateResult
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.cli.option_sets import takes
from waitctl.cli.output import (
    DocumentOption,
    Output,
    OutputOption,
    outlook,
    print_document,
    print_explanation,
    say,
    write_line,
)
from waitctl.cli.session import Session, read_text_option, session_of
from waitctl.domain.contacts import OF_CONTACT
from waitctl.domain.durations import Duration, parse_duration
from waitctl.domain.errors import InvalidTimeoutError, InvalidWaitConfigurationError
from waitctl.domain.handlers import INLINE, InlineCommand, parse_routes
from waitctl.domain.hours import parse_hours
from waitctl.domain.instants import Dst, parse_instant
from waitctl.domain.intents import Late, Past, Roll, Rules, parse_time_of_day
from waitctl.domain.listeners import EventQuery, Mode
from waitctl.domain.text import MAX_TEXT, parse_json_object
from waitctl.domain.waits import WaitSpec
from waitctl.infrastructure.ids import new_id


class FileFormat(StrEnum):
    """What a file of waits is."""

    NDJSON = "ndjson"
    CSV = "csv"


OnOption = Annotated[
    str | None,
    typer.Option("--on", metavar="DAY", help="The day of the month reached: 15, 'last day', 'first monday'."),
]

app = typer.Typer(no_args_is_help=True, add_completion=False)


@dataclass(frozen=True)
class Common:
    """The options that every form of `create` takes."""

    execution: Annotated[
        str | None,
        typer.Option("-e", "--execution", metavar="ID", help="The execution; made up when left out."),
    ] = None
    step: Annotated[str, typer.Option("-s", "--step", metavar="ID", help="The step of the execution.")] = "wait"
    workflow: Annotated[str | None, typer.Option("-w", "--workflow", metavar="ID", help="The workflow.")] = None
    contact: Annotated[str | None, typer.Option("-c", "--contact", metavar="ID", help="Whom it is about.")] = None
    context: Annotated[
        str | None, typer.Option("--context", metavar="JSON|@FILE|-", help="A JSON object for the handler.")
    ] = None
    context_raw: Annotated[
        str | None, typer.Option("--context-raw", metavar="JSON", help="The same, but an @ or a - is only that.")
    ] = None
    handler: Annotated[
        list[str] | None,
        typer.Option(
            "--handler", metavar="[OUTCOME=]NAME", help="What runs when the wait ends, or ends so (repeatable)."
        ),
    ] = None
    key: Annotated[
        str | None, typer.Option("--key", metavar="KEY", help="Create once for ever under this key (per workflow).")
    ] = None
    tz: Annotated[
        str | None, typer.Option("--tz", metavar="ZONE|contact", help="An IANA time zone, or that of the contact.")
    ] = None
    tz_field: Annotated[
        str | None,
        typer.Option("--tz-field", metavar="KEY", help="Where the zone stands in --context; else as without it."),
    ] = None
    calendar: Annotated[
        str | None,
        typer.Option("--calendar", metavar="NAME", help="Business days only: DE-BY, US-CA, NYSE, company."),
    ] = None
    window: Annotated[
        str | None,
        typer.Option("--window", metavar="HOURS", help="Only then, as in 'mon-fri 09:00-12:00,13:00-17:00'."),
    ] = None
    quiet_hours: Annotated[
        str | None, typer.Option("--quiet-hours", metavar="HOURS", help="Never then, as in '22:00-08:00'.")
    ] = None
    dst: Annotated[Dst, typer.Option("--dst", help="What a local time means that the clocks skip or repeat.")] = (
        Dst.COMPATIBLE
    )
    late: Annotated[
        Late | None,
        typer.Option("--late", help="What a tick that comes late does; next-window with a window, else fire."),
    ] = None
    max_late: Annotated[
        str | None, typer.Option("--max-late", metavar="DURATION", help="Later than this, it ends without a delivery.")
    ] = None
    spread: Annotated[
        str | None,
        typer.Option("--spread", metavar="DURATION", help="Spread what is due at once over this, each by its id."),
    ] = None
    base: Annotated[
        str | None, typer.Option("--from", metavar="INSTANT", help="Count from here instead of from now (RFC 3339).")
    ] = None
    replace: Annotated[bool, typer.Option("--replace", help="Cancel another open wait of this step first.")] = False
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Write nothing; print the wait and why.")] = False
    output: OutputOption = Output.HUMAN

    def spec(self, session: Session) -> WaitSpec:
        """Where the wait belongs. Inside a handler the key defaults to the delivery and the step."""
        delivery = os.environ.get("WAITCTL_DELIVERY_ID")
        context = read_text_option(
            "context", self.context, self.context_raw, "the context", InvalidWaitConfigurationError
        )
        routes = parse_routes(self.handler or ())
        argv = session.inline_command
        return WaitSpec(
            workflow_execution_id=new_id() if self.execution is None else self.execution,
            step_id=self.step,
            workflow_id=self.workflow,
            contact_id=self.contact,
            context=None if context is None else parse_json_object(context, "the context"),
            handler=routes.default,
            handlers=routes.by_outcome,
            command=None if argv is None else InlineCommand(argv, _folder()),
            idempotency_key=delivery_key(delivery, self.step) if self.key is None and delivery else self.key,
            timezone=session.settings().timezone if self.tz in {None, OF_CONTACT} else str(self.tz),
            zone_field=self.tz_field,
            zone_of_contact=self.tz == OF_CONTACT,
            traceparent=os.environ.get("TRACEPARENT"),
            template=session.template,
        )

    @property
    def rules(self) -> Rules:
        """What the instant must obey."""
        return Rules(
            dst=self.dst,
            calendar=self.calendar,
            window=None if self.window is None else parse_hours(self.window, "--window"),
            quiet=None if self.quiet_hours is None else parse_hours(self.quiet_hours, "--quiet-hours"),
            late=self.late,
            max_late=None if self.max_late is None else _span(self.max_late, "--max-late"),
            spread=None if self.spread is None else _span(self.spread, "--spread"),
        )

    @property
    def how(self) -> dict[str, Any]:
        """The arguments that every form of `WaitRequest` takes."""
        return {
            "base": None if self.base is None else parse_instant(self.base, "--from"),
            "replace_open": self.replace,
        }


def delivery_key(delivery_id: str, step_id: str) -> str:
    """The key of what a handler creates: a delivery that runs twice creates a step's wait once."""
    key = f"{delivery_id}:{step_id}"
    if len(key) <= MAX_TEXT:
        return key
    from hashlib import sha256

    return f"{delivery_id}:{sha256(step_id.encode()).hexdigest()}"


common_options = takes("common", Common)
"""Give a command every option of `Common`; it gets them as one argument, ``common``."""


class Asked:
    """Stands where a form has its command line's context, and keeps what it asks for: what is no command has none."""

    common: Common
    request: Callable[[WaitSpec], WaitRequest]


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
    _create(
        context_,
        common,
        lambda spec: WaitRequest.fixed_time(
            duration,
            spec,
            at=at,
            on=on,
            rules=common.rules,
            **common.how,
        ),
    )


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
    _create(
        context_,
        common,
        lambda spec: WaitRequest.until_date(
            date,
            spec,
            offset=offset,
            field=field,
            field_format=field_format,
            on=on,
            roll=roll,
            rules=common.rules,
            past=past,
            **common.how,
        ),
    )


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
    _create(
        context_,
        common,
        lambda spec: WaitRequest.until_time(
            time,
            spec,
            days=days,
            rules=common.rules,
            **common.how,
        ),
    )


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
    until: Annotated[str | None, typer.Option("--until", metavar="INSTANT", help="No later than this.")] = None,
    count: Annotated[int | None, typer.Option("--count", metavar="N", help="So many times.")] = None,
    stop_on: Annotated[
        str | None, typer.Option("--stop-on", metavar="TYPE[,TYPE…]", help="An event of the contact that stops it.")
    ] = None,
    common: Common,
) -> None:
    """Wait again and again: each time an ordinary wait, made when the one before has ended.

    What was missed is passed over. Example: waitctl create recurring --cron '0 9 * * mon-fri' --tz Europe/Berlin
    """
    from waitctl.application.waits.recurring import recurrence_document
    from waitctl.cli.recurring import service_of
    from waitctl.domain.recurrence import RecurrenceRule

    if common.key is not None:
        raise typer.BadParameter("a recurrence goes by its execution and step", param_hint="--key")
    rule = RecurrenceRule.parse(
        every=every, cron=cron, rrule=rrule, at=at, on=on, fixed=fixed, until=until, count=count
    )
    session = session_of(context_)
    service = service_of(session, create=not common.dry_run)
    result = service.create(
        rule, common.spec(session), rules=common.rules, stop_on=stop_on, dry_run=common.dry_run, **common.how
    )
    found = result.recurrence
    document = {**recurrence_document(found), "created": result.created}
    if common.dry_run:
        document["explanation"] = list(result.explanation)

    def human() -> None:
        for line in result.explanation if common.dry_run else ():
            write_line(line)
        if not common.dry_run:
            write_line(f"{found.id}  {'created' if result.created else 'exists'}  {found.status}")

    print_document(document, common.output, human=human, id_key="id")


@app.command("for-event")
@common_options
def for_event(
    *,
    context_: typer.Context,
    types: Annotated[
        str,
        typer.Argument(metavar="TYPE[,TYPE…]", help="Any of these event types; with --all each, or a|b for either."),
    ],
    match: Annotated[
        list[str] | None,
        typer.Option("--match", metavar="KEY=VALUE", help="The event's data must have this text there (repeatable)."),
    ] = None,
    match_json: Annotated[
        str | None, typer.Option("--match-json", metavar="JSON", help="The event's data must contain this.")
    ] = None,
    where: Annotated[str | None, typer.Option("--where", metavar="CEL", help='As in "event.data.n > 3".')] = None,
    human: Annotated[bool, typer.Option("--human", help="What a machine opened does not count.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Every one of the types must come, in any order.")] = False,
    count: Annotated[int | None, typer.Option("--count", metavar="N", help="The same one N times (1 to 1000).")] = None,
    distinct: Annotated[
        str | None, typer.Option("--distinct", metavar="KEY", help="With --count: each text under this key once.")
    ] = None,
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="How long to wait; for ever when left out.")
    ] = None,
    at: Annotated[
        str | None, typer.Option("--at", metavar="H[H][:MM[:SS]]", help="The timeout is so many days on, at this time.")
    ] = None,
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATETIME", help="Wait so long at most, instead of --timeout: as until-date."),
    ] = None,
    timeout_window: Annotated[
        bool, typer.Option("--timeout-window", help="The deadline too waits for the window to open.")
    ] = False,
    window_calendar: Annotated[
        str | None,
        typer.Option(
            "--window-calendar",
            metavar="NAME|none",
            help="Hold events back on its days off; left out, on those of --calendar, if there is a --window.",
        ),
    ] = None,
    lookback: Annotated[
        str, typer.Option("--lookback", metavar="DURATION", help="Events received up to this long ago still count.")
    ] = "1m",
    grace: Annotated[
        str, typer.Option("--grace", metavar="DURATION", help="How long events may be late that happened in time.")
    ] = "0",
    exclusive: Annotated[bool, typer.Option("--exclusive", help="What this wait takes, no other wait gets.")] = False,
    common: Common,
) -> None:
    """Wait for events of a contact, or for a timeout, whichever comes first.

    --where sees event.type, event.contact, event.data, event.at, event.source and wait.context. --calendar says which
    days --timeout counts; beside a --window it holds events back as well.
    Example: waitctl create for-event 'email_open|email_click,form_submit' --all --contact ada@example.org --timeout 2d
    """
    held_by = window_calendar or (common.calendar if common.window else None)
    held_by = None if held_by == "none" else held_by
    query = EventQuery(
        event_types=tuple(name.strip() for name in types.split(",")),
        match=_pairs(match) if match else None,
        match_json=None if match_json is None else parse_json_object(match_json, "--match-json"),
        timeout=None if timeout is None else parse_duration(timeout, error=InvalidTimeoutError, business=True),
        lookback=_span(lookback, "--lookback"),
        grace=_span(grace, "--grace"),
        exclusive=exclusive,
        rules=replace(common.rules, calendar=held_by),
        where=where,
        human=human,
        mode=Mode.ALL if every else Mode.ANY,
        count=count,
        distinct=distinct,
        timeout_window=timeout_window,
        at=None if at is None else parse_time_of_day(at),
        until=until,
        timeout_calendar=None if common.calendar == held_by else common.calendar,
    )
    _create(
        context_,
        common,
        lambda spec: WaitRequest.for_event(query, spec, **common.how),
    )


FORMS: Mapping[str, Callable[..., None]] = {
    "fixed-time": fixed_time,
    "until-date": until_date,
    "until-time": until_time,
    "for-event": for_event,
}


def _pairs(texts: list[str]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidWaitConfigurationError(f"--match {text!a} is not KEY=VALUE")
        if pairs.setdefault(key, value) != value:
            raise InvalidWaitConfigurationError(f"--match names {key!a} twice, with different values")
    return pairs


def _span(text: str, option: str) -> Duration:
    try:
        return parse_duration(text, error=InvalidWaitConfigurationError, zero=True)
    except InvalidWaitConfigurationError as error:
        raise InvalidWaitConfigurationError(f"{option}: {error.message}", hint=error.hint) from error


def _create(context: typer.Context | Asked, common: Common, request: Callable[[WaitSpec], WaitRequest]) -> None:
    if isinstance(context, Asked):
        context.common, context.request = common, request
        return
    session = session_of(context)
    session.say_when_time_is_pretended()
    with session.database(create=True) as database:
        service = WaitSchedulingService(database, actor=session.actor, settings=session.settings())
        result = service.create_wait(request(common.spec(session)), dry_run=common.dry_run)
        session.warn(f"database: {database.name}")
        if not common.dry_run:
            session.say_when_nothing_ticks(database)
    print_created(result, common, session)


def print_created(result: WaitCreateResult, common: Common, session: Session) -> None:
    """Print a wait that was created, or would be."""
    wait = result.wait
    warn_of_unknown_handlers({wait.handler, *(wait.handlers or {}).values()}, session)
    document = {**wait_document(wait), "created": result.created}
    if common.dry_run:
        document["explanation"] = list(result.explanation)
    print_document(document, common.output, human=lambda: _print_created(result, common), id_key="id")


def _folder() -> str:
    """The folder that an inline command is given in, where it will run."""
    try:
        return str(Path.cwd())
    except FileNotFoundError as error:
        raise InvalidWaitConfigurationError("the command has no folder to run in: this one is gone") from error


def warn_of_unknown_handlers(names: Collection[str | None], session: Session) -> None:
    """Only a warning: the hosts that tick may know them."""
    for name in sorted(set(names) - {None, INLINE} - session.settings().handlers.keys(), key=str):
        say(f"warning: this host's config has no handler {name!a}; one that ticks must have it")


def _print_created(result: WaitCreateResult, common: Common) -> None:
    wait = result.wait
    if common.dry_run:
        print_explanation(wait, result.explanation)
        write_line("nothing was written")
        return
    write_line(f"{wait.id}  {outlook(wait)}" + ("" if result.created else "  (it was there already)"))
