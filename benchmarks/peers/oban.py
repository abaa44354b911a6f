"""oban: https://github.com/oban-bg/oban-py.

* ``enqueue_many``: "more efficient than calling enqueue() multiple times" (its docstring).
* A queue's limit is how many jobs are fetched at once (docs/defining_queues.md; ``_producer.py``): 1,000, as a tick's
  batch. The cooldown between two fetches stays at its default of 5 ms.
* A pool of 10 connections, "comfortable for most deployments" (docs/production.md).
"""

from __future__ import annotations

import asyncio

import uvloop
from oban import Oban, worker

from benchmarks.peers.driver import BATCH, Peer, main

done = asyncio.Semaphore(0)


class Nothing:
    """A job that is through at once."""

    async def process(self, job: object) -> None:
        """Say so."""
        done.release()


class ObanPeer(Peer):
    """One worker."""

    tables = ("oban_jobs",)

    async def install(self) -> None:
        self._pool = await Oban.create_pool(self.url)
        self._oban = Oban(pool=self._pool)
        self._nothing = worker(queue="default")(Nothing)
        if self.sql("SELECT (to_regclass('oban_jobs') IS NULL)::int"):
            from oban.schema import install

            await install(self._pool)

    async def schedule(self, jobs: int) -> None:
        for first in range(0, jobs, BATCH):
            await self._oban.enqueue_many(self._nothing.new({"order": 1}) for _ in range(min(BATCH, jobs - first)))

    async def drain(self, jobs: int) -> None:
        async with Oban(pool=self._pool, name="drain", queues={"default": BATCH}):
            for _ in range(jobs):
                await done.acquire()

    def unfinished(self) -> str:
        return "SELECT count(*) FROM oban_jobs WHERE state <> 'completed' AND scheduled_at <= timezone('UTC', now())"

    def later(self, jobs: int) -> str:
        return f"""
            INSERT INTO oban_jobs (state, queue, worker, args, priority, max_attempts, scheduled_at)
            SELECT 'scheduled', queue, worker, args, priority, max_attempts, scheduled_at + interval '30 days'
              FROM oban_jobs, generate_series(1, {jobs})
        """

    async def close(self) -> None:
        await self._pool.close()


if __name__ == "__main__":
    uvloop.install()
    main(ObanPeer)
