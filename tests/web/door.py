"""A server of uvicorn's in a thread, and a client that shows everything that it answers."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import uvicorn

from waitctl.infrastructure.config import Settings, SourceConfig
from waitctl.infrastructure.serve_settings import Scope, ServeConfig, TokenConfig
from waitctl.web import create_app
from waitctl.web.site import Site

JSON = {"Content-Type": "application/json"}
PATIENCE = 60.0


@dataclass(frozen=True)
class Answer:
    """An answer, whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error."""
        assert next(iter(self.json)) == "error", self
        assert list(self.json["error"]) == ["code", "message", "hint"], self
        return str(self.json["error"]["code"])


class Client:
    """Asks one server. ``token``: sent with everything."""

    def __init__(self, port: int, token: str | None = None, site: Site | None = None) -> None:
        self.port, self.token, self._site = port, token, site

    @property
    def site(self) -> Site:
        """What the server goes by."""
        assert self._site is not None
        return self._site

    def with_token(self, token: str | None) -> Client:
        return Client(self.port, token, self._site)

    @contextmanager
    def open(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> Iterator[HTTPResponse]:
        """The beginning of an answer."""
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
            connection.request(method, path, body, token | dict(headers))
            yield connection.getresponse()

    def ask(self, method: str, path: str, body: bytes | str | None = None, headers: Mapping[str, str] = {}) -> Answer:
        given = body.encode() if isinstance(body, str) else body
        with self.open(method, path, given, headers) as response:
            return Answer(
                response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()
            )

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def post(self, path: str, document: object = None, **headers: str) -> Answer:
        """Post a document as JSON."""
        given = JSON | {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, json.dumps(document), given)


class Server(uvicorn.Server):
    """It ends at once when it is told to: uvicorn's own looks ten times a second whether it may."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_up = threading.Event()
        self._stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self.started_up.set()

    async def main_loop(self) -> None:
        await self.on_tick(0)
        await self._stopping.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        state = self.server_state
        for server in self.servers:
            server.close()
        for connection in list(state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.config.timeout_graceful_shutdown):
                while state.connections or state.tasks:
                    await asyncio.sleep(0.001)
        for task in state.tasks:
            task.cancel()
        await self.lifespan.shutdown()

    def stop(self) -> None:
        """From another thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)


@contextmanager
def serving(app: Any, **options: Any) -> Iterator[int]:
    """The port on which an application is served."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, access_log=False, ws="none", timeout_graceful_shutdown=5, **options)
    server = Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        assert server.started_up.wait(PATIENCE)
        yield listener.getsockname()[1]
    finally:
        if (site := getattr(getattr(app, "state", None), "site", None)) is not None:
            site.news.stop()
        server.stop()
        thread.join()


TOKENS = {name: f"{name}-token-of-16-characters" for name in ("reader", "writer", "sender", "admin")}
SCOPES = {
    "reader": {Scope.READ},
    "writer": {Scope.READ, Scope.WRITE},
    "sender": {Scope.EVENTS},
    "admin": set(Scope),
}


def settings_of(
    url: str,
    folder: Path,
    *,
    sources: Mapping[str, SourceConfig] = {},
    tokens: bool = True,
    serve: Mapping[str, Any] = {},
    **more: Any,
) -> Settings:
    """Settings with a token of each kind, in files."""
    configs = {}
    for name, token in TOKENS.items() if tokens else ():
        file = folder / f"{name}.token"
        file.write_text(token)
        file.chmod(0o600)
        configs[name] = TokenConfig(name, token_file=(str(file),), scopes=frozenset(SCOPES[name]))
    return Settings(url, sources=sources, serve=ServeConfig(tokens=configs, **serve), **more)


@contextmanager
def door(settings: Settings, *, token: str | None = TOKENS["admin"], **options: Any) -> Iterator[Client]:
    """A client of these settings' own server."""
    app = create_app(settings, **options)
    with serving(app) as port:
        yield Client(port, token, app.state.site)
