"""`waitctl prune`: delete what ended long ago."""

from __future__ import annotations

from typing import Annotated

import typer

from waitctl.cli.output import DocumentOption, Output, print_document, write_line
from waitctl.cli.session import session_of
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import InvalidSettingError

app = typer.Typer(add_completion=False)


@app.command("prune")
def prune(
    context: typer.Context,
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="DURATION", help="What ended, or came, longer ago than this.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count what would go; delete nothing.")] = False,
    output: DocumentOption = Output.HUMAN,
) -> None:
    """Delete what ended long ago; totals, keys and ids are kept.

    Waits that have ended, with their deliveries and audit trails, once their deliveries are through; events that no
    wait refers to; webhooks in quarantine. An open wait never goes. Example: waitctl prune --older-than 90d --dry-run
    """
    from waitctl.application.retention import Upkeep

    age = parse_duration(older_than, error=InvalidSettingError).elapsed
    session = session_of(context)
    with session.database() as database:
        upkeep = Upkeep(database, older_than=age, tombstones=session.settings().tombstone_retention)
        pruned = upkeep.what_would_go() if dry_run else upkeep.run()
    document = pruned.to_json()
    words = ", ".join(f"{count:,} {what}" for what, count in document.items() if count) or "nothing"
    print_document(document, output, human=lambda: write_line(f"{'would delete' if dry_run else 'deleted'} {words}"))
