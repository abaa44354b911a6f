"""Webhooks that arrive together share a transaction, and each is answered after its commit."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from waitctl.domain.errors import DatabaseError, WaitStepError

if TYPE_CHECKING:
    from waitctl.application.events.webhooks import Webhook, WebhookResult, WebhookService
    from waitctl.infrastructure.providers import Request

MOST_AT_ONCE = 500
"""Requests of a transaction: with more, the first would wait for the last."""

MOST_BYTES = 4 * 1024 * 1024
"""Bytes of their bodies, or one request more: others wait for as long as all of it takes to be written."""


class GroupCommit:
    """One thread stores what has come in meanwhile: the busier it is, the more share the wait for the disk."""

    def __init__(self, make_service: Callable[[], WebhookService]) -> None:
        self._make_service = make_service
        self._service: WebhookService | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="hooks")
        self._waiting: deque[tuple[Request, Webhook, asyncio.Future[WebhookResult]]] = deque()
        self._is_busy = False

    async def ingest(self, request: Request, webhook: Webhook) -> WebhookResult:
        """What became of a request, once it is stored. Raises what `WebhookService.ingest` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[WebhookResult] = loop.create_future()
        self._waiting.append((request, webhook, future))
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._start, loop)  # after those that the loop has read by now
        return await future

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        batch = list(self._next_batch())
        arrived = [(request, webhook) for request, webhook, _ in batch]
        futures = [future for _, _, future in batch]
        storing = loop.run_in_executor(self._thread, self._store, arrived)
        storing.add_done_callback(lambda done: self._answer(loop, done, futures))

    def _next_batch(self) -> Iterator[tuple[Request, Webhook, asyncio.Future[WebhookResult]]]:
        size = 0
        for _ in range(min(len(self._waiting), MOST_AT_ONCE)):
            if size >= MOST_BYTES:
                return
            size += len(self._waiting[0][0].body)
            yield self._waiting.popleft()

    def _answer(
        self,
        loop: asyncio.AbstractEventLoop,
        done: asyncio.Future[list[WebhookResult | BaseException]],
        futures: Sequence[asyncio.Future[WebhookResult]],
    ) -> None:
        outcomes = done.result()
        for outcome, future in zip(outcomes, futures, strict=True):
            if future.done():
                continue  # whoever sent it has gone
            if isinstance(outcome, BaseException):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
        if self._waiting:
            self._start(loop)
        else:
            self._is_busy = False

    def _store(self, arrived: Sequence[tuple[Request, Webhook]]) -> list[WebhookResult | BaseException]:
        """Store them; raises nothing. What nobody has foreseen in one of them must not cost the others theirs."""
        try:
            if self._service is None:
                self._service = self._make_service()
            return list(self._service.ingest_together(arrived))
        except (DatabaseError, WaitStepError) as error:
            return [error] * len(arrived)
        except Exception as error:
            if len(arrived) == 1:
                return [error]
            return [self._store([each])[0] for each in arrived]

    def close(self) -> None:
        """Let go of the thread."""
        self._thread.shutdown(wait=False, cancel_futures=True)
