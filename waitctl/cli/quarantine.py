"""`waitctl event quarantine`: look at webhooks that were refused, and put them right."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.cli.ingest import NoVerifyOption, report_refusals, totals_line
from waitctl.cli.listing import Listing, Rows, print_rows, takes_listing
from waitctl.cli.output import (
    ExitCode,
    Output,
    OutputOption,
    clean,
    for_each,
    print_card,
    print_document,
    print_list,
    relative,
    say,
    tail,
    write_line,
)
from waitctl.cli.session import Session, session_of
from waitctl.cli.tables import Column, id_column
from waitctl.domain.instants import format_instant

if TYPE_CHECKING:
    from datetime import datetime

    from waitctl.application.events.webhooks import WebhookResult, WebhookService
    from waitctl.domain.quarantine import Quarantined
    from waitctl.infrastructure.database import Database

app = typer.Typer(
    help="Look at webhooks that were refused, and put them right.", no_args_is_help=True, add_completion=False
)

PayloadsArgument = Annotated[
    list[str] | None, typer.Argument(metavar="ID…", help="Ids, or their first or last 8 or more characters.")
]
SourceOption = Annotated[str | None, typer.Option("--source", metavar="NAME", help="Only of this source.")]
AllOption = Annotated[bool, typer.Option("--all", help="Everything in quarantine.")]


def _service(session: Session, database: Database) -> WebhookService:
    from waitctl.application.events.webhooks import WebhookService

    return WebhookService(database, session.settings(), actor=session.actor)


@app.command("list")
@takes_listing
def list_(
    *,
    context: typer.Context,
    source: SourceOption = None,
    after: Annotated[str | None, typer.Option("--after", metavar="ID", help="The page after this one.")] = None,
    listing: Listing,
) -> None:
    """List what was refused, newest first.

    On a terminal the first 50, else all. Example: waitctl event quarantine list --source sendgrid
    """
    session = session_of(context)
    with session.database() as database:
        service = _service(session, database)
        with database.read() as connection:
            now = database.clock(connection)

        def page(behind: str | None, size: int) -> list[Quarantined]:
            return service.list_quarantined(source=source, limit=size, after=behind)

        print_rows(_rows(now), listing.pages(page, lambda each: each.id, after), listing, paged=True)


def _rows(now: datetime) -> Rows[Quarantined]:
    from waitctl.application.documents import QUARANTINED_FIELDS, quarantined_document

    return Rows(
        key="quarantine",
        id_key="quarantine_id",
        fields=QUARANTINED_FIELDS,
        document=quarantined_document,
        columns=(
            id_column("ID"),
            Column("SOURCE", 6),
            Column("FORMAT", 2),
            Column("RECEIVED", 4, whole=True),
            Column("BYTES", 1, whole=True),
            Column("WHY", 5),
        ),
        cells=lambda row: (
            tail(row.id),
            row.source,
            row.format,
            relative(row.received_at, now),
            f"{row.size:,}{' (cut)' if row.is_cut else ''}",
            row.message,
        ),
        nothing="nothing in quarantine",
    )


@app.command("show")
def show(
    context: typer.Context,
    payload: Annotated[str, typer.Argument(metavar="ID", help="An id, or its first or last 8 or more characters.")],
    output: OutputOption = Output.HUMAN,
) -> None:
    """Show what was refused: why, its headers without credentials, and its body.

    Example: waitctl event quarantine show 6f2b9c01d3aa
    """
    from waitctl.application.documents import quarantined_document

    session = session_of(context)
    with session.database() as database:
        found = _service(session, database).get_quarantined(payload)
    print_document(
        quarantined_document(found, whole=True), output, human=lambda: _print_row(found), id_key="quarantine_id"
    )


def _print_row(row: Quarantined) -> None:
    print_card(
        f"{row.format} of {row.source}",
        [
            ("id", row.id),
            ("why", row.message),
            ("received", format_instant(row.received_at)),
            ("replayed", row.replayed_at and format_instant(row.replayed_at)),
            ("signature", "was good" if row.verified else "not verified"),
            ("url", row.url),
            *((f"header {name}", value) for name, value in row.headers.items()),
            ("bytes", f"{row.size:,}{', cut' if row.is_cut else ''}"),
        ],
    )
    for line in row.body.decode(errors="backslashreplace").splitlines():
        write_line(clean(line))


@app.command("replay")
def replay(
    context: typer.Context,
    payloads: PayloadsArgument = None,
    everything: AllOption = False,
    no_verify: NoVerifyOption = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Take in again what was refused, once its cause is mended.

    Its signature is checked as of when it came, unless it was good then. What is taken in leaves the quarantine; what
    is refused again stays, and the exit status is 1. Postmark's credentials are not kept: what had wrong ones can only
    be replayed with --no-verify. Example: waitctl event quarantine replay --all
    """
    _require_one(payloads, everything)
    session = session_of(context)
    with session.database() as database:
        service = _service(session, database)
        names = service.quarantined_ids() if everything else payloads or []
        done, worst = for_each(names, lambda name: service.replay(name, verify=not no_verify), output)
    for _, result in done:
        report_refusals(result, output)

    def human(_: object) -> None:
        for identifier, result in done:
            write_line(f"{identifier}  {totals_line(result.totals)}")
        if not done:
            say("nothing replayed")

    print_list(
        [_replayed(*each) for each in done],
        output,
        whole=lambda rows: {"quarantine": rows},
        human=human,
        id_key="quarantine_id",
    )
    raise typer.Exit(max(worst, ExitCode.FAILURE if any(result.refusals for _, result in done) else ExitCode.OK))


def _replayed(identifier: str, result: WebhookResult) -> dict[str, object]:
    """What became of a payload; ``replayed``: whether it left the quarantine."""
    left = identifier not in {refusal.quarantine_id for refusal in result.refusals}
    return {"quarantine_id": identifier, "replayed": left} | result.to_json()


@app.command("drop")
def drop(
    context: typer.Context,
    payloads: PayloadsArgument = None,
    everything: AllOption = False,
    output: OutputOption = Output.HUMAN,
) -> None:
    """Forget what was refused, for good.

    Example: waitctl event quarantine drop 6f2b9c01d3aa
    """
    _require_one(payloads, everything)
    session = session_of(context)
    with session.database() as database:
        service = _service(session, database)
        names = service.quarantined_ids() if everything else payloads or []
        done, worst = for_each(names, service.drop, output)

    def human(_: object) -> None:
        for identifier in done:
            write_line(f"{identifier}  dropped")
        if not done:
            say("nothing dropped")

    print_list(
        [{"quarantine_id": identifier} for identifier in done],
        output,
        whole=lambda rows: {"quarantine": rows},
        human=human,
        id_key="quarantine_id",
    )
    raise typer.Exit(worst)


def _require_one(payloads: list[str] | None, everything: bool) -> None:
    if bool(payloads) == everything:
        raise typer.BadParameter("name either payloads or --all", param_hint="ID…")
