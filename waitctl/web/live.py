"""Server-sent events: that something has changed, so that an open page looks again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from waitctl.web.access import Caller
from waitctl.web.answers import NotServedNowError
from waitctl.web.site import Site, site_of

MOST = 64
"""Pages that are told at once."""

BREATH = 2.0
"""Seconds between two words at least."""

LOOK_AGAIN = 30.0
"""Seconds after which a page looks again, whether or not anything has changed: ages go on."""


async def changes(request: Request, _: Caller) -> Response:
    """Tell a page each time it may look again."""
    site = site_of(request)
    if site.watchers >= MOST:
        raise NotServedNowError(429, "too_many_requests", "too many pages are open at the moment")
    return StreamingResponse(_words(site), media_type="text/event-stream")


async def _words(site: Site) -> AsyncIterator[str]:
    site.watchers += 1
    try:
        yield "retry: 5000\n\n"
        while not site.news.closing:
            await site.news.wait(LOOK_AGAIN)
            yield "event: change\ndata:\n\n"
            await asyncio.sleep(BREATH)
    finally:
        site.watchers -= 1
