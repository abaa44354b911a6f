"""Thousands of webhooks of each format that nobody sends: nothing but waitctl's own errors comes of them."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from waitctl.domain.errors import WaitStepError
from waitctl.infrastructure.providers import ContactPath, Request, headers_from, names, provider, providers

BODIES = 4_000 * int(os.environ.get("WAITCTL_TEST_CASES", "1"))
"""Of each provider."""

FIXTURES = Path(__file__).parent.parent / "providers"
NOW = datetime(2026, 1, 1, 9, tzinfo=UTC)

SEEDS = [path.read_bytes() for path in sorted(FIXTURES.iterdir())]
PIECES = [
    b'"', b"{}", b"[]", b"null", b"-1e999", b"1e308", b"NaN", b"\xff", b"\\ud800", b"\\u0000", b"%zz", b"&", b"=", b"[[[[[[[[",
    b"9" * 40, b"T24:00:00Z", b"true", b",", b":",
]  # fmt: skip
SECRETS = {
    "sendgrid": "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
    "resend": f"whsec_{'c2VjcmV0' * 4}",
    "standardwebhooks": f"whsec_{'c2VjcmV0' * 4}",
    "cloudevents": f"whsec_{'c2VjcmV0' * 4}",
}
FUZZED_HEADERS = sorted(
    {"ce-id", "ce-source", "ce-specversion", "ce-time", "ce-type"}
    | {name for each in providers() for name in each.headers} - {"ce-*"}
)
VALUES = [
    "1.0", "1767258000", "1", "%ff", "\ud800", "\udc80", '"\\"', "t=1,v1=2", "v1,AAAA v1a,AAAA ,", "Basic !", "Basic AAAA",
    "9" * 400, "٣", "application/cloudevents+json", "application/json", "text/plain", "multipart/form-data; boundary=xYzZY", "2026-01-01T00:00:00Z",
]  # fmt: skip
OWN_TYPES = {"sendgrid-inbound": "multipart/form-data; boundary=xYzZY", "cloudevents": "application/cloudevents+json"}
URLS = [None, "http://a", "https://a:b/", "https://[/", "https://a:99999/?bodySHA256=1", "x", "https://x/?bodySHA256=é"]


def mutations(chance: random.Random, seeds: Sequence[bytes]) -> Iterator[bytes]:
    while True:
        body = (
            bytearray(chance.choice(seeds))
            if chance.random() < 0.8
            else bytearray(chance.randbytes(chance.randrange(40)))
        )
        for _ in range(chance.randrange(1, 5)):
            start = chance.randrange(len(body) + 1)
            body[start : start + chance.randrange(12)] = (
                chance.choice(PIECES) if chance.random() < 0.6 else chance.randbytes(chance.randrange(4))
            )
        yield bytes(body)


def swapped(value: Any, chance: random.Random) -> Any:
    """The same document with another value somewhere: well-formed, but not of the provider's shape."""
    if chance.random() < 0.05:
        return chance.choice([None, True, 0, -1, 10**300, 1e308, "", "x", "\0", "\ud800", [], {}, [[]], [{}]])
    if isinstance(value, dict):
        return {key: swapped(item, chance) for key, item in value.items() if chance.random() > 0.01}
    return [swapped(item, chance) for item in value] if isinstance(value, list) else value


def shapes(chance: random.Random) -> Iterator[bytes]:
    documents = [json.loads(seed) for seed in SEEDS if seed.startswith((b"{", b"["))]
    while True:
        yield json.dumps(swapped(chance.choice(documents), chance)).encode()


def survives(name: str, request: Request, path: ContactPath | None) -> bool:
    """Whether it was parsed. Anything but a `WaitStepError` goes through and fails the test."""
    each = provider(name)
    with suppress(WaitStepError):
        each.verify(request, [SECRETS.get(name, "user:secret")], NOW, timedelta(minutes=5))
    try:
        for event in each.parse(request, path):
            assert event.contact is None or event.contact.strip()
            assert event.problem is not None or event.event_type
    except WaitStepError:
        return False
    return True


@pytest.mark.usefixtures("uncounted")
@pytest.mark.parametrize("name", names())
def test_whatever_comes_in_raises_nothing_but_our_errors(name: str) -> None:
    chance = random.Random(f"providers {name}")
    paths = [None, ContactPath.parse("hidden.user_id"), ContactPath.parse("attendees.0.email")]
    own = [path.read_bytes() for path in FIXTURES.iterdir() if path.stem.startswith(name.replace("-", "_"))]
    sources = (mutations(chance, SEEDS), shapes(chance), mutations(chance, own))
    parsed = 0
    for number in range(BODIES):
        headers = {each: chance.choice(VALUES) for each in FUZZED_HEADERS if chance.random() < 0.7}
        if number % 3 == 2:
            headers["content-type"] = OWN_TYPES.get(name, "application/json")
        request = Request.of(next(sources[number % 3]), headers, chance.choice(URLS))
        parsed += survives(name, request, chance.choice(paths))
    assert parsed > 20


def test_whatever_stands_in_a_headers_file_raises_nothing_but_our_errors() -> None:
    chance = random.Random("headers")
    for body in islice(mutations(chance, SEEDS), 10_000):
        with suppress(WaitStepError):
            headers_from(body.decode(errors="surrogateescape"))
