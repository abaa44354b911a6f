"""pgqueuer: https://github.com/janbjorge/pgqueuer.

* ``batch_size``: "increase when jobs are short-lived" (docs/guides/performance-tuning.md). 1,000, as a tick's.
* asyncpg and uvloop, as its own benchmark has them (tools/benchmark.py). The mode that drains waits for jobs that are
  not due, too; so the last job that is due says that this is the end.
* Durability ``durable``, its default: ``balanced`` and ``volatile`` lose jobs in a crash (same page).
"""

from __future__ import annotations

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, PgQueuer, Queries
from pgqueuer.models import Job
from pgqueuer.types import QueueExecutionMode

from benchmarks.peers.driver import BATCH, Peer, main


class Pgqueuer(Peer):
    """One worker."""

    tables = ("pgqueuer", "pgqueuer_log")

    async def install(self) -> None:
        self._connection = await asyncpg.connect(self.url)
        self._queries = Queries(AsyncpgDriver(self._connection))
        if await self._connection.fetchval("SELECT to_regclass('pgqueuer') IS NULL"):
            await self._queries.install()

    async def schedule(self, jobs: int) -> None:
        for first in range(0, jobs, BATCH):
            batch = min(BATCH, jobs - first)
            await self._queries.enqueue(["nothing"] * batch, [b'{"order": 1}'] * batch, [0] * batch)

    async def drain(self, jobs: int) -> None:
        connection = await asyncpg.connect(self.url)
        worker = PgQueuer(AsyncpgDriver(connection))

        left = jobs

        async def nothing(job: Job) -> None:
            """A job that is through at once."""
            nonlocal left
            left -= 1
            if not left:
                worker.shutdown.set()

        worker.entrypoint("nothing")(nothing)
        await worker.run(batch_size=BATCH, mode=QueueExecutionMode.continuous)
        await connection.close()

    def unfinished(self) -> str:
        return "SELECT count(*) FROM pgqueuer WHERE execute_after <= now()"

    def later(self, jobs: int) -> str:
        return f"""
            INSERT INTO pgqueuer (priority, created, updated, execute_after, status, entrypoint, payload)
            SELECT priority, now(), now(), now() + interval '30 days', status, entrypoint, payload
              FROM pgqueuer, generate_series(1, {jobs})
        """

    async def close(self) -> None:
        await self._connection.close()


if __name__ == "__main__":
    uvloop.install()
    main(Pgqueuer)
