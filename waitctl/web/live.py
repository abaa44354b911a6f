"""Server-sent events: that something has changed, so that an open page looks again."""

from __future__ import annotations

import asyncio
import time
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

LOOK_AGAIN = 5.0
"""Seconds after which a page looks again, whatever was said: SQLite says nothing, and ages go on."""


async def changes(request: Request, _: Caller) -> Response:
    """Tell a page each time it may look again. Raises `NotServedNowError`."""
    site = site_of(request)
    if site.watchers >= MOST:
        raise NotServedNowError(429, "too_many_requests", "too many pages are open at the moment")
    return StreamingResponse(_words(site), media_type="text/event-stream")


async def _words(site: Site) -> AsyncIterator[str]:
    site.watchers += 1
    try:
        yield "retry: 5000\n\n"
        said_at = time.monotonic()
        while not site.news.closing:
            is_news = await site.news.wait(LOOK_AGAIN)
            if is_news or time.monotonic() - said_at >= LOOK_AGAIN:
                said_at = time.monotonic()
                yield "event: change\ndata:\n\n"
                await asyncio.sleep(BREATH)
    finally:
        site.watchers -= 1
