"""The application: its routes, and what happens to what no route expects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from enum import StrEnum

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match, Route

from waitctl.domain.errors import InvalidSettingError, WaitStepError
from waitctl.infrastructure.config import Settings, load_settings
from waitctl.web import api, hooks, operations, pages
from waitctl.web.answers import HttpError, error_answer
from waitctl.web.bodies import Bodies
from waitctl.web.guard import Guard
from waitctl.web.rendering import error_page
from waitctl.web.site import Site

_WORDS = {404: ("not_found", "there is nothing at this address"), 405: ("method_not_allowed", "not by this method")}


class Part(StrEnum):
    """What can be served by itself."""

    HOOKS = "hooks"
    API = "api"
    DASHBOARD = "dashboard"


def create_app(
    settings: Settings | None = None, *, only: Collection[str] = (), allow_actions: bool = False
) -> Starlette:
    """The web door as an ASGI application, whole or only some of its `Part`s.

    ``settings`` are this host's when left out; ``allow_actions`` lets the dashboard change things, for who has a token
    with the scope write. Raises `InvalidSettingError` and `MissingCredentialError` for what the config lacks.
    """
    settings = settings or load_settings()
    parts = frozenset(map(_part, only)) or frozenset(Part)
    site = Site(settings, allow_actions=allow_actions)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        site.close()

    routes: list[BaseRoute] = []
    if Part.HOOKS in parts:
        routes += hooks.routes(settings)
    if Part.API in parts:
        routes += api.routes()
    routes += operations.routes(parts)
    if Part.DASHBOARD in parts:
        routes += pages.routes()
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, access=site.access, most=settings.serve.max_requests)],
        exception_handlers={WaitStepError: _on_error, HTTPException: _on_http_error},
        lifespan=lifespan,
    )
    app.state.site = site
    app.state.bodies = Bodies(settings.serve.max_requests)
    return app


def _part(name: str) -> Part:
    if name not in set(Part):
        raise InvalidSettingError(f"there is no {name!a} to serve", hint=f"of {', '.join(Part)}")
    return Part(name)


def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, message = _WORDS.get(error.status_code, ("http", error.detail))
    answer = _on_error(request, HttpError(error.status_code, code, message))
    if error.status_code == 405:
        answer.headers["Allow"] = ", ".join(sorted(_methods(request)))
    return answer


def _methods(request: Request) -> set[str]:
    """By what an address may be asked for: several routes may have it, and each knows its own methods alone."""
    here = [each for each in request.app.routes if each.matches(request.scope)[0] is not Match.NONE]
    return {method for each in here if isinstance(each, Route) for method in each.methods or ()}


def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, WaitStepError)
    return error_page(request, error) or error_answer(error)
