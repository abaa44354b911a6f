"""Pages out of templates. What people and providers wrote is escaped everywhere, and cannot hide or turn around."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from waitctl import __version__
from waitctl.domain.counts import in_words, number_of
from waitctl.domain.durations import format_timedelta
from waitctl.domain.errors import WaitStepError
from waitctl.domain.instants import format_instant, show_local
from waitctl.domain.text import clean
from waitctl.web.access import Caller, UnauthorizedError
from waitctl.web.answers import error_document, error_headers, status_of
from waitctl.web.site import Site, site_of

STATIC = {"style.css": "text/css", "live.js": "text/javascript", "icon.svg": "image/svg+xml"}

DONE = {
    "cancelled": "The wait is cancelled.",
    "resumed": "The wait is resumed.",
    "rescheduled": "The wait has another instant.",
    "retried": "It will be tried again by the next tick.",
    "dropped": "It is dropped.",
    "replayed": "It was taken in.",
    "refused": "It was refused again.",
    "planned": "This is the plan: nothing has been changed yet.",
    "applied": "The plan is applied.",
    "undone": "The plan is undone.",
    "unfinished": "Part of it is done: go on.",
}
"""What a page says after an action, by the word in its URL."""

MOST_SHOWN = 30_000
"""Bytes of a page that one text or document takes."""

_INDENTED = json.JSONEncoder(ensure_ascii=False, indent=2)


def _finalize(value: object) -> object:
    return clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def environment() -> Environment:
    """The templates and what they may call."""
    made = Environment(
        loader=PackageLoader("waitctl.web"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "count": in_words,
        "pretty": pretty,
        "excerpt": excerpt,
        "dashed": lambda text: str(text).replace("_", "-"),
    }
    made.globals |= {"version": __version__, "relative": relative, "when": when, "span": format_timedelta}
    made.globals["number_of"] = number_of
    return made


def relative(at: datetime, now: datetime) -> str:
    """How far off an instant is: ``in 2 days 3 h``, ``5 min ago``."""
    span = at - now
    if abs(span.total_seconds()) < 1:
        return "now"
    return f"in {format_timedelta(span)}" if span.total_seconds() > 0 else f"{format_timedelta(span)} ago"


def when(at: datetime | None, now: datetime, zone: str) -> Markup:
    """An instant: how far off it is, and in full in its zone for who points at it or has it read."""
    if at is None:
        return Markup("-")
    return Markup('<time datetime="{}" title="{} {}">{}</time>').format(
        format_instant(at), show_local(at, zone), zone, relative(at, now)
    )


def pretty(document: object, whole: str, most: int = MOST_SHOWN) -> Markup:
    """A document over several lines, as `excerpt` has texts; no more of it is written out than is shown."""
    text = ""
    for part in _INDENTED.iterencode(document):
        text += part
        if len(text) > most:
            break
    return excerpt(text, whole, most)


def excerpt(text: str, whole: str, most: int = MOST_SHOWN) -> Markup:
    """A text of several lines, as much of it as ``most`` bytes of a page hold; each line is cleaned by itself.

    ``whole`` is the command that prints what has no room.
    """
    shown = "\n".join(clean(line) for line in text[: most + 1].splitlines())
    if _size(shown) > most or len(text) > most:
        fits = bisect_right(range(len(shown)), most, key=lambda end: _size(shown[: end + 1]))
        return Markup("{}\n<em>cut here; the whole: {}</em>").format(shown[:fits], whole)
    return escape(shown)


def _size(text: str) -> int:
    return len(escape(text).encode())


def link(request: Request, path: str, query: Mapping[str, Any] | None = None) -> str:
    """The address of a page of ours, wherever we are mounted."""
    given = {name: value for name, value in (query or {}).items() if value not in (None, "", [])}
    address = quote(path, safe="/:@!$&'()*+,;=~")  # an id that somebody made up may hold anything, line ends as well
    return f"{request.scope.get('root_path', '')}{address}" + (f"?{urlencode(given, doseq=True)}" if given else "")


def render(
    request: Request,
    template: str,
    caller: Caller | None,
    *,
    http_status: int = 200,
    headers: Any = None,
    **values: Any,
) -> Response:
    """A page."""
    site: Site = site_of(request)
    may_act = site.may_act(caller)
    shared = {
        "base": request.scope.get("root_path", ""),
        "link": lambda path, query=None: link(request, path, query),
        "path": request.url.path.removeprefix(request.scope.get("root_path", "")) or "/",
        "caller": caller,
        "may_act": may_act,
        "csrf": site.access.csrf_token(caller) if may_act and caller else "",
        "said": DONE.get(request.query_params.get("done", "")),
        "silence": None,
        "live": True,
    }
    return HTMLResponse(environment().get_template(template).render(shared | values), http_status, headers)


def wants_html(request: Request) -> bool:
    """Whether a browser asks, for a page."""
    return "text/html" in request.headers.get("accept", "")


def error_page(request: Request, error: WaitStepError) -> Response | None:
    """An error for people; ``None`` where a program asks. Who has no token yet is asked for it."""
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    if not wants_html(request) or path.startswith(("/api/", "/hooks/")):
        return None
    if isinstance(error, UnauthorizedError) and site_of(request).access.has_tokens and request.method == "GET":
        wanted = path + (f"?{request.url.query}" if request.url.query else "")
        return RedirectResponse(link(request, "/login", {"next": wanted} if wanted != "/" else None), 303)
    status, headers = status_of(error), error_headers(error)
    return render(
        request,
        "error.html",
        None,
        http_status=status,
        headers=headers,
        error=error_document(error),
        code=status,
        live=False,
    )


@cache
def static_file(name: str) -> bytes:
    """A file that pages load."""
    return (files("waitctl.web") / "static" / name).read_bytes()
