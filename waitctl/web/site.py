"""What the routes share: the settings, the database and its threads, and who may come in."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import Request

from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.database import Database, host_name
from waitctl.infrastructure.serve_settings import Scope
from waitctl.web.access import Access, Caller
from waitctl.web.group_commit import GroupCommit
from waitctl.web.news import News

if TYPE_CHECKING:
    from waitctl.application.events.webhooks import WebhookService

T = TypeVar("T")

_THREADS = 8
"""Questions that are put to the database at once."""


class Site:
    """One application's own: opened with it, closed with it."""

    def __init__(self, settings: Settings, *, allow_actions: bool = False) -> None:
        self.settings = settings
        self.allow_actions = allow_actions
        self.access = Access(settings.serve)
        self.database = Database(settings.database_url, as_of=settings.as_of, create=False)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="web")
        self.hooks = GroupCommit(self._webhooks)
        self.news = News(settings.database_url)
        self.watchers = 0
        """Pages that are told of changes."""

    def _webhooks(self) -> WebhookService:
        from waitctl.application.events.webhooks import WebhookService

        return WebhookService(self.database, self.settings, actor=actor_of(None))

    def may_act(self, caller: Caller | None) -> bool:
        """Whether the dashboard shows a caller what it can change."""
        return self.allow_actions and caller is not None and Scope.WRITE in caller.scopes

    async def run(self, work: Callable[[], T]) -> T:
        """Do what may wait for the database in a thread of its own."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def close(self) -> None:
        """Let go of the threads and connections. What was acknowledged is stored already."""
        self.news.close()
        self.hooks.close()
        self._threads.shutdown(wait=False, cancel_futures=True)
        self.database.close(wait=1)


def site_of(request: Request) -> Site:
    """The site that a request came to."""
    site: Site = request.app.state.site
    return site


def actor_of(caller: Caller | None) -> str:
    """Who the audit trail names: the token, and the host that served it."""
    return f"{caller.name if caller else 'web'}@{host_name()}"
