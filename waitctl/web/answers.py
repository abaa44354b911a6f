"""Answers: JSON documents as the command line prints them, errors in one shape, ETags."""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from waitctl.domain.errors import (
    ConflictError,
    DatabaseBusyError,
    DatabaseError,
    InvalidInputError,
    InvalidSignatureError,
    MissingCredentialError,
    NotFoundError,
    WaitStepError,
)
from waitctl.domain.text import escape_steering
from waitctl.infrastructure.redaction import redact
from waitctl.web.access import ForbiddenError, UnauthorizedError

RETRY_SECONDS = 5
"""After how long one should try again that could not be served now."""


_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class HttpError(WaitStepError):
    """The request cannot be served."""

    def __init__(self, status: int, code: str, message: str, *, hint: str | None = None) -> None:
        self.status = status
        self.own_code = code
        super().__init__(message, hint=hint)


class TooLargeError(HttpError):
    """The body is too large."""

    def __init__(self, most: int) -> None:
        super().__init__(413, "too_large", f"the body is longer than {most:,} bytes")


class NotServedNowError(HttpError):
    """It can be served later."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message, hint=f"try again in {RETRY_SECONDS} seconds")


def json_answer(document: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A document, as compact JSON."""
    return Response(escape_steering(_compact(document)) + "\n", status, headers, "application/json")


def tagged_answer(
    request: Request, document: Any, status: int = 200, headers: dict[str, str] | None = None, *, tag: str | None = None
) -> Response:
    """A document with its ETag, or another's; nothing but that where the caller has this one already."""
    tag = tag or etag(document)
    given = headers or {}
    if status == 200 and request.method in {"GET", "HEAD"} and _is_among(request.headers.get("if-none-match"), tag):
        return Response(status_code=304, headers={"ETag": tag} | given)
    return json_answer(document, status, {"ETag": tag} | given)


def etag(document: Any) -> str:
    """A tag that changes when the document does."""
    return f'"{sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]}"'


def require_match(request: Request, document: Any) -> None:
    """Raises `HttpError` (412) when the caller has seen another state of it than this."""
    wanted = request.headers.get("if-match")
    if wanted is not None and not _is_among(wanted, etag(document)):
        raise HttpError(412, "precondition_failed", "it has changed since", hint="look at it again")


def _is_among(header: str | None, tag: str) -> bool:
    if header is None:
        return False
    return any(each.strip().removeprefix("W/") in {tag, "*"} for each in header.split(","))


def status_of(error: WaitStepError) -> int:
    """The HTTP status for an error."""
    match error:
        case HttpError():
            return error.status
        case UnauthorizedError() | InvalidSignatureError() | MissingCredentialError():
            return 401
        case ForbiddenError():
            return 403
        case InvalidInputError():
            return 400
        case NotFoundError():
            return 404
        case ConflictError():
            return 409
        case DatabaseError():
            return 503
        case _:
            return 500


def error_document(error: WaitStepError) -> dict[str, Any]:
    """An error as `-o json` prints it, without the secrets of a URL."""
    code = error.own_code if isinstance(error, HttpError) else error.code
    hint = None if error.hint is None else redact(error.hint)
    return {"code": code, "message": redact(" ".join(error.message.split())), "hint": hint}


def error_headers(error: WaitStepError) -> dict[str, str]:
    """What an error's answer says beside its document."""
    match error:
        case UnauthorizedError():
            return {"WWW-Authenticate": 'Bearer realm="waitctl"'}
        case DatabaseBusyError():
            return {"Retry-After": "1"}
        case DatabaseError() | NotServedNowError():
            return {"Retry-After": str(RETRY_SECONDS)}
        case HttpError(own_code="unsupported_content_encoding"):
            return {"Accept-Encoding": "identity"}
        case _:
            return {}


def error_answer(error: WaitStepError, extra: dict[str, Any] | None = None) -> Response:
    """An error, for programs."""
    return json_answer({"error": error_document(error)} | (extra or {}), status_of(error), error_headers(error))
