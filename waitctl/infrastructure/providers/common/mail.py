"""Replies by e-mail, as several providers post them, in one shape."""

from __future__ import annotations

import re
from contextlib import suppress
from email.utils import parseaddr

from waitctl.domain.text import JsonObject

_MOST = 64 * 1024
"""Characters of a text that are kept: what is quoted below a reply may be longer than an event."""

_MOST_OF_A_HEADER = 2000

_QUOTED = re.compile(
    r"""^(?: > | -+\ ?Original\ Message\ ?-+ | _{10,}[ ]*$
         | (?:On|Am|Le|El|Il|Op|Den)[ ][^\n]{5,200}\n?[^\n]{0,80}
           (?:wrote|schrieb[^\n]{0,80}|a\ écrit|escribió|ha\ scritto|schreef[^\n]{0,80}|skrev[^\n]{0,80})\s?:[ ]*\r?$
     )""",
    re.MULTILINE | re.VERBOSE,
)
"""Where the message begins that is replied to, as mail programs write it."""


def address_of(*headers: str | None) -> str | None:
    """The address in the first of these headers that has one, as in ``Ada <ada@example.org>``."""
    for header in filter(None, headers):
        with suppress(RecursionError):  # comments in comments
            if "@" in (address := parseaddr(header[:_MOST_OF_A_HEADER])[1]):
                return address
    return None


def reply(
    *,
    sender: str | None,
    to: str | None,
    subject: str | None,
    text: str,
    stripped: str | None,
    message_id: str | None,
    in_reply_to: str | None,
    references: str | None,
    attachments: int,
) -> JsonObject:
    """The data of an email_reply. What is quoted below the reply is left out of ``stripped_text``."""
    return {
        "from": sender,
        "to": to,
        "subject": subject,
        "text": text[:_MOST],
        "stripped_text": (without_quoted(text[:_MOST]) if stripped is None else stripped)[:_MOST],
        "message_id": bare_id(message_id),
        "in_reply_to": bare_id(in_reply_to),
        "references": [bare_id(each) for each in (references or "").split()][-50:],
        "attachments": attachments,
    }


def attachment_count(told: str | None, seen: int) -> int:
    """How many attachments there were: as the provider says, else as many as came along."""
    return int(told) if told and re.fullmatch(r"[0-9]{1,4}", told) else seen


def bare_id(message_id: str | None) -> str | None:
    """A Message-Id without its brackets."""
    return " ".join(message_id.split()).removeprefix("<").removesuffix(">") if message_id else None


def without_quoted(text: str) -> str:
    """What stands above the message that is replied to."""
    found = _QUOTED.search(text)
    return (text[: found.start()] if found else text).strip()
