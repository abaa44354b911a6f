"""Who sleeps, until when and why: the rows of `waitctl list --sleeping`."""

from __future__ import annotations

from waitctl.application.documents import instant
from waitctl.cli.listing import Rows
from waitctl.cli.output import relative, tail
from waitctl.cli.tables import Column, id_column
from waitctl.domain.instants import show_local
from waitctl.domain.sleeping import Sleeper
from waitctl.domain.text import JsonObject


def _document(each: Sleeper) -> JsonObject:
    wait = each.wait
    return {
        "id": wait.id,
        "workflow_execution_id": wait.workflow_execution_id,
        "step_id": wait.step_id,
        "contact_id": wait.contact_id,
        "status": wait.status.value,
        "timezone": wait.timezone,
        "until": instant(each.until),
        "reason": each.reason,
    }


def _until(each: Sleeper) -> str:
    """The instant as the wait's zone shows it; how far off it is stands in the wide form."""
    return "an event" if each.until is None else f"{show_local(each.until, each.wait.timezone)} {each.wait.timezone}"


SLEEPING_ROWS: Rows[Sleeper] = Rows(
    key="waits",
    id_key="id",
    fields=("id", "workflow_execution_id", "step_id", "contact_id", "status", "timezone", "until", "reason"),
    document=_document,
    columns=(
        id_column("WAIT"),
        Column("EXECUTION", 6),
        Column("STEP", 3),
        Column("CONTACT", 4),
        Column("UNTIL", 8, whole=True),
        Column("REASON", 7),
        Column("STATUS", 1, extra=True),
        Column("WHEN", 1, extra=True),
    ),
    cells=lambda each: (
        tail(each.wait.id),
        each.wait.workflow_execution_id,
        each.wait.step_id,
        each.wait.contact_id,
        _until(each),
        each.reason,
        each.wait.status,
        each.until and relative(each.until, each.now),
    ),
    nothing="nobody sleeps",
)
