"""A TCP proxy on the loopback that can go silent: connections stay open, and nothing comes through any more."""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from threading import Event, Thread

from sqlalchemy.engine import make_url


class Proxy:
    """Forwards to a port of this host, or to a socket of this name, until told to be silent."""

    def __init__(self, target: int | str) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.silent = Event()
        self._closed = Event()
        self._pairs: dict[socket.socket, socket.socket] = {}
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        for each in (self._listening, *self._pairs):
            each.close()

    def point_at(self, port: int) -> None:
        """Connect to another port from now on."""
        self._target = port

    def refuse(self) -> None:
        """End every connection, and take no new one."""
        self.__exit__()

    def _run(self) -> None:
        while not self._closed.is_set():
            watched = [self._listening] if self.silent.is_set() else [self._listening, *self._pairs]
            readable, _, _ = select.select(watched, [], [], 0.02)
            for each in readable:
                if each is self._listening:
                    self._accept()
                elif each in self._pairs and not self.silent.is_set():
                    self._forward(each)

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        if self.silent.is_set():
            self._pairs[client] = client
            return
        try:
            server = self._connect()
        except OSError:
            client.close()
            return
        self._pairs[client], self._pairs[server] = server, client

    def _connect(self) -> socket.socket:
        if isinstance(self._target, int):
            return socket.create_connection(("127.0.0.1", self._target), timeout=5)
        server = socket.socket(socket.AF_UNIX)
        server.connect(self._target)
        return server

    def _forward(self, source: socket.socket) -> None:
        target = self._pairs[source]
        data = b""
        with suppress(OSError):
            data = source.recv(65536)
            target.sendall(data)
        if not data:
            for each in (source, target):
                self._pairs.pop(each, None)
                each.close()


def before(url: str) -> tuple[Proxy, str]:
    """A proxy before the server of this URL, and the URL that leads through it."""
    to = make_url(url)
    host, port = to.query.get("host") or to.host or "127.0.0.1", int(str(to.query.get("port") or to.port or 5432))
    proxy = Proxy(f"{host}/.s.PGSQL.{port}" if str(host).startswith("/") else port)
    query = {key: value for key, value in to.query.items() if key not in {"host", "port"}}
    through = to.set(drivername="postgresql", host="127.0.0.1", port=proxy.port, query=query)
    return proxy, through.render_as_string(hide_password=False)
