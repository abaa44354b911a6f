"""dbos: https://github.com/dbos-inc/dbos-transact-py. For its events alone: a wait is a workflow that is receiving.

* Coroutines, not threads: ``recv_async`` (docstrings of `DBOS.recv` and `DBOS.recv_async`).
* ``send_bulk``: "many messages … in a single transaction" (its docstring).
* LISTEN/NOTIFY and a pool of 20 connections, its defaults (`DBOSConfig`).
"""

from __future__ import annotations

import asyncio
from typing import Any

import uvloop
from dbos import DBOS, SendMessage, SetWorkflowID

from benchmarks.peers.driver import BATCH, Peer, main

HOUR = 3600


async def listen() -> object:
    """Wait for a message, and be through."""
    return await DBOS.recv_async(timeout_seconds=HOUR)


class Dbos(Peer):
    """One process."""

    tables = tuple(f"dbos.{name}" for name in ("workflow_status", "notifications", "operation_outputs"))

    async def install(self) -> None:
        DBOS(config={"name": "peer", "system_database_url": self.url, "log_level": "ERROR", "run_admin_server": False})
        self._workflow: Any = DBOS.workflow()(listen)
        DBOS.launch()

    async def schedule(self, jobs: int) -> None:
        raise NotImplementedError

    async def drain(self, jobs: int) -> None:
        raise NotImplementedError

    def unfinished(self) -> str:
        return "SELECT count(*) FROM dbos.workflow_status WHERE status <> 'SUCCESS'"

    async def listen(self, waits: int) -> None:
        self._handles = []
        for number in range(waits):
            with SetWorkflowID(f"order-{number}"):
                self._handles.append(await DBOS.start_workflow_async(self._workflow))
        while self.sql("SELECT count(*) FROM dbos.operation_outputs WHERE function_name = 'DBOS.sleep'") < waits:
            await asyncio.sleep(0.2)

    async def send(self, waits: int) -> None:
        for first in range(0, waits, BATCH):
            last = min(first + BATCH, waits)
            messages = [SendMessage(f"order-{number}", number) for number in range(first, last)]
            await DBOS.send_bulk_async(messages)

    async def finish(self, waits: int) -> None:
        for handle in self._handles:
            await handle.get_result()

    async def close(self) -> None:
        DBOS.destroy()


if __name__ == "__main__":
    uvloop.install()
    main(Dbos)
