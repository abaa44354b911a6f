"""`waitctl event ingest`: streams of events and webhooks; `waitctl event providers`: whose webhooks it reads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.application.events.ndjson import LineRejection, read_lines
from waitctl.application.events.recording import DEFAULT_SOURCE, EventService
from waitctl.application.events.results import IngestTotals
from waitctl.cli import stopping
from waitctl.cli.listing import Rows, Shape, print_rows, takes_shape
from waitctl.cli.output import (
    DocumentOption,
    ExitCode,
    Interrupted,
    Output,
    clean,
    count,
    json_text,
    print_document,
    print_error,
    say,
    write_line,
)
from waitctl.cli.session import Session, session_of
from waitctl.cli.streams import open_input, progress
from waitctl.cli.tables import Column, id_column
from waitctl.domain.errors import DatabaseError, InvalidEventError, InvalidSettingError

if TYPE_CHECKING:
    from waitctl.application.events.webhooks import WebhookResult
    from waitctl.infrastructure.providers import Provider, Request

_MOST_OF_HEADERS = 256 * 1024


NoVerifyOption = Annotated[
    bool, typer.Option("--no-verify", help="Take it although nobody has checked who sent it.", show_default=False)
]


def ingest(
    context: typer.Context,
    file: Annotated[str, typer.Argument(metavar="[FILE|-]", help="What to read; standard input by default.")] = "-",
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="What the input is: ndjson, or one that `event providers` lists; the source's format, else ndjson.",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="NAME", help="Who sends it: cli for lines that name none, else the format."),
    ] = None,
    headers_file: Annotated[
        str | None,
        typer.Option("--headers-file", metavar="FILE", help="The request's headers, by lines or as a JSON object."),
    ] = None,
    url: Annotated[str | None, typer.Option("--url", metavar="URL", help="The URL that the request came to.")] = None,
    no_verify: NoVerifyOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would happen; write nothing.")] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Record a stream of events, or the events of a provider's webhook.

    NDJSON is one JSON object a line: {"type", "contact", "data"?, "id"?, "source"?, "at"?}; a bad line is named by its
    number and the rest goes on. A webhook is the raw body of a request; its signature is checked by the secret that the
    config has for its source, and what is refused goes to the quarantine. Exit status 1: something was refused.
    Example: waitctl event ingest events.ndjson
    """
    from waitctl.application.events.formats import NDJSON, format_of

    session = session_of(context)
    chosen = format_of(session.settings(), format_, source)
    if chosen != NDJSON:
        request = _request(file, headers_file, url)
        _ingest_webhook(session, request, chosen, source, verify=not no_verify, dry_run=dry_run, output=output)
        return
    if headers_file or url:
        raise InvalidSettingError("a stream of NDJSON has no headers and no URL", hint="name the --format")
    _ingest_ndjson(session, file, source or DEFAULT_SOURCE, verify=not no_verify, dry_run=dry_run, output=output)


# -- webhooks ----------------------------------------------------------------------------------------------------------


def _request(file: str, headers_file: str | None, url: str | None) -> Request:
    """The request; of a body over the cap no more than shows that it is."""
    from waitctl.application.events.webhooks import MAX_BODY
    from waitctl.infrastructure.providers import Request, headers_from

    headers: list[tuple[str, str]] = []
    if headers_file is not None:
        text = _read(headers_file, _MOST_OF_HEADERS + 1)
        if len(text) > _MOST_OF_HEADERS:
            raise InvalidEventError(f"the headers file is longer than {_MOST_OF_HEADERS:,} bytes")
        headers = headers_from(text.decode(errors="surrogateescape"))
    return Request.of(_read(file, MAX_BODY + 1), headers, url)


def _read(file: str, most: int) -> bytes:
    with open_input(file) as stream:
        return stopping.read(stream, most)


def _ingest_webhook(
    session: Session,
    request: Request,
    format_: str,
    source: str | None,
    *,
    verify: bool,
    dry_run: bool,
    output: Output,
) -> None:
    from waitctl.application.events.webhooks import Webhook, WebhookService

    webhook = Webhook(session.settings(), format_, source, verify=verify)
    with session.database(create=not dry_run) as database:
        service = WebhookService(database, session.settings(), actor=session.actor)
        result = service.ingest(request, webhook, dry_run=dry_run)
    report_refusals(result, output)
    if verify and webhook.config.verify and not webhook.verifies and not output.is_json:
        say(f"not verified: no secret for [sources.{webhook.source}]")
    print_document(result.to_json(), output, human=lambda: _print_result(result))
    raise typer.Exit(ExitCode.FAILURE if result.refusals else ExitCode.OK)


def report_refusals(result: WebhookResult, output: Output) -> None:
    """Say what was refused, why, and where it is kept."""
    for refusal in result.refusals:
        error, kept = refusal.error, refusal.quarantine_id
        hint = "; ".join(filter(None, (error.hint, kept and f"waitctl event quarantine show {kept}")))
        print_error(error.code, error.message, hint or None, as_json=output.is_json)


def totals_line(totals: IngestTotals) -> str:
    """The totals in words."""
    return (
        f"{totals.received:,} received, {totals.recorded:,} recorded, {count(totals.duplicates, 'duplicate')}, "
        f"{totals.ignored:,} ignored, {totals.rejected:,} rejected, {count(totals.matched, 'wait')} resumed"
    )


def _print_result(result: WebhookResult) -> None:
    write_line(totals_line(result.totals))
    for name, number in result.ignored_types.items():
        write_line(clean(f"  ignored {name}: {number:,}"))
    if result.ignored_types:
        say("events of types that are not registered are ignored; waitctl event types add NAME registers one")
    if result.recorded is not None:
        for event in result.recorded:
            write_line(clean(f"  would record {event['type']} of {event['contact']} ({event['id'] or 'no id'})"))
        say("nothing was written")


@takes_shape
def list_providers(*, context: typer.Context, shape: Shape) -> None:
    """List the formats of webhooks, what becomes of them, and what verifies them.

    Example: waitctl event providers
    """
    from waitctl.infrastructure.providers import providers

    rows: Rows[Provider] = Rows(
        key="providers",
        id_key="name",
        fields=("name", "maps", "needs"),
        document=lambda each: {"name": each.name, "maps": each.maps, "needs": each.needs},
        columns=(id_column("FORMAT"), Column("MAPS", 1), Column("NEEDS", 2)),
        cells=lambda each: (each.name, each.maps, each.needs),
        nothing="no formats",
    )
    print_rows(rows, providers(), shape)


# -- NDJSON ------------------------------------------------------------------------------------------------------------


def _ingest_ndjson(session: Session, file: str, source: str, *, verify: bool, dry_run: bool, output: Output) -> None:
    as_json = output.is_json

    def on_rejection(rejection: LineRejection) -> None:
        if as_json:
            error = {"code": rejection.error.code, "message": rejection.error.message, "line": rejection.line}
            print(json_text({"error": error}), file=sys.stderr)  # noqa: T201
        else:
            say(f"line {rejection.line}: {rejection.error.message}", always=True)

    # The thread that talks to the database needs Python only for moments, but every few milliseconds.
    sys.setswitchinterval(0.00005)
    database = session.database(create=not dry_run)
    service = EventService(database, actor=session.actor, settings=session.settings())
    totals = IngestTotals()

    def print_totals() -> None:
        print_document(totals.to_json(), output, human=lambda: write_line(totals_line(totals)))

    with (
        open_input(file) as stream,
        progress(stream, output) as show,
        stopping.Stoppable(database.patience.hurry) as stop,
    ):

        def on_batch(so_far: IngestTotals) -> None:
            nonlocal totals
            totals = so_far
            show(f"{so_far.received:,} received, {count(so_far.matched, 'wait')} resumed", so_far.received)

        lines = stop.until_stopped(read_lines(stop.input(stream)))
        try:
            service.ingest_ndjson(
                lines,
                source=source,
                on_rejection=on_rejection,
                on_batch=on_batch,
                verify=verify,
                dry_run=dry_run,
                may_go_on=lambda: not stop.stopped,
            )
        except DatabaseError:
            if totals.received:
                print_totals()  # of what is recorded, whatever became of the rest
            raise
    if stop.stopped:
        raise Interrupted(f"{totals_line(totals)}; run it again: what has an id is not recorded twice")
    print_totals()
    if dry_run and output.is_for_people:
        say("nothing was written")
    if totals.without_id and not as_json:
        say(f"{totals.without_id:,} had no id: run again, they are recorded again")
    raise typer.Exit(ExitCode.FAILURE if totals.rejected else ExitCode.OK)
