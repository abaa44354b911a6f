"""A network of one's own: a TCP port before a PostgreSQL that can fall silent, which no kernel notices."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from sqlalchemy.engine import URL, make_url


class Proxy:
    """Forwards to the server of ``url`` until told to be `silent`: then it takes everything and passes nothing on."""

    def __init__(self, url: str) -> None:
        self._server = _address(make_url(url))
        self._url = make_url(url)
        self._flows = threading.Event()
        self._flows.set()
        self._ended = False
        self._sockets: list[socket.socket] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """The database behind it."""
        query = {key: value for key, value in self._url.query.items() if key not in {"host", "port"}}
        url = self._url.set(host="127.0.0.1", port=self.port, query=query)
        return url.render_as_string(hide_password=False)

    def silent(self) -> None:
        """Pass nothing on, on no connection, until told to."""
        self._flows.clear()

    def flow(self) -> None:
        """Pass on again, also what was held back."""
        self._flows.set()

    def cut(self) -> None:
        """End the connections that there are; new ones are taken."""
        sockets, self._sockets = self._sockets, []
        for each in sockets:
            _shut(each)

    def close(self) -> None:
        self._ended = True
        self._listening.close()
        self.flow()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        self._sockets.append(client)
        self._flows.wait()
        family, address = self._server
        server = socket.socket(family)
        try:
            server.connect(address)
        except OSError:
            _shut(client)
            return
        self._sockets.append(server)
        threading.Thread(target=self._pump, args=(server, client), daemon=True).start()
        self._pump(client, server)

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                self._flows.wait()
                target.sendall(data)
        self._flows.wait()
        for each in (source, target):
            _shut(each)


def _shut(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
    each.close()


def _address(url: URL) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    """Where libpq would go: a folder of sockets, or a host."""
    host = str(url.query.get("host") or url.host or "127.0.0.1")
    port = int(str(url.query.get("port") or url.port or 5432))
    if host.startswith("/"):
        return socket.AF_UNIX, f"{host}/.s.PGSQL.{port}"
    return socket.AF_INET, (host, port)
