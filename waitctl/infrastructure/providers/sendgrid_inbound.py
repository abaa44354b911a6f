"""SendGrid's Inbound Parse: replies by e-mail, posted as a form in parts. Attachments are counted, and not kept."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from email.message import Message

from waitctl.domain.errors import InvalidEventError
from waitctl.domain.text import parse_json
from waitctl.infrastructure.providers import ContactPath, Mapped, Provider, Request
from waitctl.infrastructure.providers.common import bodies, mail
from waitctl.infrastructure.providers.common.forms import Form, form_of
from waitctl.infrastructure.providers.common.signatures import basic_credentials, require_basic


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The e-mail of a delivery. The path begins at the fields of the form (``to``).

    Raises `InvalidEventError` for a raw message, and where nobody sent it.
    """
    form = form_of(request)
    if "headers" not in form.fields:
        raise InvalidEventError("the form has no 'headers'", hint="do not let SendGrid post the raw message")
    charsets, headers = _charsets(form), _headers(form)
    sender = mail.address_of(form.text("from", charsets.get("from", "utf-8")))
    if sender is None:
        raise InvalidEventError("the form has no address in 'from'")
    mapped = Mapped(
        event_type=bodies.EMAIL_REPLY,
        contact=bodies.contact_of(path, dict(form.fields), sender),
        data=mail.reply(
            sender=sender,
            to=form.text("to", charsets.get("to", "utf-8")),
            subject=form.text("subject", charsets.get("subject", "utf-8")),
            text=form.text("text", charsets.get("text", "utf-8")) or "",
            stripped=None,
            message_id=headers["Message-ID"],
            in_reply_to=headers["In-Reply-To"],
            references=headers["References"],
            attachments=mail.attachment_count(form.text("attachments"), form.files),
        ),
        external_id=bodies.identifier(mail.bare_id(headers["Message-ID"])),
        occurred_at=None,
    )
    return [mapped]


def _charsets(form: Form) -> dict[str, str]:
    """The character set of each field, which SendGrid hands on as the e-mail had it."""
    told = parse_json(form.text("charsets") or "{}", "'charsets'", error=InvalidEventError)
    return {name: each for name, each in bodies.as_object(told, "'charsets'").items() if isinstance(each, str)}


def _headers(form: Form) -> Message:
    from email.parser import HeaderParser

    return HeaderParser().parsestr(form.text("headers") or "")


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the credentials of the webhook's URL; a secret is ``user:password``. Nothing is signed."""
    require_basic(request, secrets)


PROVIDER = Provider(
    "sendgrid-inbound",
    needs="the header Authorization, user:password as its secret, and an https URL; nothing is signed",
    maps="an e-mail that came in → email_reply",
    parse=parse,
    verify=verify,
    check_secret=basic_credentials,
    headers=("Authorization", "Content-Type"),
)
