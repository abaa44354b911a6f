"""waitctl itself, asked for the same: by this project's Python, with what its command has.

Its jobs are waits that are due at once, each with the audit trail and the delivery that every wait has; a ``python``
handler in a process of its own is called with each.
"""

from __future__ import annotations

import gc
import json
from datetime import timedelta

from benchmarks.ingest import TABLES, WAITS
from benchmarks.peers.driver import Peer, main
from benchmarks.rows import Kind, insert_postgresql
from waitctl import Database, EventService, Settings, Tick, TickOptions, WaitRequest, WaitSchedulingService, WaitSpec
from waitctl.__main__ import OBJECTS_BETWEEN_COLLECTIONS
from waitctl.domain.handlers import HandlerConfig, PythonConfig

NUDGE = HandlerConfig("nudge", PythonConfig("benchmarks.handlers:nothing"), concurrency=8)


class Waitctl(Peer):
    """One tick."""

    tables = TABLES

    async def install(self) -> None:
        self._database = Database(self.url)
        self._database.upgrade()
        # What a command loads when it needs it is loaded before the clock starts, as the peers' libraries are.
        self._waits = WaitSchedulingService(self._database)
        self._waits.create_waits(())
        EventService(self._database).ingest_ndjson(())

    async def schedule(self, jobs: int) -> None:
        with self._database.read() as connection:
            yesterday = self._database.clock(connection) - timedelta(days=1)
        self._waits.create_waits(
            WaitRequest.fixed_time("1h", self._spec(number), base=yesterday) for number in range(jobs)
        )

    def _spec(self, number: int) -> WaitSpec:
        return WaitSpec(f"order-{number}", "nudge", context={"order": 1}, handler="nudge")

    async def drain(self, jobs: int) -> None:
        settings = Settings(self.url, handlers={NUDGE.name: NUDGE})
        Tick(self._database, settings, TickOptions(time_budget=timedelta(hours=1))).run()

    def unfinished(self) -> str:
        return """
            SELECT (SELECT count(*) FROM workflow_wait_executions WHERE status = 'scheduled' AND scheduled_at <= now())
                 + (SELECT count(*) FROM workflow_wait_executions WHERE status = 'waiting')
                 + (SELECT count(*) FROM workflow_wait_deliveries WHERE status <> 'delivered')
        """

    def later(self, jobs: int) -> str:
        return insert_postgresql(Kind.LATER, jobs)

    async def listen(self, waits: int) -> None:
        self.sql(WAITS.format(waits=waits))

    async def send(self, waits: int) -> None:
        lines = (
            json.dumps({"type": "email_click", "contact": f"user-{number}@example.org", "id": str(number)}).encode()
            for number in range(1, waits + 1)
        )
        EventService(self._database).ingest_ndjson(enumerate(lines, 1))

    async def finish(self, waits: int) -> None:
        await self.drain(waits)

    async def close(self) -> None:
        self._database.close()


if __name__ == "__main__":
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    main(Waitctl)
