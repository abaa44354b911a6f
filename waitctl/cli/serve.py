"""`waitctl serve`: the web door."""

from __future__ import annotations

import logging
import os
import socket
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waitctl.cli.interrupts import Interrupts
from waitctl.cli.output import say
from waitctl.cli.session import Session, session_of
from waitctl.cli.stopping import end_soon
from waitctl.domain.errors import DatabaseUnreachableError, InvalidSettingError, MissingLibraryError, WaitStepError
from waitctl.infrastructure import systemd

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn
    from starlette.applications import Starlette

    from waitctl.infrastructure.serve_settings import ServeConfig

app = typer.Typer(add_completion=False)

_SECONDS_TO_FINISH = 8
"""For which requests in flight go on once the server is told to stop."""

_LOOK_UP = 0.2
"""Seconds after which a signal that came meanwhile is noticed."""

_UNIX_MODE = 0o660


@app.command("serve")
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option("--host", metavar="HOST", help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option("--port", metavar="N", min=0, max=65_535, help="The port; 0 for one that is free.")
    ] = 8025,
    uds: Annotated[
        str | None, typer.Option("--uds", metavar="PATH", help="Listen on a Unix socket instead (mode 0660).")
    ] = None,
    fd: Annotated[
        int | None, typer.Option("--fd", metavar="N", min=0, help="Listen on this open socket instead, as systemd's 3.")
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="hooks|api|dashboard", help="Serve only this part (repeatable)."),
    ] = None,
    allow_actions: Annotated[
        bool, typer.Option("--allow-actions", help="Let the dashboard change things, for tokens with the scope write.")
    ] = False,
    root_path: Annotated[
        str | None, typer.Option("--root-path", metavar="PATH", help="The path under which a proxy has it, as /waits.")
    ] = None,
    tick: Annotated[bool, typer.Option("--tick", help="Also process what is due, as tick --watch does.")] = False,
) -> None:
    """Serve webhooks, the API and the dashboard over HTTP.

    Without tokens in the config it serves this machine alone, and only to be looked at. SIGTERM and Ctrl-C let requests
    in flight finish. Example: waitctl serve --port 8025 --tick
    """
    if uds is not None and fd is not None:
        raise typer.BadParameter("--uds and --fd: give one of them", param_hint="--uds")
    session = session_of(context)
    settings = session.settings()
    create_app = _create_app()
    web = create_app(settings, only=only or (), allow_actions=allow_actions)
    _check_access(web, host if uds is None and fd is None else None, allow_actions=allow_actions)
    root = settings.serve.root_path if root_path is None else root_path.rstrip("/")
    if root and not root.startswith("/"):
        raise InvalidSettingError("--root-path begins with a /")
    _log(session.verbose)
    _look_at_database(session, ticks=tick)
    ticking = _Ticking(session) if tick else None
    with _listening(host, port, uds, fd) as (listener, address):
        server = _server(web, settings.serve, root, address, trusts_proxy=uds is not None, ticking=ticking)
        _run(server, listener, ticking)


def _create_app() -> Callable[..., Starlette]:
    try:
        from waitctl.web import create_app
    except ImportError as error:
        raise MissingLibraryError(
            f"serve needs a library that is not installed: {error.name}", hint="pip install 'waitctl[web]'"
        ) from error
    return create_app


def _check_access(web: Starlette, host: str | None, *, allow_actions: bool) -> None:
    from waitctl.infrastructure.serve_settings import Scope
    from waitctl.web.access import is_loopback_address

    access = web.state.site.access
    if host is not None and not is_loopback_address(host) and not access.has_tokens:
        raise InvalidSettingError(
            f"--host {host}: beyond this machine it is served to tokens alone, and the config has none",
            hint="name one under [serve.tokens.NAME], or leave --host out and come by ssh -L 8025:127.0.0.1:8025",
        )
    if allow_actions and not access.has_scope(Scope.WRITE):
        raise InvalidSettingError(
            "--allow-actions: no token in the config has the scope write",
            hint='[serve.tokens.NAME] token_file = "…", scopes = ["read", "write"]',
        )


def _log(verbose: int) -> None:
    """Lines on standard error: what went wrong, with -v every request, with -vv tracebacks."""
    logging.basicConfig(stream=sys.stderr, format="%(levelname)s: %(message)s", level=logging.WARNING)
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.getLogger("waitctl.web").setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(_is_no_end)


def _is_no_end(record: logging.LogRecord) -> bool:
    """Whether it tells of anything but a request that the server's end cut short: of that one line is enough."""
    from asyncio import CancelledError

    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, CancelledError)


def _look_at_database(session: Session, *, ticks: bool) -> None:
    """Raise for a database that is not there or not at head; one that cannot be reached may come back."""
    try:
        with session.database() as database:
            if not ticks:
                session.say_when_nothing_ticks(database)
            with database.read():
                pass
    except DatabaseUnreachableError as error:
        say(f"note: {error.message}: until it is back, requests are answered with 503")


# -- sockets -----------------------------------------------------------------------------------------------------------


@contextmanager
def _listening(host: str, port: int, uds: str | None, fd: int | None) -> Iterator[tuple[socket.socket, str]]:
    """A socket that is listened on, and how people call it."""
    if fd is not None:
        listener = _inherited(fd)
        address = f"the socket {_name_of(listener) or fd}"
    elif uds is not None:
        listener, address = _unix(Path(uds)), f"unix:{uds}"
    else:
        listener = _tcp(host, port)
        address = _name_of(listener)
    try:
        yield listener, address
    finally:
        listener.close()
        if uds is not None:
            Path(uds).unlink(missing_ok=True)


def _name_of(listener: socket.socket) -> str:
    """Its address and port, or its path, which may be empty."""
    name = listener.getsockname()
    if not isinstance(name, tuple):
        return os.fsdecode(name)
    host, port = name[:2]
    return f"{f'[{host}]' if ':' in host else host}:{port}"


def _inherited(fd: int) -> socket.socket:
    try:
        return socket.socket(fileno=fd)
    except OSError as error:
        raise InvalidSettingError(f"--fd {fd}: {error.strerror}", hint="systemd hands over the first as 3") from error


def _unix(path: Path) -> socket.socket:
    """A Unix socket for this user and this group. One that nobody listens on any more is taken over."""
    if path.exists() and not stat.S_ISSOCK(path.lstat().st_mode):
        raise InvalidSettingError(f"--uds {path}: there is something else by that name")
    with socket.socket(socket.AF_UNIX) as asking:
        if path.exists():
            try:
                asking.connect(str(path))
            except OSError:
                path.unlink()
            else:
                raise InvalidSettingError(f"--uds {path}: another server listens there")
    listener = socket.socket(socket.AF_UNIX)
    before = os.umask(0o777 & ~_UNIX_MODE)
    try:
        listener.bind(str(path))
    except OSError as error:
        raise InvalidSettingError(f"--uds {path}: {error.strerror or error}") from error
    finally:
        os.umask(before)
    return listener


def _tcp(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise InvalidSettingError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    return listener


# -- running -----------------------------------------------------------------------------------------------------------


def _server(
    web: Starlette, config: ServeConfig, root_path: str, address: str, *, trusts_proxy: bool, ticking: _Ticking | None
) -> uvicorn.Server:
    """A server that says when it is ready. A signal ends it within ten seconds; one that ticks, the second does."""
    from asyncio import get_running_loop

    import uvicorn

    from waitctl.web.connections import BoundedConnection

    interrupts = Interrupts(*(() if ticking is None else (ticking.hear,)))

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            self._call_soon = get_running_loop().call_soon_threadsafe
            await super().startup(sockets)
            scheme = "https" if self.config.is_ssl else "http"
            say(f"serving {address}" if address.startswith(("unix:", "the ")) else f"serving {scheme}://{address}/")
            systemd.notify("READY=1")

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Not uvicorn's own, which raises the signal again when all is over, and knows no second SIGTERM.
            web.state.site.news.stop()  # whoever is kept waiting is let go
            if ticking is None:
                end_soon()
            interrupts.hear(sig, frame)
            self.should_exit = True
            if interrupts.is_urgent() and self.started:
                self._call_soon(self._cut)

        def _cut(self) -> None:
            """End every connection: who waits for more of a request hears that there is none."""
            for connection in list(self.server_state.connections):
                connection.transport.abort()

    return Server(
        uvicorn.Config(
            web,
            log_config=None,
            access_log=False,
            http=BoundedConnection,
            ws="none",
            lifespan="on",
            root_path=root_path,
            server_header=False,
            timeout_graceful_shutdown=_SECONDS_TO_FINISH,
            ssl_certfile=config.tls_cert,
            ssl_keyfile=config.tls_key,
            # Whoever may write to the Unix socket is the proxy.
            forwarded_allow_ips="*" if trusts_proxy else None,
        )
    )


def _run(server: uvicorn.Server, listener: socket.socket, ticking: _Ticking | None) -> None:
    if ticking is not None:
        ticking.start(server)
    try:
        server.run(sockets=[listener])
        systemd.notify("STOPPING=1")
    finally:
        if ticking is not None:
            ticking.stop()


class _Ticking:
    """A resident tick beside the server. What ends it ends the server."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._signals = 0
        self._is_stopping = False
        self._hurry: Callable[[], None] = lambda: None
        self._error: WaitStepError | None = None

    def start(self, server: uvicorn.Server) -> None:
        """Begin, in a thread."""
        self._server = server
        self._thread = threading.Thread(target=self._run, name="tick")
        self._thread.start()

    def hear(self) -> None:
        """A signal has come: nothing more begins, and at the second one what runs is ended."""
        self._signals += 1
        self._is_stopping = True
        self._hurry()

    def _run(self) -> None:
        from datetime import timedelta

        from waitctl.application.processor.run import TickOptions
        from waitctl.application.processor.watch import Watch
        from waitctl.infrastructure.wakeup import Wakeup

        try:
            with self._session.database() as database, Wakeup(database) as wakeup, redirect_stdout(sys.stderr):

                def hurry() -> None:
                    database.patience.hurry()
                    wakeup.wake()

                self._hurry = hurry
                watch = Watch(
                    database,
                    self._session.settings(),
                    TickOptions(),
                    wakeup,
                    interrupted=lambda: self._is_stopping,
                    urged=lambda: self._signals > 1,
                )
                try:
                    watch.run(timedelta(seconds=5), say=say)
                finally:
                    self._hurry = lambda: None
        except WaitStepError as error:
            self._error = error
        finally:
            self._server.should_exit = True

    def stop(self) -> None:
        """Let it finish what runs, or end that when a second signal comes. Raises what ended it."""
        self._is_stopping = True
        self._hurry()
        while self._thread.is_alive():
            self._thread.join(_LOOK_UP)
        if self._error is not None:
            raise self._error
