"""A real HTTP(S) server on a socket of its own, which answers as badly as a test wants."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from waitctl.infrastructure.database import host_clock

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, body: str = "", **headers: str) -> bytes:
    """A whole answer, after which the connection stays open."""
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body.encode())}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


Reply: TypeAlias = "bytes | Callable[[socket.socket, Receiver], object]"
"""Bytes, or a function that does what it likes with the socket."""


class Receiver:
    """Answers each request by what `reply` says: bytes, or a function that does what it likes with the socket."""

    def __init__(self, certificate: Path | None = None) -> None:
        self.reply: Reply = OK
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = threading.Event()
        self.hung_up = threading.Event()
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
        if self._tls and certificate:
            self._tls.load_cert_chain(certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/hooks?for=us"

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for thread in self._threads:
            thread.join(20)
            assert not thread.is_alive(), "a connection that nobody closed"

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            self.connections += 1
            self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
            self._threads[-1].start()

    def _serve(self, plain: socket.socket) -> None:
        with suppress(OSError, ValueError, KeyError), plain:  # no HTTP, or no connection any more
            connection = self._tls.wrap_socket(plain, server_side=True) if self._tls else plain
            with connection, connection.makefile("rb") as file:
                while request := self._read(file):
                    self.requests.append(request)
                    if isinstance(self.reply, bytes):
                        connection.sendall(self.reply)
                    elif not self.reply(connection, self):
                        return

    def _read(self, file: Any) -> Request | None:
        line = file.readline()
        if not line:
            return None
        headers = {}
        while (header := file.readline()) != b"\r\n":
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        return Request(line.decode().strip(), headers, file.read(int(headers["content-length"])))


def reset(connection: socket.socket) -> None:
    """Close with an RST instead of a FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def drip(first: bytes, again: bytes, size: int = 1) -> Callable[[socket.socket, Receiver], object]:
    """Send ``first``, then ``again`` without an end, until the client hangs up."""

    def reply(connection: socket.socket, receiver: Receiver) -> None:
        try:
            connection.sendall(first)
            while not receiver.ended.wait(0.01 if size == 1 else 0):
                connection.sendall(again * size)
        except OSError:
            receiver.hung_up.set()
            raise

    return reply


def self_signed(folder: Path, host: str = "127.0.0.1") -> Path:
    """A certificate for the host with its key, in one file; nobody trusts it unless told."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = host_clock()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([_alternative(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}.pem"
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + certificate.public_bytes(Encoding.PEM)
    )
    return path


def _alternative(host: str) -> x509.GeneralName:
    return x509.IPAddress(IPv4Address(host)) if host[0].isdigit() else x509.DNSName(host)
