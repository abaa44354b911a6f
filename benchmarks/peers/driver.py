"""What each is asked to do: ``python -m benchmarks.peers.NAME URL VERB COUNT``, run by the peers' own Python.

Prints one JSON object of figures. Timed is what a user of the peer would wait for, in one process that has started
already; tables are emptied before and vacuumed in between, untimed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable

import psycopg

BATCH = 1000


class Peer(ABC):
    """A peer on one database."""

    tables: tuple[str, ...]
    """What is emptied before each run."""

    def __init__(self, url: str) -> None:
        self.url = url

    @abstractmethod
    async def install(self) -> None:
        """Make the tables, unless they are there, and whatever a worker needs."""

    @abstractmethod
    async def schedule(self, jobs: int) -> None:
        """Schedule so many due jobs in bulk."""

    @abstractmethod
    async def drain(self, jobs: int) -> None:
        """Run them all to their ends."""

    @abstractmethod
    def unfinished(self) -> str:
        """A query that counts the due jobs that have not ended."""

    def later(self, jobs: int) -> str:
        """A statement that makes so many jobs that are not due, of the one due job that there is."""
        raise NotImplementedError

    async def listen(self, waits: int) -> None:
        """Open so many waits for an event each."""
        raise NotImplementedError

    async def send(self, waits: int) -> None:
        """Send the event of each, as many at a time as can be."""
        raise NotImplementedError

    async def finish(self, waits: int) -> None:
        """Return when every wait has ended and what comes after it has run."""
        raise NotImplementedError

    @abstractmethod
    async def close(self) -> None:
        """Let go of what `install` has opened."""

    def sql(self, *statements: str) -> int:
        """Run statements, each its own transaction, and return the first value of the last one's answer."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            answer = 0
            for statement in statements:
                cursor = connection.execute(statement.encode())
                row = cursor.fetchone() if cursor.description else None
                answer = int(row[0]) if row else 0
            return answer


async def _seconds(work: Awaitable[None]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _empty(peer: Peer) -> None:
    peer.sql(f"TRUNCATE {', '.join(peer.tables)} CASCADE")


def _settle(peer: Peer) -> None:
    peer.sql("VACUUM ANALYZE", "CHECKPOINT")


def _check(peer: Peer) -> None:
    if left := peer.sql(peer.unfinished()):
        raise SystemExit(f"{left} jobs are left")


async def jobs(peer: Peer, count: int) -> dict[str, float]:
    """Due jobs scheduled in bulk, and drained: jobs a second."""
    _empty(peer)
    scheduled = await _seconds(peer.schedule(count))
    _settle(peer)
    drained = await _seconds(peer.drain(count))
    _check(peer)
    return {"bulk": count / scheduled, "drain": count / drained}


async def fill(peer: Peer, count: int) -> dict[str, float]:
    """Have so many jobs that are not due."""
    _empty(peer)
    await peer.schedule(1)
    peer.sql(peer.later(count))
    await peer.drain(1)
    return {}


async def due(peer: Peer, count: int) -> dict[str, float]:
    """Due jobs drained beside what there is: microseconds a job."""
    await peer.schedule(count)
    _settle(peer)
    took = await _seconds(peer.drain(count))
    _check(peer)
    return {"due": 1e6 * took / count}


async def wake(peer: Peer, count: int) -> dict[str, float]:
    """Waits for an event each, woken and run to their ends: waits a second, from the first event that is sent."""
    _empty(peer)
    await peer.listen(count)
    _settle(peer)
    sent = await _seconds(peer.send(count))
    ended = sent + await _seconds(peer.finish(count))
    _check(peer)
    return {"sent": count / sent, "wake": count / ended}


VERBS = {"jobs": jobs, "fill": fill, "due": due, "wake": wake}


def main(kind: type[Peer]) -> None:
    """Do what the command line asks for."""
    url, verb, count = sys.argv[1:]

    async def work() -> dict[str, float]:
        peer = kind(url)
        await peer.install()
        try:
            return await VERBS[verb](peer, int(count))
        finally:
            await peer.close()

    print(json.dumps(asyncio.run(work())))
