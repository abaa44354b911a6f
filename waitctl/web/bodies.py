"""The bodies of requests: how long one may be, for how long it is waited, and how many are waited for at once.

Who sends a body slowly holds one of the requests that may be in flight. Nobody knows yet whether it is signed, so what
counts is the address that it comes from, as far as that is known: behind a proxy, the one that the proxy has added.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import Any

from starlette.requests import ClientDisconnect, Request

from waitctl.web.answers import HttpError, TooLargeError

MAX_BODY = 1024 * 1024
"""Bytes of a request's body."""

BODY_SECONDS = 10.0
"""For which a body is waited."""


class Bodies:
    """Those that are waited for. ``most_requests``: how many requests there may be, with a quarter for other things.

    Where there are more, the address that has most of them loses the one that has been waited for longest: whoever
    sends a body at once is never that one for long, however many others come.
    """

    def __init__(self, most_requests: int) -> None:
        self._most = max(1, most_requests * 3 // 4)
        self._waited_for: dict[asyncio.Timeout, str] = {}
        """The oldest first, each with the address that it comes from."""

    @contextmanager
    def waiting(self, limit: asyncio.Timeout, address: str) -> Iterator[None]:
        """Wait for a body for as long as ``limit`` says, which may be cut short."""
        self._waited_for[limit] = address
        if len(self._waited_for) > self._most:
            self._give_one_up()
        try:
            yield
        finally:
            self._waited_for.pop(limit, None)

    def _give_one_up(self) -> None:
        ((address, _),) = Counter(self._waited_for.values()).most_common(1)
        oldest = next(limit for limit, its in self._waited_for.items() if its == address)
        del self._waited_for[oldest]
        if not oldest.expired():  # else it is on its way out by itself
            oldest.reschedule(asyncio.get_running_loop().time())


def address_of(request: Request) -> str:
    """What stands for who asks: an address, of IPv6 the network of 64 bits that one customer has; or nothing.

    The server has put there what a proxy on this machine says. On a Unix socket it takes the first of a list, which
    the client itself may have begun; the last is what the proxy has added.
    """
    host, port = request.scope.get("client") or ("", 0)
    if port == 0 and (forwarded := request.headers.getlist("x-forwarded-for")):
        host = forwarded[-1].rpartition(",")[2].strip()
    try:
        found = ip_address(host.strip("[]"))
    except ValueError:
        return str(host)
    return str(int(found) >> 64) if isinstance(found, IPv6Address) else str(found)


async def read_body(request: Request, most: int = MAX_BODY) -> bytes:
    """The body.

    Raises `TooLargeError`, as soon as that is known, and `HttpError` for one that is compressed or does not come.
    """
    coding = request.headers.get("content-encoding", "").strip().lower()
    if coding not in {"", "identity"}:
        raise HttpError(415, "unsupported_content_encoding", f"the body is in {coding[:50]!a}", hint="send it as it is")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > most:
        raise TooLargeError(most)
    chunks: list[bytes] = []
    size = 0
    bodies: Bodies = request.app.state.bodies
    try:
        async with asyncio.timeout(BODY_SECONDS) as limit:
            with bodies.waiting(limit, address_of(request)):
                while True:
                    message: Any = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    if chunk := message.get("body"):
                        size += len(chunk)
                        if size > most:
                            raise TooLargeError(most)
                        chunks.append(chunk)
                    if not message.get("more_body"):
                        return chunks[0] if len(chunks) == 1 else b"".join(chunks)
    except TimeoutError:
        raise HttpError(
            408, "timeout", f"the body did not come within {BODY_SECONDS:.0f} seconds, or others had to have their turn"
        ) from None
