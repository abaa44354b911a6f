"""The fastest Python peer drains no-op jobs: ``python -m benchmarks.reference_pgqueuer URL JOBS``, jobs a second."""

from __future__ import annotations

import asyncio
import sys
import time

import asyncpg
import uvloop
from pgqueuer import AsyncpgDriver, PgQueuer, Queries
from pgqueuer.models import Job
from pgqueuer.types import QueueExecutionMode

BATCH = 1000


async def drain(url: str, jobs: int) -> float:
    """Enqueue jobs, then time how long it takes until all are done."""
    connection = await asyncpg.connect(url)
    queries = Queries(AsyncpgDriver(connection))
    if await connection.fetchval("SELECT to_regclass('pgqueuer') IS NULL"):
        await queries.install()
    await connection.execute("TRUNCATE pgqueuer, pgqueuer_log")
    for _ in range(0, jobs, BATCH):
        await queries.enqueue(["nothing"] * BATCH, [b'{"order": 1}'] * BATCH, [0] * BATCH)
    await connection.execute("VACUUM ANALYZE")
    worker = PgQueuer(AsyncpgDriver(await asyncpg.connect(url)))

    @worker.entrypoint("nothing")
    async def nothing(job: Job) -> None:
        """A job that is through at once."""

    began = time.perf_counter()
    await worker.run(batch_size=BATCH, mode=QueueExecutionMode.drain)
    took = time.perf_counter() - began
    if left := await connection.fetchval("SELECT count(*) FROM pgqueuer"):
        raise SystemExit(f"{left} jobs are left")
    return jobs / took


if __name__ == "__main__":
    uvloop.install()
    print(asyncio.run(drain(sys.argv[1], int(sys.argv[2]))))
