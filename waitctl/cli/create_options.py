"""The options of `waitctl create`, and where a wait belongs by them."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from waitctl.application.waits.forms import routed
from waitctl.cli.option_sets import OptionSet, takes
from waitctl.cli.output import Output, OutputOption
from waitctl.cli.session import Session, read_text_option
from waitctl.domain.errors import InvalidWaitConfigurationError
from waitctl.domain.handlers import InlineCommand
from waitctl.domain.instants import Dst
from waitctl.domain.late import Late
from waitctl.domain.text import MAX_TEXT, parse_json_object
from waitctl.domain.waits import WaitSpec
from waitctl.infrastructure.ids import new_id

OnOption = Annotated[
    str | None,
    typer.Option("--on", metavar="DAY", help="The day of the month reached: 15, 'last day', 'first monday'."),
]


class Common(OptionSet):
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
    from_: Annotated[
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
        argv = session.inline_command
        spec = WaitSpec(
            workflow_execution_id=new_id() if self.execution is None else self.execution,
            step_id=self.step,
            workflow_id=self.workflow,
            contact_id=self.contact,
            context=None if context is None else parse_json_object(context, "the context"),
            command=None if argv is None else InlineCommand(argv, _folder()),
            idempotency_key=delivery_key(delivery, self.step) if self.key is None and delivery else self.key,
            traceparent=os.environ.get("TRACEPARENT"),
        )
        return routed(spec, by_long_name(self), session.settings().timezone)


class Matching(OptionSet):
    """The options of `for-event`: which events count, and until when."""

    match: Annotated[
        list[str] | None,
        typer.Option("--match", metavar="KEY=VALUE", help="The event's data must have this text there (repeatable)."),
    ] = None
    match_json: Annotated[
        str | None, typer.Option("--match-json", metavar="JSON", help="The event's data must contain this.")
    ] = None
    where: Annotated[str | None, typer.Option("--where", metavar="CEL", help='As in "event.data.n > 3".')] = None
    human: Annotated[bool, typer.Option("--human", help="What a machine opened does not count.")] = False
    all_: Annotated[bool, typer.Option("--all", help="Every one of the types must come, in any order.")] = False
    count: Annotated[int | None, typer.Option("--count", metavar="N", help="The same one N times (1 to 1000).")] = None
    distinct: Annotated[
        str | None, typer.Option("--distinct", metavar="KEY", help="With --count: each text under this key once.")
    ] = None
    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="DURATION", help="How long to wait; for ever when left out.")
    ] = None
    at: Annotated[
        str | None, typer.Option("--at", metavar="H[H][:MM[:SS]]", help="The timeout is so many days on, at this time.")
    ] = None
    until: Annotated[
        str | None,
        typer.Option("--until", metavar="DATETIME", help="Wait so long at most, instead of --timeout: as until-date."),
    ] = None
    timeout_window: Annotated[
        bool, typer.Option("--timeout-window", help="The deadline too waits for the window to open.")
    ] = False
    window_calendar: Annotated[
        str | None,
        typer.Option(
            "--window-calendar",
            metavar="NAME|none",
            help="Hold events back on its days off; left out, on those of --calendar, if there is a --window.",
        ),
    ] = None
    lookback: Annotated[
        str, typer.Option("--lookback", metavar="DURATION", help="Events received up to this long ago still count.")
    ] = "1m"
    grace: Annotated[
        str, typer.Option("--grace", metavar="DURATION", help="How long events may be late that happened in time.")
    ] = "0"
    exclusive: Annotated[bool, typer.Option("--exclusive", help="What this wait takes, no other wait gets.")] = False


common_options = takes("common", Common)
"""Give a command every option of `Common`; it gets them as one argument, ``common``."""

matching_options = takes("matching", Matching)
"""The same of `Matching`, as ``matching``."""


def by_long_name(options: Common | Matching) -> dict[str, Any]:
    """Options by their long names, as `wait_request` takes them."""
    return {name.rstrip("_").replace("_", "-"): value for name, value in vars(options).items()}


def delivery_key(delivery_id: str, step_id: str) -> str:
    """The key of what a handler creates: a delivery that runs twice creates a step's wait once."""
    key = f"{delivery_id}:{step_id}"
    if len(key) <= MAX_TEXT:
        return key
    from hashlib import sha256

    return f"{delivery_id}:{sha256(step_id.encode()).hexdigest()}"


def _folder() -> str:
    """The folder that an inline command is given in, where it will run."""
    try:
        return str(Path.cwd())
    except FileNotFoundError as error:
        raise InvalidWaitConfigurationError("the command has no folder to run in: this one is gone") from error
