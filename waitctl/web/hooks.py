"""``POST /hooks/{source}``: what a provider sends is stored, or kept in quarantine, before it is answered."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Send
from starlette.types import Scope as ASGIScope

from waitctl.application.events.formats import NDJSON, format_of
from waitctl.application.events.webhooks import Webhook
from waitctl.domain.errors import DatabaseError, InvalidSignatureError, MissingCredentialError, WaitStepError
from waitctl.infrastructure.config import Settings
from waitctl.infrastructure.providers import Request as Received
from waitctl.infrastructure.redaction import redact
from waitctl.infrastructure.serve_settings import Scope
from waitctl.web.answers import HttpError, NotServedNowError, error_answer, error_document, json_answer
from waitctl.web.bodies import read_body
from waitctl.web.guard import log
from waitctl.web.ingesting import ingest_lines
from waitctl.web.site import Site, site_of

if TYPE_CHECKING:
    from waitctl.application.events.webhooks import WebhookResult

_TAKEN = frozenset({"application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "application/json"})
_LINES = frozenset({"application/x-ndjson", "application/ndjson", "application/jsonl", "application/jsonlines"})
_NO_REPLY = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
"""TwiML that says nothing: Twilio would send any other text to whom it came from."""


class Senders:
    """The sources of the config, each with what verifies it, made ready once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.webhook = lru_cache(maxsize=1024)(self._webhook)

    def format(self, source: str) -> str:
        """The format of a source. Raises `HttpError` for one that the config does not have."""
        if source not in self._settings.sources:
            raise HttpError(404, "unknown_source", "there is no such source")
        return format_of(self._settings, None, source)

    def _webhook(self, source: str, format_: str) -> Webhook:
        return Webhook(self._settings, format_, source)

    def needs_token(self, source: str) -> bool:
        """Whether nothing but a token can say who sends it: it has no secret, and the config does not let that pass."""
        config = self._settings.sources[source]
        return config.verify and not config.has_secret


class Hook:
    """The endpoint that senders post to: an ASGI application, since Starlette wraps a function twice."""

    def __init__(self, senders: Senders) -> None:
        self._senders = senders

    async def __call__(self, scope: ASGIScope, receive: Receive, send: Send) -> None:
        """Answer a request. Raises what the application makes an answer of."""
        try:
            answer = await self._answer(Request(scope, receive))
        except DatabaseError as error:  # anybody may ask here, and is not to learn where the database lies
            log.error("hooks: %s", redact(error.message))
            raise NotServedNowError(503, error.code, "nothing can be stored at the moment") from error
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        source: str = request.path_params["source"]
        format_ = self._senders.format(source)
        if self._senders.needs_token(source):
            site_of(request).access.require_token(request, Scope.EVENTS)
        _check_type(request, format_)
        if format_ == NDJSON:
            return await ingest_lines(request, source, status=202)
        webhook = _usable(lambda: self._senders.webhook(source, format_), source)
        body = await read_body(request)
        if (challenge := _challenge(body)) is not None:
            return Response(challenge, media_type="text/plain")
        return await _take_in(site_of(request), webhook, _received(request, body, webhook))


def routes(settings: Settings) -> list[Route]:
    """The routes of the hooks."""
    senders = Senders(settings)

    async def handshake(request: Request) -> Response:
        """Say that this origin may send, and how much, as the webhook specification of CloudEvents asks."""
        senders.format(request.path_params["source"])
        headers = {"Allow": "POST, OPTIONS"}
        if origin := request.headers.get("webhook-request-origin"):
            headers |= {"WebHook-Allowed-Origin": _printable(origin), "WebHook-Allowed-Rate": "*"}
        return Response(status_code=200, headers=headers)

    return [
        Route("/hooks/{source}", Hook(senders), methods=["POST"], name="hook"),
        Route("/hooks/{source}", handshake, methods=["OPTIONS"], name="handshake"),
    ]


def _usable(make: Callable[[], Webhook], source: str) -> Webhook:
    """What fails here is this host's config, not what was sent: it may be sent again."""
    try:
        return make()
    except WaitStepError as error:
        log.error("hooks of %s: %s", source, error.message)
        raise NotServedNowError(503, "not_configured", "this source is not set up on this host") from error


def _check_type(request: Request, format_: str) -> None:
    """Refuse what no sender of events sends; the content of a binary CloudEvent may be anything."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind in _TAKEN or not kind or kind in _LINES or kind.endswith("+json") or "ce-type" in request.headers:
        return
    raise HttpError(415, "unsupported_media_type", f"{kind!a} holds no {format_}")


def _received(request: Request, body: bytes, webhook: Webhook) -> Received:
    """The request as its provider's module takes it, under its public URL where the config has that."""
    named = [(str(name, "latin-1"), value) for name, value in request.scope["headers"]]
    headers = sorted((name, str(value, "latin-1")) for name, value in named if webhook.reads(name))
    url = webhook.config.url
    if url is None and webhook.provider.signs_url:
        url = str(request.url)
    return Received.of(body, headers, url)


def _challenge(body: bytes) -> str | None:
    """What a sender wants to hear back before it sends anything, as Slack does."""
    if b'"url_verification"' not in body or len(body) > 4096:
        return None
    try:
        document = json.loads(body)
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("type") != "url_verification":
        return None
    challenge = document.get("challenge")
    return _printable(challenge) if isinstance(challenge, str) else None


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isascii() and character.isprintable())[:512]


async def _take_in(site: Site, webhook: Webhook, received: Received) -> Response:
    try:
        result = await site.hooks.ingest(received, webhook)  # the database's own patience ends, too
    except MissingCredentialError as error:
        raise InvalidSignatureError(error.message) from error
    return _answer(result, webhook)


def _answer(result: WebhookResult, webhook: Webhook) -> Response:
    totals = result.totals
    counts = (totals.recorded, totals.duplicates, totals.ignored, totals.matched)
    if not result.refusals:
        if webhook.provider.name == "twilio":
            return Response(_NO_REPLY, media_type="text/xml")
        return _accepted(*counts)
    kept = {"quarantined": [each.quarantine_id for each in result.refusals if each.quarantine_id]}
    if totals.rejected == totals.received:
        return error_answer(result.refusals[0].error, kept)
    errors = [error_document(each.error) for each in result.refusals[:100]]
    return json_answer(_counted(*counts) | {"rejected": totals.rejected, "errors": errors} | kept, 202)


@lru_cache(1024)  # hardly any request is answered otherwise than the one before
def _accepted(*counts: int) -> Response:
    return json_answer(_counted(*counts), 202)


def _counted(recorded: int, duplicates: int, ignored: int, matched: int) -> dict[str, Any]:
    return {"recorded": recorded, "duplicates": duplicates, "ignored": ignored, "matched": matched}
