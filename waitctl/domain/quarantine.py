"""What could not be taken in, kept so that somebody may look at it and try again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from waitctl.domain.errors import PayloadCutError
from waitctl.domain.patterns import pattern
from waitctl.domain.text import storable
from waitctl.domain.values import dataclass

MAX_KEPT = 1024 * 1024
"""Bytes of a body that are kept; a longer one is cut and cannot be replayed."""

MAX_BYTES = 64 * 1024 * 1024
"""Bytes of bodies that are kept of a source."""

MAX_QUARANTINED = 1000
"""How many are kept of a source, unless its config says otherwise."""

MAX_AGE = timedelta(days=30)
"""How long they are kept, unless the source's config says otherwise."""

_CREDENTIAL = pattern(r"authorization|cookie|credential|password|secret|token")
"""What is in the name of a header, in lower case, that has no place in a table."""

_USER_AND_PASSWORD = pattern(r"(?<=//)[^/?#]*@")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A payload, or an event of a batch, that was refused: ``code`` and ``message`` say why.

    ``verified``: its signature was good when it came, and need not be checked again. ``size`` is the whole body's.
    """

    id: str
    source: str
    format: str
    code: str
    message: str
    headers: Mapping[str, str]
    url: str | None
    body: bytes
    size: int
    verified: bool
    received_at: datetime
    replayed_at: datetime | None = None

    @property
    def is_cut(self) -> bool:
        """Whether the body was too large to be kept whole."""
        return self.size > MAX_KEPT

    def require_whole(self) -> None:
        """Raise `PayloadCutError` when it cannot be replayed."""
        if self.is_cut:
            raise PayloadCutError(f"{self.id} cannot be replayed: {MAX_KEPT:,} of its {self.size:,} bytes were kept")


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Of the headers that a provider reads, names in lower case, those that are no credentials."""
    return {name: storable(value) for name, value in headers.items() if not _CREDENTIAL.search(name)}


def kept_url(url: str | None) -> str | None:
    """The URL without the user and password that it may hold."""
    return None if url is None else storable(_USER_AND_PASSWORD.sub("", url, count=1))
