"""Who sleeps, until when and why: the rows of `waitctl list --sleeping`."""

from __future__ import annotations

from waitctl.application.documents import instant
from waitctl.cli.listing import Rows
from waitctl.cli.output import local, tail
from waitctl.cli.tables import Column, id_column
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
        Column("UNTIL", 8),
        Column("REASON", 7),
        Column("STATUS", 1, extra=True),
    ),
    cells=lambda each: (
        tail(each.wait.id),
        each.wait.workflow_execution_id,
        each.wait.step_id,
        each.wait.contact_id,
        local(each.until, each.wait.timezone, each.now) or "an event",
        each.reason,
        each.wait.status,
    ),
    nothing="nobody sleeps",
)
