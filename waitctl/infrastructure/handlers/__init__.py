"""What takes a delivery: one Protocol, an implementation each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from waitctl.domain.deliveries import HandlerResult


@dataclass(frozen=True, slots=True)
class Parcel:
    """A delivery on its way out: the JSON for its handler, and the same in environment variables."""

    delivery_id: str
    body: bytes
    environment: Mapping[str, str]


class Handler(Protocol):
    """Takes parcels, several at once, and says what became of each. Must not raise."""

    def deliver(self, parcel: Parcel) -> HandlerResult:
        """Hand one parcel over and wait for the answer."""
        ...
