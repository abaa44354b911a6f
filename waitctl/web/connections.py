"""Connections of the server, with a bound on the head of a request: how long it is, and how long it may take.

The server bounds neither: a line that never ends grows in its memory, and a client that never says what it wants keeps
a descriptor. Bodies have bounds of their own.
"""

from __future__ import annotations

from asyncio import TimerHandle
from typing import Any
from urllib.parse import urlsplit

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

MOST_HEAD = 64 * 1024
"""Bytes of a request's line and headers, as they come in; what comes in together with the last of them is taken too."""

HEAD_SECONDS = 10.0
"""Seconds from the first byte, or from the connection, to the end of the headers."""


class BoundedConnection(HttpToolsProtocol):
    """A connection whose requests begin in time, are not too long, and are for one host."""

    _length = 0
    _is_in_head = True
    _late: TimerHandle | None = None
    """Set while the rest of a head is waited for."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._have_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_in_head:  # which hardly any is: a head comes in one piece
            self._expect_head()
            self._length += len(data)
            if self._length > MOST_HEAD:
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._is_in_head, self._length = True, 0

    def on_headers_complete(self) -> None:
        """Raises `ValueError`, which the parser makes a 400 of, for a request that says two hosts (RFC 9112, 3.2)."""
        self._have_head()
        hosts = [value for name, value in self.headers if name == b"host"]
        if self.url[:1] != b"/" and (named := urlsplit(self.url).netloc):
            hosts.append(named)
        if len(hosts) > 1 and len(set(hosts)) > 1:
            raise ValueError("two hosts")
        super().on_headers_complete()

    def _unsupported_upgrade_warning(self) -> None:
        """Nothing: who asks for another protocol is answered in this one, and does not write into our log."""

    def _expect_head(self) -> None:
        if self._late is None:
            self._late = self.loop.call_later(HEAD_SECONDS, self._refuse, 408)

    def _have_head(self) -> None:
        self._is_in_head = False
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _refuse(self, status: int) -> None:
        """Close the connection; with an answer, unless one is under way."""
        self._have_head()
        if self.transport.is_closing():
            return
        if getattr(self.cycle, "response_complete", True):  # there is no cycle before the first request
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
        self.transport.close()
