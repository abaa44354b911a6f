"""Who sent a webhook: every provider's signature, and each way in which it can be wrong."""

from __future__ import annotations

import hashlib
import json
import sys
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.signing import NEW, OLD, SENDERS, URL, base64_of, ec_key, hex_of, public_der, whsec
from tests.signing import signed as signed_request
from waitctl.domain.errors import (
    InvalidEventError,
    InvalidInputError,
    InvalidSettingError,
    InvalidSignatureError,
    MissingCredentialError,
    MissingLibraryError,
)
from waitctl.infrastructure.providers import Request, names, provider

NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)
NAMES = names()
ODD = "an odd pä55word: long enough \udcff"
"""As the environment hands over bytes that are no UTF-8."""

ED_KEYS = {name: Ed25519PrivateKey.generate() for name in (OLD, NEW)}
UNIX = str(int(NOW.timestamp()))
COVERING = [name for name in NAMES if SENDERS[name].covers_body]
HMAC = [name for name in NAMES if SENDERS[name].secret(OLD) == OLD and "Authorization" not in provider(name).headers]
STALING = [name for name in NAMES if SENDERS[name].window]


def request_of(name: str, body: bytes, secret: str = OLD, at: datetime = NOW) -> Request:
    request = signed_request(name, at, secret, body)
    return provider(name).own_part(Request.of(request.body, request.headers, URL))


def signed(name: str, secret: str = OLD, at: datetime = NOW) -> Request:
    return request_of(name, SENDERS[name].body, secret, at)


def verify(name: str, request: Request, *secrets: str, now: datetime = NOW) -> None:
    check(name, request, [SENDERS[name].secret(each) for each in secrets], now)


def check(name: str, request: Request, secrets: Sequence[str], now: datetime = NOW) -> None:
    """Verify by secrets as they are configured."""
    sender = provider(name)
    sender.verify(request, secrets, now, sender.tolerance or timedelta())


def refused(name: str, request: Request, *secrets: str, now: datetime = NOW) -> str:
    """The words of the refusal; none of them is a secret."""
    with pytest.raises(InvalidSignatureError) as caught:
        verify(name, request, *secrets, now=now)
    said = f"{caught.value.message} {caught.value.hint}"
    assert not any(SENDERS[name].secret(each) in said for each in secrets)
    return said


def test_every_provider_is_tested() -> None:
    assert set(SENDERS) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_good_signature(name: str) -> None:
    for secret in (OLD, ODD):
        verify(name, signed(name, secret), secret)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("secret", [OLD, NEW])
def test_while_secrets_rotate_either_is_good(name: str, secret: str) -> None:
    verify(name, signed(name, secret), OLD, NEW)


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_secret(name: str) -> None:
    assert "signature is not valid" in refused(name, signed(name, NEW), OLD)


@pytest.mark.parametrize("name", COVERING)
def test_a_tampered_body(name: str) -> None:
    request = signed(name)
    refused(name, replace(request, body=request.body.replace(b"0", b"1", 1)), OLD)


@pytest.mark.parametrize("name", NAMES)
def test_a_tampered_signature(name: str) -> None:
    request = signed(name)
    if name == "mailgun":
        document = json.loads(request.body)
        document["signature"]["token"] += "0"
        refused(name, replace(request, body=json.dumps(document).encode()), OLD)
    for header in request.headers.keys() - SENDERS[name].unsigned:
        for value in (request.headers[header][:-6] + "AAAAAA", "x", "ü", "\ud800", "t=1", "v1,", "Basic !"):
            refused(name, replace(request, headers={**request.headers, header: value}), OLD)


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_header(name: str) -> None:
    request = signed(name)
    for header in request.headers.keys() - SENDERS[name].unsigned:
        rest = {each: value for each, value in request.headers.items() if each != header}
        with pytest.raises(MissingCredentialError, match=rf"(?i)no header {header}"):
            verify(name, replace(request, headers=rest), OLD)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("secrets", [[], [""], ["", NEW]])
def test_a_missing_secret(name: str, secrets: list[str]) -> None:
    with pytest.raises(MissingCredentialError, match="no secret"):
        check(name, signed(name), secrets)


@pytest.mark.parametrize("name", STALING)
@pytest.mark.parametrize("direction", [-1, 1])
def test_a_signature_goes_stale(name: str, direction: int) -> None:
    window = SENDERS[name].window
    assert window is not None
    verify(name, signed(name, at=NOW + direction * window), OLD)
    late = signed(name, at=NOW + direction * (window + timedelta(seconds=1)))
    assert "stale" in refused(name, late, OLD)
    verify(name, late, OLD, now=NOW + direction * window)


@pytest.mark.parametrize("timestamp", ["2026-01-01T09:00:00Z", "-1767258000", "1767258000.0", "٣", "9" * 15])
def test_a_signed_timestamp_is_a_whole_number(timestamp: str) -> None:
    body = b"{}"
    header = f"t={timestamp},v1={hex_of(OLD, f'{timestamp}.'.encode() + body)}"
    assert "not in seconds" in refused("calendly", Request.of(body, {"Calendly-Webhook-Signature": header}), OLD)


@pytest.mark.parametrize("name", [name for name in COVERING if SENDERS[name].fixture.endswith(".json")])
def test_bytes_are_verified_and_not_what_they_mean(name: str) -> None:
    sender = SENDERS[name]
    document = json.loads(sender.body)
    first = document[0] if isinstance(document, list) else document
    reordered = dict(reversed(first.items()))
    body = json.dumps([reordered] if isinstance(document, list) else reordered, indent=3).encode()
    verify(name, request_of(name, body), OLD)
    refused(name, replace(request_of(name, body), body=json.dumps(json.loads(body)).encode()), OLD)


# -- what is peculiar to each -----------------------------------------------------------------------------------------


def test_mailgun_knows_the_parent_account() -> None:
    document = json.loads(signed("mailgun", NEW).body)
    parent = json.loads(signed("mailgun", OLD).body)["signature"]["signature"]
    document["signature"]["parent-signature"] = parent
    verify("mailgun", Request.of(json.dumps(document).encode()), OLD)
    verify("mailgun", Request.of(json.dumps(document).encode()), NEW)


def test_mailguns_token_cannot_be_cut_into_another_one() -> None:
    """Timestamp and token are signed as one text: three digits more of it would be milliseconds of the same second."""
    signature = hex_of(OLD, f"{UNIX}123abc".encode())
    whole, cut = (
        {"timestamp": stamp, "token": token, "signature": signature}
        for stamp, token in ((UNIX, "123abc"), (f"{UNIX}123", "abc"))
    )
    event = json.loads(signed("mailgun").body)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    verify("mailgun", Request.of(json.dumps(event | {"signature": whole}).encode()), OLD)
    refused("mailgun", Request.of(json.dumps(event | {"signature": cut}).encode()), OLD)
    verify("mailgun-routes", Request.of(urlencode(whole).encode(), form), OLD)
    refused("mailgun-routes", Request.of(urlencode(cut).encode(), form), OLD)


@pytest.mark.parametrize("name", ["hubspot", "twilio"])
def test_what_signs_the_url_needs_it(name: str) -> None:
    with pytest.raises(MissingCredentialError, match="URL"):
        verify(name, replace(signed(name), url=None), OLD)
    refused(name, replace(signed(name), url=f"{URL}&a=b"), OLD)


def test_hubspot_signs_a_url_with_some_of_it_decoded() -> None:
    body, known = b"[]", "https://example.org/hooks%3Fa%3D1%2F%20b"
    for signed_url in (known, "https://example.org/hooks?a%3D1/%20b"):
        signature = base64_of(OLD, f"POST{signed_url}[]{UNIX}000".encode())
        headers = {"X-HubSpot-Signature-v3": signature, "X-HubSpot-Request-Timestamp": f"{UNIX}000"}
        verify("hubspot", Request.of(body, headers, known), OLD)


def test_signed_milliseconds_are_understood() -> None:
    for stamp in (UNIX, f"{UNIX}000"):
        header = f"t={stamp},v1={hex_of(OLD, f'{stamp}.'.encode() + b'{}')}"
        verify("stripe", Request.of(b"{}", {"Stripe-Signature": header}), OLD)


@pytest.mark.parametrize("missing", ["timestamp", "token", "signature"])
def test_mailguns_routes_without_a_part_of_their_signature(missing: str) -> None:
    request = signed("mailgun-routes")
    rest = [pair for pair in request.body.split(b"&") if not pair.startswith(missing.encode())]
    with pytest.raises(MissingCredentialError, match=missing):
        verify("mailgun-routes", replace(request, body=b"&".join(rest)), OLD)


def test_svix_headers_sign_as_the_others_do() -> None:
    request = signed("resend")
    verify("standardwebhooks", request, OLD)
    mixed = {"webhook-id": "msg_2", **request.headers}
    with pytest.raises(MissingCredentialError, match="webhook-timestamp"):
        verify("standardwebhooks", replace(request, headers=mixed), OLD)


@pytest.mark.parametrize("missing", ["timestamp", "token", "signature"])
def test_mailgun_without_a_part_of_its_signature(missing: str) -> None:
    document = json.loads(signed("mailgun").body)
    del document["signature"][missing]
    with pytest.raises(MissingCredentialError, match=missing):
        verify("mailgun", Request.of(json.dumps(document).encode()), OLD)


def test_postmark_over_plain_http() -> None:
    with pytest.raises(InvalidSettingError, match="plain http"):
        verify("postmark", replace(signed("postmark"), url="HTTP://example.org"), OLD)
    verify("postmark", replace(signed("postmark"), url=None), OLD)


def test_twilio_signs_as_its_documentation_shows() -> None:
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    form = b"CallSid=CA1234567890ABCDE&Digits=1234&From=%2B14158675309&To=%2B18005551212&Caller=%2B14158675309"
    request = Request.of(form, {"X-Twilio-Signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="}, url)
    verify("twilio", request, "12345")
    verify("twilio", replace(request, url="https://mycompany.com:443/myapp.php?foo=1&bar=2"), "12345")
    refused("twilio", replace(request, url="https://mycompany.com/myapp.php?foo=1&bar=3"), "12345")


@pytest.mark.parametrize("known", ["https://user:pw@a.org/x", "https://user:pw@a.org:443/x"])
def test_twilio_with_its_port_or_without(known: str) -> None:
    for signed_url in ("https://user:pw@a.org/x", "https://user:pw@a.org:443/x"):
        signature = base64_of("k", f"{signed_url}A 1 B2B3".encode(), "sha1")
        verify("twilio", Request.of(b"B=3&A=+1+&B=2&B=3", {"X-Twilio-Signature": signature}, known), "k")


def cut_elsewhere(parameters: list[tuple[str, str]]) -> Request:
    """A message of ours with its parameters cut elsewhere: the text that was signed is the same."""
    whole = [("AccountSid", "AC1"), ("Body", "yes"), ("From", "+49151"), ("MessageSid", SID), ("NumMedia", "0")]
    whole.append(("OriginalRepliedMessageSid", OTHER_SID))
    text = URL + "".join(name + value for name, value in whole)
    assert URL + "".join(name + value for name, value in sorted(parameters)) == text
    headers = {"X-Twilio-Signature": base64_of(OLD, text.encode(), "sha1")}
    return Request.of(urlencode(parameters).encode(), headers, URL)


SID, OTHER_SID = "SM" + "1" * 32, "SM" + "2" * 32


def test_twilios_parameters_cannot_be_cut_elsewhere_to_come_again() -> None:
    """Nothing stands between what is signed, so an id has to have the form of one, and to be whole."""
    head = [("AccountSid", "AC1"), ("Body", "yes"), ("From", "+49151")]
    original = ("OriginalRepliedMessageSid", OTHER_SID)
    verify("twilio", cut_elsewhere([*head, ("MessageSid", SID), ("NumMedia", "0"), original]), OLD)
    longer = cut_elsewhere([*head, ("MessageSid", f"{SID}NumMedia0"), original])
    assert "runs into" in refused("twilio", longer, OLD)
    with pytest.raises(InvalidEventError, match="MessageSid"):
        provider("twilio").parse(longer, None)
    for other in (
        [*head, ("M", f"essageSid{SID}NumMedia0OriginalReplied"), ("MessageSid", OTHER_SID)],
        [*head[:2], ("From", f"+49151MessageSid{SID}NumMedia0OriginalReplied"), ("MessageSid", OTHER_SID)],
    ):
        assert "runs into" in refused("twilio", cut_elsewhere(other), OLD)


@pytest.mark.parametrize("end", [b"\n", b"&", b"&\r\n"])
def test_twilios_form_may_end_in_what_nobody_signs(end: bytes) -> None:
    verify("twilio", replace(signed("twilio"), body=signed("twilio").body + end), OLD)


def test_twilio_signs_json_by_its_hash() -> None:
    body = b'{"MessageSid":"SM1"}'
    url = f"{URL}&bodySHA256={hashlib.sha256(body).hexdigest()}"
    request = Request.of(body, {"X-Twilio-Signature": base64_of("k", url.encode(), "sha1")}, url)
    verify("twilio", request, "k")
    refused("twilio", replace(request, body=b'{"MessageSid":"SM2"}'), "k")
    unhashed = {"X-Twilio-Signature": base64_of("k", URL.encode(), "sha1")}
    assert "hash" in refused("twilio", Request.of(body, unhashed, URL), "k")


def test_twilio_without_its_url() -> None:
    with pytest.raises(MissingCredentialError, match="URL"):
        verify("twilio", replace(signed("twilio"), url=None), OLD)
    for url in ("example.org/x", "ftp://example.org", "https://a:b", "https://[", "https://a:99999"):
        with pytest.raises(InvalidSettingError, match="URL"):
            verify("twilio", replace(signed("twilio"), url=url), OLD)


def test_calcom_that_has_no_secret() -> None:
    request = Request.of(b"{}", {"X-Cal-Signature-256": "no-secret-provided"})
    assert "has no secret" in refused("calcom", request, "no-secret-provided")


def test_calendly_may_sign_twice() -> None:
    request = signed("calendly")
    header = request.headers["calendly-webhook-signature"]
    timestamp, _, signature = header.partition(",")
    twice = {"calendly-webhook-signature": f"{timestamp}, v1={'0' * 64}, {signature}"}
    verify("calendly", replace(request, headers=twice), OLD)
    refused("calendly", replace(request, headers={"calendly-webhook-signature": f"{header},{timestamp}"}), OLD)


STANDARD = Request.of(
    b'{"test": 2432232314}',
    {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    },
)


@pytest.mark.parametrize("secret", ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_standard_webhooks_sign_as_the_specification_shows(secret: str) -> None:
    check("standardwebhooks", STANDARD, [secret], datetime.fromtimestamp(1614265330, UTC))


def sign_v1a(secret: str) -> Request:
    signature = b64encode(ED_KEYS[secret].sign(f"msg_1.{UNIX}.{{}}".encode())).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": UNIX, "webhook-signature": f"v1,AAAA v1a,{signature}"}
    return Request.of(b"{}", headers)


def whpk(secret: str) -> str:
    return "whpk_" + b64encode(ED_KEYS[secret].public_key().public_bytes_raw()).decode()


def test_standard_webhooks_by_public_key() -> None:
    check("standardwebhooks", sign_v1a(OLD), [whpk(NEW), whpk(OLD), whsec(NEW)])
    for request, secrets in (
        (sign_v1a(OLD), [whpk(NEW), whsec(OLD)]),
        (replace(sign_v1a(OLD), body=b"[]"), [whpk(OLD)]),
        (signed("standardwebhooks"), [whpk(OLD)]),
        (replace(sign_v1a(OLD), headers={**sign_v1a(OLD).headers, "webhook-signature": "v1a,AAAA"}), [whpk(OLD)]),
    ):
        with pytest.raises(InvalidSignatureError):
            check("standardwebhooks", request, secrets)


@pytest.mark.parametrize(
    "secret", ["whsec_", "whsec_ü", "whpk_AAAA", "whpk_!", "plain text!", whsec("23 bytes are too few...")]
)
def test_a_secret_that_standard_webhooks_do_not_have(secret: str) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        check("standardwebhooks", sign_v1a(OLD), [secret])
    assert secret not in caught.value.message


def test_a_public_key_is_no_shared_secret() -> None:
    """Whoever knows it could sign: SendGrid's, taken for the secret of another."""
    der = public_der(ec_key(OLD))
    pem = ec_key(OLD).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for secret in (der, pem, ED25519_AS_DER, whpk(OLD)):
        for name in HMAC:
            with pytest.raises(InvalidSettingError, match="public key"):
                provider(name).check_secret(secret)
            with pytest.raises(InvalidSettingError, match="public key"):
                check(name, signed(name), [secret])
    with pytest.raises(InvalidSettingError, match="public key"):
        provider("standardwebhooks").check_secret(f"whsec_{der}")


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_that_its_provider_has_is_one(name: str) -> None:
    provider(name).check_secret(SENDERS[name].secret(OLD))


@pytest.mark.parametrize("secret", ["user", "user:", ":password", ""])
def test_credentials_have_two_parts(secret: str) -> None:
    with pytest.raises(InvalidSettingError, match="user:password"):
        provider("postmark").check_secret(secret)


def test_sendgrids_key_may_come_as_pem() -> None:
    pem = ec_key(OLD).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    for secret in (pem, pem.replace("\n", "\\n"), pem.replace("\n", "\r\n")):
        check("sendgrid", signed("sendgrid", OLD), [secret])


@pytest.mark.parametrize("curve", [ec.SECP192R1(), ec.SECP384R1()])
def test_sendgrids_key_is_on_one_curve(curve: ec.EllipticCurve) -> None:
    with pytest.raises(InvalidSettingError, match="P-256"):
        provider("sendgrid").check_secret(public_der(ec_key(OLD, curve)))


ED25519_AS_DER = b64encode(
    ED_KEYS[OLD].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
).decode()


@pytest.mark.parametrize("secret", ["ü", "!", "AAAA", ED25519_AS_DER], ids=range(4))
def test_a_secret_that_sendgrid_does_not_have(secret: str) -> None:
    with pytest.raises(InvalidSettingError, match="public key"):
        check("sendgrid", signed("sendgrid"), [secret])


def test_cloudevents_in_headers_cannot_be_signed() -> None:
    request = signed("cloudevents")
    headers = {**request.headers, "ce-specversion": "1.0", "content-type": "application/json"}
    assert "in headers" in refused("cloudevents", replace(request, headers=headers), OLD)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    by_ecdsa, by_ed25519 = signed("sendgrid"), sign_v1a(OLD)
    secrets = [SENDERS["sendgrid"].secret(OLD)], [whpk(OLD)]
    for module in [each for each in sys.modules if each.split(".")[0] == "cryptography"]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingLibraryError) as caught:
        check("sendgrid", by_ecdsa, secrets[0])
    assert caught.value.hint == "pip install 'waitctl[sendgrid]'"
    with pytest.raises(MissingLibraryError):
        check("standardwebhooks", by_ed25519, secrets[1])
    assert issubclass(MissingLibraryError, InvalidInputError)
