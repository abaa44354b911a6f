"""A body of NDJSON, recorded as `event ingest` records a stream."""

from __future__ import annotations

import io
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from waitctl.application.events.ndjson import LineRejection, read_lines
from waitctl.application.events.recording import EventService
from waitctl.web.answers import error_document, json_answer
from waitctl.web.bodies import read_body
from waitctl.web.site import actor_of, site_of

MAX_LINES = 16 * 1024 * 1024
"""Bytes of NDJSON in one request."""

_ERRORS = 100
"""Lines that are refused by name."""


async def ingest_lines(request: Request, source: str, actor: str | None = None, *, status: int = 200) -> Response:
    """Record the events of the body's lines, in batches of a transaction each.

    What is no event is named by its number, and the rest goes in: sent again, what has an id is not recorded twice.
    The answer has this ``status`` when anything went in.
    """
    site = site_of(request)
    body = await read_body(request, MAX_LINES)
    rejected: list[dict[str, Any]] = []

    def on_rejection(rejection: LineRejection) -> None:
        if len(rejected) < _ERRORS:
            rejected.append({"line": rejection.line, "error": error_document(rejection.error)})

    service = EventService(site.database, actor=actor or actor_of(None), settings=site.settings)
    lines = read_lines(io.BytesIO(body))
    totals = await site.run(lambda: service.ingest_ndjson(lines, source=source, on_rejection=on_rejection))
    document = totals.to_json() | {"errors": rejected}
    if totals.rejected and totals.rejected == totals.received:
        return json_answer({"error": rejected[0]["error"]} | document, 400)
    return json_answer(document, status)
