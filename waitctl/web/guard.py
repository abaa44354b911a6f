"""What every request passes first: how many there may be, under which name, and what every answer says."""

from __future__ import annotations

import logging

from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waitctl.domain.errors import WaitStepError
from waitctl.infrastructure.redaction import redact
from waitctl.web.access import Access
from waitctl.web.answers import HttpError, NotServedNowError, error_answer

HOOKS = "/hooks/"
"""What is signed, and comes from elsewhere by whatever name."""

log = logging.getLogger("waitctl.web")

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
]
_NOT_KEPT = (b"cache-control", b"no-store")

_SECRET_NAMES = frozenset({"token", "access_token", "api_key", "apikey", "key", "secret", "password"})


class Guard:
    """The outermost of the application's middleware."""

    def __init__(self, app: ASGIApp, *, access: Access, most: int) -> None:
        self._app = app
        self._access = access
        self._most = most
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        self._in_flight += 1
        try:
            await self._serve(scope, receive, _Answering(scope, send))
        finally:
            self._in_flight -= 1

    async def _serve(self, scope: Scope, receive: Receive, send: _Answering) -> None:
        try:
            if self._in_flight > self._most:
                raise NotServedNowError(429, "too_many_requests", "there are too many requests at the moment")
            if not _path(scope).startswith(HOOKS):
                self._check(Request(scope))
            await self._app(scope, receive, send)
        except WaitStepError as error:
            await send.error(error, scope, receive)
        except ClientDisconnect:
            return
        except Exception as error:
            # One line: whoever is to mend it can have the traceback with the level DEBUG.
            log.error("internal: %s: %s", type(error).__name__, redact(str(error).partition("\n")[0]))
            log.debug("", exc_info=True)
            await send.error(HttpError(500, "internal", "this is a bug in waitctl"), scope, receive)

    def _check(self, request: Request) -> None:
        if not self._access.knows_host(request):
            raise HttpError(
                421,
                "misdirected",
                "this is not a name of this server",
                hint='name it in the config: [serve] hosts = ["waits.example.org"]',
            )
        if request.scope["query_string"] and not _SECRET_NAMES.isdisjoint(map(str.lower, request.query_params)):
            raise HttpError(
                400,
                "secret_in_url",
                "a token has no place in a URL: logs and histories keep those",
                hint="send it as: Authorization: Bearer TOKEN",
            )


class _Answering:
    """Sends an answer with what every one of ours says."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._send = send
        self._has_begun = False
        self._may_be_kept = _path(scope).startswith("/static/")

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._has_begun = True
            headers: list[tuple[bytes, bytes]] = list(message.get("headers", ()))
            headers += _HEADERS
            if not self._may_be_kept:
                headers.append(_NOT_KEPT)
            message["headers"] = headers
        await self._send(message)

    async def error(self, error: WaitStepError, scope: Scope, receive: Receive) -> None:
        """Answer with an error, unless another answer has begun."""
        if not self._has_begun:
            await error_answer(error)(scope, receive, self)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
