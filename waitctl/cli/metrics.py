"""`waitctl metrics`: for Prometheus, or for the node exporter's textfile collector."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waitctl.cli.output import write_unescaped
from waitctl.cli.session import session_of

app = typer.Typer(add_completion=False)


@app.command("metrics")
def metrics(
    context: typer.Context,
    textfile: Annotated[
        Path | None, typer.Option("--textfile", metavar="PATH", help="Put them in the place of this file, at once.")
    ] = None,
) -> None:
    """Print metrics for Prometheus.

    Counters go on when what they counted is pruned. Example: waitctl metrics --textfile
    /var/lib/prometheus/node-exporter/waitctl.prom
    """
    from waitctl.application.operations.metrics import metrics_text, write_textfile

    session = session_of(context)
    with session.database() as database:
        text = metrics_text(session.settings(), database)
    if textfile is None:
        write_unescaped(text)
    else:
        write_textfile(textfile, text)
