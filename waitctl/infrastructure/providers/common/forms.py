"""Bodies that are forms: fields, as HTML's forms post them, and the files among them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from waitctl.domain.errors import InvalidEventError
from waitctl.domain.text import storable
from waitctl.domain.values import dataclass
from waitctl.infrastructure.providers import Request
from waitctl.infrastructure.providers.common.bodies import text_of
from waitctl.infrastructure.providers.common.signatures import as_bytes

_MAX_FIELDS = 1000

_CHARSET = re.compile(
    r"us-ascii|iso-8859-(?:[1-9]|1[013-6])|windows-125[0-8]|koi8-[ru]|gb2312|gbk|gb18030|big5|euc-(?:jp|kr)|shift_jis"
    r"|iso-2022-(?:jp|kr)",
    re.IGNORECASE,
)
"""Character sets of e-mails. Python knows others, which are no such thing, and take their time."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form: its fields by name (of several of one name the last), and how many files came with it.

    Bytes that are no UTF-8 are lone surrogates; `text` makes a text of them.
    """

    fields: Mapping[str, str]
    files: int = 0

    def text(self, name: str, charset: str = "utf-8") -> str | None:
        """A field as text that can be stored: None when it is not there, U+FFFD for bytes that are none."""
        if (value := self.fields.get(name)) is None:
            return None
        known = charset if _CHARSET.fullmatch(charset) else "utf-8"
        return storable(as_bytes(value).decode(known, errors="replace"))


def content_type(request: Request) -> str:
    """The header Content-Type, empty when there is none."""
    return request.headers.get("content-type", "").strip()


def form_of(request: Request) -> Form:
    """The body as a form, ``multipart/form-data`` or percent-encoded."""
    if content_type(request).lower().startswith("multipart/"):
        return _multipart(request.body, content_type(request))
    return Form(dict(pairs_of(request.body)))


def pairs_of(body: bytes) -> list[tuple[str, str]]:
    """The pairs of a percent-encoded form in their order. A line's end behind it and an ``&`` too many mean nothing.

    Raises `InvalidEventError` where it is no form.
    """
    text = "&".join(filter(None, text_of(body).strip("\r\n").split("&")))
    try:
        return parse_qsl(text, keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError as cause:
        raise InvalidEventError("the body is not a form") from cause


def _multipart(body: bytes, content_type: str) -> Form:
    """A form in parts (RFC 7578), which are written as those of an e-mail."""
    from email.parser import BytesParser

    if not content_type.isprintable():
        raise InvalidEventError("the header Content-Type is not valid")
    try:
        message = BytesParser().parsebytes(b"Content-Type: " + as_bytes(content_type) + b"\r\n\r\n" + body)
        parts = list(message.walk())
    except RecursionError as cause:
        raise InvalidEventError("the form is nested too deeply") from cause
    fields, files = {}, 0
    for part in parts:
        if part.is_multipart() or part is message:
            continue
        name = part.get_param("name", header="content-disposition")
        content = part.get_payload(decode=True)
        if part.get_filename() is not None:
            files += 1
        elif isinstance(name, str) and isinstance(content, bytes):
            fields[name] = content.decode(errors="surrogateescape")
    if not fields:
        raise InvalidEventError("the body is not a form in parts")
    return Form(fields, files)
