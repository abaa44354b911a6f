"""What machines ask about the server itself: whether it is well, what it counts, what its API looks like."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import field

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from waitctl.application.heartbeat import last_tick_age
from waitctl.application.operations.metrics import metrics_text
from waitctl.domain.errors import DatabaseError
from waitctl.domain.health import MAX_CLOCK_SKEW
from waitctl.domain.values import dataclass
from waitctl.infrastructure.serve_settings import Scope
from waitctl.web.access import Caller
from waitctl.web.answers import RETRY_SECONDS, json_answer
from waitctl.web.api import scoped
from waitctl.web.openapi import openapi_document
from waitctl.web.site import Site, site_of

_KEPT_SECONDS = 1.0
"""For which an answer about health holds: who may ask without a token must not keep the database busy."""


def routes(parts: Collection[str]) -> list[Route]:
    """The routes that every server has."""
    health = _Health()

    async def openapi(_: Request) -> Response:
        return json_answer(openapi_document())

    found = [Route("/healthz", health.answer, methods=["GET"])]
    if "api" in parts:
        found += [
            Route("/openapi.json", openapi, methods=["GET"]),
            Route("/metrics", scoped(Scope.READ, metrics), methods=["GET"]),
        ]
    return found


@dataclass(slots=True)
class _Health:
    looked_at: float = -_KEPT_SECONDS
    status: str = "unknown"
    age: float | None = field(default=None)

    async def answer(self, request: Request) -> Response:
        """Whether the database is there, and something ticks."""
        site = site_of(request)
        if time.monotonic() - self.looked_at >= _KEPT_SECONDS:
            self.status, self.age = await site.run(lambda: _look(site))
            self.looked_at = time.monotonic()
        is_well = self.status == "ok"
        age = None if self.age is None else int(self.age)
        headers = {} if is_well else {"Retry-After": str(RETRY_SECONDS)}
        return json_answer({"status": self.status, "last_tick_age_seconds": age}, 200 if is_well else 503, headers)


def _look(site: Site) -> tuple[str, float | None]:
    try:
        age = last_tick_age(site.database)
    except DatabaseError:
        return "database_away", None
    if age is None or age > site.settings.serve.max_tick_age:
        return "no_tick", None if age is None else age.total_seconds()
    if age < -MAX_CLOCK_SKEW and site.database.is_sqlite:
        return "clock_behind", age.total_seconds()  # ticks refuse to run
    return "ok", max(age.total_seconds(), 0)


async def metrics(request: Request, _: Caller) -> Response:
    """What `waitctl metrics` prints."""
    site = site_of(request)
    text = await site.run(lambda: metrics_text(site.settings, site.database))
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
