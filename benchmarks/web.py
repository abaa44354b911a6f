"""Webhooks over HTTP on PostgreSQL: signed posts that are stored before they are answered, and NDJSON.

There are two references, both a handler of bare Starlette that reads the body and answers: on uvicorn with uvloop and
httptools, which serve ours as well, and on uvicorn as it comes by itself, with asyncio and h11. All are measured by the
processor time of their own process, as posts a second of one core: load that comes and goes, and the client and
PostgreSQL beside them, cost no side anything. What a client sees by the clock is said as well, and is less, since it
computes, too.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import os
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.measure import Comparison, Setting, in_turn, say
from waitctl import Database

CONNECTIONS = 64
SECRET = b"a secret of the benchmark"
TOKEN = "a-token-of-the-benchmark"
CONFIG = """
[sources.app]
format = "standardwebhooks"
secret_env = "HOOK_SECRET"
[serve.tokens.bench]
token_env = "TOKEN"
scopes = ["events"]
"""


def hooks(setting: Setting) -> list[Comparison]:
    """Single posts, each durable before it is answered."""
    posts, rounds = (2_000, 2) if setting.quick else (12_000, 6)
    with (
        setting.cluster.migrated("hooks") as url,
        _waitctl(setting, url) as ours,
        _starlette("uvloop", "httptools") as same,
        _starlette("asyncio", "h11") as plain,
    ):
        number = 0

        def measure(name: str, server: Server) -> float:
            nonlocal number
            requests = [_signed(number + each, server.port) for each in range(posts)]
            number += posts
            began = time.monotonic()
            spent = server.spent_by(lambda: _post(server.port, requests))
            seconds = time.monotonic() - began
            say(f"  {name}: {posts / spent:,.0f} posts/s of a core, {posts / seconds:,.0f} by the clock")
            return posts / spent

        servers = {
            "waitctl": ours,
            "bare Starlette on uvloop and httptools": same,
            "bare Starlette on plain uvicorn": plain,
        }
        for name, server in servers.items():
            measure(f"{name}, warming", server)
        measured = in_turn([partial(measure, name, server) for name, server in servers.items()], rounds=rounds)
    return [
        Comparison("hooks, posts a second of a core", "/s", measured[0], [3_000.0] * rounds, at_least=1.0),
        Comparison("beside bare Starlette on plain uvicorn (asyncio, h11)", "/s", measured[0], measured[2], 0.6),
        Comparison("beside bare Starlette on our uvicorn (uvloop, httptools)", "/s", measured[0], measured[1]),
    ]


def lines(setting: Setting) -> list[Comparison]:
    """Events as NDJSON, against as many lines that Starlette only reads."""
    events, pairs = (20_000, 2) if setting.quick else (60_000, 4)
    with setting.cluster.migrated("lines") as url, _waitctl(setting, url) as ours:
        number = 0

        def measure() -> float:
            nonlocal number
            body = b"".join(_line(number + each) for each in range(events))
            number += events
            head = _head(
                "/api/v1/events", ours.port, len(body), "application/x-ndjson", f"Authorization: Bearer {TOKEN}"
            )
            began = time.monotonic()
            _post(ours.port, [head + body])
            return events / (time.monotonic() - began)

        measure()
        found = [measure() for _ in range(pairs)]
    return [Comparison("NDJSON over HTTP, events", "/s", found, [30_000.0] * pairs, at_least=1.0)]


def web(setting: Setting) -> list[Comparison]:
    """Both."""
    return hooks(setting) + lines(setting)


def _line(number: int) -> bytes:
    return b'{"type":"page_visit","contact":"user-%d@example.org","id":"%d","data":{"path":"/plans"}}\n' % (
        number % 50_000,
        number,
    )


def _signed(number: int, port: int) -> bytes:
    document = {"type": "page_visit", "data": {"contact": f"user-{number % 50_000}@example.org", "path": "/plans"}}
    body, at = json.dumps(document).encode(), int(time.time())  # noqa: TID251 (when it is signed)
    signature = b64encode(hmac.digest(SECRET, f"msg_{number}.{at}.".encode() + body, "sha256")).decode()
    extra = f"webhook-id: msg_{number}\r\nwebhook-timestamp: {at}\r\nwebhook-signature: v1,{signature}"
    return _head("/hooks/app", port, len(body), "application/json", extra) + body


def _head(path: str, port: int, length: int, kind: str, extra: str) -> bytes:
    lines_ = (
        f"POST {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "User-Agent: bench/1.0",
        "Accept: */*",
        f"Content-Type: {kind}",
        f"Content-Length: {length}",
        extra,
    )
    return "\r\n".join(lines_).encode() + b"\r\n\r\n"


class _Client(asyncio.Protocol):
    """Sends a request when the last one is answered."""

    def __init__(self, requests: Iterator[bytes], done: asyncio.Future[None]) -> None:
        self._requests, self._done = requests, done
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is not None:
            self._transport.write(request)
        elif not self._done.done():
            self._transport.close()
            self._done.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head = self._received.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._received.lower().find(b"content-length: ")
        length = int(self._received[at + 16 : self._received.find(b"\r\n", at)])
        if len(self._received) < head + 4 + length:
            return
        if self._received[9:10] != b"2":
            self._done.set_exception(AssertionError(self._received))
            return
        self._received = b""
        self._next()


def _post(port: int, requests: Sequence[bytes]) -> None:
    async def run() -> None:
        loop, rest = asyncio.get_running_loop(), iter(requests)
        finished = [loop.create_future() for _ in range(min(CONNECTIONS, len(requests)))]
        for done in finished:
            await loop.create_connection(partial(_Client, rest, done), "127.0.0.1", port)
        await asyncio.gather(*finished)

    asyncio.run(run())


class Server:
    """A server that runs, and the processor time that it has used."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self._process, self.port = process, port

    def spent_by(self, work: object) -> float:
        """Seconds of processor time that it spends while ``work`` is done."""
        assert callable(work)
        before = self._spent()
        work()
        return self._spent() - before

    def _spent(self) -> float:
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def _waitctl(setting: Setting, url: str) -> Iterator[Server]:
    config = setting.folder / "web.toml"
    config.write_text(CONFIG)
    config.chmod(0o600)
    with Database(url) as database:
        database.upgrade()
    environment = os.environ | {
        "HOOK_SECRET": f"whsec_{b64encode(SECRET).decode()}",
        "TOKEN": TOKEN,
        "WAITCTL_ALLOW_UNSAFE_FILES": "1",  # the folder is a temporary one
    }
    command = [sys.executable, "-m", "waitctl", "--config", str(config), "--database-url", url]
    with _serving([*command, "serve", "--port", "0"], environment) as server:
        yield server


@contextmanager
def _starlette(loop: str, http: str) -> Iterator[Server]:
    with _serving([sys.executable, "-m", "benchmarks.reference_starlette", loop, http], dict(os.environ)) as server:
        yield server


@contextmanager
def _serving(command: Sequence[str], environment: dict[str, str]) -> Iterator[Server]:
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("serving "):
                break
        else:
            raise SystemExit(f"{' '.join(command)} did not start")
        try:
            yield Server(process, int(line.rstrip("/\n").rpartition(":")[2]))
        finally:
            process.terminate()
            process.communicate()
