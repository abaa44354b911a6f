"""The API: the specification's routes, and events. Documents are those of `-o json`, errors too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from waitctl.application.deliveries.handler_factory import handlers_of
from waitctl.application.documents import wait_document
from waitctl.application.events.recording import DEFAULT_SOURCE, EventService, make_event
from waitctl.application.events.results import RecordResult
from waitctl.application.waits.results import WaitCreateResult, WaitStatus
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.domain.counts import number_of
from waitctl.domain.durations import parse_duration
from waitctl.domain.errors import (
    DatabaseError,
    InvalidEventError,
    InvalidTimeoutError,
    InvalidWaitConfigurationError,
    WaitStepError,
)
from waitctl.domain.instants import parse_instant
from waitctl.domain.text import JsonObject, check_text, parse_json, parse_json_object
from waitctl.infrastructure.serve_settings import Scope
from waitctl.web.access import Caller
from waitctl.web.answers import (
    HttpError,
    NotServedNowError,
    error_document,
    etag,
    json_answer,
    require_match,
    tagged_answer,
)
from waitctl.web.bodies import MAX_BODY, read_body
from waitctl.web.filters import NAMES, PAGING, one, read_filter, read_flag, read_limit, refuse_unknown
from waitctl.web.ingesting import ingest_lines
from waitctl.web.site import Site, actor_of, site_of
from waitctl.web.wait_body import read_wait

Endpoint = Callable[[Request], Awaitable[Response]]

REQUEST_SECONDS = 60.0
"""After which an answer that has not come is given up."""

LONGEST_POLL = 50.0
"""Seconds for which a caller may let itself be kept waiting."""

_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines"})
_EVENT_KEYS = frozenset({"type", "contact", "data", "id", "source", "at"})
_MOST_EVENTS = 1000
"""Events of an array."""


def scoped(scope: Scope, endpoint: Callable[[Request, Caller], Awaitable[Response]]) -> Endpoint:
    """An endpoint for whoever has a token with this scope, answered in time."""

    async def checked(request: Request) -> Response:
        caller = site_of(request).access.require_token(request, scope)
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                return await endpoint(request, caller)
        except TimeoutError:
            raise NotServedNowError(503, "timeout", f"no answer within {REQUEST_SECONDS:.0f} seconds") from None

    return checked


class _Id(Convertor[str]):
    """What stands in an address for an id: anything, with line ends, which are refused as in every other id."""

    regex = "(?s:.*)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("waitctl_id", _Id())


def routes() -> list[Route]:
    """The routes of the API."""
    step = "/api/v1/workflows/executions/{execution_id:waitctl_id}/wait/{step_id:waitctl_id}"
    return [
        Route("/api/v1/events", scoped(Scope.EVENTS, post_events), methods=["POST"]),
        Route(
            "/api/v1/workflows/{workflow_id:waitctl_id}/executions/{execution_id:waitctl_id}/wait",
            scoped(Scope.WRITE, create_wait),
            methods=["POST"],
        ),
        Route(step, scoped(Scope.READ, get_step), methods=["GET"]),
        Route(step, scoped(Scope.WRITE, cancel_step), methods=["DELETE"]),
        Route("/api/v1/workflows/tasks/wait/{wait_id}/resume", scoped(Scope.WRITE, resume), methods=["POST"]),
        Route("/api/v1/admin/workflows/waits/pending", scoped(Scope.READ, pending), methods=["GET"]),
        Route("/api/v1/waits", scoped(Scope.READ, list_waits), methods=["GET"]),
        Route("/api/v1/waits/{wait_id}", scoped(Scope.READ, get_wait), methods=["GET"]),
    ]


def _waits(site: Site, caller: Caller) -> WaitSchedulingService:
    return WaitSchedulingService(site.database, actor=actor_of(caller), settings=site.settings)


# -- events ------------------------------------------------------------------------------------------------------------


async def post_events(request: Request, caller: Caller) -> Response:
    """Record one event, an array of them, or lines of NDJSON. Raises `InvalidEventError`."""
    kind = _content_type(request)
    if kind in _LINES:
        return await ingest_lines(request, DEFAULT_SOURCE, actor_of(caller))
    body = await _json_body(request)
    site = site_of(request)
    service = EventService(site.database, actor=actor_of(caller), settings=site.settings)
    if not isinstance(body, list):
        result = await site.run(partial(_record, service, body))
        return json_answer(result.to_json(), 200 if result.duplicate else 201)
    if len(body) > _MOST_EVENTS:
        many = number_of(len(body), "event")
        raise InvalidEventError(f"{many} at once: at most {_MOST_EVENTS:,}", hint="send NDJSON")
    return await site.run(lambda: _record_several(service, body))


def _record(service: EventService, document: object) -> RecordResult:
    if not isinstance(document, dict):
        raise InvalidEventError("an event must be a JSON object")
    if unknown := document.keys() - _EVENT_KEYS:
        raise InvalidEventError(f"unknown key {min(unknown)!a}", hint="type, contact, data, id, source and at")
    for key in ("type", "contact"):
        if document.get(key) is None:
            raise InvalidEventError(f"{key!r} is missing")
    for key in ("type", "contact", "id", "source", "at"):
        if not isinstance(document.get(key), str | None):
            raise InvalidEventError(f"{key!r} must be a text")
    at = document.get("at")
    event = make_event(
        document["type"],
        document["contact"],
        data=document.get("data"),
        external_id=document.get("id"),
        source=document.get("source") or DEFAULT_SOURCE,
        occurred_at=None if at is None else parse_instant(at, "at"),
    )
    return service.record(event)


def _record_several(service: EventService, body: list[object]) -> Response:
    """Each in its own transaction, in their order; what is no event is named by its place, and the rest goes in."""
    results, errors = list[JsonObject](), list[JsonObject]()
    for number, document in enumerate(body, 1):
        try:
            results.append(_record(service, document).to_json())
        except DatabaseError:
            raise
        except WaitStepError as error:
            errors.append({"line": number, "error": error_document(error)})
    totals: JsonObject = {"events": results, "errors": errors}
    if errors and not results:
        return json_answer({"error": errors[0]["error"]} | totals, 400)
    return json_answer(totals)


# -- waits -------------------------------------------------------------------------------------------------------------


async def create_wait(request: Request, caller: Caller) -> Response:
    """Create a wait of an execution; asked again, the same one is returned."""
    refuse_unknown(request.query_params, ("dry_run",))
    dry_run = read_flag(request.query_params, "dry_run")
    key = _key(request)
    body = await _object_body(request)
    site = site_of(request)

    def work() -> WaitCreateResult:
        asked = read_wait(
            body,
            workflow=request.path_params["workflow_id"],
            execution=request.path_params["execution_id"],
            timezone=site.settings.timezone,
            key=key,
        )
        return _waits(site, caller).create_wait(asked, dry_run=dry_run)

    result = await site.run(work)
    wait = wait_document(result.wait)
    document = wait | {"created": result.created}
    if dry_run:
        return json_answer(document | {"explanation": list(result.explanation)})
    where = {"Location": f"{request.scope.get('root_path', '')}/api/v1/waits/{result.wait.id}"}
    return tagged_answer(request, document, 201 if result.created else 200, where, tag=etag(wait))


def _key(request: Request) -> str | None:
    """What Idempotency-Key says. Raises `InvalidWaitConfigurationError` for several, and for an empty one."""
    keys = request.headers.getlist("idempotency-key")
    if len(keys) > 1 or keys == [""]:
        raise InvalidWaitConfigurationError("Idempotency-Key must be one key")
    return keys[0] if keys else None


async def get_step(request: Request, caller: Caller) -> Response:
    """The latest wait of a step; with ``until=ended`` once it has ended, or when ``timeout`` seconds are over.

    Raises `InvalidWaitConfigurationError`, `InvalidTimeoutError`, `WaitExecutionNotFoundError`.
    """
    query = request.query_params
    refuse_unknown(query, ("until", "timeout"))
    if (until := one(query, "until")) not in {None, "ended"}:
        raise InvalidWaitConfigurationError(f"until: {until!a} is not 'ended'")
    site, seconds = site_of(request), _seconds(one(query, "timeout"))
    look = partial(_waits(site, caller).get_step_status, *_step(request))
    found = await site.run(look)
    ends_at = time.monotonic() + seconds
    while until and found.wait.status.is_open and not site.news.closing and (left := ends_at - time.monotonic()) > 0:
        await site.news.wait(left)
        found = await site.run(look)
    return tagged_answer(request, found.to_json())


def _seconds(text: str | None) -> float:
    """How long to be kept waiting: seconds, or a duration. Raises `InvalidTimeoutError`."""
    if text is None:
        return LONGEST_POLL
    if text.isascii() and text.isdecimal():
        text = f"{text}s"
    return min(parse_duration(text, error=InvalidTimeoutError, zero=True).elapsed.total_seconds(), LONGEST_POLL)


async def cancel_step(request: Request, caller: Caller) -> Response:
    """Cancel the open wait of a step; a cancelled one stays so, one that ended otherwise is a conflict."""
    refuse_unknown(request.query_params, ("reason",))
    reason = one(request.query_params, "reason")
    site = site_of(request)

    def work() -> WaitStatus:
        service = _waits(site, caller)
        found = service.get_step_status(*_step(request))
        require_match(request, found.to_json())
        return service.cancel_wait(found.wait.id, reason=reason)

    return tagged_answer(request, (await site.run(work)).to_json())


async def resume(request: Request, caller: Caller) -> Response:
    """Resume a wait by hand. Raises `InvalidWaitConfigurationError`."""
    body = await _object_body(request, may_be_empty=True)
    if unknown := body.keys() - {"reason", "data"}:
        raise InvalidWaitConfigurationError(f"unknown key {min(unknown)!a}", hint="reason and data")
    reason, data = body.get("reason"), body.get("data")
    if not isinstance(reason, str | None) or not isinstance(data, dict | None):
        raise InvalidWaitConfigurationError("reason must be a text, and data an object")
    site, wait_id = site_of(request), request.path_params["wait_id"]

    def work() -> WaitStatus:
        service = _waits(site, caller)
        if "if-match" in request.headers:
            require_match(request, service.get_wait_status(wait_id).to_json())
        return service.resume_wait(wait_id, reason=reason, data=data)

    return tagged_answer(request, (await site.run(work)).to_json())


async def pending(request: Request, caller: Caller) -> Response:
    """What is open."""
    refuse_unknown(request.query_params, ())
    site = site_of(request)

    def work() -> JsonObject:
        known = [config.name for config in handlers_of(site.settings, site.database)]
        return _waits(site, caller).list_pending_waits(handlers=known).to_json()

    return json_answer(await site.run(work))


async def list_waits(request: Request, caller: Caller) -> Response:
    """Waits, newest first, by the filters of `list`."""
    query = request.query_params
    refuse_unknown(query, (*NAMES, *PAGING))
    wanted, limit, after = read_filter(query), read_limit(query), one(query, "after")
    site = site_of(request)
    found, following = await site.run(lambda: _waits(site, caller).list_waits(wanted, limit=limit, after=after))
    return json_answer({"waits": [each.to_json() for each in found], "next": following})


async def get_wait(request: Request, caller: Caller) -> Response:
    """A wait by its id, or by a head or tail of it."""
    refuse_unknown(request.query_params, ())
    site = site_of(request)
    found = await site.run(partial(_waits(site, caller).get_wait_status, request.path_params["wait_id"]))
    return tagged_answer(request, found.to_json())


# -- what was sent -----------------------------------------------------------------------------------------------------


def _step(request: Request) -> tuple[str, str]:
    execution, step = request.path_params["execution_id"], request.path_params["step_id"]
    return check_text(execution, "the execution"), check_text(step, "the step")


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _json_body(request: Request) -> Any:
    """The body as JSON. Nothing else: a form of another site could send that without being asked."""
    _require_json(request)
    return parse_json(_text(await read_body(request), InvalidEventError), "the body", error=InvalidEventError)


async def _object_body(request: Request, *, may_be_empty: bool = False) -> JsonObject:
    body = await read_body(request)
    if may_be_empty and not body.strip():
        return {}
    _require_json(request)
    return parse_json_object(_text(body, InvalidWaitConfigurationError), "the body", limit=MAX_BODY)


def _require_json(request: Request) -> None:
    kind = _content_type(request)
    if kind != "application/json" and not kind.endswith("+json"):
        raise HttpError(415, "unsupported_media_type", "the body must be application/json")


def _text(body: bytes, invalid: type[WaitStepError]) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise invalid(f"the body is not UTF-8: {error.reason} at byte {error.start}") from error
