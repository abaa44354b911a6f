"""procrastinate: https://procrastinate.readthedocs.io.

* ``batch_defer_async``: "more efficient than deferring them one by one" (docs/howto/basics/batch_defer.md).
* ``concurrency=30`` and a pool of as many connections and one (docs/howto/production/concurrency.md,
  docs/discussions.md). A job is fetched by a statement of its own; there is no batch.
* ``delete_jobs="always"``, so that the table stays small (docs/howto/production/delete_finished_jobs.md).
"""

from __future__ import annotations

import procrastinate
import uvloop

from benchmarks.peers.driver import BATCH, Peer, main

CONCURRENCY = 30


async def nothing(order: int) -> None:
    """A job that is through at once."""


class Procrastinate(Peer):
    """One worker."""

    tables = ("procrastinate_jobs", "procrastinate_events")

    async def install(self) -> None:
        connector = procrastinate.PsycopgConnector(conninfo=self.url, max_size=CONCURRENCY + 1)
        self._app = procrastinate.App(connector=connector)
        self._task = self._app.task(name="nothing")(nothing)
        await self._app.open_async()
        if self.sql("SELECT (to_regclass('procrastinate_jobs') IS NULL)::int"):
            await self._app.schema_manager.apply_schema_async()

    async def schedule(self, jobs: int) -> None:
        for first in range(0, jobs, BATCH):
            await self._task.batch_defer_async(*[{"order": 1}] * min(BATCH, jobs - first))

    async def drain(self, jobs: int) -> None:
        await self._app.run_worker_async(
            concurrency=CONCURRENCY, wait=False, delete_jobs="always", install_signal_handlers=False
        )

    def unfinished(self) -> str:
        return "SELECT count(*) FROM procrastinate_jobs WHERE scheduled_at IS NULL"

    def later(self, jobs: int) -> str:
        return f"""
            INSERT INTO procrastinate_jobs (queue_name, task_name, priority, args, status, scheduled_at)
            SELECT queue_name, task_name, priority, args, status, now() + interval '30 days'
              FROM procrastinate_jobs, generate_series(1, {jobs})
        """

    async def close(self) -> None:
        await self._app.close_async()


if __name__ == "__main__":
    uvloop.install()
    main(Procrastinate)
