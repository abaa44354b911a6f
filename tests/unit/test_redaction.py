"""One redactor: what URLs hold that is not for everybody's eyes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitctl import Database
from waitctl.infrastructure.redaction import redact, remember


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:s3cret@db/waits", "postgresql://ada:***@db/waits"),
        (
            "cannot reach postgresql://ada:a@b/c@db:5432/waits: no",
            "cannot reach postgresql://ada:***@db:5432/waits: no",
        ),
        ("postgresql://db/w?password=s3cret&sslmode=require", "postgresql://db/w?password=***&sslmode=require"),
        ("postgresql://db/w?a=1&sslKey=/k&passfile=%2Fp", "postgresql://db/w?a=1&sslKey=***&passfile=***"),
        ("https://db/?client_secret=a&access_token=b#c", "https://db/?client_secret=***&access_token=***#c"),
        ("postgresql://:s3cret@db/waits", "postgresql://:***@db/waits"),
        # Nothing of these is secret.
        ("postgresql://ada@db:5432/waits", "postgresql://ada@db:5432/waits"),
        ("postgresql://h1:5432,h2:5433/w: ask ada@example.org", "postgresql://h1:5432,h2:5433/w: ask ada@example.org"),
        ("sqlite:////var/lib/a@b.db", "sqlite:////var/lib/a@b.db"),
        ("--match KEY=VALUE, a@b", "--match KEY=VALUE, a@b"),
    ],
)
def test_what_is_shown(text: str, shown: str) -> None:
    assert redact(text) == shown


def test_the_secret_of_a_url_in_use_is_known_wherever_it_turns_up() -> None:
    remember("postgresql://ada:p%40ss%2Fw+rd@db/waits?sslkey=/etc/ssl/ada.key")
    for spelled in ("p@ss/w rd", "p@ss/w+rd", "p%40ss%2Fw+rd", "/etc/ssl/ada.key", "%2Fetc%2Fssl%2Fada.key"):
        assert redact(f"libpq says: '{spelled}' is wrong") == "libpq says: '***' is wrong"


def test_a_word_of_which_a_secret_is_part_stays() -> None:
    remember("postgresql://ada:gres@db/waits")
    assert redact("postgresql: gres, gresham") == "postgresql: ***, gresham"


@given(st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Z")), max_size=30))
def test_whatever_stands_around_it(around: str) -> None:
    """Between the first colon and the last @, escaped or not."""
    assert "s3cret" not in redact(f"no {around} postgresql://ada:{around}s3cret{around}@db")


@pytest.mark.parametrize(
    "url", ["postgresql://ada:s3cret@db/waits?sslpassword=s3cret", "postgresql://db/w?password=s3cret&passfile=s3cret"]
)
def test_a_database_has_a_name_without_secrets(url: str) -> None:
    database = Database(url)
    assert "s3cret" not in database.name and "***" in database.name
    assert "s3cret" in database.resolved_url
