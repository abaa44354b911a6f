"""The dashboard: pages that are made here, and work without a script."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from waitctl.application import recent
from waitctl.application.calendars.browsing import CalendarBrowser
from waitctl.application.deliveries.handler_factory import handlers_of
from waitctl.application.deliveries.outbox import DeliveryService
from waitctl.application.diagnosis import WhyService, WhyWait
from waitctl.application.documents import delivery_document, quarantined_document
from waitctl.application.events.recording import EventService
from waitctl.application.events.webhooks import WebhookService
from waitctl.application.heartbeat import silence
from waitctl.application.operations.bulk import BulkService
from waitctl.application.waits.rescheduling import ReschedulingService
from waitctl.application.waits.results import WaitStatus
from waitctl.application.waits.scheduling import WaitSchedulingService
from waitctl.application.waits.upcoming import list_soon
from waitctl.domain.errors import DatabaseError, InvalidWaitConfigurationError, WaitStepError
from waitctl.domain.filters import parse_when
from waitctl.domain.statuses import DeliveryStatus, WaitExecutionStatus, WaitType
from waitctl.domain.upcoming import Grain
from waitctl.infrastructure.serve_settings import Scope
from waitctl.web import actions, live
from waitctl.web.access import COOKIE, SESSION_SECONDS, Caller, check_same_site
from waitctl.web.answers import HttpError
from waitctl.web.api import scoped
from waitctl.web.charts import histogram, year_months
from waitctl.web.filters import NAMES, PAGING, choice, one, read_filter, read_flag, read_limit, refuse_unknown
from waitctl.web.rendering import STATIC, link, render, static_file
from waitctl.web.site import Site, site_of

Values = dict[str, Any]

_SAID = ("done",)
_SAMPLE = 50
"""Waits that a plan shows, and lines of a wait's trail and of its explanation."""

_MOST_ROWS = 100
"""Of a list on one page."""


def routes() -> list[Route]:
    """The routes of the dashboard."""
    pages: dict[str, Callable[[Request, Caller], Awaitable[Response]]] = {
        "/": overview,
        "/waits": waits,
        "/waits/{wait_id}": wait,
        "/events": events,
        "/events/{event_id}": event,
        "/deliveries": deliveries,
        "/deliveries/{delivery_id}": delivery,
        "/calendars": calendars,
        "/calendars/{name}": calendar,
        "/quarantine": quarantine,
        "/quarantine/{quarantine_id}": quarantined,
        "/plans": plans,
        "/plans/{plan_id}": plan,
    }
    return [
        *(Route(path, scoped(Scope.READ, page), methods=["GET"]) for path, page in pages.items()),
        Route("/live", scoped(Scope.READ, live.changes), methods=["GET"]),
        Route("/login", login_form, methods=["GET"]),
        Route("/login", login, methods=["POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/static/{name}", static, methods=["GET"]),
        *actions.routes(),
    ]


async def _page(request: Request, template: str, caller: Caller, look: Callable[[Site], Values]) -> Response:
    """A page of what was looked up; on top of it whether anything ticks."""
    site = site_of(request)

    def work() -> Values:
        values = look(site)
        with site.database.read() as connection:
            values["now"] = site.database.clock(connection)
        return values | {"silence": silence(site.database), "zone": values.get("zone", site.settings.timezone)}

    return render(request, template, caller, **await site.run(work))


# -- waits -------------------------------------------------------------------------------------------------------------


async def overview(request: Request, caller: Caller) -> Response:
    """What is open, what comes next, and what every handler has before it."""
    query = request.query_params
    refuse_unknown(query, ("tz", *_SAID))

    def look(site: Site) -> Values:
        zone = one(query, "tz") or site.settings.timezone
        known = {config.name for config in handlers_of(site.settings, site.database)}
        service = WaitSchedulingService(site.database, settings=site.settings)
        summary = service.list_pending_waits(handlers=sorted(known))
        soon = list_soon(site.database, grain=Grain.HOUR, timezone=zone)
        return {
            "zone": zone,
            "known": known,
            "summary": summary,
            "soon": soon,
            "bars": histogram(soon.buckets, zone),
            "sources": sorted(site.settings.sources),
        }

    return await _page(request, "overview.html", caller, look)


async def waits(request: Request, caller: Caller) -> Response:
    """Waits by the filters of `list`, which are the URL."""
    query = request.query_params
    refuse_unknown(query, (*NAMES, *PAGING, *_SAID))
    wanted, limit, after = read_filter(query), read_limit(query), one(query, "after")

    def look(site: Site) -> Values:
        rows, following = recent.list_waits(site.database, wanted, limit=min(limit, _MOST_ROWS), after=after)
        with site.database.read() as connection:
            now = site.database.clock(connection)
        found = [WaitStatus(row, now) for row in rows]
        kept = {name: query.getlist(name) for name in (*NAMES, "limit") if name in query}
        return {
            "found": found,
            "following": None if following is None else kept | {"after": following},
            "meant": None if wanted.is_empty else {name: query.getlist(name) for name in NAMES if name in query},
            "query": query,
            "chosen": set(query.getlist("status")),
            "statuses": list(WaitExecutionStatus),
            "types": [kind.replace("_", "-") for kind in WaitType],
        }

    return await _page(request, "waits.html", caller, look)


async def wait(request: Request, caller: Caller) -> Response:
    """A wait's whole story: what was asked, every rule, the events seen and nearly seen, the deliveries."""
    refuse_unknown(request.query_params, _SAID)

    def look(site: Site) -> Values:
        explaining = ReschedulingService(site.database, settings=site.settings)
        service = WaitSchedulingService(site.database, settings=site.settings)
        found = service.get_wait_status(request.path_params["wait_id"])
        try:
            explanation = explaining.explain_wait(found.wait.id, newest=_SAMPLE // 2)[1]
        except DatabaseError:
            raise
        except WaitStepError as error:  # a calendar of another host, a row of somebody else's
            explanation = (error.message,)
        why: WhyWait | None = None
        with suppress(InvalidWaitConfigurationError):
            why = WhyService(site.database).why_wait(found.wait.id, at_once=True) if found.wait.listeners else None
        return {
            "found": found,
            "wait": found.wait,
            "document": found.to_json(),
            "explanation": explanation,
            "why": why,
            "history": service.get_history(found.wait.id, newest=_SAMPLE + 1),
            "most": _SAMPLE,
            "zone": found.wait.timezone,
        }

    return await _page(request, "wait.html", caller, look)


# -- events ------------------------------------------------------------------------------------------------------------


async def events(request: Request, caller: Caller) -> Response:
    """Events, newest first."""
    query = request.query_params
    refuse_unknown(query, ("type", "contact", "since", "unmatched", "limit", "after", *_SAID))
    since, after = one(query, "since"), one(query, "after")

    def look(site: Site) -> Values:
        found, following = recent.list_events(
            site.database,
            event_type=one(query, "type"),
            contact=one(query, "contact"),
            since=None if since is None else parse_when(since, "since"),
            unmatched=read_flag(query, "unmatched"),
            limit=min(read_limit(query), _MOST_ROWS),
            after=after,
        )
        kept = {name: query[name] for name in ("type", "contact", "since", "unmatched", "limit") if name in query}
        types = [name for name, _, _ in EventService(site.database).list_types()]
        following_query = None if following is None else kept | {"after": following}
        return {"found": found, "following": following_query, "query": query, "types": types}

    return await _page(request, "events.html", caller, look)


async def event(request: Request, caller: Caller) -> Response:
    """An event, the waits that took it, and those that nearly did."""
    refuse_unknown(request.query_params, _SAID)
    event_id = request.path_params["event_id"]

    def look(site: Site) -> Values:
        return {"why": WhyService(site.database).why_event(event_id, limit=20, at_once=True), "most": _SAMPLE}

    return await _page(request, "event.html", caller, look)


# -- deliveries --------------------------------------------------------------------------------------------------------


async def deliveries(request: Request, caller: Caller) -> Response:
    """What each handler has before it, and the deliveries: the dead ones, unless others are asked for."""
    query = request.query_params
    refuse_unknown(query, ("status", "handler", *PAGING, *_SAID))
    status = choice(DeliveryStatus, one(query, "status") or DeliveryStatus.DEAD, "status")

    def look(site: Site) -> Values:
        known = {config.name for config in handlers_of(site.settings, site.database)}
        service = DeliveryService(site.database)
        limit, after = min(read_limit(query), _MOST_ROWS), one(query, "after")
        found, following = recent.list_deliveries(
            site.database, [status], handler=one(query, "handler"), limit=limit, after=after
        )
        kept = {name: query[name] for name in ("status", "handler", "limit") if name in query}
        return {
            "known": known,
            "backlogs": service.list_backlogs(sorted(known), failing=False),
            "found": found,
            "following": None if following is None else kept | {"after": following},
            "status": status,
            "statuses": list(DeliveryStatus),
            "handler": one(query, "handler") or "",
        }

    return await _page(request, "deliveries.html", caller, look)


async def delivery(request: Request, caller: Caller) -> Response:
    """A delivery: its attempts, its error, what the command printed."""
    refuse_unknown(request.query_params, _SAID)
    delivery_id = request.path_params["delivery_id"]

    def look(site: Site) -> Values:
        service = DeliveryService(site.database)
        found = service.get_delivery(delivery_id)
        said = service.get_output(found)
        return {"delivery": found, "output": said, "document": delivery_document(found) | {"output": said and said[0]}}

    return await _page(request, "delivery.html", caller, look)


# -- plans -------------------------------------------------------------------------------------------------------------


async def plans(request: Request, caller: Caller) -> Response:
    """The plans of the last month, newest first."""
    query = request.query_params
    refuse_unknown(query, ("limit", "after", *_SAID))
    limit, after = min(read_limit(query), _MOST_ROWS), one(query, "after")

    def look(site: Site) -> Values:
        found = BulkService(site.database).list_plans(limit=limit, after=after)
        following = {"limit": one(query, "limit"), "after": found[-1].id} if len(found) == limit else None
        return {"found": found, "following": following}

    return await _page(request, "plans.html", caller, look)


async def plan(request: Request, caller: Caller) -> Response:
    """A plan: what it means, some of its waits, what became of them; and what can be done with it."""
    refuse_unknown(request.query_params, _SAID)

    def look(site: Site) -> Values:
        service = BulkService(site.database)
        found = service.get_plan(request.path_params["plan_id"])
        return {"plan": found, "sample": service.list_entries(found, limit=_SAMPLE), "most": actions.MOST_AT_ONCE}

    return await _page(request, "plan.html", caller, look)


# -- calendars and the quarantine --------------------------------------------------------------------------------------


async def calendars(request: Request, caller: Caller) -> Response:
    """The calendars of this host."""
    query = request.query_params
    refuse_unknown(query, ("like", *_SAID))
    like = one(query, "like") or ""

    def look(site: Site) -> Values:
        found = CalendarBrowser(site.settings).list_calendars(like=like)
        return {"found": list(found.items())[:300], "number": len(found), "like": like}

    return await _page(request, "calendars.html", caller, look)


async def calendar(request: Request, caller: Caller) -> Response:
    """A year of a calendar, drawn, and what it says of today. Raises `InvalidWaitConfigurationError`."""
    query = request.query_params
    refuse_unknown(query, ("year", *_SAID))
    year = one(query, "year")
    if year is not None and not (year.isascii() and year.isdecimal() and len(year) <= 4):
        raise InvalidWaitConfigurationError("year must be a number")

    def look(site: Site) -> Values:
        browser = CalendarBrowser(site.settings)
        found = browser.get_year(request.path_params["name"], None if year is None else int(year))
        return {
            "found": found,
            "months": year_months(found),
            "outlook": browser.get_outlook(found.calendar.name),
        }

    return await _page(request, "calendar.html", caller, look)


async def quarantine(request: Request, caller: Caller) -> Response:
    """What was refused."""
    query = request.query_params
    refuse_unknown(query, ("source", *PAGING, *_SAID))
    limit, source = min(read_limit(query), _MOST_ROWS), one(query, "source")

    def look(site: Site) -> Values:
        service = WebhookService(site.database, site.settings)
        found = service.list_quarantined(source=source, limit=limit + 1, after=one(query, "after"))
        kept = {name: query[name] for name in ("source", "limit") if name in query}
        following = kept | {"after": found[limit - 1].id} if len(found) > limit else None
        return {"found": found[:limit], "following": following, "source": source or ""}

    return await _page(request, "quarantine.html", caller, look)


async def quarantined(request: Request, caller: Caller) -> Response:
    """A payload that was refused, whole."""
    refuse_unknown(request.query_params, _SAID)

    def look(site: Site) -> Values:
        row = WebhookService(site.database, site.settings).get_quarantined(request.path_params["quarantine_id"])
        return {"row": row, "document": quarantined_document(row, whole=True)}

    return await _page(request, "quarantined.html", caller, look)


# -- coming in ---------------------------------------------------------------------------------------------------------


async def login_form(request: Request) -> Response:
    """Where a browser shows its token."""
    return render(
        request, "login.html", None, live=False, next=_own_path(one(request.query_params, "next")), error=None
    )


async def login(request: Request) -> Response:
    """Take a token, and give the browser a cookie for it."""
    check_same_site(request)
    form = await actions.read_form(request)
    access = site_of(request).access
    token, wanted = form.get("token", "").strip(), _own_path(form.get("next"))
    caller = access.find(token)
    if caller is None or Scope.READ not in caller.scopes:
        words = "This token is not known." if caller is None else "This token is not good for looking."
        return render(request, "login.html", None, http_status=401, live=False, next=wanted, error=words)
    answer = RedirectResponse(request.scope.get("root_path", "") + wanted, 303)
    answer.set_cookie(
        COOKIE,
        access.open_session(caller, token),
        max_age=SESSION_SECONDS,
        path=request.scope.get("root_path") or "/",
        secure=request.url.scheme == "https",
        httponly=True,
        samesite="strict",
    )
    return answer


async def logout(request: Request) -> Response:
    """Take the cookie back."""
    check_same_site(request)
    answer = RedirectResponse(link(request, "/login"), 303)
    answer.delete_cookie(COOKIE, path=request.scope.get("root_path") or "/")
    return answer


def _own_path(text: str | None) -> str:
    """Where to go after the login: a page of ours, and of nobody else."""
    return text if text and re.fullmatch(r"/(?![/\\])[!-~]*", text) else "/"


async def static(request: Request) -> Response:
    """A file that pages load. Raises `HttpError`."""
    name: str = request.path_params["name"]
    if name not in STATIC:
        raise HttpError(404, "not_found", "there is nothing at this address")
    return Response(static_file(name), media_type=STATIC[name], headers={"Cache-Control": "public, max-age=3600"})
