"""What webhooks become: one fixture a provider, and what no provider sends."""

from __future__ import annotations

import json
import subprocess
import sys
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.signing import SENDERS, signed
from waitctl.domain.errors import InvalidEventError, InvalidSettingError, MissingCredentialError
from waitctl.domain.events import check_event_type_name
from waitctl.infrastructure.providers import ContactPath, Mapped, Request, headers_from, names, provider, providers
from waitctl.infrastructure.providers.common.mail import without_quoted

FIXTURES = Path(__file__).parent.parent / "providers"
NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)


def body_of(name: str) -> bytes:
    return (FIXTURES / name).read_bytes()


def document(name: str) -> Any:
    return json.loads(body_of(name))


def mapped(name: str, body: object, path: str | None = None, headers: dict[str, str] | None = None) -> list[Mapped]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = provider(name).own_part(Request.of(raw, headers or {}))
    return provider(name).parse(request, ContactPath.parse(path) if path else None)


def only(name: str, body: object, path: str | None = None, headers: dict[str, str] | None = None) -> Mapped:
    (event,) = mapped(name, body, path, headers)
    return event


# -- mappings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_what_becomes_of_the_fixture(name: str) -> None:
    request = signed(name, NOW)
    first = mapped(name, request.body, headers=request.headers)[0]
    assert (first.event_type, first.contact, first.external_id) == SENDERS[name].first
    assert first.problem is None and isinstance(first.data, dict)


def test_sendgrid_maps_every_event_of_a_batch() -> None:
    events = mapped("sendgrid", body_of("sendgrid.json"))

    assert [event.event_type for event in events] == [
        "email_open",
        "email_click",
        "email_delivered",
        "email_bounce",
        "email_unsubscribe",
        "email_spam_report",
        "sendgrid.group_resubscribe",
    ]
    opened, clicked = events[:2]
    assert (opened.contact, opened.external_id, opened.occurred_at) == ("Ada@Example.org", "b3Blbi0x", NOW)
    assert opened.data == document("sendgrid.json")[0] | {"machine": True}
    assert clicked.data == document("sendgrid.json")[1]
    assert only("sendgrid", document("sendgrid.json")[:1], "user_id").contact == "u-17"


@pytest.mark.parametrize(("says", "machine"), [(True, True), (False, False), (None, "unknown"), ("yes", "unknown")])
def test_sendgrid_says_whether_a_machine_opened(says: object, machine: object) -> None:
    event = {"event": "open", "email": "a@b.c"} | ({} if says is None else {"sg_machine_open": says})
    assert only("sendgrid", [event]).data["machine"] == machine


def test_one_event_that_cannot_be_read_costs_none_of_its_batch() -> None:
    batch = [7, {"event": "open", "email": "a@b.c", "timestamp": 1e300}, {"event": "open", "email": "a@b.c"}, {}]
    number, late, good, empty = mapped("sendgrid", batch)

    assert good.problem is None and good.contact == "a@b.c"
    for position, event in ((1, number), (2, late), (4, empty)):
        assert event.problem is not None and f"event {position} of the batch" in event.problem.message
        assert event.contact is None


def test_mailgun() -> None:
    event = only("mailgun", body_of("mailgun.json"))

    assert (event.event_type, event.contact, event.external_id) == ("email_open", "ada@example.org", "0f4c1a7be2d9")
    assert event.occurred_at == NOW - timedelta(seconds=9.75)
    assert event.data == document("mailgun.json")["event-data"] | {"machine": True}
    assert only("mailgun", body_of("mailgun.json"), "user-variables.user_id").contact == "u-17"


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("clicked", "email_click"),
        ("delivered", "email_delivered"),
        ("failed", "email_bounce"),
        ("complained", "email_spam_report"),
        ("unsubscribed", "email_unsubscribe"),
        ("accepted", "mailgun.accepted"),
    ],
)
def test_mailgun_types(name: str, event_type: str) -> None:
    body = document("mailgun.json")
    body["event-data"] |= {"event": name, "severity": "temporary"}
    assert only("mailgun", body).event_type == event_type
    assert only("mailgun", body).data["severity"] == "temporary"


@pytest.mark.parametrize(
    ("client", "machine"), [({"bot": ""}, False), ({"bot": "gmail"}, True), ({}, "unknown"), (None, "unknown")]
)
def test_mailgun_says_whether_a_machine_opened(client: object, machine: object) -> None:
    body = document("mailgun.json")
    body["event-data"]["client-info"] = client
    assert only("mailgun", body).data["machine"] == machine


def test_postmark() -> None:
    event = only("postmark", body_of("postmark.json"))

    assert (event.event_type, event.contact) == ("email_open", "ada@example.org")
    assert event.occurred_at == NOW + timedelta(microseconds=123456)
    assert event.data == document("postmark.json") | {"machine": "unknown"}
    assert only("postmark", body_of("postmark.json"), "Metadata.user_id").contact == "u-17"


def test_postmark_records_are_told_apart_by_what_makes_them_one() -> None:
    opened = document("postmark.json")
    same = only("postmark", dict(reversed((opened | {"Tag": "other"}).items()))).external_id
    assert same == only("postmark", opened).external_id and same is not None
    for key, value in {
        "RecordType": "Click",
        "MessageID": "2",
        "Recipient": "b@c.d",
        "ReceivedAt": "2026-01-01T09:00:01Z",
    }.items():
        assert only("postmark", opened | {key: value}).external_id != same
    assert only("postmark", opened | {"MessageID": None}).external_id is None


@pytest.mark.parametrize(
    ("record", "event_type", "contact"),
    [
        ({"RecordType": "Click", "Recipient": "a@b.c", "ReceivedAt": "2026-01-01T09:00:00Z"}, "email_click", "a@b.c"),
        (
            {"RecordType": "Delivery", "Recipient": "a@b.c", "DeliveredAt": "2026-01-01T09:00:00Z"},
            "email_delivered",
            "a@b.c",
        ),
        ({"RecordType": "Bounce", "Email": "a@b.c", "BouncedAt": "2026-01-01T04:00:00-05:00"}, "email_bounce", "a@b.c"),
        (
            {"RecordType": "SpamComplaint", "Email": "a@b.c", "BouncedAt": "2026-01-01T09:00:00Z"},
            "email_spam_report",
            "a@b.c",
        ),
        (
            {
                "RecordType": "SubscriptionChange",
                "Recipient": "a@b.c",
                "SuppressSending": True,
                "ChangedAt": "2026-01-01T09:00:00Z",
            },
            "email_unsubscribe",
            "a@b.c",
        ),
        (
            {
                "RecordType": "SubscriptionChange",
                "Recipient": "a@b.c",
                "SuppressSending": False,
                "ChangedAt": "2026-01-01T09:00:00Z",
            },
            "postmark.subscriptionchange",
            "a@b.c",
        ),
    ],
)
def test_postmark_types(record: dict[str, object], event_type: str, contact: str) -> None:
    event = only("postmark", record)
    assert (event.event_type, event.contact, event.occurred_at) == (event_type, contact, NOW)


def test_postmark_inbound_is_a_reply_without_its_luggage() -> None:
    event = only("postmark", body_of("postmark_inbound.json"))

    assert (event.event_type, event.contact) == ("email_reply", "ada@example.org")
    assert event.external_id == "00000000-0000-0000-0000-000000000002"
    assert event.data["StrippedTextReply"] == "Yes, please."
    assert not {"HtmlBody", "Attachments"} & set(event.data)
    assert only("postmark", body_of("postmark_inbound.json"), "MailboxHash").contact == "u-17"


def test_twilio() -> None:
    event = only("twilio", body_of("twilio.txt"))

    assert (event.event_type, event.contact) == ("sms_reply", "+4915112345678")
    assert (event.external_id, event.occurred_at) == ("SM00000000000000000000000000000001", None)
    assert event.data["Body"] == "Yes, please " and event.data["FromCity"] == ""
    assert only("twilio", body_of("twilio.txt"), "OriginalRepliedMessageSid").contact == "SM" + "0" * 32


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"&", b"&\n", b"&&"])
def test_twilios_form_may_end_in_what_means_nothing(end: bytes) -> None:
    moved = body_of("twilio.txt").replace(b"&SmsStatus=received", b"") + b"&SmsStatus=received"
    for body in (body_of("twilio.txt"), moved):
        assert only("twilio", body + end) == only("twilio", body)
    assert only("twilio", moved + end).event_type == "sms_reply"


def test_twilio_in_json_and_what_became_of_a_message_of_ours() -> None:
    sid = "MM" + "1" * 32
    sent = {"MessageSid": sid, "From": "+49301", "To": "whatsapp:+49151"}
    assert only("twilio", sent | {"SmsStatus": "received"}).event_type == "sms_reply"
    status = only("twilio", sent | {"MessageStatus": "delivered"})
    assert (status.event_type, status.contact, status.external_id) == (
        "twilio.delivered",
        "whatsapp:+49151",
        f"{sid}:delivered",
    )


def test_typeform() -> None:
    event = only("typeform", body_of("typeform.json"))

    assert (event.event_type, event.contact, event.occurred_at) == ("form_submit", "ada@example.org", NOW)
    assert event.external_id == "a3a12ec67a1365927098a606107fac15"
    assert event.data == document("typeform.json")["form_response"]
    assert only("typeform", body_of("typeform.json"), "hidden.user_id").contact == "u-17"


def test_typeform_partial_responses_have_ids_of_their_own() -> None:
    event = only("typeform", document("typeform.json") | {"event_type": "form_response_partial"})
    assert (event.event_type, event.external_id) == ("typeform.form_response_partial", "01HXYZ")


def test_calendly() -> None:
    event = only("calendly", body_of("calendly.json"))

    assert (event.event_type, event.contact, event.occurred_at) == ("appointment_booked", "ada@example.org", NOW)
    assert event.external_id == "https://api.calendly.com/scheduled_events/E1/invitees/I1#invitee.created"
    assert event.data["scheduled_event"]["start_time"] == "2026-01-05T14:00:00.000000Z"
    assert only("calendly", body_of("calendly.json"), "tracking.utm_content").contact == "u-17"


def test_calendly_cancels_under_another_id() -> None:
    booked = document("calendly.json")
    cancelled = only("calendly", booked | {"event": "invitee.canceled"})
    assert cancelled.event_type == "appointment_cancelled"
    assert cancelled.external_id != only("calendly", booked).external_id
    assert (
        only("calendly", booked | {"event": "invitee_no_show.created"}).event_type == "calendly.invitee_no_show.created"
    )


def test_calcom() -> None:
    event = only("calcom", body_of("calcom.json"))

    assert (event.event_type, event.contact) == ("appointment_booked", "ada@example.org")
    assert event.occurred_at == NOW + timedelta(milliseconds=538)
    assert event.external_id == "BOOKING_CREATED:bFJeNb2uX8ANpT3JL5EfXw:2026-01-01T09:00:00.538Z"
    assert event.data == document("calcom.json")["payload"]
    assert only("calcom", body_of("calcom.json"), "metadata.user_id").contact == "u-17"
    assert only("calcom", body_of("calcom.json"), "attendees.0.name").contact == "Ada"


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("BOOKING_RESCHEDULED", "appointment_rescheduled"),
        ("BOOKING_CANCELLED", "appointment_cancelled"),
        ("ÜBER BUCHT!", "calcom._ber_bucht_"),
        ("X" * 300, "calcom." + "x" * 93),
    ],
)
def test_calcom_types(name: str, event_type: str) -> None:
    event = only("calcom", document("calcom.json") | {"triggerEvent": name})
    assert check_event_type_name(event.event_type) == event_type


def test_calcom_says_flatly_what_became_of_a_meeting() -> None:
    flat = document("calcom.json")["payload"] | {"triggerEvent": "MEETING_ENDED", "createdAt": "2025-12-01T09:00:00Z"}
    event = only("calcom", flat)
    assert (event.event_type, event.contact) == ("calcom.meeting_ended", "ada@example.org")
    assert event.external_id == "MEETING_ENDED:bFJeNb2uX8ANpT3JL5EfXw:2025-12-01T09:00:00Z"
    assert event.occurred_at is None  # only when it was booked is known


def test_calcom_bookings_by_phone_are_of_the_number() -> None:
    body = document("calcom.json")
    attendee = body["payload"]["attendees"][0]
    attendee |= {"email": "491511234567@sms.cal.com", "phoneNumber": "+491511234567"}
    assert only("calcom", body).contact == "+491511234567"
    attendee |= {"email": "ada@example.org"}
    assert only("calcom", body).contact == "ada@example.org"
    attendee |= {"email": "491511234567@sms.cal.com", "phoneNumber": None}
    assert only("calcom", body).contact == "491511234567@sms.cal.com"


# -- CloudEvents and Standard Webhooks ----------------------------------------------------------------------------------


def test_cloudevents_structured() -> None:
    event = only("cloudevents", body_of("cloudevents.json"), headers={"Content-Type": "application/cloudevents+json"})

    assert (event.event_type, event.contact) == ("page_visit", "ada@example.org")
    assert event.named_source == "https://example.org/site"
    assert event.external_id == "https://example.org/site A234-1234-1234"
    assert event.occurred_at == NOW + timedelta(microseconds=123456)
    assert event.expires_at == NOW + timedelta(days=7)
    assert event.data == {"url": "https://example.org/prices", "visitor": {"id": 42}}
    for path, contact in {
        "userid": "u-17",
        "visitor.id": "42",
        "data.visitor.id": "42",
        "nobody": "ada@example.org",
    }.items():
        assert only("cloudevents", body_of("cloudevents.json"), path).contact == contact


def test_cloudevents_batch() -> None:
    good = document("cloudevents.json")
    first, old, second = mapped("cloudevents", [good, good | {"specversion": "0.3"}, good | {"id": "2"}])
    assert second.external_id == "https://example.org/site 2" != first.external_id
    assert old.problem is not None and "specversion '0.3'" in old.problem.message
    assert mapped("cloudevents", []) == []


BINARY = {
    "Content-Type": "application/json; charset=utf-8",
    "ce-specversion": "1.0",
    "ce-type": "org.example.cart.abandoned",
    "ce-source": '"/shop/\\"1\\""',
    "ce-id": "1",
    "ce-time": "2026-01-01T09:00:00Z",
    "ce-subject": "Z%C3%B6e%40example.org",
    "ce-userid": "u+17",
}


def test_cloudevents_binary() -> None:
    event = only("cloudevents", b'{"total":17}', headers=BINARY)

    assert (event.event_type, event.contact, event.named_source) == (
        "org.example.cart.abandoned",
        "Zöe@example.org",
        '/shop/"1"',
    )
    assert (event.occurred_at, event.data) == (NOW, {"total": 17})
    assert only("cloudevents", b"", "userid", headers=BINARY).contact == "u+17"
    assert only("cloudevents", b"", headers=BINARY).data == {}
    text = BINARY | {"Content-Type": "text/plain"}
    assert only("cloudevents", b"\xff\x00", headers=text).data == {"data_base64": "/wA="}
    with pytest.raises(InvalidEventError, match="UTF-8"):
        mapped("cloudevents", b"\xff\x00", headers=BINARY)
    assert only("cloudevents", b"NaN", headers=BINARY | {"Content-Type": "text/plain"}).data == {"data": "NaN"}


@pytest.mark.parametrize(
    ("attributes", "data"),
    [
        ({"data": [1, 2]}, {"data": [1, 2]}),
        ({"data": None}, {}),
        ({}, {}),
        ({"data_base64": b64encode(b'{"a":1}').decode(), "datacontenttype": "application/json"}, {"a": 1}),
        ({"data_base64": "/wA="}, {"data_base64": "/wA="}),
    ],
)
def test_cloudevents_data_is_an_object_in_the_end(attributes: dict[str, object], data: object) -> None:
    event = {"specversion": "1.0", "type": "page_visit", "source": "/", "id": "1"}
    assert only("cloudevents", event | attributes).data == data


def test_source_and_id_of_cloudevents_are_one_id() -> None:
    """Whatever they hold, two events have one id only when they have the same source and id."""
    pairs = [("/a", "b c"), ("/a b", "c"), ("/a", "b"), ("/" + "a" * 250, "1234"), ("/" + "a" * 251, "234")]
    ids = [
        only("cloudevents", document("cloudevents.json") | {"source": source, "id": each}).external_id or ""
        for source, each in pairs
    ]
    assert len(set(ids)) == len(pairs) and max(map(len, ids)) <= 255
    assert ids[0] == "/a b c" and ids[2] == "/a b"


@pytest.mark.parametrize("attribute", ["id", "source", "type", "specversion"])
@pytest.mark.parametrize("value", [None, "", 7])
def test_cloudevents_need_four_attributes(attribute: str, value: object) -> None:
    with pytest.raises(InvalidEventError, match=attribute):
        mapped("cloudevents", document("cloudevents.json") | {attribute: value})


def test_standard_webhooks() -> None:
    event = only("standardwebhooks", body_of("standardwebhooks.json"), headers={"Webhook-Id": "msg_1"})

    assert (event.event_type, event.contact, event.external_id) == ("invoice.paid", "ada@example.org", "msg_1")
    assert event.occurred_at == NOW + timedelta(microseconds=123456)
    assert event.data == document("standardwebhooks.json")["data"]
    for path in ("data.customer.id", "customer.id"):
        assert only("standardwebhooks", body_of("standardwebhooks.json"), path).contact == "u-17"
    assert only("standardwebhooks", {"type": "sms_reply", "data": {"phone": "+49151"}}).contact == "+49151"
    assert only("standardwebhooks", {"type": "x"}).contact is None
    by_svix = only("standardwebhooks", body_of("standardwebhooks.json"), headers={"svix-id": "msg_2"})
    assert by_svix.external_id == "msg_2"


# -- the second round ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "event_type"),
    [
        ("email.opened", "email_open"),
        ("email.clicked", "email_click"),
        ("email.delivered", "email_delivered"),
        ("email.bounced", "email_bounce"),
        ("email.complained", "email_spam_report"),
        ("email.delivery_delayed", "resend.email.delivery_delayed"),
    ],
)
def test_resend_types(name: str, event_type: str) -> None:
    event = only("resend", document("resend.json") | {"type": name})
    assert event.event_type == event_type
    assert event.data.get("machine") == ("unknown" if event_type == "email_open" else None)
    assert event.occurred_at == NOW + timedelta(milliseconds=123)
    assert only("resend", document("resend.json"), "tags.user_id").contact == "u-17"


def test_stripe_takes_the_first_contact_that_its_object_has() -> None:
    body = document("stripe.json")
    about = body["data"]["object"]
    for path in ("data.object.metadata.user_id", "metadata.user_id"):
        assert only("stripe", body, path).contact == "u-17"
    assert only("stripe", body).occurred_at == NOW
    assert only("stripe", body).data == body["data"]
    for missing, contact in (("customer_email", "receipt@example.org"), ("receipt_email", "cus_1"), ("customer", None)):
        about |= {"receipt_email": "receipt@example.org"} if missing == "customer_email" else {}
        about[missing] = None
        assert only("stripe", body).contact == contact


GITHUB = {"X-GitHub-Event": "push", "X-GitHub-Delivery": "1"}


def test_github_names_what_happened_by_event_and_action() -> None:
    assert only("github", {"ref": "main", "sender": {"login": "ada"}}, headers=GITHUB).event_type == "github.push"
    assert only("github", document("github.json"), "issue.number", headers=GITHUB).contact == "17"
    form = urlencode({"payload": json.dumps(document("github.json"))}).encode()
    as_form = GITHUB | {"Content-Type": "application/x-www-form-urlencoded"}
    assert only("github", form, headers=as_form).data == document("github.json")
    for missing in GITHUB:
        with pytest.raises(MissingCredentialError, match=missing):
            mapped("github", {}, headers={name: value for name, value in GITHUB.items() if name != missing})


def test_a_body_of_github_is_one_delivery_whatever_unsigned_headers_say() -> None:
    first = only("github", document("github.json"), headers=GITHUB).once
    other = only("github", document("github.json"), headers=GITHUB | {"X-GitHub-Delivery": "2"}).once
    assert first is not None and other is not None
    assert first.token == other.token and first.content != other.content


def test_hubspot() -> None:
    changed, created = mapped("hubspot", body_of("hubspot.json"))
    assert changed.occurred_at == NOW + timedelta(milliseconds=123)
    assert (created.event_type, created.contact) == ("hubspot.contact.creation", "1018")
    assert only("hubspot", document("hubspot.json")[:1], "propertyValue").contact == "customer"
    assert only("hubspot", [{"subscriptionType": "deal.creation", "objectId": 1}]).external_id is None


def test_replies_have_one_shape() -> None:
    routes = only("mailgun-routes", body_of("mailgun_routes.txt"))
    assert routes.occurred_at == NOW
    assert routes.data == {
        "from": "Ada@Example.org",
        "to": "answers+u-17@mg.example.org",
        "subject": "Re: Welcome",
        "text": "Yes, please.\r\n\r\n> Shall we call?",
        "stripped_text": "Yes, please.",
        "message_id": "reply-1@example.org",
        "in_reply_to": "welcome-1@mg.example.org",
        "references": ["welcome-0@mg.example.org", "welcome-1@mg.example.org"],
        "attachments": 2,
    }
    inbound = only("sendgrid-inbound", body_of("sendgrid_inbound.bin"), headers=signed("sendgrid-inbound", NOW).headers)
    assert inbound.data == {
        "from": "Ada@Example.org",
        "to": "answers+u-17@inbound.example.org",
        "subject": "Re: Welcome",
        "text": "Ja, schön.\r\n\r\nAm 1. Januar 2026 um 09:00 schrieb Shop <shop@example.com>:\r\n> Sollen wir anrufen?\r\n",
        "stripped_text": "Ja, schön.",
        "message_id": "reply-2@example.org",
        "in_reply_to": "welcome-1@example.com",
        "references": ["welcome-0@example.com", "welcome-1@example.com"],
        "attachments": 1,
    }
    assert only("mailgun-routes", body_of("mailgun_routes.txt"), "recipient").contact == "answers+u-17@mg.example.org"


def in_parts(fields: dict[str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A form in parts, and the header that says where they end."""
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (name.encode(), value)
        for name, value in fields.items()
    ]
    return b"".join([*parts, b"--b--\r\n"]), {"Content-Type": "multipart/form-data; boundary=b"}


def test_mailguns_routes_may_come_in_parts_and_without_what_it_strips() -> None:
    body, headers = in_parts({"sender": b"eve@example.org", "body-plain": b"no\xff\n-----Original Message-----\nx"})
    event = only("mailgun-routes", body, headers=headers)
    assert (event.contact, event.external_id, event.once) == ("eve@example.org", None, None)
    assert (event.data["stripped_text"], event.data["attachments"]) == ("no\ufffd", 0)
    long = in_parts({"sender": b"eve@example.org", "body-plain": b"x" * 500_000, "Message-Id": b"<%s>" % (b"m" * 300)})
    event = only("mailgun-routes", long[0], headers=long[1])
    assert (len(event.data["text"]), len(event.external_id or "")) == (64 * 1024, 64)


@pytest.mark.parametrize("charset", [b"punycode", b"rot13", b"utf-7", b"no such"])
def test_a_charset_of_no_email_is_not_tried(charset: bytes) -> None:
    fields = {"headers": b"", "from": b"a@b.c", "text": "schön".encode(), "charsets": b'{"text":"%s"}' % charset}
    body, headers = in_parts(fields)
    assert only("sendgrid-inbound", body, headers=headers).data["text"] == "schön"


NESTED = b"".join(b"--b%d\r\nContent-Type: multipart/x; boundary=b%d\r\n\r\n" % (n, n + 1) for n in range(3000))


@pytest.mark.parametrize(
    ("name", "body", "kind", "says"),
    [
        ("mailgun-routes", b"subject=hello", "", "no address"),
        ("mailgun-routes", b"sender=nobody", "", "no address"),
        ("mailgun-routes", b"sender=" + b"(" * 1000 + b"a@b.c", "", "no address"),
        ("mailgun-routes", b"hello", "", "not a form"),
        ("mailgun-routes", b"hello", "multipart/form-data; boundary=b", "not a form in parts"),
        ("mailgun-routes", b"hello", "multipart/form-data; boundary=b\r\nX: y", "Content-Type"),
        ("mailgun-routes", NESTED, "multipart/x; boundary=b0", "form"),
        ("sendgrid-inbound", b"from=a%40b.c&email=x", "", "raw message"),
        ("sendgrid-inbound", b"from=nobody&headers=", "", "no address"),
        ("sendgrid-inbound", b"from=a%40b.c&headers=&charsets=[]", "", "charsets"),
    ],
)
def test_an_email_that_is_none(name: str, body: bytes, kind: str, says: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        mapped(name, body, headers={"Content-Type": kind} if kind else None)
    assert says in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize(
    ("text", "stripped"),
    [
        ("Yes.\n\nOn Thu, Jan 1, 2026 at 9:00 AM Shop <shop@example.com>\nwrote:\n\n> Shall we?", "Yes."),
        ("Oui\r\nLe jeu. 1 janv. 2026 à 09:00, Shop <a@b.c> a écrit :\r\n> non", "Oui"),
        ("On the other hand, this:\n1\n2", "On the other hand, this:\n1\n2"),
        ("no\n________________________________\nFrom: Shop", "no"),
        ("> quoted alone", ""),
    ],
)
def test_what_is_quoted_is_left_out(text: str, stripped: str) -> None:
    assert without_quoted(text) == stripped


# -- what none of them sends --------------------------------------------------------------------------------------------

BROKEN = {
    b"": "JSON",
    b"\xff\xfe": "UTF-8",
    b"{": "JSON",
    b'{"a":NaN}': "NaN",
    b"[1e999, -Infinity]": "Infinity",
    b"[" * 200_000: "nested too deeply",
    b'{"a":' * 200_000: "nested too deeply",
    b"[" + b"9" * 5000 + b"]": "digits",
}


@pytest.mark.parametrize("name", [name for name in names() if SENDERS[name].fixture.endswith(".json")])
@pytest.mark.parametrize(("body", "says"), BROKEN.items(), ids=range(len(BROKEN)))
def test_a_body_that_is_no_json(name: str, body: bytes, says: str) -> None:
    with pytest.raises(InvalidEventError, match=says):
        mapped(name, body, headers=signed(name, NOW).headers)


@pytest.mark.parametrize("name", sorted(set(names()) - {"sendgrid-inbound"}))  # a form in parts has a preamble
def test_a_byte_order_mark_is_skipped(name: str) -> None:
    request = signed(name, NOW)
    marked, plain = (mapped(name, mark + request.body, headers=request.headers) for mark in (b"\xef\xbb\xbf", b""))
    assert [(each.event_type, each.data) for each in marked] == [(each.event_type, each.data) for each in plain]
    assert marked[0].external_id == SENDERS[name].first[2]


@pytest.mark.parametrize(
    ("name", "body", "says"),
    [
        ("sendgrid", {"event": "open"}, "JSON array"),
        ("mailgun", {"event-data": []}, "event-data"),
        ("postmark", {"Subject": "hello"}, "neither RecordType nor FromFull"),
        ("typeform", {"event_type": "form_response"}, "form_response"),
        ("calendly", {"event": "invitee.created", "payload": None}, "payload"),
        ("calcom", {"triggerEvent": ""}, "triggerEvent"),
        ("standardwebhooks", {"data": {}}, "type"),
        ("cloudevents", document("cloudevents.json") | {"data": None, "data_base64": "!"}, "data_base64"),
        ("cloudevents", document("cloudevents.json") | {"data_base64": "AAAA"}, "data_base64"),
    ],
)
def test_a_body_of_another_shape(name: str, body: object, says: str) -> None:
    with pytest.raises(InvalidEventError, match=says):
        mapped(name, body)


def test_cloudevents_headers_that_are_not_utf_8() -> None:
    with pytest.raises(InvalidEventError, match="UTF-8"):
        mapped("cloudevents", b"", headers=BINARY | {"ce-subject": "%ff"})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Body",
        b"\xff=1",
        b"MessageSid=%ff",
        b"MessageSid=SM1",
        b"MessageSid=SM" + b"g" * 32,
        b"a=1&" * 2000 + b"b=1",
        b"Body=1",
    ],
)
def test_a_body_that_is_no_message(body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        mapped("twilio", body)


@pytest.mark.parametrize(
    "at",
    [
        True,
        [],
        "yesterday",
        "2026-01-01",
        "2026-02-30T00:00:00Z",
        1e18,
        -4e10,
        -6e13,
        "9" * 16,
        10**400,
        "0999-01-01T00:00:00Z",
        "9900-01-01T00:00:00Z",
    ],
)
def test_an_instant_that_is_none(at: object) -> None:
    with pytest.raises(InvalidEventError, match="created_at"):
        mapped("calendly", document("calendly.json") | {"created_at": at})


@pytest.mark.parametrize(
    "at", [1767258000, 1767258000.0, "1767258000", 1767258000000, "1767258000000", "2026-01-01T10:00:00.0000000+01:00"]
)
def test_an_instant_in_every_form(at: object) -> None:
    assert only("calendly", document("calendly.json") | {"created_at": at}).occurred_at == NOW


def test_no_contact_is_for_the_caller_to_reject() -> None:
    assert only("sendgrid", [{"event": "open"}]).contact is None
    assert only("calcom", document("calcom.json") | {"payload": {"attendees": []}}, "attendees.9.email").contact is None


@pytest.mark.parametrize("value", ["", "  ", None, True, 1.5, [], {}])
def test_a_configured_contact_that_is_none_falls_back(value: object) -> None:
    event = {"event": "click", "email": "a@b.c", "user": {"id": value}}
    assert only("sendgrid", [event], "user.id").contact == "a@b.c"


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b"])
def test_a_path_that_is_none(path: str) -> None:
    with pytest.raises(InvalidSettingError, match="path"):
        ContactPath.parse(path)


# -- the list, the headers, start-up --------------------------------------------------------------------------------------


def test_every_provider_introduces_itself() -> None:
    assert tuple(each.name for each in providers()) == names()
    assert all(each.needs and each.maps for each in providers())


@pytest.mark.parametrize("name", ["mailgun_routes", "__init__", "common", "bodies", "..errors", ""])
def test_a_provider_that_is_none(name: str) -> None:
    with pytest.raises(InvalidSettingError, match="is not a provider"):
        provider(name)


def test_a_provider_loads_no_other() -> None:
    script = (
        "import sys; from waitctl.infrastructure.providers import provider; provider('calcom'); print(*sys.modules)"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    )
    room = "waitctl.infrastructure.providers"
    assert {each for each in loaded if each.startswith(room)} == {
        room,
        *(f"{room}.{each}" for each in ("calcom", "common", "common.bodies", "common.signatures")),
    }
    assert not loaded & {"cryptography", "sqlalchemy"}


@pytest.mark.parametrize(
    "text",
    [
        '{"Content-Type": "a/b", "X-Sign": ["1", "2"], "x-SIGN": "3"}',
        "Content-Type: a/b\nX-Sign: 1\nX-Sign:2\nx-sign:  3 \n",
        "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nX-Sign: 1, 2\r\nX-SIGN: 3\r\n\r\nbody: not a header\r\n",
        "\ufeffPOST /hook HTTP/1.1\r\ncontent-type: a/b\r\nX-Sign: 1\r\nx-sign: 3\r\n",
    ],
)
def test_headers_from_a_file(text: str) -> None:
    request = Request.of(b"", headers_from(text))
    assert (request.headers["content-type"], set(request.headers)) == ("a/b", {"content-type", "x-sign"})
    assert (request.headers["x-sign"], request.repeated) == ("3", frozenset({"x-sign"}))


def test_no_headers() -> None:
    assert headers_from("") == headers_from("\n") == headers_from("{}") == []


def test_what_comes_twice_has_no_value_and_is_said() -> None:
    given = [("CE-Id", "1"), ("ce-id", "2"), ("Accept", "a"), ("Accept", "b"), ("ce-type", "x")]
    request = provider("cloudevents").own_part(Request.of(b"", given))
    assert (dict(request.headers), request.repeated) == ({"ce-type": "x"}, frozenset({"ce-id"}))


@pytest.mark.parametrize(
    "text",
    ["Authorization Basic s3cret", "A: 1\ns3cret", "a b: s3cret", '{"Authorization": 7}', '{"A": [["s3cret"]]}', "{"],
)
def test_headers_that_are_none_keep_their_secrets(text: str) -> None:
    with pytest.raises(InvalidEventError) as caught:
        headers_from(text)
    assert "s3cret" not in caught.value.message
