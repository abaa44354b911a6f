"""absurd: https://github.com/earendil-works/absurd, its SQL through its own Python client.

* There is no bulk ``spawn`` or ``emit_event`` (docs/sdks/python.md). Both are called on a connection of ours (same
  page, "From an existing psycopg Connection"), a thousand in a transaction, which spares it the commits.
* ``work_batch`` with the batch of a tick, 1,000: no poll interval comes between two batches.
* Queues are unpartitioned, the default (docs/storage.md).
"""

from __future__ import annotations

import absurdctl
import psycopg
from absurd_sdk import Absurd

from benchmarks.peers.driver import BATCH, Peer, main


class AbsurdPeer(Peer):
    """One worker."""

    tables = tuple(f"absurd.{kind}_default" for kind in "trcew")

    async def install(self) -> None:
        if self.sql("SELECT (to_regnamespace('absurd') IS NULL)::int"):
            self.sql(absurdctl.BUNDLED_SCHEMA_SQL)
        self._connection = psycopg.connect(self.url, autocommit=True)
        self._app = Absurd(self._connection, queue_name="default")
        self._app.create_queue("default")
        self._app.register_task("nothing")(lambda params, context: None)
        self._app.register_task("listen")(lambda params, context: context.await_event(f"order-{params['order']}"))

    async def schedule(self, jobs: int) -> None:
        self._spawn("nothing", jobs)

    async def drain(self, jobs: int) -> None:
        for _ in range(0, jobs, BATCH):
            self._app.work_batch(batch_size=BATCH)

    def unfinished(self) -> str:
        return (
            "SELECT count(*) FROM absurd.r_default "
            "WHERE state <> 'completed' AND available_at <= now() + interval '1 day'"
        )

    def later(self, jobs: int) -> str:
        return f"""
            WITH given AS (
                SELECT t.*, gen_random_uuid() AS new_task, gen_random_uuid() AS new_run
                  FROM absurd.t_default AS t, generate_series(1, {jobs})
            ), tasks AS (
                INSERT INTO absurd.t_default
                       (task_id, task_name, params, max_attempts, state, attempts, last_attempt_run)
                SELECT new_task, task_name, params, max_attempts, 'sleeping', attempts, new_run FROM given
            )
            INSERT INTO absurd.r_default (run_id, task_id, attempt, state, available_at)
            SELECT new_run, new_task, 1, 'sleeping', now() + interval '30 days' FROM given
        """

    async def listen(self, waits: int) -> None:
        self._spawn("listen", waits)
        await self.drain(waits)

    async def send(self, waits: int) -> None:
        for first in range(0, waits, BATCH):
            with self._connection.transaction():
                for number in range(first, min(first + BATCH, waits)):
                    self._app.emit_event(f"order-{number}", {"order": number})

    async def finish(self, waits: int) -> None:
        await self.drain(waits)

    def _spawn(self, task: str, count: int) -> None:
        for first in range(0, count, BATCH):
            with self._connection.transaction():
                for number in range(first, min(first + BATCH, count)):
                    self._app.spawn(task, {"order": number})

    async def close(self) -> None:
        self._connection.close()


if __name__ == "__main__":
    main(AbsurdPeer)
