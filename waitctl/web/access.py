"""Who asks, and what they may: tokens, sessions of browsers, and what protects those.

Without a token in the config, nobody but a process on this machine may look, and nobody may change anything.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from ipaddress import ip_address

from starlette.requests import Request

from waitctl.domain.errors import WaitStepError
from waitctl.domain.values import dataclass
from waitctl.infrastructure.serve_settings import Scope, ServeConfig

COOKIE = "waitctl_session"
SESSION_SECONDS = 12 * 3600

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers by which a proxy says that somebody else is asking."""


class UnauthorizedError(WaitStepError):
    """This needs a token."""


class ForbiddenError(WaitStepError):
    """The token is not good for this."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the name of their token, and what it is good for. ``session``: the cookie that said so."""

    name: str
    scopes: frozenset[Scope]
    session: str | None = None


LOCAL = Caller("local", frozenset({Scope.READ}))
"""A process on this machine, where nobody has a token."""


@dataclass(frozen=True, slots=True)
class _Token:
    name: str
    scopes: frozenset[Scope]
    digest: bytes
    """What is compared, and what sessions are signed with."""


class Access:
    """Knows the tokens of the config. Raises what `TokenConfig.values` raises."""

    def __init__(self, config: ServeConfig) -> None:
        self._tokens = [
            _Token(each.name, each.scopes, _digest(value)) for each in config.tokens.values() for value in each.values()
        ]
        self._hosts = frozenset(host.lower() for host in config.hosts)

    @property
    def has_tokens(self) -> bool:
        """Whether there is any token: then nobody gets in without."""
        return bool(self._tokens)

    def has_scope(self, scope: Scope) -> bool:
        """Whether any token is good for this."""
        return any(scope in token.scopes for token in self._tokens)

    def caller(self, request: Request) -> Caller | None:
        """Who asks, if anybody whom we know. Raises `UnauthorizedError` for a token that is none of ours."""
        header = request.headers.get("authorization")
        if header is not None:
            kind, _, value = header.partition(" ")
            found = self.find(value.strip()) if kind.lower() == "bearer" else None
            if found is None:
                raise UnauthorizedError("the token is not known")
            return found
        if (cookie := request.cookies.get(COOKIE)) and (caller := self._in_session(cookie)):
            return caller
        return LOCAL if not self._tokens and is_local(request) else None

    def require(self, request: Request, scope: Scope) -> Caller:
        """Who asks. Raises `UnauthorizedError` or `ForbiddenError` when they may not."""
        caller = self.caller(request)
        if caller is None:
            raise UnauthorizedError(
                None if self._tokens else "without a token only this machine may look, and not through a proxy",
                hint=f"name one with the scope {scope} under [serve.tokens.NAME], and send it as: Authorization: "
                "Bearer TOKEN",
            )
        if scope not in caller.scopes:
            raise ForbiddenError(
                f"this needs a token with the scope {scope}",
                hint=f"[serve.tokens.{caller.name}] has {', '.join(sorted(caller.scopes))}"
                if self._tokens
                else "name one under [serve.tokens.NAME]: without a token one may only look",
            )
        return caller

    def require_token(self, request: Request, scope: Scope) -> Caller:
        """As `require`, but a browser's session is good for looking alone: no page can make it send a token.

        Raises `UnauthorizedError` or `ForbiddenError`.
        """
        caller = self.require(request, scope)
        if caller.session is not None and scope is not Scope.READ:
            raise ForbiddenError(
                "the session of a browser only looks here", hint="send the token as: Authorization: Bearer TOKEN"
            )
        return caller

    def find(self, token: str) -> Caller | None:
        """Whose token this is. Every token is compared, each in constant time."""
        digest = _digest(token)
        found: _Token | None = None
        for each in self._tokens:
            if hmac.compare_digest(each.digest, digest):
                found = each
        return None if found is None else Caller(found.name, found.scopes)

    # -- browsers -------------------------------------------------------------------------------------------------

    def open_session(self, caller: Caller, token: str) -> str:
        """The cookie of a browser that has shown its token: it holds no token, and is good for half a day."""
        name = urlsafe_b64encode(caller.name.encode()).decode()
        signed = f"{name}.{_now() + SESSION_SECONDS}"
        return f"{signed}.{_mac(_digest(token), 'session', signed)}"

    def _in_session(self, cookie: str) -> Caller | None:
        signed, _, mac = cookie.rpartition(".")
        name, _, ends = signed.partition(".")
        if not ends.isdecimal() or len(cookie) > 1024:
            return None
        found: _Token | None = None
        for each in self._tokens:
            if hmac.compare_digest(_mac(each.digest, "session", signed).encode(), mac.encode()):
                found = each
        if found is None or int(ends) < _now() or urlsafe_b64decode(name).decode() != found.name:
            return None
        return Caller(found.name, found.scopes, session=cookie)

    def csrf_token(self, caller: Caller) -> str:
        """What a form of this caller's session must hold."""
        key = b"".join(each.digest for each in self._tokens if each.name == caller.name)
        return _mac(key, "csrf", caller.session or "")

    def check_csrf(self, request: Request, caller: Caller, given: str) -> None:
        """Refuse a form that another site has made a browser send. Raises `ForbiddenError`."""
        check_same_site(request)
        if caller.session is None or not hmac.compare_digest(self.csrf_token(caller).encode(), given.encode()):
            raise ForbiddenError("the form is not from this session", hint="load the page again")

    # -- names ----------------------------------------------------------------------------------------------------

    def knows_host(self, request: Request) -> bool:
        """Whether it was asked for by a name of ours.

        A page of somebody else's whose name has been made to mean this machine sends its own (DNS rebinding). Where no
        names are configured, that matters where the machine itself is trusted.
        """
        host = host_name(request.headers.get("host", ""))
        if host in self._hosts or _is_loopback_name(host):
            return True
        return not self._hosts and not _is_loopback(request)


def check_same_site(request: Request) -> None:
    """Refuse what a browser says another site has made it send. Raises `ForbiddenError`."""
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    own = host_name(request.headers.get("host", ""), port=True)
    if site not in {"same-origin", "none"} or (origin is not None and origin.partition("://")[2].lower() != own):
        raise ForbiddenError("the request comes from another site")


def host_name(host: str, *, port: bool = False) -> str:
    """The name in a Host header, in lower case, without its port unless that is wanted."""
    host = host.strip().lower()
    if port:
        return host
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]


def is_local(request: Request) -> bool:
    """Whether a process on this machine asks, and for itself: on loopback or a Unix socket, with no proxy's word."""
    if any(name in request.headers for name in _FORWARDED):
        return False
    return _is_unix(request) or _is_loopback(request)


def _is_unix(request: Request) -> bool:
    server = request.scope.get("server")
    return server is None or server[1] is None


def _is_loopback(request: Request) -> bool:
    server = request.scope.get("server")
    return server is not None and server[1] is not None and is_loopback_address(server[0])


def is_loopback_address(host: str) -> bool:
    """Whether this is an address, or the name, of the loopback interface."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _is_loopback_name(host: str) -> bool:
    return is_loopback_address(host) or host.endswith(".localhost")


def _digest(token: str) -> bytes:
    return hmac.digest(b"waitctl", token.encode(errors="surrogateescape"), "sha256")


def _mac(key: bytes, purpose: str, text: str) -> str:
    return hmac.digest(key, f"{purpose}:{text}".encode(), "sha256").hex()


def _now() -> int:
    from waitctl.infrastructure.database import host_clock

    return int(host_clock().timestamp())
