"""The handler that posts to a URL, signed by the Standard Webhooks specification when it has a secret.

The status decides: 2xx delivered, 410 dead at once, 429 and 503 try again when ``Retry-After`` says, anything else try
again. Redirects are refused: a signed body goes where the config says and nowhere else. The answer's body is only
words for `last_error`.

The standard library's HTTP client is enough, and the only one here with a deadline for the whole exchange: timeouts of
urllib3 and requests are per read, so that a server which sends a byte a second holds them for ever, and aiohttp would
bring an event loop and seven packages for one POST.
"""

from __future__ import annotations

import base64
import binascii
import io
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, cast
from urllib.parse import SplitResult, urlsplit

from waitctl.domain.deliveries import MAX_OUTPUT, Delivered, Failed, HandlerResult, Rejected
from waitctl.domain.text import storable
from waitctl.domain.values import dataclass
from waitctl.infrastructure.handlers import HandlerNotReadyError, Payload, nothing
from waitctl.infrastructure.redaction import redact

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from standardwebhooks import Webhook

MAX_RETRY_AFTER = timedelta(hours=24)
"""The longest that a target's own word puts an attempt off: a slip of its pen must not lose a delivery."""

_MOST_READ = 4096
"""Bytes that are received at once, and so of an answer that is taken in by one look."""

_MOST_HEARD = 64 * 1024
"""Bytes of an answer's body that are read. What is longer costs the connection, and may be endless."""

_NEARLY = 0.1
"""Seconds by which a deadline may be missed."""

_TAIL = 1024
"""Bytes of an answer's body that `last_error` keeps."""


class WebhookHandler:
    """Posts each payload to one URL, over connections that are kept for the next.

    ``secrets`` holds what signs, several during a rotation, separated by blanks. ``clock`` is the host's: a receiver
    compares the timestamp with its own. Raises `HandlerNotReadyError` for a secret that is none.
    """

    most_at_once = 1
    one_by_one = True

    def __init__(self, url: str, timeout: timedelta, clock: Callable[[], datetime], secrets: str | None = None) -> None:
        self._url = urlsplit(url)
        self._head = _head(self._url)
        self._timeout = timeout.total_seconds()
        self._clock = clock
        self._signers = () if secrets is None else _signers(secrets)
        self._context = ssl.create_default_context() if self._url.scheme == "https" else None
        self._idle: deque[_Connection] = deque()

    def deliver(self, payloads: Sequence[Payload], begun: Callable[[], None] = nothing) -> Sequence[HandlerResult]:
        """Post each payload and judge the answer."""
        return [self._deliver(payload, begun) for payload in payloads]

    def _deliver(self, payload: Payload, begun: Callable[[], None]) -> HandlerResult:
        try:
            return self._exchange(payload, time.monotonic() + self._timeout, begun)
        except TimeoutError:
            return Failed(f"timed out after {self._timeout:g} s")
        except ssl.SSLError as error:
            return Failed(f"TLS with {self._url.hostname}: {getattr(error, 'verify_message', '') or error.reason}")
        except OSError as error:
            return Failed(f"cannot reach {self._url.hostname}: {error.strerror or type(error).__name__}")
        except HTTPException as error:
            return Failed(f"{self._url.hostname} does not speak HTTP: {type(error).__name__}")

    def stop(self, *, at_once: bool = False) -> None:
        """Its exchanges end by their timeout anyhow."""

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop().close()

    def _exchange(self, payload: Payload, deadline: float, begun: Callable[[], None]) -> HandlerResult:
        request = self._request(payload)
        if (kept := self._kept()) is not None:
            with suppress(ConnectionError):  # the server closed it while it was idle: nobody's failure
                return self._post(kept, request, deadline, begun)
        return self._post(_Connection(self._url, self._context), request, deadline, begun)

    def _kept(self) -> _Connection | None:
        """A connection of before. One on which something has come meanwhile would take that for its next answer."""
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if connection.is_silent():
                    return connection
                connection.close()
        return None

    def _post(
        self, connection: _Connection, request: bytes, deadline: float, begun: Callable[[], None]
    ) -> HandlerResult:
        connection.deadline = deadline
        reusable = False
        try:
            connection.send(request)
            begun()
            answer = connection.receive()
            if reusable := _is_plain_success(answer):
                return Delivered(_tail_of(answer.partition(b"\r\n\r\n")[2], MAX_OUTPUT))
            with connection.response(answer) as response:
                text = _read(response)
                # Python 3.11 does not call a body of known length closed when it has given out all of it.
                is_whole = response.status >= 200 and (response.isclosed() or response.length == 0)
            reusable = is_whole and not response.will_close and not connection.has_more
            return _judge_answer(_Answer(response, text), self._clock)
        finally:
            if reusable:
                self._idle.append(connection)
            else:
                connection.close()

    def _request(self, payload: Payload) -> bytes:
        """The whole request: http.client would send head and body apart, and take each header by itself."""
        now, body = self._clock(), payload.body
        lines = [
            *self._head,
            f"Content-Length: {len(body)}",
            f"webhook-id: {payload.delivery_id}",
            f"webhook-timestamp: {int(now.timestamp())}",
        ]
        if links := payload.trace_links:
            lines.append(f"waitctl-trace-links: {links}")
        if self._signers:
            at, text = now.astimezone(UTC), body.decode()
            signatures = " ".join(signer.sign(payload.delivery_id, at, text) for signer in self._signers)
            lines.append(f"webhook-signature: {signatures}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def _head(url: SplitResult) -> tuple[str, ...]:
    """The lines that every request begins with. The config lets no character into a URL that could end one."""
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    host = (url.hostname or "").encode("idna").decode()
    host = f"[{host}]" if ":" in host else host
    return (
        f"POST {path} HTTP/1.1",
        f"Host: {host}" + (f":{url.port}" if url.port else ""),
        "Content-Type: application/json",
        "User-Agent: waitctl",
        "Accept-Encoding: identity",
    )


def _signers(secrets: str) -> tuple[Webhook, ...]:
    from standardwebhooks import Webhook

    # The library skips what is not base64 in a secret and signs with the rest.
    keys = [_decoded(secret.removeprefix("whsec_")) for secret in secrets.split()]
    if not keys or not all(keys):
        raise HandlerNotReadyError("its secret is not whsec_ and base64")
    return tuple(map(Webhook, keys))


def _decoded(secret: str) -> bytes:
    try:
        return base64.b64decode(secret + "=" * (-len(secret) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


# -- one exchange under one deadline -----------------------------------------------------------------------------------


class _Connection:
    """A connection whose every step is under ``deadline`` (monotonic), TLS when there is a context."""

    def __init__(self, url: SplitResult, context: ssl.SSLContext | None) -> None:
        self._host, self._port = url.hostname or "", url.port or (443 if context else 80)
        self._context = context
        self._socket: _TimedSocket | None = None
        self.deadline = 0.0

    def left(self) -> float:
        """Seconds that are left. Raises `TimeoutError` when there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def send(self, request: bytes) -> None:
        """Send a request."""
        if self._socket is None:
            self._socket = self._connect()
        self._socket.sendall(request)

    def receive(self) -> bytes:
        """The first of what is answered, which may be all of it."""
        assert self._socket is not None
        return self._socket.receive()

    def is_silent(self) -> bool:
        """Whether nothing has come since the last answer, not even its end."""
        return self._socket is not None and self._socket.is_silent()

    @property
    def has_more(self) -> bool:
        """Whether something came behind the answer that was read."""
        return self._socket is not None and self._socket.has_more

    def response(self, begun: bytes) -> HTTPResponse:
        """Read the head of an answer that has begun like that."""
        assert self._socket is not None
        self._socket.begun = begun
        # http.client reads a socket by a file, and no more of it than that.
        response = HTTPResponse(cast("socket.socket", self._socket), method="POST")
        try:
            response.begin()
        except BaseException:
            response.close()
            raise
        return response

    def close(self) -> None:
        """Close it; it may be opened again."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> _TimedSocket:
        """Try each address of the host."""
        refused: OSError | None = None
        for family, kind, protocol, _, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
            plain = socket.socket(family, kind, protocol)
            try:
                plain.settimeout(self.left())
                plain.connect(address)
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                plain.settimeout(self.left())
                wrapped = self._context.wrap_socket(plain, server_hostname=self._host) if self._context else plain
            except (TimeoutError, ssl.SSLError):
                plain.close()
                raise
            except OSError as error:
                plain.close()
                refused = error
            else:
                return _TimedSocket(wrapped, self.left)
        raise refused or OSError("it has no address")


class _TimedSocket:
    """What http.client needs of a socket, each call with the time that is left: a socket's own timeout is per call."""

    def __init__(self, plain: socket.socket, left: Callable[[], float]) -> None:
        self._socket = plain
        self._left = left
        self._set = plain.gettimeout() or 0.0
        self.begun = b""
        """What was received already, for the next file to begin with."""
        self.has_more = False
        """Whether a file has read more than was asked of it."""

    def is_silent(self) -> bool:
        """Whether there is nothing to receive, and the other end has not closed it."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return False
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        return not poll.poll(0)

    def timed(self) -> socket.socket:
        """The socket, with the time that is left; not said again when a tenth does not matter: it is a system call."""
        left = self._left()
        if abs(self._set - left) > min(left / 10, _NEARLY):
            self._socket.settimeout(left)
            self._set = left
        return self._socket

    def sendall(self, data: bytes) -> None:
        self.timed().sendall(data)

    def receive(self) -> bytes:
        return self.timed().recv(_MOST_READ)

    def makefile(self, _: str) -> io.BufferedReader:
        return _AnswerFile(_TimedReader(self, self._socket, self.begun), self)

    def close(self) -> None:
        self._socket.close()


class _AnswerFile(io.BufferedReader):
    """A file that says at its end whether it has read more than was asked of it."""

    def __init__(self, raw: _TimedReader, timed: _TimedSocket) -> None:
        super().__init__(raw)
        self._reader = raw
        self._timed = timed

    def close(self) -> None:
        if not self.closed:
            self._reader.is_over = True
            self._timed.has_more |= bool(self.peek(1))
        super().close()


class _TimedReader(io.RawIOBase):
    def __init__(self, timed: _TimedSocket, plain: socket.socket, begun: bytes) -> None:
        self._timed = timed
        self._raw = plain.makefile("rb", buffering=0)  # holds the socket open for as long as there is a reader
        self._begun = memoryview(begun)
        self._has_begun = True
        self.is_over = False
        """Whether nothing is to be received any more."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if self._has_begun:  # with nothing, when that was the end of the stream
            given = self._begun[: len(memoryview(buffer))]
            memoryview(buffer)[: len(given)] = given
            self._begun = self._begun[len(given) :]
            self._has_begun = len(self._begun) > 0
            return len(given)
        if self.is_over:
            return 0
        self._timed.timed()
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


def _is_plain_success(answer: bytes) -> bool:
    """Whether this is all of an answer that says yes, and leaves the connection as it was.

    What nearly every target answers, and all that we want to know of it: to have http.client read it would be a third
    of what a delivery costs. Whatever is not as plain as that is for http.client.
    """
    head, blank, body = answer.partition(b"\r\n\r\n")
    is_success = head[:10] == b"HTTP/1.1 2" and head[10:12].isdigit() and head[12:13] in b" \r"
    if not blank or not is_success:
        return False
    head = head.lower() + b"\r\n"
    length = b"\r\ncontent-length: %d\r\n" % len(body)
    is_sized = length in head and head.count(b"\r\ncontent-length") == 1 and b"\r\ntransfer-encoding" not in head
    return is_sized and (b"\r\nconnection" not in head or b"\r\nconnection: keep-alive\r\n" in head)


def _read(response: HTTPResponse) -> bytes:
    """The first of the body, as far as it comes: the status has decided already."""
    text = bytearray()
    with suppress(OSError, HTTPException, ValueError):
        while len(text) < _MOST_HEARD:
            chunk = response.read1(_MOST_HEARD - len(text))
            if not chunk:
                break
            text += chunk
    return bytes(text)


# -- the answer --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    response: HTTPResponse
    body: bytes

    def header(self, name: str) -> str:
        return self.response.headers.get(name) or ""


def _judge_answer(answer: _Answer, clock: Callable[[], datetime]) -> HandlerResult:
    status, output = answer.response.status, _tail_of(answer.body, MAX_OUTPUT)
    if 200 <= status < 300:
        return Delivered(output)
    text = _tail_of(answer.body, _TAIL)
    said = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if 300 <= status < 400:
        return Failed(
            f"HTTP {status} to {_without_secrets(answer.header('Location'))}: redirects are not followed", output=output
        )
    match status:
        case 410:
            return Rejected(said, output)
        case 429 | 503:
            return Failed(said, _retry_after(answer, clock), output)
        case _:
            return Failed(said, output=output)


def _tail_of(body: bytes, most: int) -> str:
    """The end of a body, as it may be kept."""
    return redact(storable(body[-most:].decode(errors="replace")).strip()) if body else ""


def _without_secrets(location: str) -> str:
    """Where a redirect points, without what may be a token."""
    try:
        url = urlsplit(location)
        plain = url._replace(netloc=url.netloc.rpartition("@")[2], query="", fragment="").geturl()
    except ValueError:
        plain = ""
    return storable(plain) or "nowhere"


def _retry_after(answer: _Answer, clock: Callable[[], datetime]) -> timedelta | None:
    """How long the target asks to be left alone, in seconds or until a date by its own clock."""
    text = answer.header("Retry-After").strip()
    if text.isascii() and text.isdigit():
        seconds = float(text)  # of any length: an int or a timedelta would refuse
    else:
        until = _http_date(text)
        if until is None:
            return None
        seconds = (until - (_http_date(answer.header("Date")) or clock())).total_seconds()
    return timedelta(seconds=min(max(0.0, seconds), MAX_RETRY_AFTER.total_seconds()))


def _http_date(text: str) -> datetime | None:
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)
