"""A server for each test, on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.door import Client, door, settings_of


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[Client]:
    """A client with a token for everything."""
    with door(settings_of(url, tmp_path)) as found:
        yield found
