"""Mailgun's routes: replies by e-mail, posted as a form. Attachments are counted, and stay with Mailgun."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from waitctl.domain.errors import InvalidEventError, MissingCredentialError
from waitctl.infrastructure.providers import ContactPath, Mapped, Once, Provider, Request, mailgun
from waitctl.infrastructure.providers.common import bodies, mail
from waitctl.infrastructure.providers.common.forms import form_of
from waitctl.infrastructure.providers.common.signatures import hmac_key, require_fresh

_SIGNED = ("timestamp", "token", "signature")


def parse(request: Request, path: ContactPath | None = None) -> list[Mapped]:
    """The e-mail of a delivery. The path begins at the fields of the form (``recipient``).

    Raises `InvalidEventError` where nobody sent it.
    """
    form = form_of(request)
    text = form.text
    sender = mail.address_of(text("from"), text("sender"))
    if sender is None:
        raise InvalidEventError("the form has no address in 'from' or 'sender'")
    token = text("token")
    content = {name: value for name, value in form.fields.items() if name not in _SIGNED}
    mapped = Mapped(
        event_type=bodies.EMAIL_REPLY,
        contact=bodies.contact_of(path, dict(form.fields), sender),
        data=mail.reply(
            sender=sender,
            to=text("recipient") or text("To"),
            subject=text("subject"),
            text=text("body-plain") or "",
            stripped=text("stripped-text"),
            message_id=text("Message-Id"),
            in_reply_to=text("In-Reply-To"),
            references=text("References"),
            attachments=mail.attachment_count(text("attachment-count"), form.files),
        ),
        external_id=bodies.identifier(mail.bare_id(text("Message-Id"))),
        occurred_at=bodies.instant_of(text("timestamp"), "timestamp"),
        once=Once(token, bodies.digest(content)) if token else None,
    )
    return [mapped]


def verify(request: Request, secrets: Sequence[str], now: datetime, tolerance: timedelta) -> None:
    """Check the HMAC over timestamp and token, which stand in the form; it does not cover the e-mail.

    Raises `InvalidSignatureError`, or `MissingCredentialError` where one of them is missing.
    """
    fields = form_of(request).fields
    for name in _SIGNED:
        if not fields.get(name):
            raise MissingCredentialError(f"the form has no {name}")
    mailgun.require_signed(fields["timestamp"], fields["token"], [fields["signature"]], secrets)
    require_fresh(fields["timestamp"], now, tolerance)


PROVIDER = Provider(
    "mailgun-routes",
    needs="the webhook signing key as its secret; the signature is in the form and does not cover the e-mail",
    maps="an e-mail that came in → email_reply",
    parse=parse,
    verify=verify,
    check_secret=hmac_key,
    headers=("Content-Type",),
    tolerance=mailgun.PROVIDER.tolerance,
)
